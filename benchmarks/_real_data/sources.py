"""Which source files a fitted method depends on, and one hash of what they say.

A result is recomputed when code that made it changed, and only then: comments, docstrings
and files that the method never imports do not count. What counts is the text at the start of
the process, before anything else of isonomy is imported: a file that is edited while a long
run goes on is not the code that the run executes.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import isonomy

__all__ = ["modules_of", "source_fingerprint"]

ROOT = Path(isonomy.__file__).parent

# They say things or save things; no prediction depends on them.
SILENT = {
    "isonomy.errors",
    "isonomy.plugins",
    "isonomy.artefact",
    "isonomy._version",
    "isonomy._record",
    "isonomy._fingerprint",
    "isonomy.steering._persistence",
    "isonomy.steering._explain",
}
# SteeredClassifier imports these to be told by argument which of them to use: they count
# where they are used, so that a change of one does not recompute every other method.
CALIBRATION = {"isonomy.steering.calibration", "isonomy.steering._last_stage"}
OPTIONAL = {"isonomy.steering.ideal", *CALIBRATION}
CHOOSERS = {"isonomy.steering.classifier", "isonomy.steering._choices"}


def modules_of(estimator: Any) -> set[str]:
    """Return the isonomy modules whose classes are among an estimator and its parts."""
    parts = [estimator]
    if hasattr(estimator, "get_params"):
        parts.extend(estimator.get_params(deep=True).values())
    found = {type(part).__module__ for part in parts}
    if isinstance(steerer := getattr(estimator, "steerer", None), str) and steerer == "ideal":
        found |= OPTIONAL  # the default: a blind steerer and a calibrator that guesses
    if found & CALIBRATION:
        found |= CALIBRATION
    return {module for module in found if module.startswith("isonomy")}


def source_fingerprint(modules: Iterable[str]) -> str:
    """Return a hash of the code of ``modules`` and of all that they import from isonomy."""
    return _hash(tuple(sorted(modules)))


@cache
def _hash(modules: tuple[str, ...]) -> str:
    state = hashlib.blake2b(digest_size=12)
    for module in sorted(_closure(modules)):
        state.update(module.encode())
        state.update(_code(module).encode())
    return state.hexdigest()


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or module in SILENT:
            continue
        found.add(module)
        imported = set(_imports(module))
        waiting.extend(imported - OPTIONAL if module in CHOOSERS else imported)
    return found


@cache
def _texts() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}


_texts()


def _file(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split(".")[1:])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path in _texts():
            return path
    return None


@cache
def _tree(module: str) -> ast.Module:
    path = _file(module)
    return ast.parse("" if path is None else _texts()[path])


def _imports(module: str) -> Iterator[str]:
    """Yield imported isonomy modules; a name from a package leads to the module it is in."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("isonomy"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("isonomy"):
            for alias in node.names:
                yield _home(str(node.module), alias.name)


def _home(module: str, name: str) -> str:
    if _file(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    path = _file(module)
    if path is None or path.name != "__init__.py":
        return module
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
            return _home(str(node.module), name)
    return module


@cache
def _code(module: str) -> str:
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[:1] = [] if body[1:] else [ast.Pass()]
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
