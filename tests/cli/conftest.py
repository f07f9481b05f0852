"""What the tests of several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from isonomy.cli import _outputs


@pytest.fixture
def undrawn_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write pages without drawing their charts, which takes longer than all the rest."""
    render = _outputs._render

    def without_charts(result: Mapping[str, Any], name: str) -> str:
        return "<!doctype html>" if name == "html" else render(result, name)

    monkeypatch.setattr(_outputs, "_render", without_charts)
