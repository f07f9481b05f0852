"""Coordinate-wise maps: every coordinate is a problem of one variable (3.1, 3.2).

The coordinates of a cell are independent, so divergences add over coordinates, and only
the priors are shared. One variable is the case d = 1.
"""

from __future__ import annotations

import numpy as np

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved
from isonomy.ideal._univariate import Start, best_line, nearest_for_all_groups

__all__ = ["best_diagonal_map", "solve_all_diagonal", "variances_of"]


def variances_of(cells: CellArrays) -> Array:
    """Return the variances of all cells, (K, G, d), the tied ones repeated."""
    found = np.diagonal(cells.covariances, axis1=2, axis2=3)
    return np.broadcast_to(found, cells.means.shape)


def best_diagonal_map(
    source_means: Array,
    source_covs: Array,
    target_means: Array,
    target_covs: Array,
    weights: Array,
) -> tuple[Array, Array]:
    """Return matrix (d, d), diagonal, and offset (d,) of the best coordinate-wise map.

    Means are (K, d), covariances (K or 1, d, d) and diagonal.
    """
    shape = source_means.shape
    source = np.broadcast_to(np.diagonal(source_covs, axis1=1, axis2=2), shape)
    target = np.broadcast_to(np.diagonal(target_covs, axis1=1, axis2=2), shape)
    lines = [
        best_line(source_means[:, j], source[:, j], target_means[:, j], target[:, j], weights)
        for j in range(shape[1])
    ]
    slopes, intercepts = np.array(lines).T
    return np.diag(slopes), intercepts


def solve_all_diagonal(
    cells: CellArrays,
    weights: Array,
    reference: int,
    direction: Direction,
    start: list[Start] | None = None,
) -> Solved:
    """Return the nearest ideal cells and the maps of rows, all groups moving."""
    d = cells.means.shape[2]
    variances = variances_of(cells)
    found = [
        nearest_for_all_groups(
            cells.means[:, :, j],
            variances[:, :, j],
            weights,
            direction,
            None if start is None else start[j],
        )
        for j in range(d)
    ]
    slopes = np.stack([f.slopes for f in found], axis=1)
    intercepts = np.stack([f.intercepts for f in found], axis=1)
    middle = np.stack([f.canonical_means for f in found], axis=1)
    spread = np.stack([f.canonical_variances for f in found], axis=1)
    means = slopes * middle[:, None, :] + intercepts
    eye = np.eye(d)
    covariances = (slopes**2 * spread[:, None, :])[..., None] * eye
    ratio = slopes[reference] / slopes
    return Solved(
        means,
        covariances,
        ratio[:, :, None] * eye,
        intercepts[reference] - ratio * intercepts,
        all(f.converged for f in found),
        False,
        sum(f.n_iter for f in found),
        _summed_history([f.history for f in found]),
        [f.state for f in found],
    )


def _summed_history(histories: list[tuple[float, ...]]) -> tuple[float, ...]:
    length = max(len(h) for h in histories)
    padded = [(*h, *[h[-1]] * (length - len(h))) for h in histories]
    return tuple(float(sum(column)) for column in zip(*padded, strict=True))
