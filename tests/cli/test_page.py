"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_fresh() -> None:
    page = runpy.run_path(str(DOCS / "make_cli_page.py"))["make_page"]()
    stored = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert stored == page, "docs/cli.md is stale: run `python docs/make_cli_page.py`"
