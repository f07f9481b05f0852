"""``render``: a result in any registered format, built in or a plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isonomy import plugins
from isonomy._validation import check_choice
from isonomy.errors import PluginError

__all__ = ["FORMATS", "render"]

FORMATS = ("html", "markdown", "json", "card")
"""The built-in formats; ``pyproject.toml`` registers their functions as plugins."""

_DRAWS = "figure"  # registered beside the formats, but it returns a figure and no text


def render(result: Mapping[str, Any], format: str = "html") -> str:
    """Return the report of a result.

    Parameters
    ----------
    result : dict
        What ``AuditResult.to_dict()`` or ``compare_methods`` returned, or
        :func:`load_result` read; kind "audit", "comparison" or "finetuning".
    format : str
        "html" is one self-contained file: no script, no request, figures inline; it needs
        the extra ``report``. "markdown" holds the same words and tables. "json" is the
        result itself. "card" is the Markdown with the head that model hubs read. Any other
        name is that of a plugin of kind ``report_formats`` (:mod:`isonomy.plugins`).

    Returns
    -------
    str
        The same result gives the same text. Cells under the result's ``min_cell`` rows
        are not shown, even if the result holds them. Both hold for the built-in formats;
        a plugin answers for its own.

    Raises
    ------
    InvalidInputError
        If no format of that name is registered.
    PluginError
        If a plugin cannot be loaded or returns something other than text.
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
    known = [name for name in plugins.names("report_formats") if name != _DRAWS]
    check_choice("format", format, tuple(known), where="render")
    text = plugins.get("report_formats", format)(result)
    if not isinstance(text, str):
        raise PluginError(
            f"The report format {format!r} must return text, got {type(text).__name__}. "
            "Update the distribution that registers it."
        )
    return text
