"""The report formats, as plugins register them: ``render(result) -> str``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from isonomy.errors import CorruptArtefactError
from isonomy.report._audit_page import audit_page
from isonomy.report._comparison_page import comparison_page
from isonomy.report._document import Page
from isonomy.report._finetune_page import finetune_page
from isonomy.report._html import write_html
from isonomy.report._markdown import write_markdown
from isonomy.report._results import as_plain, check_result, dump_result
from isonomy.report._words import clean_result

__all__ = ["build_page", "render_html", "render_json", "render_markdown"]

_PAGES: dict[str, Callable[[Mapping[str, Any]], Page]] = {
    "audit": audit_page,
    "comparison": comparison_page,
    "finetuning": finetune_page,
}


def build_page(result: Mapping[str, Any]) -> Page:
    """Return the page of a result, free of any output format.

    Raises
    ------
    ArtefactError
        If the result is of another kind, newer, or lacks something.
    """
    checked = clean_result(as_plain(check_result(result)))
    try:
        return _PAGES[checked["kind"]](checked)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError(
            "`result` passed to `render` must follow the schema of its kind, but something in "
            f"it is missing or of another type ({type(error).__name__}: {error}). The file may "
            "be truncated or edited; write the result again."
        ) from error


def render_html(result: Mapping[str, Any]) -> str:
    """Return one self-contained HTML page; the same result gives the same text.

    Parameters
    ----------
    result : dict
        Of kind "audit", "comparison" or "finetuning", as ``to_dict()`` returns or
        `load_result` reads.

    Returns
    -------
    str
        HTML without scripts or requests, figures inline.

    Raises
    ------
    MissingExtraError
        If Jinja2 or Matplotlib is not installed.
    ArtefactError
        If the result is of another kind, newer, or lacks something.
    """
    return write_html(build_page(result))


def render_markdown(result: Mapping[str, Any]) -> str:
    """Return the same content as Markdown; needs no extra.

    Parameters
    ----------
    result : dict
        Of kind "audit", "comparison" or "finetuning", as ``to_dict()`` returns or
        `load_result` reads.

    Returns
    -------
    str
        The words and tables of the HTML page.

    Raises
    ------
    ArtefactError
        If the result is of another kind, newer, or lacks something.
    """
    return write_markdown(build_page(result))


def render_json(result: Mapping[str, Any]) -> str:
    """Return the result itself as JSON, keys in their order, never NaN.

    Parameters
    ----------
    result : dict
        Of kind "audit", "comparison" or "finetuning", as ``to_dict()`` returns or
        `load_result` reads.

    Returns
    -------
    str
        JSON with a final line end.

    Raises
    ------
    ArtefactError
        If the result is of another kind, newer, or lacks something.
    """
    return dump_result(check_result(result))
