"""Prove that the core works with its five dependencies alone. Run by `make check`.

It runs in an environment without any extra: if floor 1 to 5 ever import one, or the
wheel lacks a file, this fails.
"""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys

import numpy as np

CORE_PACKAGES = (
    "errors", "artefact", "plugins", "groups", "distributions", "ideal", "metrics",
    "steering", "baselines", "auditing", "datasets",
)  # fmt: skip
EXTRAS = ("typer", "rich", "pyarrow", "matplotlib", "jinja2", "skops", "torch", "pandas", "polars")


def check_that_no_extra_is_here() -> None:
    """Fail if the environment is not the bare one that this proof needs."""
    found = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not found, f"this environment must hold the core alone, but has {found}"


def import_every_core_module() -> int:
    """Import floors 1 to 5 whole, submodules too; return how many modules that is."""
    n_modules = 0
    for package in CORE_PACKAGES:
        module = importlib.import_module(f"isonomy.{package}")
        n_modules += 1
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
            importlib.import_module(found.name)
            n_modules += 1
    return n_modules


def steer_and_judge() -> None:
    """Fit, steer, classify and audit a few rows."""
    from sklearn.linear_model import LogisticRegression

    import isonomy
    from isonomy.datasets import make_biased_normals

    X, y, groups, _ = make_biased_normals(600, random_state=0)
    steerer = isonomy.IdealSteerer(groups="given").fit(X, y, sensitive_features=groups)
    steered = steerer.transform(X, sensitive_features=groups)
    assert steered.shape == X.shape and np.isfinite(steered).all()
    y_pred = LogisticRegression().fit(steered, y).predict(steered)
    result = isonomy.audit(y, y_pred, sensitive_features=groups, n_boot=200)
    assert result.to_dict()["kind"] == "audit"


def check_that_extras_are_named() -> None:
    """Fail unless what needs an extra says which, and its packages can be imported without."""
    from isonomy.errors import MissingExtraError

    for package, name, extra in (
        ("isonomy.hidden_states", "collect", "llm"),
        ("isonomy.distributed", "collect_with_ray", "ray"),
    ):
        try:
            getattr(importlib.import_module(package), name)
        except MissingExtraError as error:
            said = str(error)
        else:
            said = "nothing"
        assert extra in said, f"{package}.{name} must name the extra {extra!r}, said {said}"


def check_the_bare_command() -> None:
    """Fail unless the command exits with 2 and one line that names its extra."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "isonomy", "demo"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    assert "pip install 'isonomy[cli]'" in done.stderr, done


if __name__ == "__main__":
    check_that_no_extra_is_here()
    count = import_every_core_module()
    steer_and_judge()
    check_that_extras_are_named()
    check_the_bare_command()
    print(f"core only: {count} modules imported, one steering run, bare command: all as promised")
