"""Write docs/api.md and docs/cli.md from the code, so that no page is stale.

``make docs`` runs it; a test compares the pages with what it would write.
"""

from __future__ import annotations

import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from isonomy import plugins
from isonomy.cli import main

HERE = Path(__file__).resolve().parent

PACKAGES = {
    "isonomy": "The main names",
    "isonomy.distributions": "Distributions, moments and maps",
    "isonomy.ideal": "What is ideal, what is nearest, what it certifies",
    "isonomy.steering": "Move rows",
    "isonomy.metrics": "Measure gaps",
    "isonomy.auditing": "Judge predictions",
    "isonomy.baselines": "Other people's methods, from their formulas",
    "isonomy.datasets": "Data with known truth",
    "isonomy.hidden_states": "Read and steer language models",
    "isonomy.adapters": "Fine-tune with rare classes in mind",
    "isonomy.adapters.losses": "Losses for long tails, for any loop",
    "isonomy.distributed": "Collect on many machines",
    "isonomy.comparison": "Several methods on the same rows",
    "isonomy.report": "Results for readers",
    "isonomy.groups": "Groups, cells and weights",
    "isonomy.artefact": "Save and load",
    "isonomy.plugins": "Names for parts, ours and yours",
    "isonomy.errors": "Errors and warnings",
}

API_HEAD = """# Public names

Every name that you may rely on, with the first line of its documentation; `help(name)` shows the
rest. This page is written by `make docs`.
"""

CLI_HEAD = """# Commands

What `isonomy COMMAND --help` prints. `python -m isonomy` is the same as `isonomy`. This page is
written by `make docs`.

Results go to stdout, progress, warnings and errors to stderr; `--json` prints the whole result as
JSON. CSV and TSV may be gzipped; Parquet works alike. Empty cells, `NA`, `N/A`, `NaN`, `NULL` and
`<NA>` count as missing in labels, groups and features; all other columns of a text file come out
as the text that went in, in UTF-8.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a `--fail-if` criterion holds, or what it names is undefined |
| 2 | wrong use, or data that cannot be used: one line on stderr says why |
| 130 | interrupted (143: terminated); nothing was left half-written |
| 141 | the reader of stdout went away |

`--fail-if` takes a disparity of the audit, one of `>` `>=` `<` `<=`, and a number. It compares the
plain value; `.corrected`, `.low`, `.high` and `.p_value` behind the name compare the other columns:
`--fail-if 'rms_tpr_gap_precision.high>0.05'` fails unless the gap is shown to be small.
"""


def api_page() -> str:
    """Return docs/api.md: a table of names for each package."""
    parts = [API_HEAD]
    for package, title in PACKAGES.items():
        module = importlib.import_module(package)
        names = [name for name in module.__all__ if name != "__version__"]
        rows = [f"| `{name}` | {_first_line(module, name)} |" for name in names]
        head = (
            f"## `{package}`: {title[0].lower()}{title[1:]}\n\n| name | what it is |\n|---|---|\n"
        )
        parts.append(head + "\n".join(rows) + "\n")
    return "\n".join(parts)


def cli_page() -> str:
    """Return docs/cli.md: the help of the program and of every command."""
    parts = [CLI_HEAD, _help_section()]
    parts.extend(_help_section(command) for command in plugins.names("commands"))
    return "\n".join(parts)


def _first_line(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if inspect.isfunction(value) or inspect.isclass(value):
        text = (inspect.getdoc(value) or "").split("\n\n")[0]
    else:
        text = _attribute_doc(module, name)
    line = " ".join(text.split())
    assert line, f"{module.__name__}.{name} has no documentation"
    # reStructuredText marks of docstrings, as Markdown
    return re.sub(r":\w+:`", "`", line.replace("|", r"\|").replace("``", "`"))


def _attribute_doc(module: ModuleType, name: str) -> str:
    """Return the string under an assignment, or what kind of constant it is."""
    lines = inspect.getsource(_home(module, name)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith((f"{name} =", f"{name}:")))
    for line in lines[start + 1 :]:
        if line.startswith('"""'):
            return line.strip('"')
        if line and not line.startswith((" ", ")", "}", "]")):
            break
    return "The values that the argument of this name accepts."


def _home(module: ModuleType, name: str) -> ModuleType:
    """Return the module that assigns ``name``, followed through the imports."""
    value = getattr(module, name)
    for candidate in [module, *sys.modules.values()]:
        if not getattr(candidate, "__name__", "").startswith("isonomy"):
            continue
        source = inspect.getsource(candidate)
        assigned = any(line.startswith((f"{name} =", f"{name}:")) for line in source.splitlines())
        if assigned and getattr(candidate, name, None) is value:
            return candidate
    raise LookupError(name)


def _help_section(*command: str) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed), _terminal(columns=100):
        assert main([*command, "--help"]) == 0
    title = " ".join(("isonomy", *command))
    text = "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())
    return f"## `{title}`\n\n```text\n{text}\n```\n"


@contextmanager
def _terminal(columns: int) -> Iterator[None]:
    """Let help be as wide here as on every other machine."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


if __name__ == "__main__":
    (HERE / "api.md").write_text(api_page(), encoding="utf-8")
    (HERE / "cli.md").write_text(cli_page(), encoding="utf-8")
