"""Rates of the Bayes classifier of Student-t cells: exact on the line, else by Sobol points.

With one scale matrix for all classes, whitened, the classes' squared distances are
``|c - m_y|^2 + R`` with c the r = min(K - 1, d) coordinates that hold the class locations
and R the squared length of the other d - r: nothing else of x enters the posterior. For a
row of class y, ``c = m_y + z / sqrt(g)`` and ``R = k / g`` with z normal, k chi-square with
d - r degrees of freedom and g chi-square over df: r + 2 numbers, whatever d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import chdtri, ndtri, stdtr
from scipy.stats import qmc

from isonomy.distributions._student_divergence import log_constant
from isonomy.ideal._cells import Array
from isonomy.ideal._decisions import contrast_roots, decide, decide_each

__all__ = ["StudentCells", "student_integrals", "student_on_line"]

_TAIL = 39.0
"""A cell is searched until its tail holds about e^-39 = 1e-17 of it."""

_REACH = 1e13
"""Farther out, in scales, densities of equal tails differ by no more than rounding."""

_NOISE = 1e-11
"""Of a contrast in far tails that nearly agree, whose local minima are rounding."""

_LINE_ERROR = 1e-12
"""Boundaries found to the last place move a rate by a few eps; this is far above it."""

_STEP = 0.0125
"""Of the grid: in asinh of the standardised variable, whose logarithm the far tails follow."""


@dataclass(frozen=True, eq=False)
class StudentCells:
    """Cells of one group: locations (K, r), scales (K, r, r), df (K,), priors (K,).

    ``n_features`` is the number of variables d; the d - r that are left out have locations
    0 and the identity as scale in every class.
    """

    means: Array
    scales: Array
    df: Array
    prior: Array
    n_features: int


def student_on_line(cells: StudentCells, cost: Array) -> tuple[Array, float]:
    """Return P(predicted | true), (K, n_predictions), in one variable, and the error.

    Notes
    -----
    The boundaries are the roots of ``sum_y c_y prior_y density_y(x)`` for every pair of
    predictions, finitely many: bracketed on a grid that reaches to where the tails hold
    1e-17, or 1e13 scales, found to the last place. What lies beyond 1e13 scales counts as
    error: 1e-13 of a cell at df = 1, 2e-7 at df = 0.5.
    """
    means, sds = cells.means[:, 0], np.sqrt(cells.scales[:, 0, 0])
    log_joint = partial(_line_log_joint, cells=cells)
    # (1 + z^2/df)^(-df/2) = e^-39
    far = np.sqrt(cells.df * np.expm1(np.minimum(2.0 * _TAIL / cells.df, 600.0)))
    far = np.minimum(far, _REACH)
    grid = _line_grid(means, sds, far)
    cuts = [means - far * sds, means + far * sds]
    for k in range(cost.shape[1]):
        for j in range(k):
            c = cost[:, k] - cost[:, j]
            if (c > 0).any() and (c < 0).any():
                cuts.append(contrast_roots(grid, log_joint, c, _NOISE))
    found = np.unique(np.concatenate(cuts))
    edges = np.concatenate([[-np.inf], found, [np.inf]])
    inside = np.concatenate([found[:1], 0.5 * found[:-1] + 0.5 * found[1:], found[-1:]])
    chosen = decide(log_joint(inside), cost)
    low = (edges[:-1][:, None] - means) / sds
    high = (edges[1:][:, None] - means) / sds
    df = cells.df
    mass = np.where(low > 0, stdtr(df, -low) - stdtr(df, -high), stdtr(df, high) - stdtr(df, low))
    confusion = np.zeros(cost.shape)
    for k in range(cost.shape[1]):
        confusion[:, k] = mass[chosen == k].sum(axis=0)
    left_out = 2.0 * float(stdtr(df.min(), -_REACH))
    return confusion, max(_LINE_ERROR, left_out)


def _line_log_joint(x: Array, cells: StudentCells) -> Array:
    variances = cells.scales[:, 0, 0]
    tops = [log_constant(float(df), 1) for df in cells.df]
    z = (x[:, None] - cells.means[:, 0]) / np.sqrt(variances)
    tails = 0.5 * (cells.df + 1.0) * np.log1p(z**2 / cells.df)
    found: Array = np.log(cells.prior) + tops - 0.5 * np.log(variances) - tails
    return found


def _line_grid(means: Array, sds: Array, far: Array) -> Array:
    points = []
    for mean, sd, reach in zip(means, sds, far, strict=True):
        top = np.arcsinh(reach)
        steps = np.linspace(-top, top, 2 * int(np.ceil(top / _STEP)) + 1)
        near = np.linspace(-10.0, 10.0, 801)
        points += [mean + sd * np.sinh(steps), mean + sd * near]
    found: Array = np.unique(np.concatenate(points))
    return found


def student_integrals(
    cells: StudentCells, costs: Sequence[Array], seed: int, log2_points: int, n_scrambles: int
) -> list[tuple[Array, float]]:
    """Return P(predicted | true) and the largest standard error for each cost matrix."""
    r = cells.means.shape[1]
    lowers: Array = np.asarray(np.linalg.cholesky(cells.scales), dtype=np.float64)
    n_left = cells.n_features - r
    n_uniform = r + 1 + (n_left > 0)
    found = [np.zeros((n_scrambles, *cost.shape)) for cost in costs]
    for s in range(n_scrambles):
        unit = qmc.Sobol(n_uniform, seed=seed + s).random_base2(log2_points)
        unit = np.clip(unit, 1e-16, 1.0 - 1e-16)
        normal = ndtri(unit[:, :r])
        # chdtri is the inverse of the upper tail
        left = chdtri(n_left, unit[:, r + 1]) if n_left else np.zeros(len(unit))
        for y, df in enumerate(cells.df):
            heavy = df / chdtri(df, unit[:, r])
            x = cells.means[y] + np.sqrt(heavy)[:, None] * (normal @ lowers[y].T)
            log_joint = _log_joint(x, left * heavy, lowers, cells)
            for i, chosen in enumerate(decide_each(log_joint, costs)):
                found[i][s, y] = np.bincount(chosen, minlength=costs[i].shape[1]) / len(x)
    return [
        (f.mean(axis=0), float((f.std(axis=0, ddof=1) / np.sqrt(n_scrambles)).max())) for f in found
    ]


def _log_joint(x: Array, left: Array, lowers: Array, cells: StudentCells) -> Array:
    """Return ln(prior * density) (n, K) of rows x (n, r) with ``left`` (n,) of squared length."""
    d = cells.n_features
    out = np.empty((len(x), len(lowers)))
    for z, lower in enumerate(lowers):
        df = float(cells.df[z])
        white = solve_triangular(lower, (x - cells.means[z]).T, lower=True)
        tails = np.log1p(((white**2).sum(axis=0) + left) / df)
        top = np.log(cells.prior[z]) + log_constant(df, d) - np.log(np.diagonal(lower)).sum()
        out[:, z] = top - 0.5 * (df + d) * tails
    return out
