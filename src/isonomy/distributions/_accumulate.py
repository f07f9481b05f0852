"""Weighted moments of the cells in a block of rows: the inner loop of CellMoments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CellBatch", "Covariance", "iterate_batches"]

Covariance = Literal["full", "tied", "diagonal"]

_SLAB_VALUES = 1 << 21
"""Numbers held in float64 at once (16 MiB): the only copy of rows ever made."""

_SLABS_PER_WINDOW = 8
"""Rows are sorted by cell within windows of so many slabs, so that a slab has few cells."""


@dataclass(frozen=True)
class CellBatch:
    """Moments of ``c`` distinct cells: what one batch of rows adds.

    ``y``, ``a``, ``weight``, ``n_rows`` are (c,), ``mean`` (c, d). ``scatter`` is the
    weighted sum of squares about each cell's mean: c matrices (d, d) full, c vectors (d,)
    diagonal; tied one matrix for each of ``scatter_groups``, summed over its cells.
    """

    y: NDArray[np.intp]
    a: NDArray[np.intp]
    weight: NDArray[np.float64]
    n_rows: NDArray[np.intp]
    mean: NDArray[np.float64]
    scatter: Sequence[NDArray[np.float64]] | NDArray[np.float64]
    scatter_groups: NDArray[np.intp]


def iterate_batches(
    values: NDArray[Any],
    y: NDArray[np.intp],
    a: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    covariance: Covariance,
) -> Iterator[CellBatch]:
    """Yield the moments of slabs of rows, sorted by cell; rows of weight 0 are skipped."""
    n, d = values.shape
    n_classes = int(y.max(initial=0)) + 1
    key = a * n_classes + y  # group first: the rows of a group are one slice of a slab
    slab = max(1, _SLAB_VALUES // d)
    window = _SLABS_PER_WINDOW * slab
    if covariance == "full":
        # one (d, d) update a cell and slab: let every cell bring d rows or more
        window = max(window, n_classes * (int(a.max(initial=0)) + 1) * d)
    for start in range(0, n, window):
        order = np.argsort(key[start : start + window], kind="stable") + start
        if weight is not None:
            order = order[weight[order] > 0]
        for first in range(0, len(order), slab):
            rows = order[first : first + slab]
            w = None if weight is None else weight[rows]
            yield _batch_of(values, rows, key[rows], w, n_classes, covariance)


def _batch_of(
    values: NDArray[Any],
    rows: NDArray[np.intp],
    key: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    n_classes: int,
    covariance: Covariance,
) -> CellBatch:
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    ends = np.append(starts[1:], len(key))
    a, y = np.divmod(key[starts], n_classes)
    z = np.array(values[rows], dtype=np.float64, order="C")
    n_rows = ends - starts
    total = n_rows.astype(np.float64)
    if weight is not None:
        total = np.add.reduceat(weight, starts)
    mean = _centre(z, starts, ends, weight, total)
    if weight is not None:
        z *= np.sqrt(weight)[:, None]
    scatter, groups = _scatter(z, starts, ends, a, covariance)
    return CellBatch(y, a, total, n_rows, mean, scatter, groups)


def _centre(
    z: NDArray[np.float64],
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    total: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Subtract each cell's mean in place and return the means.

    Each cell's first row goes first: large offsets leave before anything is summed, and a
    column that is constant in a cell gets the scatter 0 exactly.
    """
    mean = np.empty((len(starts), z.shape[1]))
    for i, (s, e) in enumerate(zip(starts, ends, strict=True)):
        part, first = z[s:e], z[s].copy()
        part -= first
        ones = np.ones(e - s) if weight is None else weight[s:e]
        residual = ones @ part / total[i]
        part -= residual
        mean[i] = first + residual
    return mean


def _scatter(
    z: NDArray[np.float64],
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
    a: NDArray[np.intp],
    covariance: Covariance,
) -> tuple[list[NDArray[np.float64]], NDArray[np.intp]]:
    if covariance == "tied":
        groups, first = np.unique(a, return_index=True)
        edges = itertools.pairwise(np.append(starts[first], len(z)))
        return [z[s:e].T @ z[s:e] for s, e in edges], groups
    pairs = zip(starts, ends, strict=True)
    if covariance == "full":
        return [z[s:e].T @ z[s:e] for s, e in pairs], a
    return [np.einsum("ij,ij->j", z[s:e], z[s:e]) for s, e in pairs], a
