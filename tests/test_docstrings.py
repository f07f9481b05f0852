"""Docstring and signature agree, for every public function, class and method.

In one library we read, the text centres each sensitive column by its own mean while the
code uses one mean for all. Words cannot be checked against code, but names can.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

PACKAGES = (
    "isonomy",
    "isonomy.artefact",
    "isonomy.plugins",
    "isonomy.errors",
    "isonomy.groups",
    "isonomy.distributions",
    "isonomy.ideal",
    "isonomy.metrics",
    "isonomy.steering",
    "isonomy.baselines",
    "isonomy.auditing",
    "isonomy.datasets",
    "isonomy.hidden_states",
    "isonomy.adapters",
    "isonomy.adapters.losses",
    "isonomy.distributed",
    "isonomy.comparison",
    "isonomy.report",
)
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
SECTIONS = {
    "Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns", "Notes", "Examples",
    "References", "See Also", "Schema",
}  # fmt: skip
# `where` names the calling function in messages, `of` the argument it is compared with
SAME_EVERYWHERE = {"self", "cls", "where", "of"}
# scikit-learn's metadata routing adds these methods to estimators
ROUTED = re.compile(r"set_\w+_request")


def public_objects() -> Iterator[tuple[str, object]]:
    """Yield every object in the ``__all__`` of every public package, once."""
    seen = set()
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if (inspect.isfunction(value) or inspect.isclass(value)) and id(value) not in seen:
                seen.add(id(value))
                yield f"{package}.{name}", value


def public_callables() -> Iterator[tuple[str, object]]:
    """Yield functions, classes, and the methods that our classes define."""
    for name, value in public_objects():
        yield name, value
        if not inspect.isclass(value):
            continue
        for method_name, method in inspect.getmembers(value, inspect.isroutine):
            ours = getattr(method, "__module__", None) or ""
            if method_name.startswith("_") or ROUTED.fullmatch(method_name):
                continue
            if ours.startswith("isonomy"):
                yield f"{name}.{method_name}", method


ALL = dict(public_callables())
OBJECTS = dict(public_objects())


def sections(value: object) -> dict[str, str]:
    """Return the sections of a docstring by title; the first part is under ''."""
    parts = SECTION.split(inspect.getdoc(value) or "")
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented_parameters(text: str) -> list[str]:
    """Return the names in a Parameters section, in order, without their stars."""
    names: list[str] = []
    for line in text.splitlines():
        head = re.match(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: :.*)?$", line)
        if head and not line.startswith(" "):
            names.extend(name.strip(" *") for name in head[1].split(","))
    return names


def true_parameters(value: object) -> list[str]:
    """Return the public parameters of a signature, in order."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]
    except ValueError:  # a built-in without a signature
        return []
    return [p for p in signature.parameters if p not in SAME_EVERYWHERE and p[0] != "_"]


def is_exception(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


@pytest.mark.parametrize("name", ALL)
def test_everything_public_has_a_first_line_that_ends(name):
    first = sections(ALL[name])[""].strip().split("\n\n")[0]
    assert first, f"{name} has no docstring"
    assert first.rstrip("`").endswith((".", "!", ":", "?")), f"{name}: {first!r}"


@pytest.mark.parametrize("name", ALL)
def test_every_documented_parameter_exists(name):
    value = ALL[name]
    documented = documented_parameters(sections(value).get("Parameters", ""))
    assert [p for p in documented if p not in {*true_parameters(value), *SAME_EVERYWHERE}] == []


@pytest.mark.parametrize("name", [n for n, v in OBJECTS.items() if not is_exception(v)])
def test_every_parameter_of_a_public_function_or_class_is_documented(name):
    value = OBJECTS[name]
    found = sections(value)
    documented = documented_parameters(found.get("Parameters", "") + found.get("Attributes", ""))
    if inspect.isclass(value) and "Parameters" not in found and not hasattr(value, "fit"):
        return  # a result that users read but do not build
    assert [p for p in true_parameters(value) if p not in documented] == []


@pytest.mark.parametrize("name", ALL)
def test_sections_have_known_titles(name):
    assert set(sections(ALL[name])) - SECTIONS - {""} == set()


@pytest.mark.parametrize("name", [n for n, v in ALL.items() if inspect.isfunction(v)])
def test_a_defaults_in_words_is_the_default_in_code(name):
    """``rank : int, default 3`` must not stay behind when the code changes."""
    value = ALL[name]
    text = sections(value).get("Parameters", "")
    defaults = inspect.signature(value).parameters
    for parameter, said in re.findall(r"^(\w+) :.*\bdefault[ =](\S+?)[,.]?$", text, re.MULTILINE):
        assert said.strip("`") == str(defaults[parameter].default) or said.strip("`\"'") == str(
            defaults[parameter].default
        )
