"""The divergences that Student-t cells pay under affine maps, as functions to descend on."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from isonomy.distributions._student_divergence import WhiteDivergence, white_divergence
from isonomy.ideal._cells import Array, Direction

__all__ = ["AllMaps", "Frame", "OneMap", "affine_parts", "cell_divergences"]


class Frame:
    """White coordinates of cells: ``x = middle + lower z``, unit pooled second moment."""

    def __init__(self, means: Array, lowers: Array, weights: Array, diagonal: bool) -> None:
        q = weights / weights.sum()
        self.middle = q @ means
        centred = means - self.middle
        total = np.einsum("k,kij,klj->il", q, lowers, lowers) + (q[:, None] * centred).T @ centred
        self.lower = np.linalg.cholesky(np.diag(np.diagonal(total)) if diagonal else total)
        self.means: Array = solve_triangular(self.lower, centred.T, lower=True).T
        self.lowers: Array = np.stack(
            [solve_triangular(self.lower, low, lower=True) for low in lowers]
        )

    def inside(self, matrix: Array, offset: Array, other: Frame) -> tuple[Array, Array]:
        """Return a map from ``self`` to ``other`` in white coordinates."""
        shift = matrix @ self.middle + offset - other.middle
        white = solve_triangular(other.lower, matrix @ self.lower, lower=True)
        return white, solve_triangular(other.lower, shift, lower=True)

    def outside(self, white: Array, shift: Array, other: Frame) -> tuple[Array, Array]:
        """Return the map between the coordinates that the cells came in."""
        half = solve_triangular(self.lower, (other.lower @ white).T, lower=True, trans="T")
        matrix: Array = half.T
        return matrix, other.middle + other.lower @ shift - matrix @ self.middle


def affine_parts(points: Array, d: int) -> tuple[Array, Array]:
    """Return matrices (..., d, d) and offsets (..., d) of flat maps (..., d d + d)."""
    lead = points.shape[:-1]
    return points[..., : d * d].reshape(*lead, d, d), points[..., d * d :]


def cell_divergences(roots: Array, shifts: Array, df: Array) -> WhiteDivergence:
    """Return the divergences of stacks (n, K, ...) of cells, ``df`` (K,); same leading shape."""
    n, n_cells, d = shifts.shape
    each = np.broadcast_to(df, (n, n_cells)).ravel()
    found = white_divergence(roots.reshape(-1, d, d), shifts.reshape(-1, d), each, each)
    return WhiteDivergence(
        found.values.reshape(n, n_cells),
        found.by_root.reshape(roots.shape),
        found.by_shift.reshape(shifts.shape),
    )


class OneMap:
    """``sum_y q_y KL(V # source_y || target_y)`` of maps V in white coordinates."""

    def __init__(
        self, source: Frame, target: Frame, weights: Array, df: Array, diagonal: bool
    ) -> None:
        self.source, self.target, self.df = source, target, df
        self.q = weights / weights.sum()
        d = source.means.shape[1]
        eye = np.eye(d)
        self.forms = np.stack([solve_triangular(low, eye, lower=True) for low in target.lowers])
        self.mask = eye if diagonal else np.ones((d, d))

    def divergences(self, points: Array) -> tuple[WhiteDivergence, Array]:
        """Return the divergences of the cells at flat maps (n, d d + d), and the matrices."""
        matrices, offsets = affine_parts(points, self.source.means.shape[1])
        roots = self.forms @ (matrices[:, None] @ self.source.lowers)
        moved = self.source.means @ np.swapaxes(matrices, 1, 2) + offsets[:, None]
        shifts = np.einsum("kij,nkj->nki", self.forms, moved - self.target.means)
        return cell_divergences(roots, shifts, self.df), matrices

    def value_and_gradient(self, points: Array) -> tuple[Array, Array]:
        """Return values (n,) and gradients (n, d d + d)."""
        found, _ = self.divergences(points)
        pull = np.einsum("k,kji,nkj->nki", self.q, self.forms, found.by_shift)
        turn = np.einsum("k,kji,nkjl->nkil", self.q, self.forms, found.by_root)
        slopes = (turn @ np.swapaxes(self.source.lowers, 1, 2)).sum(axis=1)
        slopes = (slopes + np.swapaxes(pull, 1, 2) @ self.source.means) * self.mask
        flat = np.concatenate([slopes.reshape(len(points), -1), pull.sum(axis=1)], axis=1)
        return found.values @ self.q, flat


class AllMaps:
    """``sum_ya q_ya KL`` where canonical cells and the maps of all groups but one are free.

    A point holds the maps of the groups after the first (d d + d numbers each), then of
    every class a root (d, d) and a vector (d,). Information: the canonical cell of class
    y is ``root_y z + vector_y`` and the maps carry it to the groups. Moment: the maps carry
    the groups' cells to the canonical ones, whose root's INVERSE and white mean are held.
    """

    def __init__(
        self, frames: list[Frame], weights: Array, df: Array, direction: Direction, diagonal: bool
    ) -> None:
        self.frames, self.df, self.direction = frames, df, direction
        self.q = weights / weights.sum()
        self.n_classes, self.d = frames[0].means.shape
        self.lowers = np.stack([frame.lowers for frame in frames], axis=1)  # (K, G, d, d)
        self.means = np.stack([frame.means for frame in frames], axis=1)
        self.forms = np.linalg.inv(self.lowers)
        self.mask = np.eye(self.d) if diagonal else np.ones((self.d, self.d))

    def parts(self, points: Array) -> tuple[Array, Array, Array, Array]:
        """Return maps (n, G, d, d), offsets (n, G, d), roots (n, K, d, d), vectors (n, K, d)."""
        n, size = len(points), self.d * self.d + self.d
        cut = (len(self.frames) - 1) * size
        maps, offsets = affine_parts(points[:, :cut].reshape(n, -1, size), self.d)
        roots, vectors = affine_parts(points[:, cut:].reshape(n, -1, size), self.d)
        first = np.broadcast_to(np.eye(self.d), (n, 1, self.d, self.d))
        maps = np.concatenate([first, maps], axis=1)
        return maps, np.pad(offsets, ((0, 0), (1, 0), (0, 0))), roots, vectors

    def point(self, maps: Array, offsets: Array, roots: Array, vectors: Array) -> Array:
        """Return the flat point of maps (G, d, d), offsets, roots (K, d, d) and vectors."""
        moves = np.concatenate([maps[1:].reshape(len(maps) - 1, -1), offsets[1:]], axis=1)
        shapes = np.concatenate([roots.reshape(len(roots), -1), vectors], axis=1)
        return np.concatenate([moves.ravel(), shapes.ravel()])

    def divergences(self, points: Array) -> WhiteDivergence:
        """Return the divergences (n, K, G) of the cells."""
        maps, offsets, roots, vectors = self.parts(points)
        if self.direction == "information":
            moved = np.einsum("naij,nkj->nkai", maps, vectors) + offsets[:, None] - self.means
            white = self.forms @ (maps[:, None] @ roots[:, :, None])
            shifts = np.einsum("kaij,nkaj->nkai", self.forms, moved)
        else:
            moved = np.einsum("naij,kaj->nkai", maps, self.means) + offsets[:, None]
            white = roots[:, :, None] @ (maps[:, None] @ self.lowers)
            shifts = np.einsum("nkij,nkaj->nkai", roots, moved) - vectors[:, :, None]
        n, cells = len(points), self.n_classes * len(self.frames)
        each = np.repeat(self.df, len(self.frames))
        flat = white.reshape(n, cells, self.d, self.d), shifts.reshape(n, cells, self.d)
        found = cell_divergences(*flat, each)
        return WhiteDivergence(
            found.values.reshape(shifts.shape[:3]),
            found.by_root.reshape(white.shape),
            found.by_shift.reshape(shifts.shape),
        )

    def value_and_gradient(self, points: Array) -> tuple[Array, Array]:
        """Return values (n,) and gradients of the same shape as the points."""
        found = self.divergences(points)
        maps, offsets, roots, vectors = self.parts(points)
        by_root = self.q[:, :, None, None] * found.by_root
        by_shift = self.q[:, :, None] * found.by_shift
        back = np.swapaxes(maps, 2, 3)[:, None]
        if self.direction == "information":
            forms = np.swapaxes(self.forms, 2, 3)
            turn, pull = forms @ by_root, np.einsum("kaij,nkaj->nkai", forms, by_shift)
            by_map = (turn @ np.swapaxes(roots, 2, 3)[:, :, None]).sum(axis=1)
            by_map = by_map + np.einsum("nkai,nkj->naij", pull, vectors)
            shape_slopes = (back @ turn).sum(axis=2)
            vector_slopes = np.einsum("naij,nkai->nkj", maps, pull)
        else:
            forms = np.swapaxes(roots, 2, 3)[:, :, None]
            turn, pull = forms @ by_root, np.einsum("nkji,nkaj->nkai", roots, by_shift)
            by_map = (turn @ np.swapaxes(self.lowers, 2, 3)).sum(axis=1)
            by_map = by_map + np.einsum("nkai,kaj->naij", pull, self.means)
            moved = np.einsum("naij,kaj->nkai", maps, self.means) + offsets[:, None]
            halves = np.swapaxes(maps[:, None] @ self.lowers, 3, 4)
            shape_slopes = (by_root @ halves).sum(axis=2)
            shape_slopes = shape_slopes + np.einsum("nkai,nkaj->nkij", by_shift, moved)
            vector_slopes = -by_shift.sum(axis=2)
        n = len(points)
        moves = (by_map * self.mask)[:, 1:].reshape(n, len(self.frames) - 1, -1)
        shapes = (shape_slopes * self.mask).reshape(n, self.n_classes, -1)
        flat = np.concatenate(
            [
                np.concatenate([moves, pull.sum(axis=1)[:, 1:]], axis=2).reshape(n, -1),
                np.concatenate([shapes, vector_slopes], axis=2).reshape(n, -1),
            ],
            axis=1,
        )
        return np.einsum("nka,ka->n", found.values, self.q), flat
