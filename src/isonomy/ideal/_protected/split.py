"""A group's cells as what must not move and what is left of the rest given it.

With u the columns that stay and w the rest, ``w = B u + r``: r, the rest, is independent of
u within a cell and has means c_y and covariance S. Whitened Gram matrices of differences
from the first class add: that of x is that of u plus that of r (docs/theory.md 17.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from isonomy.distributions._linalg import symmetric_inverse_sqrt, symmetrize
from isonomy.ideal._cells import Array, center
from isonomy.ideal._numerics.polar import orthogonal_factor
from isonomy.ideal._tied.closed_form import best_affine_map

__all__ = ["Places", "Split", "best_rest", "gram_points", "lean", "map_to_frame", "split_cells"]


Places = NDArray[np.intp]
"""Positions of columns."""


@dataclass(frozen=True, eq=False)
class Split:
    """Cells of one group that share a covariance, apart into u and the rest.

    ``kept`` (K, p) and ``kept_cov`` (p, p) are the cells of u, ``slope`` (f, p) is B,
    ``rest`` (K, f) holds c_y, ``rest_cov`` (f, f) is S.
    """

    kept: Array
    kept_cov: Array
    slope: Array
    rest: Array
    rest_cov: Array

    @property
    def kept_gram(self) -> Array:
        """Gram matrix (K - 1, K - 1) of the whitened differences of u."""
        return _gram(self.kept, self.kept_cov)

    @property
    def rest_gram(self) -> Array:
        """Gram matrix (K - 1, K - 1) of the whitened differences of the rest."""
        return _gram(self.rest, self.rest_cov)

    def joined(self, kept_at: Places, free_at: Places) -> tuple[Array, Array]:
        """Return means (K, d) and covariance (d, d) of the cells, columns in their places."""
        d = len(kept_at) + len(free_at)
        means, cov = np.empty((len(self.kept), d)), np.empty((d, d))
        means[:, kept_at] = self.kept
        means[:, free_at] = self.rest + self.kept @ self.slope.T
        cov[np.ix_(kept_at, kept_at)] = self.kept_cov
        cov[np.ix_(free_at, kept_at)] = self.slope @ self.kept_cov
        cov[np.ix_(kept_at, free_at)] = (self.slope @ self.kept_cov).T
        cov[np.ix_(free_at, free_at)] = self.rest_cov + self.slope @ self.kept_cov @ self.slope.T
        return means, symmetrize(cov)


def split_cells(means: Array, cov: Array, kept_at: Places, free_at: Places) -> Split:
    """Return cells of means (K, d) and one covariance (d, d), apart."""
    kept_cov = cov[np.ix_(kept_at, kept_at)]
    slope: Array = np.asarray(np.linalg.solve(kept_cov, cov[np.ix_(kept_at, free_at)]).T)
    rest_cov = cov[np.ix_(free_at, free_at)] - slope @ cov[np.ix_(kept_at, free_at)]
    kept = means[:, kept_at]
    return Split(kept, kept_cov, slope, means[:, free_at] - kept @ slope.T, symmetrize(rest_cov))


def _gram(means: Array, cov: Array) -> Array:
    lower = np.linalg.cholesky(cov)
    white = solve_triangular(lower, (means[1:] - means[0]).T, lower=True)
    found: Array = white.T @ white
    return found


def gram_points(gram: Array, width: int) -> Array:
    """Return points (K, width), the first at 0, whose differences have this Gram matrix.

    ``width`` is at least K - 1; what is negative by rounding counts as 0.
    """
    values, vectors = np.linalg.eigh(gram)
    points = np.zeros((len(gram) + 1, width))
    points[1:, : len(gram)] = vectors * np.sqrt(np.maximum(values, 0.0))
    return points


def lean(split: Split, q: Array) -> Array:
    """Return ``A^1/2`` (K, K), ``A = (I + M S_u^-1 M')^-1`` with M the rows sqrt(q_y) m_y.

    M holds the centred means of u. A is what is left of a fit of the classes' weighted
    residuals once they may lean on u, whose slope costs its variance.
    """
    rows = np.sqrt(q)[:, None] * center(split.kept, q)[1]
    white = solve_triangular(np.linalg.cholesky(split.kept_cov), rows.T, lower=True)
    return symmetric_inverse_sqrt(np.eye(len(q)) + white.T @ white)


def best_rest(points: Array, split: Split, weights: Array, *, inward: bool) -> Split:
    """Return the cells nearest to ``split`` whose rest is an image of ``points``.

    Parameters
    ----------
    points : (K, f)
        Canonical means of the rest, of covariance I.
    split : Split
    weights : (K,)
    inward : bool
        False: the least ``sum_y q_y KL(found || split)``. True: the other direction.

    Notes
    -----
    Maps are ``(u, z) -> (u, B u + V z + D u + b)`` (False), or that of the rest r of a row to
    ``L r + D u + b`` (True). For a given V the slope D and b are a ridge regression of what
    V leaves of the class means on the class means of u, penalised by u's covariance; it takes
    the class rows ``sqrt(q_y) c_y`` to ``A^1/2 sqrt(q_y) c_y``. What is left is the programme
    of docs/theory.md 9 in these rows, so its closed form is the global optimum.
    """
    q = weights / weights.sum()
    root = np.sqrt(q)[:, None]
    half = lean(split, q) / root * root.T
    eye = np.eye(points.shape[1])
    rest = center(split.rest, q)[1]
    own, goal = half @ center(points, q)[1], half @ rest
    if inward:
        forth, _ = best_affine_map(goal, split.rest_cov, own, eye, q, least_movement=False)
        back = np.asarray(np.linalg.inv(forth), dtype=np.float64)
        slope, offset = _leaning(split, q, points - split.rest @ forth.T)
        means = (points - offset) @ back.T
        return Split(split.kept, split.kept_cov, split.slope - back @ slope, means, back @ back.T)
    matrix, _ = best_affine_map(own, eye, goal, split.rest_cov, q, least_movement=False)
    slope, offset = _leaning(split, q, split.rest - points @ matrix.T)
    return Split(
        split.kept,
        split.kept_cov,
        split.slope + slope,
        points @ matrix.T + offset,
        matrix @ matrix.T,
    )


def _leaning(split: Split, q: Array, left: Array) -> tuple[Array, Array]:
    """Return the slope (f, p) on u and the offset (f,) that fit rows ``left`` (K, f) best."""
    middle, far = center(split.kept, q)
    left_middle, left_far = center(left, q)
    spread = split.kept_cov + (q[:, None] * far).T @ far
    slope: Array = np.asarray(np.linalg.solve(spread, (q[:, None] * far).T @ left_far).T)
    return slope, left_middle - slope @ middle


def map_to_frame(own: Split, goal: Split) -> tuple[Array, Array, Array]:
    """Return the map of w that gives a group's rows the posterior of the goal's rows.

    Parameters
    ----------
    own, goal : Split
        Ideal cells of two groups: of equal Gram matrices, and equal P(label | group).
        The goal's rest must tell all classes apart (a regular ``rest_gram``).

    Returns
    -------
    matrix (f, f), slope (f, p), offset (f,)
        ``w' = matrix w + slope u + offset``.

    Notes
    -----
    Log-ratios to the first class are ``D (u - m_0) + F z - g / 2`` with D the whitened
    differences of u, z the whitened rest in the axes that hold the classes, FF' the Gram
    matrix of the rest, and g the diagonal of the whole one, which is common. So
    ``z' = F_goal^-1 [F_own z + D_own (u - m_0) - D_goal (u - m_0')]``. Axes of the rest without
    class carry on by the rotation that moves rows least.
    """
    n = len(own.rest) - 1
    lower, basis, factor, ratio = _class_axes(own)
    goal_lower, goal_basis, goal_factor, goal_ratio = _class_axes(goal)
    classes = np.linalg.solve(goal_factor, factor)
    lift, goal_lift = lower @ basis, goal_lower @ goal_basis
    inner = np.zeros((len(lower), len(lower)))
    inner[:n, :n] = classes
    if n < len(lower):
        inner[n:, n:] = orthogonal_factor(goal_lift[:, n:].T @ lift[:, n:])
    matrix: Array = goal_lift @ inner @ np.asarray(np.linalg.inv(lift), dtype=np.float64)
    turn = goal_lift[:, :n] @ np.linalg.solve(goal_factor, ratio - goal_ratio)
    shift = goal_lift[:, :n] @ np.linalg.solve(
        goal_factor, goal_ratio @ goal.kept[0] - ratio @ own.kept[0]
    )
    slope = goal.slope - matrix @ own.slope + turn
    return matrix, slope, goal.rest[0] - matrix @ own.rest[0] + shift


def _class_axes(split: Split) -> tuple[Array, Array, Array, Array]:
    """Return L of the rest, axes (f, f) with the classes first, F and D (K - 1, p)."""
    lower: Array = np.asarray(np.linalg.cholesky(split.rest_cov), dtype=np.float64)
    white = solve_triangular(lower, (split.rest[1:] - split.rest[0]).T, lower=True)
    basis, upper = qr(white)
    n = white.shape[1]
    ratio = np.linalg.solve(split.kept_cov, (split.kept[1:] - split.kept[0]).T).T
    return lower, basis, upper[:n].T, np.asarray(ratio, dtype=np.float64)
