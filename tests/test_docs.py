"""Every public name is in the docs, every link leads somewhere, no word promises too much."""

from __future__ import annotations

import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import isonomy

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_spec = importlib.util.spec_from_file_location("make_pages", ROOT / "docs/make_pages.py")
make_pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_pages)
PUBLIC = tuple(make_pages.PACKAGES)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# the words that promise more than any certificate shows; the rule itself may quote them
TOO_MUCH = re.compile(
    r"\b(debias\w*|unbiased|fair models?|solves? bias|bias-free)\b", re.IGNORECASE
)


def headings(page: Path) -> set[str]:
    """Return the anchors of a Markdown page, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


def test_every_public_name_is_in_the_docs_with_its_first_line():
    """If this fails, run `make docs`."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert page == make_pages.api_page()
    for package in PUBLIC:
        for name in set(importlib.import_module(package).__all__) - {"__version__"}:
            assert f"| `{name}` | " in page


def test_the_commands_page_is_what_the_commands_print():
    """If this fails, run `make docs`. Line breaks may differ between versions of typer."""
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert page.split() == make_pages.cli_page().split()


def test_every_public_package_is_in_the_docs():
    found = {
        f"isonomy.{path.stem}"
        for path in (ROOT / "src/isonomy").iterdir()
        if not path.name.startswith(("_", ".")) and (path.is_dir() or path.suffix == ".py")
    }
    top = {package for package in PUBLIC if package.count(".") == 1}
    assert found - {"isonomy.cli"} == top


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in headings(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_word_promises_more_than_we_can_show(page):
    text = page.read_text(encoding="utf-8")
    assert TOO_MUCH.findall(text) == []


@pytest.mark.parametrize(
    "source", sorted((ROOT / "src").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT / "src"))
)
def test_the_code_keeps_to_the_same_words_and_to_its_size(source):
    text = source.read_text(encoding="utf-8")
    assert TOO_MUCH.findall(text.replace("an unbiased estimate", "")) == []
    too_long = len(text.splitlines()) > 400 and "One file because" not in text
    assert not too_long, "split it, or say `One file because ...` in its docstring"


def test_the_version_is_written_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    holders = [
        source.name
        for source in (ROOT / "src").rglob("*.py")
        if re.search(rf"[\"']{re.escape(isonomy.__version__)}[\"']", source.read_text("utf-8"))
    ]
    assert holders == ["_version.py"]
    assert isonomy.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_tool_versions_are_pinned_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    pinned = [line for lines in extras.values() for line in lines if "==" in line]
    assert sorted(re.split("==", line)[0] for line in pinned) == ["import-linter", "mypy", "ruff"]


def test_top_level_names_are_declared_alike_everywhere():
    """The lazy table, ``__all__`` and what type checkers see must not drift apart."""
    assert set(isonomy.__all__) == {*isonomy._HOMES, "__version__"}
    source = (ROOT / "src/isonomy/__init__.py").read_text(encoding="utf-8")
    for name, home in isonomy._HOMES.items():
        assert re.search(rf"from {re.escape(home)} import .*\b{name}\b", source)
        assert getattr(isonomy, name) is getattr(importlib.import_module(home), name)
        assert name in dir(isonomy)


def test_an_unknown_top_level_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'isonomy' has no attribute 'nothing'"):
        _ = isonomy.nothing


def test_no_module_bears_the_name_of_a_public_function():
    """Importing it would replace the function in its package."""
    for package in PUBLIC:
        module = importlib.import_module(package)
        if hasattr(module, "__path__"):
            assert [n for n in module.__all__ if importlib.util.find_spec(f"{package}.{n}")] == []


def test_the_example_file_is_what_its_script_writes(tmp_path):
    spec = importlib.util.spec_from_file_location("make", ROOT / "examples/make_applications.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        module.write_applications(file)
    written = (tmp_path / "a.csv").read_bytes()
    assert written == (ROOT / "examples/applications.csv").read_bytes()
