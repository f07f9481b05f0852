"""The nearest ideal of Student-t cells: descent on the quadrature divergence, many starts.

Equal degrees of freedom over groups and affine images of common cells are SUFFICIENT for
idealness; nothing says that they are necessary, and nothing proves that the lowest value
found is the global minimum within them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, push_cells
from isonomy.ideal._free.search import best_free_map, flipped
from isonomy.ideal._numerics.quasi_newton import ValueAndGradient, descend
from isonomy.ideal._student.programme import AllMaps, Frame, OneMap, affine_parts
from isonomy.ideal._student.settle import least_moving
from isonomy.ideal._univariate import nearest_for_all_groups

__all__ = ["solve_student"]

_GRADIENT_TOLERANCE = 1e-6
"""In white coordinates and weights that sum to 1: the value is within about its square."""

_N_SCREENING, _N_POLISH = 25, 1000
_N_STARTS, _N_KEPT, _N_FLIPS = 16, 2, 4
_ALL_SIGNS_UP_TO = 4


@dataclass(frozen=True, eq=False)
class _Run:
    """The lowest point of a search, its value for weights that sum to 1, and how."""

    point: Array
    value: float
    converged: bool
    n_iter: int
    history: tuple[float, ...]


def solve_student(
    cells: CellArrays,
    df: Array,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    *,
    diagonal: bool = False,
    start: Any = None,
) -> Solved:
    """Return the nearest ideal Student-t cells found, and the maps of rows.

    Parameters
    ----------
    cells : CellArrays
        Locations and scale matrices.
    df : (K,)
        Degrees of freedom of the classes, the same in all groups.
    weights : (K, G)
        The ideal priors (information) or the fitted ones (moment).
    movers : sequence of int
        All groups, or some of those that are not the reference.
    reference : int
    direction : "information" or "moment"
    diagonal : bool
        Whether maps treat each coordinate by itself (the scales must be diagonal).
    start : optional
        The ``state`` of an earlier result: search from there alone.

    Notes
    -----
    Starts: the best maps between the NORMAL laws of the same location and scatter, with
    signs of singular directions changed; every descent is L-BFGS with exact gradients.
    Scales of the ideal's classes are free, also where the fitted ones are tied. Where the
    maps found may be turned without a change to any ideal cell, they are turned to move rows
    least (`least_moving`).
    """
    shape = cells.prior.shape
    covs = np.broadcast_to(cells.covariances, (*shape, *cells.covariances.shape[-2:]))
    lowers = np.asarray(np.linalg.cholesky(covs), dtype=np.float64)
    nu = np.asarray(df, dtype=np.float64)
    cells = CellArrays(cells.means, np.array(covs), cells.prior, lowers)
    if len(movers) == shape[1]:
        asked = weights, reference, direction, diagonal, start
        solved = _all_groups(cells.means, lowers, nu, *asked)
    else:
        solved = _affirmative(cells, nu, weights, movers, reference, direction, diagonal, start)
    return solved if diagonal else least_moving(solved, cells, reference)


def _affirmative(
    cells: CellArrays,
    df: Array,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    diagonal: bool,
    start: Any,
) -> Solved:
    assert cells.lowers is not None
    n_groups, d = cells.means.shape[1:]
    means, covariances = cells.means.copy(), cells.covariances.copy()
    matrices, offsets = np.tile(np.eye(d), (n_groups, 1, 1)), np.zeros((n_groups, d))
    paid, state, runs = np.zeros(cells.prior.shape), {}, []
    goal = cells.means[:, reference], cells.covariances[:, reference]
    for a in range(n_groups):
        if a == reference:
            continue
        stays = cells.means[:, reference], cells.lowers[:, reference]
        moves = cells.means[:, a], cells.lowers[:, a]
        if a not in movers:
            matrices[a], offsets[a] = _staying_map(moves, stays, weights[:, a])
            continue
        forward = direction == "information"
        q = weights[:, a]
        frames = [Frame(*part, q, diagonal) for part in (stays, moves)]
        source, target = frames if forward else frames[::-1]
        programme = OneMap(source, target, q, df, diagonal)
        known = None if start is None else start[a]
        run = _search_map(programme, _map_starts(programme, diagonal) if known is None else known)
        found = source.outside(*affine_parts(run.point, d), target)
        back = _inverse(*found)
        matrices[a], offsets[a] = back if forward else found
        means[:, a], covariances[:, a] = push_cells(*(found if forward else back), *goal)
        paid[:, a] = programme.divergences(run.point[None])[0].values[0]
        state[a] = run.point[None]
        runs.append((float(q.sum()), run))
    return Solved(
        means,
        covariances,
        matrices,
        offsets,
        all(run.converged for _, run in runs),
        False,
        max(run.n_iter for _, run in runs),
        _joined(runs),
        state,
        paid,
    )


def _joined(runs: list[tuple[float, _Run]]) -> tuple[float, ...]:
    """Return the total after every step, searches that are through standing still."""
    length = max(len(run.history) for _, run in runs)
    total = np.zeros(length)
    for weight, run in runs:
        total += weight * np.pad(run.history, (0, length - len(run.history)), mode="edge")
    return tuple(total.tolist())


def _staying_map(
    moves: tuple[Array, Array], stays: tuple[Array, Array], q: Array
) -> tuple[Array, Array]:
    """Return the map that makes cells that stay coincide, if any does: then normal KL is 0."""
    found = best_free_map(*moves, *stays, q)
    return found.matrix, found.offset


def _inverse(matrix: Array, offset: Array) -> tuple[Array, Array]:
    inverse: Array = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return inverse, -inverse @ offset


def _map_starts(programme: OneMap, diagonal: bool) -> Array:
    """Return flat white maps (n, d d + d): the normal programme's, signs of them changed."""
    source, target, q = programme.source, programme.target, programme.q
    d = source.means.shape[1]
    if diagonal or d == 1:
        signs = np.array(list(product((1.0, -1.0), repeat=d))[: 1 << 8])
        lean = np.sign(q @ (source.means * target.means))
        found = (signs * np.where(lean == 0, 1.0, lean))[:, :, None] * np.eye(d)
        found = np.concatenate([found, 0.4 * found[:2], 2.5 * found[:2]])
    else:
        normal = best_free_map(source.means, source.lowers, target.means, target.lowers, q)
        rng = np.random.default_rng(0)
        found = np.concatenate([normal.others, flipped(np.repeat(normal.others[:1], 8, 0), rng)])
    return np.concatenate([found.reshape(len(found), -1), np.zeros((len(found), d))], axis=1)


def _search_map(programme: OneMap, starts: Array) -> _Run:
    return _search(programme.value_and_gradient, starts)


def _search(function: ValueAndGradient, starts: Array) -> _Run:
    """Return the lowest end of descents from starts (n, N): all a little, the best to the end."""
    history: list[float] = []
    n_iter = 0
    if len(starts) > _N_KEPT:
        run = descend(function, starts[: _screened(starts)], n_steps=_N_SCREENING, tolerance=1e-4)
        order = np.argsort(run.values)
        kept = [order[0], *(i for i in order[1:] if run.values[i] > run.values[order[0]] + 1e-6)]
        starts, n_iter = run.points[kept[:_N_KEPT]], run.n_iter
        history = run.trace.min(axis=1).tolist()
    run = descend(function, starts, n_steps=_N_POLISH, tolerance=0.1 * _GRADIENT_TOLERANCE)
    best = run.best
    history += [*run.trace[:, best].tolist(), float(run.values[best])]
    return _Run(
        run.points[best],
        float(run.values[best]),
        bool(run.steepness[best] < _GRADIENT_TOLERANCE),
        n_iter + run.n_iter,
        tuple(np.minimum.accumulate(history).tolist()),
    )


def _screened(starts: Array) -> int:
    return max(4, min(len(starts), 64, int(4e4 / starts.shape[1])))


def _all_groups(
    means: Array,
    lowers: Array,
    df: Array,
    weights: Array,
    reference: int,
    direction: Direction,
    diagonal: bool,
    start: Any,
) -> Solved:
    n_groups, d = means.shape[1:]
    # the reference comes first: its map is the identity
    order = [reference, *(a for a in range(n_groups) if a != reference)]
    frames = [Frame(means[:, a], lowers[:, a], weights[:, a], diagonal) for a in order]
    programme = AllMaps(frames, weights[:, order], df, direction, diagonal)
    if start is not None:
        run = _search(programme.value_and_gradient, start)
    else:
        run = _search(programme.value_and_gradient, _all_starts(programme, diagonal))
        run = _turned(programme, run, diagonal)
    matrices, offsets = np.empty((n_groups, d, d)), np.empty((n_groups, d))
    new_means, covs = np.empty_like(means), np.empty((*means.shape, d))
    maps, shifts, roots, vectors = (part[0] for part in programme.parts(run.point[None]))
    if direction == "information":
        canonical = vectors, roots
    else:
        inverse = np.linalg.inv(roots)
        canonical = np.einsum("kij,kj->ki", inverse, vectors), inverse
    shapes = canonical[1] @ np.swapaxes(canonical[1], 1, 2)
    home = frames[0]
    there = push_cells(home.lower, home.middle, canonical[0], shapes)
    for place, a in enumerate(order):
        frame = frames[place]
        if direction == "information":
            found = home.outside(maps[place], shifts[place], frame)
            matrices[a], offsets[a] = _inverse(*found)
        else:
            matrices[a], offsets[a] = frame.outside(maps[place], shifts[place], home)
            found = _inverse(matrices[a], offsets[a])
        new_means[:, a], covs[:, a] = push_cells(*found, *there)
    paid = np.empty(weights.shape)
    paid[:, order] = programme.divergences(run.point[None]).values[0]
    total = float(weights.sum())
    history = tuple(total * value for value in run.history)
    state = run.point[None]
    rest = run.converged, False, run.n_iter, history, state, paid
    return Solved(new_means, covs, matrices, offsets, *rest)


def _all_starts(programme: AllMaps, diagonal: bool) -> Array:
    """Return flat points: normal maps between groups, each group's cells the canonical ones."""
    frames, d = programme.frames, programme.d
    n_groups = len(frames)
    if d == 1:
        return _line_starts(programme)
    bases = range(n_groups) if n_groups <= 3 else range(1)
    points = []
    for base in bases:
        maps, shifts = np.tile(np.eye(d), (n_groups, 1, 1)), np.zeros((n_groups, d))
        for a in range(n_groups):
            if a != base:
                maps[a], shifts[a] = _normal_map(frames[base], frames[a], programme.q[:, a])
        # canonical cells are the base's, seen from the first group
        means, lowers = frames[base].means, maps[0] @ frames[base].lowers
        canonical = means @ maps[0].T + shifts[0], lowers
        back = np.linalg.inv(maps[0])
        maps = maps @ back
        shifts = shifts - maps @ shifts[0]
        points.append(_as_point(programme, maps, shifts, *canonical, diagonal))
    return np.array(points)


def _normal_map(source: Frame, target: Frame, q: Array) -> tuple[Array, Array]:
    found = best_free_map(source.means, source.lowers, target.means, target.lowers, q)
    return found.matrix, found.offset


def _as_point(
    programme: AllMaps, maps: Array, shifts: Array, means: Array, roots: Array, diagonal: bool
) -> Array:
    """Return the flat point of maps from canonical cells (means, roots) to the groups."""
    if diagonal:
        eye = np.eye(programme.d)
        maps, roots = maps * eye, roots * eye
    if programme.direction == "information":
        return programme.point(maps, shifts, roots, means)
    inverse: Array = np.asarray(np.linalg.inv(maps), dtype=np.float64)
    forms: Array = np.asarray(np.linalg.inv(roots), dtype=np.float64)
    offsets = -np.einsum("aij,aj->ai", inverse, shifts)
    return programme.point(inverse, offsets, forms, np.einsum("kij,kj->ki", forms, means))


def _line_starts(programme: AllMaps) -> Array:
    """Return points from the normal programme on the line, groups turned round in turn."""
    variances = programme.lowers[..., 0, 0] ** 2
    found = nearest_for_all_groups(
        programme.means[..., 0], variances, programme.q, programme.direction
    )
    n = len(found.slopes)
    slopes = found.slopes / found.slopes[0]
    shifts = found.intercepts - slopes * found.intercepts[0]
    means = found.slopes[0] * found.canonical_means + found.intercepts[0]
    roots = np.abs(found.slopes[0]) * np.sqrt(found.canonical_variances)
    patterns = np.array(list(product((1.0, -1.0), repeat=n - 1)))
    if n > _ALL_SIGNS_UP_TO:
        patterns = np.concatenate([np.ones((1, n - 1)), 1.0 - 2.0 * np.eye(n - 1)])
    points = []
    for signs in patterns:
        turned = slopes * np.concatenate([[1.0], signs])
        shape = means[:, None], roots[:, None, None]
        parts = turned[:, None, None], shifts[:, None]
        points.append(_as_point(programme, *parts, *shape, diagonal=False))
    return np.array(points)


def _turned(programme: AllMaps, run: _Run, diagonal: bool) -> _Run:
    """Return the lower of a run and of those that start with a singular direction turned."""
    d, n_maps = programme.d, len(programme.frames) - 1
    if d == 1:
        return run
    rng = np.random.default_rng(0)
    points = np.repeat(run.point[None], n_maps * min(_N_FLIPS, d), axis=0)
    size = d * d + d
    for i, point in enumerate(points):
        first = (i % n_maps) * size
        matrix = point[first : first + d * d].reshape(1, d, d)
        if diagonal:
            signs = np.where(np.arange(d) == rng.integers(d), -1.0, 1.0)
            turned = matrix * signs[:, None]
        else:
            turned = flipped(matrix, rng)
        points[i, first : first + d * d] = turned.ravel()
    other = _search(programme.value_and_gradient, points)
    if other.value >= run.value - 1e-9:
        return run
    history = (*run.history, *np.minimum(other.history, run.value).tolist())
    return _Run(other.point, other.value, other.converged, run.n_iter + other.n_iter, history)
