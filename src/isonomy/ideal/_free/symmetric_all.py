"""All groups move by symmetric maps: the search over the groups' roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from isonomy.ideal._cells import Array, CellArrays, Direction, Solved
from isonomy.ideal._free.all_groups import assembled
from isonomy.ideal._free.moves import canonical_shapes
from isonomy.ideal._free.profile import Profile
from isonomy.ideal._free.search import GRADIENT_TOLERANCE, final_tolerance
from isonomy.ideal._free.symmetric import RootProgramme, best_symmetric_root
from isonomy.ideal._numerics.quasi_newton import Descents, descend

__all__ = ["solve_all_symmetric"]

_N_STEPS = 4000

Roots = tuple[Array, Array]
"""Roots (G, d, d) and offsets (G, d)."""


def solve_all_symmetric(
    cells: CellArrays,
    weights: Array,
    reference: int,
    direction: Direction,
    reference_class: int,
    start: Any = None,
) -> Solved:
    """Return the nearest ideal cells found by symmetric maps, all groups moving.

    Notes
    -----
    Canonical cells N(x_y, M_y) with x_c = 0 and M_c = I in the reference class c; group
    a's ideal cells are N(m_a + T_a x_y, T_a M_y T_a) with T_a > 0. The programme is convex
    in one group's root at fixed canonical cells, but not in all of them together: the
    search starts from every group's own shape, and nothing proves that the best local
    minimum found is the global one. In the moment direction the variables are T_a^-1.
    """
    assert cells.lowers is not None  # the request brings them for this family
    n_groups = cells.means.shape[1]
    profile = Profile(cells.means, cells.lowers, weights, direction, fixed=reference_class)
    scale = np.sqrt(weights.sum(axis=0))
    runs = []
    if start is None:
        starts = [
            _from_group(cells, weights, direction, reference_class, a) for a in range(n_groups)
        ]
    else:
        starts = [start]
    for roots, frames in starts:
        runs.append((*_descend(profile, roots, frames, scale), frames))
    run, roots, frames = min(runs, key=lambda found: float(found[0].values[0]))
    means, covs = profile.canonical(roots[0][None], roots[1][None])
    return assembled(
        (means[0], covs[0]),
        roots,
        reference,
        direction,
        converged=bool(run.steepness[0] < GRADIENT_TOLERANCE),
        n_iter=run.n_iter,
        history=tuple(np.minimum.accumulate(run.trace[:, 0]).tolist()),
        state=(roots, frames),
    )


def _from_group(
    cells: CellArrays, weights: Array, direction: Direction, reference_class: int, group: int
) -> tuple[Roots, Array]:
    """Return roots for one group's shape as the canonical one, and frames (G, d, d) for them."""
    lowers = cells.lowers
    assert lowers is not None
    _, shapes = canonical_shapes(cells.means[:, group], lowers[:, group], reference_class)
    roots, offsets, frames = [], [], []
    for a in range(cells.means.shape[1]):
        own = cells.means[:, a], lowers[:, a]
        sides = (shapes, own) if direction == "information" else (own, shapes)
        found = best_symmetric_root(*sides[0], *sides[1], weights[:, a])
        roots.append(found.root)
        offsets.append(found.offset)
        frames.append(RootProgramme(*sides[0], *sides[1], weights[:, a]).frame)
    return (np.array(roots), np.array(offsets)), np.array(frames)


def _descend(profile: Profile, roots: Roots, frames: Array, scale: Array) -> tuple[Descents, Roots]:
    """Descend over T' and m' in T = R T' R', m = R m', entries times the root of the weight."""
    n_groups, d = roots[1].shape
    turned = np.swapaxes(frames, 1, 2)
    undo = np.asarray(np.linalg.inv(frames), dtype=np.float64)

    def unpack(points: Array) -> tuple[Array, Array]:
        joined = points.reshape(len(points), n_groups, -1) / scale[:, None]
        inner = joined[:, :, : d * d].reshape(len(points), n_groups, d, d)
        maps = frames @ (0.5 * (inner + np.swapaxes(inner, 2, 3))) @ turned
        return maps, np.einsum("aij,naj->nai", frames, joined[:, :, d * d :])

    def function(points: Array) -> tuple[Array, Array]:
        maps, offsets = unpack(points)
        least = np.linalg.eigvalsh(undo @ maps @ np.swapaxes(undo, 1, 2))[..., 0]
        values, by_map, by_offset = profile.value_and_gradient(maps, offsets)
        values = np.where((least > 0.0).all(axis=1), values, np.inf)
        slope = turned @ by_map @ frames
        slope = 0.5 * (slope + np.swapaxes(slope, 2, 3))
        shift = np.einsum("aji,naj->nai", frames, by_offset)
        joined = np.concatenate([slope.reshape(len(points), n_groups, -1), shift], axis=2)
        return values, (joined / scale[:, None]).reshape(len(points), -1)

    inner = undo @ roots[0] @ np.swapaxes(undo, 1, 2)
    shift = np.einsum("aij,aj->ai", undo, roots[1])
    joined = np.concatenate([inner.reshape(n_groups, -1), shift], axis=1) * scale[:, None]
    run = descend(
        function, joined.reshape(1, -1), n_steps=_N_STEPS, tolerance=final_tolerance(False)
    )
    maps, offsets = unpack(run.points)
    return run, (maps[0], offsets[0])
