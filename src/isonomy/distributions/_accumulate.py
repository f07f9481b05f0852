"""Weighted moments of the cells in a block of rows: the inner loop of CellMoments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

__all__ = ["CellBatch", "Covariance", "Slab", "add_squares", "iterate_slabs", "mirror_upper"]

Covariance = Literal["full", "tied", "diagonal"]

_SLAB_VALUES = 1 << 21
"""Numbers held in float64 at once (16 MiB): the only copy of rows ever made."""

_SLABS_PER_WINDOW = 8
"""Rows are sorted by cell within windows of so many slabs, so that a slab has few cells."""

_MIRROR_BLOCK = 256
"""Side of the squares in which a triangle is copied: both fit the cache."""


@dataclass(frozen=True)
class CellBatch:
    """Moments of ``c`` distinct cells: what a merge adds.

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


@dataclass(frozen=True)
class Slab:
    """Rows in float64, sorted by cell: those of cell i are ``rows[starts[i]:ends[i]]``.

    ``y``, ``a``, ``weight`` (in total) are (c,); ``row_weight`` is (n,) or None.
    """

    rows: NDArray[np.float64]
    row_weight: NDArray[np.float64] | None
    starts: NDArray[np.intp]
    ends: NDArray[np.intp]
    y: NDArray[np.intp]
    a: NDArray[np.intp]
    weight: NDArray[np.float64]

    @property
    def n_rows(self) -> NDArray[np.intp]:
        """Rows of each cell, (c,)."""
        return self.ends - self.starts

    def centre(
        self, known_weight: NDArray[np.float64], known_mean: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Shift the rows in place, times the roots of their weights; return the cells' means.

        Parameters
        ----------
        known_weight, known_mean : (c,) and (c, d)
            Of the rows that each cell had before these.

        Returns
        -------
        (c, d)
            Mean of the rows of each cell, before the shift.

        Notes
        -----
        With m the mean of the new rows, of weight w, and m_0, w_0 what is known, the rows
        are centred at ``t = m - sqrt(w_0 / (w_0 + w)) (m - m_0)``. Their squares about t
        are the squares about m plus ``w w_0 / (w + w_0) (m - m_0)(m - m_0)'``: just what a
        combined scatter gains, as a sum of squares in which nothing cancels.

        Each cell's first row goes first: large offsets leave before anything is summed, and
        a column that is constant in a cell gets the scatter 0 exactly.
        """
        mean = np.empty_like(known_mean)
        lag = np.sqrt(known_weight / (known_weight + self.weight))
        for i, (s, e) in enumerate(zip(self.starts, self.ends, strict=True)):
            part, first = self.rows[s:e], self.rows[s].copy()
            part -= first
            ones = np.ones(e - s) if self.row_weight is None else self.row_weight[s:e]
            residual = ones @ part / self.weight[i]
            mean[i] = first + residual
            part -= residual - lag[i] * (mean[i] - known_mean[i])
        if self.row_weight is not None:
            self.rows[...] *= np.sqrt(self.row_weight)[:, None]
        return mean

    def blocks(self, covariance: Covariance) -> Iterator[tuple[Any, NDArray[np.float64]]]:
        """Yield (where its squares belong, rows): group a if tied, else cell (y, a)."""
        if covariance == "tied":
            groups, first = np.unique(self.a, return_index=True)
            edges = np.append(self.starts[first], len(self.rows))
            for g, s, e in zip(groups, edges[:-1], edges[1:], strict=True):
                yield g, self.rows[s:e]
            return
        for y, a, s, e in zip(self.y, self.a, self.starts, self.ends, strict=True):
            yield (y, a), self.rows[s:e]


def iterate_slabs(
    values: NDArray[Any],
    y: NDArray[np.intp],
    a: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    covariance: Covariance,
) -> Iterator[Slab]:
    """Yield slabs of rows, sorted by cell; rows of weight 0 are skipped."""
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
            yield _slab_of(values, rows, key[rows], w, n_classes)


def _slab_of(
    values: NDArray[Any],
    rows: NDArray[np.intp],
    key: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    n_classes: int,
) -> Slab:
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    ends = np.append(starts[1:], len(key))
    a, y = np.divmod(key[starts], n_classes)
    total = (ends - starts).astype(np.float64)
    if weight is not None:
        total = np.add.reduceat(weight, starts)
    z = np.array(values[rows], dtype=np.float64, order="C")
    return Slab(z, weight, starts, ends, y, a, total)


def add_squares(total: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
    """Add ``rows' rows`` to the upper triangle of ``total`` (d, d), in place.

    Half the work of a product of two matrices, without a matrix in between. Finish with
    :func:`mirror_upper`.
    """
    # BLAS counts by columns: its lower triangle of the transposed view is our upper one
    view = total.T
    done = blas.dsyrk(1.0, rows.T, beta=1.0, c=view, lower=1, overwrite_c=1)
    if not np.shares_memory(done, total):  # BLAS got a copy: a matrix not laid out in one piece
        view[...] = done


def mirror_upper(matrix: NDArray[np.float64]) -> None:
    """Copy the upper triangle onto the lower one, in place."""
    for s in range(0, len(matrix), _MIRROR_BLOCK):
        e = s + _MIRROR_BLOCK
        matrix[s:e, :s] = matrix[:s, s:e].T
        upper = np.triu(matrix[s:e, s:e])
        matrix[s:e, s:e] = upper + np.triu(upper, 1).T
