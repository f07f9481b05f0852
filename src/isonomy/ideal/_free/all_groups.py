"""All groups move, covariances of their own in every cell: the search over the groups' maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, push_cells
from isonomy.ideal._free.profile import Profile
from isonomy.ideal._free.search import (
    GRADIENT_TOLERANCE,
    SCREENING_WORK,
    distinct,
    final_tolerance,
    flipped,
    promising_maps,
    total_root,
)
from isonomy.ideal._numerics.quasi_newton import Descents, descend

__all__ = ["assembled", "solve_all_free"]

_N_KEPT, _N_FLIPS, _N_ROUNDS = 6, 4, 3
_N_SCREENING, _N_CLOSER, _N_POLISH = 40, 150, 4000
_POLISH_WORK = 2e12


def solve_all_free(
    cells: CellArrays,
    weights: Array,
    reference: int,
    direction: Direction,
    start: Any = None,
) -> Solved:
    """Return the nearest ideal cells found, and the maps of rows, all groups moving.

    Notes
    -----
    The canonical cells that are best for given maps have a closed form (`Profile`), which
    leaves a function of the maps: descending on it is block descent without its slow end.
    Starts: every group's own cells as canonical ones, with the maps that a search between
    pairs of groups finds; then maps with one singular direction turned round. Nothing
    proves that the best local minimum found is the global one.
    """
    search = _Search(cells, weights, direction)
    points = search.candidates(reference) if start is None else start
    n_steps = int(np.clip(_POLISH_WORK / search.work, 200, _N_POLISH))
    run = search.descend(points[: 1 if search.heavy else 2], n_steps, final_tolerance(search.heavy))
    best = run.best
    maps, offsets = search.unpack(run.points[best : best + 1])
    means, covs = search.profile.canonical(maps, offsets)
    matrices, shifts = search.to_groups(maps[0], offsets[0])
    return assembled(
        (means[0], covs[0]),
        (matrices, shifts),
        reference,
        direction,
        converged=bool(run.steepness[best] < GRADIENT_TOLERANCE),
        n_iter=run.n_iter,
        history=tuple(np.minimum.accumulate(run.trace[:, best]).tolist()),
        state=np.concatenate([run.points[best : best + 1], points[1:]]),
    )


class _Search:
    """The profile in standardised groups, and points of the search as flat vectors.

    A group's entries are multiplied by the root of its weight: a rare group then has the
    same curvature as a frequent one.
    """

    def __init__(self, cells: CellArrays, weights: Array, direction: Direction) -> None:
        assert cells.lowers is not None  # the request brings them for free covariances
        n_classes, n_groups, d = cells.means.shape
        self.shape, self.direction = (n_groups, d), direction
        self.weights = weights
        self.scale = np.sqrt(weights.sum(axis=0))
        self.work = 8.0 * n_classes * n_groups * float(d) ** 3
        self.heavy = self.work * _N_KEPT * _N_CLOSER > SCREENING_WORK
        # by the fitted priors: the same coordinates for every `weights`, and for `start`
        self.frames = [
            total_root(cells.means[:, a], cells.lowers[:, a], q / q.sum())
            for a, q in enumerate(cells.prior.T)
        ]
        means, lowers = np.empty_like(cells.means), np.empty(cells.lowers.shape)
        for a, (upper, middle) in enumerate(self.frames):
            means[:, a] = _whitened(upper, (cells.means[:, a] - middle).T).T
            for y in range(n_classes):
                lowers[y, a] = _lower_factor(_whitened(upper, cells.lowers[y, a]))
        self.means, self.lowers = means, lowers
        self.profile = Profile(means, lowers, weights, direction)

    def pack(self, maps: Array, offsets: Array) -> Array:
        """Return points (n, G (d d + d)) of maps (n, G, d, d) and offsets (n, G, d)."""
        n = len(maps)
        joined = np.concatenate([maps.reshape(n, len(self.scale), -1), offsets], axis=2)
        points: Array = (joined * self.scale[:, None]).reshape(n, -1)
        return points

    def unpack(self, points: Array) -> tuple[Array, Array]:
        """Return maps and offsets of points."""
        n_groups, d = self.shape
        joined = points.reshape(len(points), n_groups, -1) / self.scale[:, None]
        maps = joined[:, :, : d * d].reshape(len(points), n_groups, d, d)
        return maps, joined[:, :, d * d :]

    def value_and_gradient(self, points: Array) -> tuple[Array, Array]:
        values, by_map, by_offset = self.profile.value_and_gradient(*self.unpack(points))
        n = len(points)
        joined = np.concatenate([by_map.reshape(n, len(self.scale), -1), by_offset], axis=2)
        return values, (joined / self.scale[:, None]).reshape(n, -1)

    def descend(self, points: Array, n_steps: int, tolerance: float) -> Descents:
        return descend(self.value_and_gradient, points, n_steps=n_steps, tolerance=tolerance)

    def candidates(self, reference: int) -> Array:
        """Return points to polish, the lowest first."""
        n_groups = self.shape[0]
        canonical = [reference] if self.heavy else range(n_groups)
        starts = np.concatenate([self._from_group(g) for g in canonical])
        n_most = int(np.clip(SCREENING_WORK / (self.work * _N_SCREENING), 1, len(starts)))
        run = self.descend(starts[:n_most], _N_SCREENING, 1e-4)
        points = run.points[distinct(run.values, _N_KEPT)]
        return points if self.heavy else self._turned(points)

    def _from_group(self, canonical: int) -> Array:
        """Return points whose canonical cells are near those of one group."""
        n_groups, d = self.shape
        own = self.means[:, canonical], self.lowers[:, canonical]
        found: list[list[tuple[Array, Array]]] = []
        for a in range(n_groups):
            there = self.means[:, a], self.lowers[:, a]
            sides = (own, there) if self.direction == "information" else (there, own)
            same = [(np.eye(d), np.zeros(d))]
            weights = self.weights[:, a]
            found.append(same if a == canonical else promising_maps(*sides[0], *sides[1], weights))
        n = max(len(maps) for maps in found)
        chosen = [[maps[min(i, len(maps) - 1)] for maps in found] for i in range(n)]
        matrices = np.array([[matrix for matrix, _ in maps] for maps in chosen])
        return self.pack(matrices, np.array([[offset for _, offset in maps] for maps in chosen]))

    def _turned(self, points: Array) -> Array:
        """Return the lowest points after turning singular directions of one group's map."""
        n_groups = self.shape[0]
        rng = np.random.default_rng(0)
        run = self.descend(points, _N_CLOSER, 1e-4)
        points, values = run.points, run.values
        for _ in range(_N_ROUNDS):
            maps, offsets = self.unpack(np.repeat(points, _N_FLIPS, axis=0))
            maps, each = maps.copy(), np.arange(len(maps))
            group = rng.integers(n_groups, size=len(maps))
            maps[each, group] = flipped(maps[each, group], rng)
            run = self.descend(self.pack(maps, offsets), _N_CLOSER, 1e-4)
            lowest = values.min()
            values = np.concatenate([values, run.values])
            chosen = distinct(values, _N_KEPT)
            points, values = np.concatenate([points, run.points])[chosen], values[chosen]
            if values.min() >= lowest - 1e-6 * (1.0 + abs(lowest)):
                break
        return points

    def to_groups(self, maps: Array, offsets: Array) -> tuple[Array, Array]:
        """Return maps (G, d, d) and offsets (G, d) in the groups' own coordinates."""
        matrices, shifts = np.empty_like(maps), np.empty_like(offsets)
        for a, (upper, middle) in enumerate(self.frames):
            if self.direction == "information":  # R' x + middle undoes the standardisation
                matrices[a], shifts[a] = upper.T @ maps[a], upper.T @ offsets[a] + middle
            else:
                matrices[a] = solve_triangular(upper, maps[a].T).T
                shifts[a] = offsets[a] - matrices[a] @ middle
        return matrices, shifts


def assembled(
    canonical: tuple[Array, Array],
    maps: tuple[Array, Array],
    reference: int,
    direction: Direction,
    *,
    converged: bool,
    n_iter: int,
    history: Sequence[float],
    state: Any,
) -> Solved:
    """Return the ideal cells of all groups and the maps of their rows onto the reference's.

    ``maps`` carry canonical cells to the groups (information), or the groups to them.
    """
    n_groups, d = maps[1].shape
    means = np.empty((len(canonical[0]), n_groups, d))
    covariances = np.empty((*means.shape, d))
    inverse = np.asarray(np.linalg.inv(maps[0]), dtype=np.float64)
    inverted = inverse, -np.einsum("aij,aj->ai", inverse, maps[1])
    out, back = (maps, inverted) if direction == "information" else (inverted, maps)
    for a in range(n_groups):
        means[:, a], covariances[:, a] = push_cells(out[0][a], out[1][a], *canonical)
    matrices = out[0][reference] @ back[0]
    offsets = back[1] @ out[0][reference].T + out[1][reference]
    matrices[reference], offsets[reference] = np.eye(d), 0.0
    return Solved(
        means, covariances, matrices, offsets, converged, False, n_iter, tuple(history), state
    )


def _whitened(upper: Array, columns: Array) -> Array:
    white: Array = solve_triangular(upper, columns, trans="T")
    return white


def _lower_factor(root: Array) -> Array:
    """Return the lower factor of ``root root'``."""
    upper = np.asarray(np.linalg.qr(root.T, mode="r"), dtype=np.float64)
    lower: Array = (upper * np.where(np.diagonal(upper) < 0, -1.0, 1.0)[:, None]).T
    return lower
