"""Names of families of cells in sentences."""

from __future__ import annotations

__all__ = ["law_name"]

_NAMES = {
    "lognormal": "log-normal",
    "student_t": "Student-t",
    "nonparanormal": "transformed-normal (nonparanormal)",
}


def law_name(family: str) -> str:
    """Return how a sentence calls the law of a cell."""
    return _NAMES.get(family, family)
