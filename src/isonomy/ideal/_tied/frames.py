"""From canonical points to the ideal cells and maps of every group, tied covariances.

In a group's class frame (`_class_frame`) its cells are points in r = min(K - 1, d) axes
with the identity for a covariance, and so are the canonical cells: an ideal group differs
from the fitted one in those axes alone, and no product of d x d is formed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, center, kl_of_cells
from isonomy.ideal._tied.class_axes import ClassFrame, class_frame, least_map
from isonomy.ideal._tied.closed_form import best_affine_map

__all__ = [
    "CanonicalFrame",
    "assemble",
    "frames_of",
    "inner_map",
    "solve_affirmative_tied",
]

Inner = tuple[Array, Array]
"""Matrix (r, r) and offset (r,) that carry the canonical points onto a group's ideal ones."""


@dataclass(frozen=True, eq=False)
class CanonicalFrame:
    """The canonical points (K, r), the group in whose frame rows end, the direction."""

    points: Array
    reference: int
    direction: Direction


def solve_affirmative_tied(
    cells: CellArrays,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
) -> Solved:
    """Return the nearest ideal cells where only ``movers`` move, and the maps of rows.

    The canonical cells are the reference's own. Groups that stay and are not the reference
    keep their cells; their rows are carried by the map that makes them coincide with the
    reference's. Which side is moved in which direction: see `_affirmative`.
    """
    frames = frames_of(cells)
    points = frames[reference].coordinates
    eye = np.eye(points.shape[1])
    inner = [
        (eye, np.zeros(len(eye)))
        if a == reference
        else inner_map(points, frame.coordinates, weights[:, a], direction)
        for a, frame in enumerate(frames)
    ]
    stayers = [a for a in range(len(frames)) if a not in movers]
    return assemble(
        cells,
        frames,
        inner,
        weights,
        CanonicalFrame(points, reference, direction),
        stayers,
        converged=True,
        global_optimum=True,
        n_iter=1,
    )


def frames_of(cells: CellArrays) -> list[ClassFrame]:
    """Return the class frame of every group."""
    covs, lowers = cells.covariances[0], cells.lowers
    return [
        class_frame(cells.means[:, a], covs[a], None if lowers is None else lowers[0, a])
        for a in range(len(covs))
    ]


def inner_map(points: Array, coordinates: Array, weights: Array, direction: Direction) -> Inner:
    """Return the best map of the canonical points onto a group's coordinates (K, r).

    In the moment direction the group's cells are carried to the canonical ones by the best
    map, and the ideal ones are its inverse's image.
    """
    eye = np.eye(points.shape[1])
    if direction == "information":
        return best_affine_map(points, eye, coordinates, eye, weights, least_movement=False)
    there, shift = best_affine_map(coordinates, eye, points, eye, weights, least_movement=False)
    matrix = np.asarray(np.linalg.inv(there), dtype=np.float64)
    return matrix, -matrix @ shift


def assemble(
    cells: CellArrays,
    frames: Sequence[ClassFrame],
    inner: Sequence[Inner],
    weights: Array,
    canonical: CanonicalFrame,
    stayers: Sequence[int] = (),
    *,
    converged: bool,
    global_optimum: bool,
    n_iter: int,
    history: tuple[float, ...] | None = None,
) -> Solved:
    """Return the ideal cells, the divergences paid and the maps of rows.

    Parameters
    ----------
    cells, weights : of the programme
    frames, inner : one a group
    canonical : CanonicalFrame
    stayers : groups that keep their cells
    converged, global_optimum, n_iter, history
        Of the search; the value alone where ``history`` is None.
    """
    points = canonical.points
    n_groups, d = cells.means.shape[1:]
    means, covariances = cells.means.copy(), np.empty((1, n_groups, d, d))
    paid = np.zeros(weights.shape)
    for a, (frame, (matrix, offset)) in enumerate(zip(frames, inner, strict=True)):
        covariances[0, a] = frame.covariance
        if a in stayers:
            continue
        # the coordinates have their origin at the first class
        there = frame.directions()
        image = points @ matrix.T + offset
        means[:, a] = cells.means[0, a] + image @ there.T
        # F F' of _class_frame: the group's own covariance but for the class directions
        spread = matrix @ matrix.T
        change = spread - np.eye(len(matrix))
        blas.dgemm(
            1.0, there @ change, there, beta=1.0, c=covariances[0, a].T, trans_b=1, overwrite_c=1
        )
        own = frame.coordinates, np.eye(len(matrix))[None]
        ideal = image, 0.5 * (spread + spread.T)[None]
        both = (*ideal, *own) if canonical.direction == "information" else (*own, *ideal)
        paid[:, a] = kl_of_cells(*both)
    matrices, offsets = _row_maps(frames, inner, means, weights, canonical)
    value = float((weights * paid).sum())
    return Solved(
        means,
        covariances,
        matrices,
        offsets,
        converged,
        global_optimum,
        n_iter,
        (value,) if history is None else history,
        points,
        paid=paid,
    )


def _row_maps(
    frames: Sequence[ClassFrame],
    inner: Sequence[Inner],
    means: Array,
    weights: Array,
    canonical: CanonicalFrame,
) -> tuple[Array, Array]:
    """Return the maps (G, d, d), (G, d) of rows onto the reference's ideal cells."""
    reference = canonical.reference
    n_groups, d = means.shape[1:]
    # each matrix by columns, as it is computed
    matrices, offsets = np.empty((n_groups, d, d)).swapaxes(1, 2), np.empty((n_groups, d))
    matrices[reference], offsets[reference] = np.eye(d), 0.0
    goal = frames[reference], inner[reference][0]
    for a in range(n_groups):
        if a == reference:
            continue
        # every group is an exact image of the others: the map of 3.3 that moves rows least
        span = _span(canonical.points, weights[:, a], d)
        matrices[a] = least_map(frames[a], inner[a][0], *goal, span)
        share = weights[:, a] / weights[:, a].sum()
        offsets[a] = share @ means[:, reference] - matrices[a] @ (share @ means[:, a])
    return matrices, offsets


def _span(points: Array, weights: Array, d: int) -> Array:
    """Return the axes (r, k) in which the canonical points differ beyond rounding."""
    share = weights / weights.sum()
    centred = np.sqrt(share)[:, None] * center(points, share)[1]
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    strengths = sizes**2 / np.sqrt(1.0 + sizes**2)  # the h of 3.3, for a family onto itself
    noise = 8.0 * max(d, len(points)) * np.finfo(np.float64).eps * np.linalg.norm(sizes)
    found: Array = axes[strengths > noise].T
    return found
