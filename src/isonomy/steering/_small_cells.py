"""Cells with few rows: what stands in for their own mean and variance.

The mean of a one-row cell IS that row, and maps solved from it would give it away. A
mean of a few rows is also mostly noise. So small cells take theirs from the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments

__all__ = ["MIN_CELL", "cell_means", "cell_variances", "small_cells"]

Floats = NDArray[np.float64]

MIN_CELL = 10
"""Rows from which a cell speaks for itself; the audit withholds cells below the same number."""


def small_cells(moments: CellMoments) -> NDArray[np.bool_]:
    """Return which cells have fewer than ``MIN_CELL`` rows, ``(n_classes, n_groups)``."""
    small: NDArray[np.bool_] = np.asarray(moments.n_rows) < MIN_CELL
    return small


def cell_means(moments: CellMoments) -> Floats:
    """Return the means (n_classes, n_groups, n_features), small cells replaced.

    A small cell gets its class's mean plus its group's average shift, both over the
    other cells. A group of small cells alone with enough rows in all is shifted by
    their average, which still is no single row; without any of those, the overall mean
    and no shift.
    """
    small, means = small_cells(moments), np.nan_to_num(moments.means)
    if not small.any():
        return means
    weight = np.where(small, 0.0, moments.counts)
    by_class, by_group = weight.sum(axis=1), weight.sum(axis=0)
    overall = moments.total_mean()
    centre = np.einsum("ya,yad->yd", weight, means) / np.where(by_class > 0, by_class, 1)[:, None]
    centre = np.where(by_class[:, None] > 0, centre, overall)
    enough = np.asarray(moments.n_rows).sum(axis=0) >= MIN_CELL
    weight = np.where((by_group == 0) & enough, moments.counts, weight)
    total = weight.sum(axis=0)
    shift = np.einsum("ya,yad->ad", weight, means - centre[:, None])
    shift /= np.where(total > 0, total, 1)[:, None]
    return np.where(small[:, :, None], centre[:, None] + shift, means)


def cell_variances(moments: CellMoments) -> Floats:
    """Return (co)variances by cell, those of small cells pooled over their group's others."""
    small, found = small_cells(moments), np.nan_to_num(moments.covariances)
    if not small.any():
        return found
    axes = (..., *[None] * (found.ndim - 2))
    weight = np.where(small, 0.0, moments.counts)
    # a group with small cells alone has to pool those
    weight = np.where(weight.sum(axis=0) > 0, weight, moments.counts)
    pooled = (weight[axes] * found).sum(axis=0) / weight.sum(axis=0)[axes]
    return np.where(small[axes], pooled[None], found)
