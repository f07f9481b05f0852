"""Numbers as a reader wants them: few digits, and "n/a" where nothing is defined.

Rates are shown in per cent and differences of rates in percentage points, so a gap of
0.057 reads "5.7". An undefined number never reads 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "UNDEFINED",
    "confidence",
    "count",
    "interval",
    "is_number",
    "number",
    "p_value",
    "per_cent",
    "points",
    "shorten",
    "signed_points",
    "significant",
]

UNDEFINED = "n/a"
"""What stands where a number is undefined or was withheld."""

_MINUS = "\N{MINUS SIGN}"


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _fixed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    is_zero = float(text) == 0
    return text if value >= 0 or is_zero else _MINUS + text


def number(value: Any, digits: int = 3) -> str:
    """Return a plain number, such as a ratio or a loss."""
    return _fixed(value, digits) if is_number(value) else UNDEFINED


def significant(value: Any) -> str:
    """Return a number of any size with three digits that matter: 3e-15 stays 3e-15."""
    return f"{value:.3g}".replace("-", _MINUS) if is_number(value) else UNDEFINED


def per_cent(value: Any, digits: int = 1) -> str:
    """Return a rate in per cent, without the sign: 0.7251 is "72.5"."""
    return _fixed(100 * value, digits) if is_number(value) else UNDEFINED


def points(value: Any, digits: int = 1) -> str:
    """Return a difference of rates in percentage points."""
    return per_cent(value, digits)


def signed_points(value: Any, digits: int = 1) -> str:
    """Return a signed difference in percentage points, with its plus sign."""
    shown = points(value, digits)
    if not is_number(value) or value <= 0 or float(shown) == 0:
        return shown
    return "+" + shown


def interval(entry: Mapping[str, Any], *, digits: int = 1, scale: float = 100.0) -> str:
    """Return "low to high" of an entry with ``low`` and ``high``, or n/a."""
    low, high = entry.get("low"), entry.get("high")
    if not is_number(low) or not is_number(high):
        return UNDEFINED
    assert low is not None and high is not None
    return f"{_fixed(scale * low, digits)} to {_fixed(scale * high, digits)}"


def count(value: Any) -> str:
    """Return a count with its thousands apart: 14,000; weights may be fractional."""
    if not is_number(value):
        return UNDEFINED
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def confidence(result: Mapping[str, Any]) -> str:
    """Return "95%", the confidence of a result's intervals."""
    value = result.get("confidence")
    return f"{100 * value:.3g}%" if is_number(value) and value is not None else "95%"


def p_value(value: Any) -> str:
    """Return "p = 0.81", or "p < 0.001" below that, unbreakable."""
    if not is_number(value):
        return UNDEFINED
    if value < 0.001:
        return "p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.001"
    return "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}" + f"{value:.{3 if value < 0.1 else 2}f}"


def shorten(text: str, width: int) -> str:
    """Return ``text`` cut to ``width`` characters, with an ellipsis where cut."""
    if len(text) <= width:
        return text
    return text[: max(width - 1, 1)].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
