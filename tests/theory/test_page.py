"""The page and its tests name each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[1]
PAGE = (ROOT / "docs/theory.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)


def written(paths):
    """Every test function of these files, with its file."""
    return {
        (path.relative_to(ROOT).as_posix(), node.name)
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_the_page_names_exists():
    assert len(NAMED) > 50
    assert set(NAMED) - written(ROOT / path for path in {path for path, _ in NAMED}) == set()


def test_every_test_of_the_theory_is_named_on_the_page():
    others = [path for path in TESTS.glob("test_*.py") if path.name != Path(__file__).name]
    assert written(others) - set(NAMED) == set()


def test_every_numbered_statement_has_its_test():
    # a statement starts with its bold number; sections 1 and 18 state nothing to be tested
    parts = re.split(r"(?m)^(?=\*\*\d+\.\d+|## )", PAGE)
    bare = [
        part.split("\n")[0][:40]
        for part in parts
        if re.match(r"\*\*\d+\.\d+", part) and "tests/theory/" not in part
    ]
    # 2.1 and 2.3 are used by the statements after them and tested there
    assert [re.match(r"\*\*(\d+\.\d+)", line).group(1) for line in bare] == ["2.1", "2.3"]
