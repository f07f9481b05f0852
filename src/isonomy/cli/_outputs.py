"""Where a report goes: FILE.html with FILE.json beside it, or a folder of both."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isonomy import plugins
from isonomy.artefact import write_text_atomic
from isonomy.cli._folder import LAST, whole_folder
from isonomy.errors import MissingExtraError

__all__ = ["PAGE", "check_can_draw", "write_report", "write_report_into"]

PAGE = "index.html"


def check_can_draw() -> None:
    """Raise before any work is done if the page could not be drawn at its end.

    Raises
    ------
    MissingExtraError
        If the extra ``report`` is not installed.
    """
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if absent:
        raise MissingExtraError(
            f"The HTML report needs {' and '.join(absent)}: install the extra `report` with "
            "`pip install 'isonomy[report]'`."
        )


def write_report(result: Mapping[str, Any], output: Path) -> Path:
    """Write the page and the JSON of ``result``; return the path of the page.

    ``output`` ending in ``.html`` names the page, and the JSON lies beside it under the
    same stem; any other name is a folder for ``index.html`` and ``report.json``.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        with whole_folder(output) as folder:
            write_report_into(result, folder)
        return output / PAGE
    # both are made before either is written: one without the other would mislead
    page, data = _render(result, "html"), _render(result, "json")
    write_text_atomic(output, page)
    write_text_atomic(output.with_suffix(".json"), data)
    return output


def write_report_into(result: Mapping[str, Any], folder: Path) -> None:
    """Write ``index.html`` and ``report.json`` into a folder that exists."""
    write_text_atomic(folder / PAGE, _render(result, "html"))
    write_text_atomic(folder / LAST, _render(result, "json"))


def _render(result: Mapping[str, Any], name: str) -> str:
    return str(plugins.get("report_formats", name)(result))
