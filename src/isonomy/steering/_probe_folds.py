"""Folds for the probe that depend on what rows hold, not on where they stand.

Equal rows share a fold: none is judged by a probe that learnt its copy, and integer
weights equal repeated rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["N_FOLDS", "probe_folds"]

N_FOLDS = 5
"""Folds on which a probe is calibrated and judged."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def probe_folds(values: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the fold of every row; each group is spread over all folds it can fill.

    Parameters
    ----------
    values : (n_samples, n_features)
    codes : (n_samples,)
        Groups, each with two rows or more.
    """
    marks = _marks(values)
    fold = np.empty(len(codes), dtype=np.intp)
    for group in np.unique(codes):
        rows = np.flatnonzero(codes == group)
        distinct, number = np.unique(marks[rows], return_inverse=True)
        if len(distinct) < 2:  # copies of one row: the probe must see some in every fold
            number = np.arange(len(rows))
        start = int(distinct[0] % np.uint64(N_FOLDS))
        fold[rows] = (number + start) % N_FOLDS
    return fold


def _marks(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return a 64-bit mark of every row's content (integers wrap around)."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0.0 equals 0.0
    marks = np.full(len(bits), _FACTOR, dtype=np.uint64)
    for column in bits.T:
        marks = (marks ^ column) * _FACTOR
        marks ^= marks >> _SHIFT
    return marks
