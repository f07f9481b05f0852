"""A cheap look at every column: skewness and kurtosis within cells, against the normal's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from isonomy.errors import NonNormalWarning

__all__ = ["ColumnCheck", "check_columns", "warn_if_not_normal"]

Floats = NDArray[np.float64]

_LEVEL = 0.001
_MIN_ROWS = 20
"""Rows of a cell from which the transformed kurtosis is near normal (Anscombe and Glynn)."""

_MAX_ROWS = 1_000
"""Rows looked at in all: a check of millions of rows would cost as much as their fit."""

_MIN_PER_CELL = 50

_BLOCK = 10
"""Columns looked at at once: temporary arrays of more take twice as long to be allocated."""


@dataclass(frozen=True)
class ColumnCheck:
    """Holm-adjusted p (d,), and mean skewness and excess kurtosis (d,) over the cells used."""

    p: Floats
    skewness: Floats
    excess: Floats
    n_rows: int


def check_columns(
    values: NDArray[np.generic],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    weight: Floats | None = None,
) -> ColumnCheck:
    """Test each column's skewness and kurtosis within the (label, group) cells.

    Parameters
    ----------
    values : (n, d)
        Latent coordinates: logarithms for log-normal cells.
    y_codes, group_codes : (n,)
    weight : (n,), optional
        Rows of weight 0 are left out; other weights are not looked at.

    Returns
    -------
    ColumnCheck
        NaN where no cell has 20 rows or the column is constant within them.

    Notes
    -----
    With z_1, z_2 the normal transforms of a cell's skewness (D'Agostino 1970) and kurtosis
    (Anscombe and Glynn 1983), ``sum over C cells of z_1^2 + z_2^2`` is chi-square with 2C
    degrees of freedom where the cells are normal. Cells may have means and spreads of their
    own. At most 1,000 rows, or 50 a cell, drawn with a fixed seed, are looked at; correlations and
    joint shapes are not.
    """
    kept, starts = _cells_of_a_sample(y_codes, group_codes, weight)
    if len(starts) == 0:
        unknown = np.full(values.shape[1], np.nan)
        return ColumnCheck(unknown, unknown, unknown, 0)
    n = np.diff(np.append(starts, len(kept)))[:, None].astype(np.float64)
    rows = np.asarray(values[kept], dtype=np.float64)
    blocks = range(0, rows.shape[1], _BLOCK)
    shapes = [_shape_of(rows[:, j : j + _BLOCK], starts) for j in blocks]
    g1, g2 = (np.concatenate(part, axis=1) for part in zip(*shapes, strict=True))
    known = np.isfinite(g1)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = _skewness_score(g1, n) ** 2 + _kurtosis_score(g2, n) ** 2
        share = known * n
        share = share / share.sum(axis=0)
        statistic, freedom = np.where(known, z, 0.0).sum(axis=0), 2.0 * known.sum(axis=0)
        p = np.where(freedom > 0, chdtrc(np.maximum(freedom, 1.0), statistic), np.nan)
        # a share is NaN where no cell is known
        skewness = (share * np.where(known, g1, 0.0)).sum(axis=0)
        excess = (share * np.where(known, g2, 0.0)).sum(axis=0)
    return ColumnCheck(_holm(p), skewness, excess, len(kept))


def warn_if_not_normal(
    values: NDArray[np.generic],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    weight: Floats | None = None,
    *,
    names: Sequence[str],
    family: str = "normal",
    where: str,
    stacklevel: int = 3,
) -> ColumnCheck:
    """Warn, naming the columns farthest from normal and the p, and return the check.

    Warns
    -----
    NonNormalWarning
        If a column's Holm-adjusted p is below 0.001.
    """
    found = check_columns(values, y_codes, group_codes, weight)
    low = np.where(np.isnan(found.p), 1.0, found.p)
    if low.min(initial=1.0) >= _LEVEL:
        return found
    far = np.abs(found.skewness) + np.abs(found.excess)
    order = sorted(np.flatnonzero(low < _LEVEL).tolist(), key=lambda j: (low[j], -far[j]))
    shown = ", ".join(repr(names[j]) for j in order[:3])
    more = f" and {len(order) - 3} more" if len(order) > 3 else ""
    worst = order[0]
    positive = family == "normal" and bool((np.asarray(values)[:, order] > 0).all())
    others = ['"auto"', *(['"lognormal"'] if positive else []), '"nonparanormal"']
    law = "log-normal" if family == "lognormal" else family
    warnings.warn(
        f"`{where}` with `family={family!r}`: within (label, group) cells column(s) {shown}{more} "
        f"do not look {law} (adjusted p {_shown(low[worst])} for {names[worst]!r}, of "
        f"{found.n_rows} rows: skewness {found.skewness[worst]:.2g}, excess kurtosis "
        f"{found.excess[worst]:.2g}; 0 for the normal law). What is exact of the fitted law will "
        f"not be exact of these rows. Try `family=` {', '.join(others[:-1])} or {others[-1]}.",
        NonNormalWarning,
        stacklevel=stacklevel,
    )
    return found


def _cells_of_a_sample(
    y_codes: NDArray[np.intp], group_codes: NDArray[np.intp], weight: Floats | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of cells that are large enough, cell by cell, and where each cell starts."""
    n_groups = int(group_codes.max(initial=0)) + 1
    n_cells = (int(y_codes.max(initial=0)) + 1) * n_groups
    rows = np.arange(len(y_codes)) if weight is None else np.flatnonzero(weight > 0)
    most = max(_MAX_ROWS, _MIN_PER_CELL * n_cells)
    if len(rows) > most:
        rows = rows[np.random.default_rng(0).choice(len(rows), most, replace=False, shuffle=False)]
    flat = y_codes[rows] * n_groups + group_codes[rows]
    counts = np.bincount(flat, minlength=n_cells)
    order = np.argsort(flat, kind="stable")
    large = counts >= _MIN_ROWS
    order = order[np.repeat(large, counts)]
    return rows[order], np.cumsum(counts[large]) - counts[large]


def _shape_of(rows: Floats, starts: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return skewness and excess kurtosis (C, d) of blocks of rows, NaN where constant."""
    n = np.diff(np.append(starts, len(rows)))
    # a constant column is now exactly 0, and so is its mean
    rows = rows - np.repeat(rows[starts], n, axis=0)
    # fourth powers must neither overflow nor vanish
    rows /= np.maximum(np.abs(rows).max(axis=0), np.finfo(np.float64).tiny)
    centred = rows - np.repeat(np.add.reduceat(rows, starts) / n[:, None], n, axis=0)
    square = centred * centred
    second, third, fourth = (
        np.add.reduceat(power, starts) / n[:, None]
        for power in (square, square * centred, square * square)
    )
    spread = np.where(second > 0, second, np.nan)
    return third / spread**1.5, fourth / spread**2 - 3.0


def _skewness_score(g1: Floats, n: Floats) -> Floats:
    y = g1 * np.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    top = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3)
    beta = top / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = np.sqrt(2 * (beta - 1)) - 1
    score: Floats = np.arcsinh(y / np.sqrt(2 / (w2 - 1))) / np.sqrt(0.5 * np.log(w2))
    return score


def _kurtosis_score(g2: Floats, n: Floats) -> Floats:
    expected = -6 / (n + 1)
    variance = 24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    x = (g2 - expected) / np.sqrt(variance)
    root = np.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    skew = 6 * (n**2 - 5 * n + 2) / ((n + 7) * (n + 9)) * root
    a = 6 + 8 / skew * (2 / skew + np.sqrt(1 + 4 / skew**2))
    ratio = (1 - 2 / a) / (1 + x * np.sqrt(2 / (a - 4)))
    score: Floats = (1 - 2 / (9 * a) - np.cbrt(ratio)) / np.sqrt(2 / (9 * a))
    return score


def _holm(p: Floats) -> Floats:
    """Return Holm's step-down adjustment; NaN stays NaN."""
    out = p.copy()
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return out


def _shown(p: float) -> str:
    return f"= {p:.2g}" if p > 1e-300 else "< 1e-300"
