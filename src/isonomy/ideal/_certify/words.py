"""Names of families of cells, and of the scale on which cells speak, in sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isonomy.ideal.certificates import Certificate

__all__ = ["law_name", "on_scale"]

_NAMES = {
    "lognormal": "log-normal",
    "student_t": "Student-t",
    "nonparanormal": "transformed-normal (nonparanormal)",
}

_SCALES = {
    "lognormal": "the natural logarithms of the columns",
    "nonparanormal": "the columns behind strictly increasing transforms learnt in the fit",
}


def law_name(family: str) -> str:
    """Return how a sentence calls the law of a cell."""
    return _NAMES.get(family, family)


def on_scale(found: Certificate, family: str) -> Certificate:
    """Return the certificate saying that its cells are those of logarithms or transforms.

    A steerer of such a family solves for normal cells of transformed columns: without a
    word on it the certificate would call the columns themselves normal. As it is where
    nothing was transformed, or no cells are spoken of.
    """
    scale = _SCALES.get(family)
    if scale is None or not found.law:
        return found
    sentence = (
        f"On which scale: the cells are those of {scale}, which are taken for normal, not the "
        "columns themselves. Rows go to that scale and back one to one, all groups in the same "
        "way, so what is said of rates, classifiers and divergence holds for the rows as they are."
    )
    first, *rest = found.sentences
    return replace(found, law=f"{found.law}, of {scale}", sentences=(first, sentence, *rest))
