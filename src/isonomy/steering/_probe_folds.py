"""Folds for the probe that depend on what rows hold, not on where they stand.

Equal rows share a fold, whatever their group: none is judged by a probe that learnt its
copy, and integer weights equal repeated rows. Contents that many rows share are spread
over all folds: a probe that has seen no row of a column's one value knows nothing of it,
and its scores would turn the calibration round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_FOLDS", "probe_folds"]

N_FOLDS = 5
"""Folds on which a probe is calibrated and judged."""

COMMON = 1 / (5 * N_FOLDS)
"""Share of all weight above which equal rows are spread: a fifth of a fold."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)

Codes = NDArray[np.intp]


def probe_folds(
    values: NDArray[np.float64], codes: Codes, weight: NDArray[np.float64] | None = None
) -> Codes:
    """Return the fold of every row; each group is spread over all folds it can fill.

    Parameters
    ----------
    values : (n_samples, n_features)
    codes : (n_samples,)
        Groups, each with two rows or more.
    weight : (n_samples,), optional
    """
    marks, content = np.unique(_marks(values), return_inverse=True)
    mass = np.bincount(content, weights=weight)
    fold_of = _deal(marks, _rarest_group(content, codes, weight))
    fold: Codes = fold_of[content]
    common = mass > COMMON * mass.sum()
    for c in np.flatnonzero(common):
        for group in np.unique(codes[content == c]):
            _spread(fold, np.flatnonzero((content == c) & (codes == group)))
    for group in np.unique(codes):
        rows = np.flatnonzero(codes == group)
        if len(np.unique(fold[rows])) < 2:  # the probe must see some in every fold
            _spread(fold, rows)
    return fold


def _spread(fold: Codes, rows: Codes) -> None:
    """Deal ``rows`` to the folds in turn, in place, from the fold of the first one on."""
    fold[rows] = (fold[rows[0]] + np.arange(len(rows))) % N_FOLDS


def _rarest_group(content: Codes, codes: Codes, weight: NDArray[np.float64] | None) -> Codes:
    """Return for every content the smallest of the groups whose rows hold it."""
    size = np.bincount(codes, weights=weight)[codes]
    order = np.lexsort((codes, size))[::-1]
    rarest = np.empty(int(content.max()) + 1, dtype=np.intp)
    rarest[content[order]] = codes[order]  # of several the last one stays
    return rarest


def _deal(marks: NDArray[np.uint64], group: Codes) -> Codes:
    """Return the fold of every content: those of a group are dealt in the order of marks."""
    fold = np.empty(len(marks), dtype=np.intp)
    for a in np.unique(group):
        own = np.flatnonzero(group == a)
        fold[own] = (np.arange(len(own)) + int(marks[own[0]] % np.uint64(N_FOLDS))) % N_FOLDS
    return fold


def _marks(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return a 64-bit mark of every row's content (integers wrap around)."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0.0 equals 0.0
    marks = np.full(len(bits), _FACTOR, dtype=np.uint64)
    for column in bits.T:
        marks = (marks ^ column) * _FACTOR
        marks ^= marks >> _SHIFT
    return marks
