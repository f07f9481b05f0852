"""``render``: a result in one of the built-in formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from isonomy._validation import check_choice
from isonomy.report._card import render_card
from isonomy.report._formats import render_html, render_json, render_markdown

__all__ = ["FORMATS", "ReportFormat", "render"]

ReportFormat = Literal["html", "markdown", "json", "card"]

FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "html": render_html,
    "markdown": render_markdown,
    "json": render_json,
    "card": render_card,
}
"""The built-in formats; ``pyproject.toml`` registers the same functions as plugins."""


def render(result: Mapping[str, Any], format: ReportFormat = "html") -> str:
    """Return the report of a result.

    Parameters
    ----------
    result : dict
        What ``AuditResult.to_dict()`` or ``compare_methods`` returned, or
        :func:`load_result` read; kind "audit" or "comparison".
    format : {"html", "markdown", "json", "card"}
        "html" is one self-contained file: no script, no request, figures inline; it needs
        the extra ``report``. "markdown" holds the same words and tables. "json" is the
        result itself. "card" is the Markdown with the head that model hubs read.

    Returns
    -------
    str
        The same result gives the same text. Cells under the result's ``min_cell`` rows
        are not shown, even if the result holds them.

    Raises
    ------
    InvalidInputError
        If ``format`` is none of these.
    MissingExtraError
        If the extra ``report`` is needed and not installed.
    ArtefactError
        If the result is of another kind, written by a newer isonomy, or incomplete.

    Examples
    --------
    >>> render({"schema": 1, "kind": "rates"})
    Traceback (most recent call last):
        ...
    isonomy.errors.ArtefactKindError: `result` passed to `render` must be of kind ...
    """
    check_choice("format", format, tuple(FORMATS), where="render")
    return FORMATS[format](result)
