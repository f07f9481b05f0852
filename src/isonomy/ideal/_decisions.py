"""Decision regions of a cost-sensitive Bayes classifier on the line, to machine precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from isonomy.ideal._cells import Array

__all__ = ["confusion_on_line", "contrast_roots", "decide", "decide_each"]

_REACH = 9.5
"""Standard deviations of a cell that are searched; beyond lies less than 1e-20 of it."""

_POINTS_PER_CELL = 801

_CLOSE = 1e-9
"""Expected costs nearer than this, relative to the largest cost, are compared exactly."""

_EPS = float(np.finfo(np.float64).eps)


def decide(log_joint: Array, cost: Array) -> NDArray[np.intp]:
    """Return the prediction of least expected cost for rows of ln(prior * density) (n, K).

    Ties go to the lowest class: one rule of the posterior, the same in every group. Two
    predictions are compared through ``sum_y (C[y, k] - C[y, j]) P(y | x)`` with the classes
    on which they agree left out, so that a far tail is decided by what is left, not by
    rounding.
    """
    return decide_each(log_joint, [cost])[0]


def decide_each(log_joint: Array, costs: Sequence[Array]) -> list[NDArray[np.intp]]:
    """Return :func:`decide` for several cost matrices, the posterior computed once."""
    log_joint = log_joint - log_joint.max(axis=1, keepdims=True)
    posterior = np.exp(log_joint)
    rows = np.arange(len(posterior))
    decisions = []
    for cost in costs:
        expected = posterior @ cost
        best: NDArray[np.intp] = expected.argmin(axis=1)
        least = expected[rows, best].copy()
        expected[rows, best] = np.inf
        size = posterior @ np.abs(cost).max(axis=1)
        close = np.flatnonzero(expected.min(axis=1) - least <= _CLOSE * size)
        if len(close):
            best[close] = _decide_exactly(log_joint[close], cost)
        decisions.append(best)
    return decisions


def _decide_exactly(log_joint: Array, cost: Array) -> NDArray[np.intp]:
    best = np.zeros(len(log_joint), dtype=np.intp)
    for k in range(1, cost.shape[1]):
        for j in range(k):
            rows = np.flatnonzero(best == j)
            if len(rows):
                better = _contrast(log_joint[rows], cost[:, k] - cost[:, j]) < 0.0
                best[rows[better]] = k
    return best


def _contrast(log_joint: Array, coefficients: Array) -> Array:
    """Return sum_y c_y p_y over sum_y |c_y| p_y, in [-1, 1]; 0 where all c are 0."""
    used = np.flatnonzero(coefficients)
    if len(used) == 0:
        return np.zeros(log_joint.shape[:-1])
    logs = log_joint[..., used] + np.log(np.abs(coefficients[used]))
    sizes = np.exp(logs - logs.max(axis=-1, keepdims=True))
    found: Array = (sizes @ np.sign(coefficients[used])) / sizes.sum(axis=-1)
    return found


def confusion_on_line(means: Array, sds: Array, prior: Array, cost: Array) -> Array:
    """Return P(predicted | true), (K, n_predictions), of the Bayes rule for normals on a line.

    Parameters
    ----------
    means, sds, prior : (K,)
    cost : (K, n_predictions)

    Notes
    -----
    The boundaries are the roots of ``sum_y c_y prior_y density_y(x)`` for every pair of
    predictions. Two terms: a quadratic equation. More: a grid with steps of 0.024 standard
    deviations of every cell, roots bracketed by sign changes, extrema near zero checked for
    hidden pairs, then Brent's method to the last place.
    """
    # boundaries out of every cell's reach are not searched: no interval may span such a gap
    # and the cells' mass at once, or a point in the gap would decide for the mass
    reach = [means - _REACH * sds, means + _REACH * sds]
    cuts = np.unique(np.concatenate([*reach, *_boundaries(means, sds, prior, cost)]))
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    inside = np.concatenate([cuts[:1], 0.5 * (cuts[:-1] + cuts[1:]), cuts[-1:]])
    chosen = decide(_log_joint(inside, means, sds, prior), cost)
    low = (edges[:-1][:, None] - means) / sds
    high = (edges[1:][:, None] - means) / sds
    # in the right tail the difference of survival functions keeps all digits
    mass = np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    confusion = np.zeros(cost.shape)
    for k in range(cost.shape[1]):
        confusion[:, k] = mass[chosen == k].sum(axis=0)
    return confusion


def _log_joint(x: Array, means: Array, sds: Array, prior: Array) -> Array:
    found: Array = np.log(prior / sds) - 0.5 * ((x[:, None] - means) / sds) ** 2
    return found


def _boundaries(means: Array, sds: Array, prior: Array, cost: Array) -> list[Array]:
    found: list[Array] = []
    grid = None
    for k in range(cost.shape[1]):
        for j in range(k):
            c = cost[:, k] - cost[:, j]
            if not ((c > 0).any() and (c < 0).any()):
                continue
            used = np.flatnonzero(c)
            if len(used) == 2:
                found.append(_two_terms(means[used], sds[used], np.abs(c[used]) * prior[used]))
                continue
            if grid is None:
                grid = _grid(means, sds)
            log_joint = partial(_log_joint, means=means, sds=sds, prior=prior)
            found.append(contrast_roots(grid, log_joint, c))
    return found


def _two_terms(means: Array, sds: Array, sizes: Array) -> Array:
    """Return where two weighted normal densities are equal.

    In u = (x - m_0)/s_0 with D = (m_1 - m_0)/s_0, t = s_1/s_0 the equation is
    (1 - t^2) u^2 - 2 D u + D^2 + 2 t^2 ln(t w_0 / w_1) = 0.
    """
    ratio = sds[1] / sds[0]
    far = (means[1] - means[0]) / sds[0]
    # 1 - t^2 from the difference itself: no cancellation where the sds nearly agree
    square = (sds[0] - sds[1]) * (sds[0] + sds[1]) / sds[0] ** 2
    constant = far**2 + 2.0 * ratio**2 * np.log(ratio * sizes[0] / sizes[1])
    discriminant = far**2 - square * constant
    if discriminant < 0.0 or (square == 0.0 and far == 0.0):
        return np.empty(0)
    # the stable pair: q / square and constant / q with q = far + sign(far) sqrt(...)
    q = far + np.copysign(np.sqrt(discriminant), far)
    roots = [q / square] if square != 0.0 else []
    roots += [constant / q] if q != 0.0 else []
    u = np.array([root for root in roots if np.isfinite(root)])
    found: Array = means[0] + sds[0] * u
    return found


def _grid(means: Array, sds: Array) -> Array:
    steps = np.linspace(-_REACH, _REACH, _POINTS_PER_CELL)
    grid: Array = np.unique((means[:, None] + sds[:, None] * steps).ravel())
    return grid


def contrast_roots(
    grid: Array, log_joint: Callable[[Array], Array], c: Array, noise: float = 0.0
) -> Array:
    """Return where ``sum_y c_y exp(log_joint_y(x))`` is 0, by way of a grid (n,) that rises.

    ``log_joint`` maps points (n,) to ln(prior * density) (n, K). Where the sum is within
    ``noise`` of 0, relative to its terms, no pair of roots is looked for between grid points.
    """

    def contrast(x: float) -> float:
        return float(_contrast(log_joint(np.array([x])), c)[0])

    values = _contrast(log_joint(grid), c)
    brackets = [(grid[i], grid[i + 1]) for i in np.flatnonzero(values[:-1] * values[1:] < 0.0)]
    brackets += _hidden_brackets(grid, values, contrast, noise)
    exact = grid[values == 0.0]
    roots = [brentq(contrast, low, high, xtol=1e-300, rtol=4 * _EPS) for low, high in brackets]
    return np.concatenate([exact, roots])


def _hidden_brackets(
    grid: Array, values: Array, contrast: Callable[[float], float], noise: float
) -> list[tuple[float, float]]:
    """Return brackets of pairs of roots between two grid points of one sign."""
    size = np.abs(values)
    dips = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:]) & (size[1:-1] < 0.05))
    found: list[tuple[float, float]] = []
    for i in dips + 1:
        low, high = grid[i - 1], grid[i + 1]
        sign = np.sign(values[i])
        if size[i] <= noise or np.sign(values[i - 1]) != sign or np.sign(values[i + 1]) != sign:
            continue
        lowest = minimize_scalar(
            partial(_signed, contrast, float(sign)),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-12 * (high - low)},
        )
        if lowest.fun < 0.0:
            found += [(low, float(lowest.x)), (float(lowest.x), high)]
    return found


def _signed(function: Callable[[float], float], sign: float, x: float) -> float:
    return sign * function(x)
