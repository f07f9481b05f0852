"""Named groups move, the others stay: each mover is solved against the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, kl_of_cells, push_cells

__all__ = ["BestMap", "largest_deviation", "solve_affirmative"]

BestMap = Callable[[Array, Array, Array, Array, Array], tuple[Array, Array]]
"""(source means, covariances, target means, covariances, weights) -> matrix, offset."""


def solve_affirmative(
    cells: CellArrays,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    best_map: BestMap,
) -> Solved:
    """Return the nearest ideal cells where only ``movers`` move, and the maps of rows.

    Notes
    -----
    Information: the map V carries the reference's cells onto the mover's side, the ideal
    cells are V # reference, and rows go back by V^-1. Moment: V carries the mover's cells
    onto the reference's; V steers rows and the ideal cells are V^-1 # reference. The wrong
    side gives an ideal distribution too, but not the nearest one.
    Groups that stay and are not the reference keep their cells; their rows are carried by
    the map that makes them coincide with the reference's.
    """
    n_groups, d = cells.means.shape[1:]
    means, covariances = cells.means.copy(), cells.covariances.copy()
    matrices, offsets = np.tile(np.eye(d), (n_groups, 1, 1)), np.zeros((n_groups, d))
    goal = cells.means[:, reference], cells.covariances[:, reference]
    value = 0.0
    for a in range(n_groups):
        own, q = (cells.means[:, a], cells.covariances[:, a]), weights[:, a]
        if a == reference:
            continue
        if a not in movers:
            matrices[a], offsets[a] = best_map(*own, *goal, q)
            continue
        if direction == "information":
            matrix, offset = best_map(*goal, *own, q)
            matrices[a], offsets[a] = _inverse(matrix, offset)
        else:
            matrices[a], offsets[a] = best_map(*own, *goal, q)
            matrix, offset = _inverse(matrices[a], offsets[a])
        means[:, a], covariances[:, a] = push_cells(matrix, offset, *goal)
        there = means[:, a], covariances[:, a]
        both = (*there, *own) if direction == "information" else (*own, *there)
        paid = kl_of_cells(*both)
        value += float(q @ paid)
    return Solved(means, covariances, matrices, offsets, True, True, 1, (value,))


def largest_deviation(cells: CellArrays, solved: Solved, group: int, reference: int) -> float:
    """Return by how much the steered cells of a staying group miss the reference's cells.

    In the reference's standard deviations for means, relative for covariances.
    """
    means, covs = push_cells(
        solved.matrices[group],
        solved.offsets[group],
        cells.means[:, group],
        cells.covariances[:, group],
    )
    worst = 0.0
    for y in range(len(means)):
        i = min(y, len(covs) - 1)
        inverse = np.linalg.inv(np.linalg.cholesky(cells.covariances[i, reference]))
        far = inverse @ (means[y] - cells.means[y, reference])
        spread = inverse @ covs[i] @ inverse.T - np.eye(len(inverse))
        worst = max(worst, float(np.abs(far).max()), float(np.abs(spread).max()))
    return worst


def _inverse(matrix: Array, offset: Array) -> tuple[Array, Array]:
    inverse: Array = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return inverse, -inverse @ offset
