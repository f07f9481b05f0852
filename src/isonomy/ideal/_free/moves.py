"""Named groups move, the others stay; covariances differ between classes, or maps are symmetric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.distributions._linalg import symmetric_sqrt
from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, push_cells
from isonomy.ideal._free.search import best_free_map
from isonomy.ideal._free.symmetric import best_symmetric_root

__all__ = [
    "Carried",
    "Carrier",
    "affine_carrier",
    "canonical_shapes",
    "narrowed",
    "solve_free_affirmative",
    "symmetric_carrier",
]

Cells = tuple[Array, Array]
"""Means (K, d) and lower factors (K, d, d) of the cells of one group."""


@dataclass(frozen=True, eq=False)
class Carried:
    """The map of the reference's cells onto the mover's ideal ones, and how it was found.

    ``value`` and ``history`` are for weights that sum to 1.
    """

    matrix: Array
    offset: Array
    value: float
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    state: Any


class Carrier(Protocol):
    """Finds the nearest image of the reference's cells: (reference, mover, weights, start)."""

    def __call__(self, stays: Cells, moves: Cells, weights: Array, start: Any, /) -> Carried:
        """Return the map that carries the cells that stay to the mover's side."""


def affine_carrier(direction: Direction) -> Carrier:
    """Return what searches all invertible affine maps.

    Information: from the reference's cells to the mover's. Moment: from the mover's to the
    reference's; its inverse makes the ideal cells.
    """

    def carry(stays: Cells, moves: Cells, weights: Array, start: Any, /) -> Carried:
        forward = direction == "information"
        source, target = (stays, moves) if forward else (moves, stays)
        found = best_free_map(*source, *target, weights, start)
        matrix, offset = found.matrix, found.offset
        if not forward:
            matrix = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
            offset = -matrix @ offset
        return Carried(
            matrix,
            offset,
            found.value,
            found.converged,
            False,
            found.n_iter,
            found.history,
            found.others,
        )

    return carry


def canonical_shapes(means: Array, lowers: Array, reference_class: int) -> tuple[Array, Cells]:
    """Return C^1/2 of the reference class and its group's cells in the frame where it is N(0, I).

    The points are C^-1/2 (mu_j - mu_c), the shapes lower factors of C^-1/2 Sigma_j C^-1/2.
    """
    lower = lowers[reference_class]
    d = len(lower)
    root = symmetric_sqrt(lower @ lower.T)
    # C^-1/2 = U' L^-1 with the orthogonal U = L^-1 C^1/2: no second decomposition
    turn = solve_triangular(lower, root, lower=True)
    inverse = turn.T @ solve_triangular(lower, np.eye(d), lower=True)
    points = (means - means[reference_class]) @ inverse.T
    shapes = np.stack([_lower_factor(inverse @ low) for low in lowers])
    shapes[reference_class], points[reference_class] = np.eye(d), 0.0
    return root, (points, shapes)


def _lower_factor(root: Array) -> Array:
    """Return the lower factor of ``root root'``."""
    upper = np.asarray(np.linalg.qr(root.T, mode="r"), dtype=np.float64)
    lower: Array = (upper * np.where(np.diagonal(upper) < 0, -1.0, 1.0)[:, None]).T
    return lower


def symmetric_carrier(direction: Direction, reference_class: int) -> Carrier:
    """Return what searches the maps ``x -> T C^-1/2 (x - mu_c) + m`` with T > 0.

    C is the reference's covariance in the reference class, whose ideal covariance is then
    T T. Information: J of 3.4, convex in T. Moment: with W = T^-1 and n = W m the
    divergence is ``1/2 sum q_j [tr(M_j^-1 W S_j W) + |n - W mu_j - x_j|^2_{M_j^-1}] -
    ln det W`` (x_j = the points), the same programme with the sides exchanged: convex in
    W, so both directions have one minimum within the family.
    """

    def carry(stays: Cells, moves: Cells, weights: Array, start: Any, /) -> Carried:
        means, lowers = stays
        root, shapes = canonical_shapes(means, lowers, reference_class)
        if direction == "information":
            found = best_symmetric_root(*shapes, *moves, weights, start)
            inner, offset = found.root, found.offset
        else:
            found = best_symmetric_root(*moves, *shapes, weights, start)
            inner = np.asarray(np.linalg.inv(found.root), dtype=np.float64)
            inner = 0.5 * (inner + inner.T)
            offset = -inner @ found.offset
        # inner C^-1/2, by solving with the root
        matrix = np.asarray(np.linalg.solve(root, inner), dtype=np.float64).T
        return Carried(
            matrix,
            offset - matrix @ means[reference_class],
            found.value,
            found.converged,
            found.converged,
            found.n_iter,
            found.history,
            found.root,
        )

    return carry


def solve_free_affirmative(
    cells: CellArrays,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    carrier: Carrier,
    start: Any = None,
) -> Solved:
    """Return the nearest ideal cells where only ``movers`` move, and the maps of rows.

    Each mover is a programme of its own. Groups that stay keep their cells; the maps of
    their rows are searched among all affine ones.
    """
    assert cells.lowers is not None  # the request brings them for these families
    n_groups, d = cells.means.shape[1:]
    means, covariances = cells.means.copy(), np.array(cells.covariances)
    matrices, offsets = np.tile(np.eye(d), (n_groups, 1, 1)), np.zeros((n_groups, d))
    stays = cells.means[:, reference], cells.lowers[:, reference]
    found: list[Carried] = []
    histories: list[tuple[float, ...]] = []
    for a in range(n_groups):
        own = cells.means[:, a], cells.lowers[:, a]
        if a == reference:
            continue
        if a not in movers:
            there = best_free_map(*own, *stays, weights[:, a])
            matrices[a], offsets[a] = there.matrix, there.offset
            continue
        known = None if start is None else start[len(found)]
        carried = carrier(stays, own, weights[:, a], known)
        goal = cells.means[:, reference], cells.covariances[:, reference]
        means[:, a], covariances[:, a] = push_cells(carried.matrix, carried.offset, *goal)
        back = np.asarray(np.linalg.inv(carried.matrix), dtype=np.float64)
        matrices[a], offsets[a] = back, -back @ carried.offset
        found.append(carried)
        total = float(weights[:, a].sum())
        histories.append(tuple(total * value for value in carried.history))
    return Solved(
        means,
        covariances,
        matrices,
        offsets,
        all(c.converged for c in found),
        all(c.global_optimum for c in found),
        sum(c.n_iter for c in found),
        summed_history(histories),
        [c.state for c in found],
    )


def narrowed(state: Any) -> Any:
    """Return the state of a search over affine maps with its best local minimum alone."""
    return [each[:1] for each in state] if isinstance(state, list) else state[:1]


def summed_history(histories: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the sum of histories side by side, the shorter ones kept at their end."""
    length = max(len(h) for h in histories)
    padded = [(*h, *[h[-1]] * (length - len(h))) for h in histories]
    return tuple(float(sum(column)) for column in zip(*padded, strict=True))
