"""Which texts a model answers badly, and a well-answered one to stand beside each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_random_state
from isonomy.errors import InvalidInputError

__all__ = ["Pairs", "draw_pairs", "margins"]

_LOW, _HIGH = 0.25, 0.5
"""Lower share of all margins that counts as low; upper share of the right ones as well."""


@dataclass(frozen=True)
class Pairs:
    """Rows by their place: ``biased[i]`` goes with ``well[i]``, often of the same label."""

    biased: NDArray[np.intp]
    well: NDArray[np.intp]
    n_same_label: int


def margins(scores: NDArray[np.float64], carried: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least score of a carried label less the greatest of the others, (n,).

    NaN for a text that carries no label, or all.
    """
    own = np.where(carried > 0, scores, np.inf).min(axis=1)
    other = np.where(carried > 0, -np.inf, scores).max(axis=1)
    difference = own - other
    return np.where(np.isfinite(difference), difference, np.nan)


def draw_pairs(
    margin: NDArray[np.float64],
    codes: Sequence[tuple[int, ...]],
    n_pairs: int,
    *,
    random_state: int,
    where: str,
) -> Pairs:
    """Return pairs drawn without replacement of the biased texts, the same for the same seed.

    Raises
    ------
    InvalidInputError
        If no text is classified well, or none badly.

    Notes
    -----
    Biased: misclassified (margin < 0), or in the lowest quarter of the margins. Well
    classified: margin > 0 and in the upper half of such. Partners carry a label of the
    biased text where there are such; no text is its own partner.
    """
    known = np.flatnonzero(~np.isnan(margin))
    right = known[margin[known] > 0]
    if not len(right):
        raise InvalidInputError(
            f"`data` passed to `{where}` must hold texts that the model classifies rightly, but "
            f'it misses all {len(known)}. Train it first, or use `method="middle"` or "sweep".'
        )
    well = right[margin[right] >= np.quantile(margin[right], 1.0 - _HIGH)]
    low = margin[known] <= np.quantile(margin[known], _LOW)
    biased = np.setdiff1d(known[(margin[known] < 0) | low], well)
    if not len(biased):
        raise InvalidInputError(
            f"`data` passed to `{where}` must hold texts that the model classifies worse than "
            f"others, but all {len(known)} have the same margin. Pass more texts."
        )
    random = check_random_state(random_state)
    chosen = np.sort(random.permutation(biased)[:n_pairs])
    partners = [_partner(codes, i, well, random) for i in chosen]
    same = sum(bool(set(codes[i]) & set(codes[j])) for i, j in zip(chosen, partners, strict=True))
    return Pairs(chosen, np.array(partners, dtype=np.intp), same)


def _partner(
    codes: Sequence[tuple[int, ...]],
    biased: int,
    well: NDArray[np.intp],
    random: np.random.RandomState,
) -> int:
    own = set(codes[biased])
    alike = [i for i in well if own & set(codes[i])]
    return int(random.choice(alike or well))
