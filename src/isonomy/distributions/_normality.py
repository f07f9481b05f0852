"""A cheap look at every column: skewness and kurtosis within cells, against the normal's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from isonomy.errors import NonNormalWarning

__all__ = ["ColumnCheck", "check_columns", "warn_if_not_normal"]

Floats = NDArray[np.float64]

_LEVEL = 0.001
_MIN_ROWS = 20
"""Rows of a cell from which the transformed kurtosis is near normal (Anscombe and Glynn)."""

_MAX_ROWS = 2_500
"""Rows looked at in all: a check of millions of rows would cost as much as their fit."""

_MIN_PER_CELL = 50


@dataclass(frozen=True)
class ColumnCheck:
    """Holm-adjusted p (d,), and mean skewness and excess kurtosis (d,) over the cells used."""

    p: Floats
    skewness: Floats
    excess: Floats
    n_rows: int


def check_columns(
    values: NDArray[np.generic], y_codes: NDArray[np.intp], group_codes: NDArray[np.intp]
) -> ColumnCheck:
    """Test each column's skewness and kurtosis within the (label, group) cells.

    Parameters
    ----------
    values : (n, d)
        Latent coordinates: logarithms for log-normal cells.
    y_codes, group_codes : (n,)

    Returns
    -------
    ColumnCheck
        NaN where no cell has 20 rows or the column is constant within them.

    Notes
    -----
    With z_1, z_2 the normal transforms of a cell's skewness (D'Agostino 1970) and kurtosis
    (Anscombe and Glynn 1983), ``sum over C cells of z_1^2 + z_2^2`` is chi-square with 2C
    degrees of freedom where the cells are normal. Cells may have means and spreads of their
    own. At most about 2,500 rows, drawn with a fixed seed, are looked at; correlations and
    joint shapes are not.
    """
    d = values.shape[1]
    cells = [rows for rows in _cell_rows(y_codes, group_codes) if len(rows) >= _MIN_ROWS]
    statistic, freedom = np.zeros(d), np.zeros(d)
    skewness, excess, weight = np.zeros(d), np.zeros(d), np.zeros(d)
    for rows in cells:
        g1, g2 = _shape_of(np.asarray(values[rows], dtype=np.float64))
        n, known = len(rows), np.isfinite(g1)
        z = _skewness_score(g1, n) ** 2 + _kurtosis_score(g2, n) ** 2
        statistic += np.where(known, z, 0.0)
        freedom += np.where(known, 2.0, 0.0)
        skewness += np.where(known, n * g1, 0.0)
        excess += np.where(known, n * g2, 0.0)
        weight += np.where(known, n, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.where(freedom > 0, chi2.sf(statistic, np.maximum(freedom, 1.0)), np.nan)
        return ColumnCheck(_holm(p), skewness / weight, excess / weight, sum(map(len, cells)))


def warn_if_not_normal(
    values: NDArray[np.generic],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
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
    found = check_columns(values, y_codes, group_codes)
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


def _cell_rows(y_codes: NDArray[np.intp], group_codes: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the rows of every cell, of large ones a draw with a fixed seed."""
    flat = y_codes * (int(group_codes.max(initial=0)) + 1) + group_codes
    order = np.argsort(flat, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(flat[order])) + 1)
    most = max(_MIN_PER_CELL, _MAX_ROWS // max(len(cells), 1))
    rng = np.random.default_rng(0)
    return [
        rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
        for rows in cells
    ]


def _shape_of(rows: Floats) -> tuple[Floats, Floats]:
    """Return skewness and excess kurtosis of every column, NaN where it is constant."""
    rows = rows - rows[0]  # a constant column is now exactly 0, and so is its mean
    centred = rows - rows.mean(axis=0)
    square = centred**2
    variance = square.mean(axis=0)
    spread = np.where(variance > 0, variance, np.nan)
    g1 = (square * centred).mean(axis=0) / spread**1.5
    return g1, (square**2).mean(axis=0) / spread**2 - 3.0


def _skewness_score(g1: Floats, n: int) -> Floats:
    y = g1 * np.sqrt((n + 1) * (n + 3) / (6 * (n - 2)))
    top = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3)
    beta = top / ((n - 2) * (n + 5) * (n + 7) * (n + 9))
    w2 = np.sqrt(2 * (beta - 1)) - 1
    score: Floats = np.arcsinh(y / np.sqrt(2 / (w2 - 1))) / np.sqrt(0.5 * np.log(w2))
    return score


def _kurtosis_score(g2: Floats, n: int) -> Floats:
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
