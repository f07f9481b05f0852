"""Numbers and tables as the pages write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["bullets", "image", "interval", "number", "percent", "points", "table", "tiny"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """Return a Markdown table; the first columns are text, the others numbers."""
    rule = ["---"] * text_columns + ["---:"] * (len(head) - text_columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def image(name: str, words: str) -> str:
    """Return the link from a page of docs/case_studies to its image."""
    return f"![{words}](../images/case-{name}.png)"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number of ordinary size; a minus zero loses its sign."""
    if value is None:
        return ""
    text = f"{value:.{digits}f}"
    return text[1:] if float(text) == 0 and text.startswith("-") else text


def percent(value: float, digits: int = 1) -> str:
    """Return a share in per cent."""
    return f"{number(100 * value, digits)} %"


def points(value: float, digits: int = 2) -> str:
    """Return a signed difference of shares in percentage points."""
    text = number(100 * value, digits)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval, or nothing where it is not known."""
    if low is None or high is None:
        return ""
    return f"{number(low, digits)} to {number(high, digits)}"


def tiny(value: float) -> str:
    """Return a number near rounding, such as 4e-16; an exact 0 stays 0."""
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
