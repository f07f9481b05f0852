"""Student-t cells from rows: maximum likelihood by parameter-expanded EM, one df for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from isonomy.distributions._accumulate import Covariance
from isonomy.distributions._linalg import cholesky, log_determinant, solve_cholesky, symmetrize
from isonomy.distributions._student_divergence import log_constant
from isonomy.errors import EmptyCellError, InvalidInputError, SingularCovarianceError

__all__ = ["LARGEST_DF", "LEAST_DF", "check_df", "fit_student"]

Floats = NDArray[np.float64]

LEAST_DF, LARGEST_DF = 0.2, 1e6
"""Where the degrees of freedom are searched; at the upper end the law is a normal one."""

_MAX_STEPS = 2000
_TOLERANCE = 1e-13
"""Gain of log-likelihood a row, relative to its size, below which steps count as none."""

_WHERE = "JointDistribution.fit"


def check_df(df: Any, *, where: str) -> float:
    """Return the degrees of freedom as a number above 0 and finite, or raise."""
    fine = isinstance(df, int | float | np.integer | np.floating) and not isinstance(df, bool)
    if not fine or not 0.0 < float(df) < np.inf:
        raise InvalidInputError(
            f"`df` of `{where}` must be a finite number above 0, got {df!r}. For normal tails "
            "use the normal family."
        )
    return float(df)


@dataclass
class _Cell:
    """Rows (n, d) of one cell and their weights (n,), with the current fit of it."""

    y: int
    a: int
    rows: Floats
    weight: Floats
    location: Floats
    squares: Floats


def fit_student(
    values: NDArray[Any],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    n_classes: int,
    n_groups: int,
    weight: Floats | None,
    covariance: Covariance,
    df: float | None = None,
) -> tuple[Floats, Floats, float]:
    """Return locations, scale matrices and degrees of freedom of greatest likelihood.

    Parameters
    ----------
    values : (n, d)
    y_codes, group_codes : (n,)
        Positions of each row's label and group.
    n_classes, n_groups : int
    weight : (n,), optional
        Integer weights equal repeated rows.
    covariance : "full", "tied" or "diagonal"
        One scale matrix a cell; one a group, shared by its labels; diagonal ones.
    df : float, optional
        Degrees of freedom; default: estimated in [0.2, 1e6], one number for all cells.

    Returns
    -------
    locations : (K, G, d)
    scales : (K, G, d, d), or (G, d, d) for "tied"
    df : float

    Raises
    ------
    EmptyCellError
        If a cell has no rows.
    SingularCovarianceError
        If a cell has too few different rows, or columns are collinear.
    InvalidInputError
        If ``df`` is not a finite number above 0.

    Notes
    -----
    Given df = nu, rows of squared distance Q get the weight (nu + d) / (nu + Q); locations
    and scales are weighted moments, the latter divided by the sum of those weights (the
    parameter-expanded EM of Liu, Rubin and Wu 1998, which raises the likelihood at every
    step as EM does, in fewer steps). nu maximises the likelihood itself, by one-dimensional
    search, given the rest. One nu for all cells: the affine conditions of ideal laws need
    equal nu over groups, and few rows say little about tails. It is a local maximum that
    starts from medians; nothing promises the global one.
    """
    found = None if df is None else check_df(df, where=_WHERE)
    cells = _cells(values, y_codes, group_codes, (n_classes, n_groups), weight)
    d = values.shape[1]
    tied = covariance == "tied"
    scales = _first_scales(cells, covariance, n_classes, n_groups)
    nu = 5.0 if found is None else found
    last = -np.inf
    total = sum(float(cell.weight.sum()) for cell in cells)
    for step in range(_MAX_STEPS):
        lowers = _lowers(scales, tied)
        for cell in cells:
            white = solve_cholesky(lowers[_place(cell, tied)], (cell.rows - cell.location).T)
            cell.squares = np.einsum("ij,ij->j", white, white)
        if found is None and (step % 3 == 2 or step < 2):
            nu = _best_df(cells, d, nu)
        now = _log_likelihood(cells, lowers, tied, d, nu)
        if now - last <= _TOLERANCE * total * max(1.0, abs(now) / total) and step > 3:
            break
        last = now
        scales = _step(cells, scales, nu, covariance)
    locations = np.empty((n_classes, n_groups, d))
    for cell in cells:
        locations[cell.y, cell.a] = cell.location
    return locations, scales, nu


def _cells(
    values: NDArray[Any],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    shape: tuple[int, int],
    weight: Floats | None,
) -> list[_Cell]:
    cells = []
    for y, a in np.ndindex(shape):
        chosen = (y_codes == y) & (group_codes == a)
        if weight is not None:
            chosen &= weight > 0
        rows = np.asarray(values[chosen], dtype=np.float64)
        if len(rows) == 0:
            raise EmptyCellError(
                f"`{_WHERE}` needs rows in every (label, group) cell, got none in the cell at "
                f"positions ({y}, {a}). Pool rare labels or groups, or drop them."
            )
        w = np.ones(len(rows)) if weight is None else np.asarray(weight[chosen], dtype=np.float64)
        middle = np.array([_median(column, w) for column in rows.T])
        cells.append(_Cell(y, a, rows, w, middle, np.zeros(len(rows))))
    return cells


def _median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weight[order])
    half = 0.5 * mass[-1]
    low = values[order[np.searchsorted(mass, half, side="left")]]
    high = values[order[min(int(np.searchsorted(mass, half, side="right")), len(values) - 1)]]
    return float(0.5 * (low + high))


def _place(cell: _Cell, tied: bool) -> tuple[int, ...]:
    return (cell.a,) if tied else (cell.y, cell.a)


def _first_scales(
    cells: list[_Cell], covariance: Covariance, n_classes: int, n_groups: int
) -> Floats:
    """Return diagonal scales from median absolute deviations."""
    d = cells[0].rows.shape[1]
    squares = np.empty((n_classes, n_groups, d))
    distinct = np.zeros((n_classes, n_groups), dtype=int)
    for cell in cells:
        off = np.abs(cell.rows - cell.location)
        found = np.array([_median(column, cell.weight) for column in off.T])
        spread = np.sqrt(cell.weight @ off**2 / cell.weight.sum())
        squares[cell.y, cell.a] = np.where(found > 0, found, spread) ** 2
        distinct[cell.y, cell.a] = len(np.unique(cell.rows, axis=0))
    tied = covariance == "tied"
    spare = distinct.sum(axis=0) - n_classes if tied else distinct - 1
    needed = 1 if covariance == "diagonal" else d
    if (spare < needed).any() or not (squares > 0).all():
        raise SingularCovarianceError(
            f"`{_WHERE}` with `family='student_t'` and `covariance={covariance!r}` needs at least "
            f"{needed + 1} different rows and no constant column in every "
            f"{'group' if tied else '(label, group) cell'}, got {int(distinct.min())} in the "
            "smallest cell. Try `covariance='tied'` or fewer columns."
        )
    found = squares.mean(axis=0) if tied else squares
    first: Floats = found[..., None] * np.eye(d)
    return first


def _lowers(scales: Floats, tied: bool) -> Floats:
    out = np.empty_like(scales)
    for place in np.ndindex(scales.shape[:-2]):
        name = "group" if tied else "(label, group) cell"
        what = f"The scale matrix of the {name} at position(s) {place} in `{_WHERE}`"
        out[place] = cholesky(scales[place], what=what)
    return out


def _step(cells: list[_Cell], scales: Floats, nu: float, covariance: Covariance) -> Floats:
    """Return the next scales; the cells' locations are moved in place."""
    tied = covariance == "tied"
    d = scales.shape[-1]
    sums, mass = np.zeros_like(scales), np.zeros(scales.shape[:-2])
    for cell in cells:
        lean = cell.weight * (nu + d) / (nu + cell.squares)
        cell.location = lean @ cell.rows / lean.sum()
        centred = cell.rows - cell.location
        sums[_place(cell, tied)] += (centred * lean[:, None]).T @ centred
        mass[_place(cell, tied)] += lean.sum()
    found = symmetrize(sums / mass[..., None, None])
    return found * np.eye(d) if covariance == "diagonal" else found


def _log_likelihood(cells: list[_Cell], lowers: Floats, tied: bool, d: int, nu: float) -> float:
    total = 0.0
    for cell in cells:
        each = log_constant(nu, d) - 0.5 * log_determinant(lowers[_place(cell, tied)])
        tails = cell.weight @ np.log1p(cell.squares / nu)
        total += float(cell.weight.sum() * each - 0.5 * (nu + d) * tails)
    return total


def _best_df(cells: list[_Cell], d: int, nu: float) -> float:
    """Return the degrees of freedom of greatest likelihood at the current distances."""
    squares = np.concatenate([cell.squares for cell in cells])
    weight = np.concatenate([cell.weight for cell in cells])
    total = float(weight.sum())

    def loss(log_df: float) -> float:
        df = float(np.exp(log_df))
        return 0.5 * (df + d) * float(weight @ np.log1p(squares / df)) - total * log_constant(df, d)

    bounds = np.log(LEAST_DF), np.log(LARGEST_DF)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    # the search may stop a little short of what is known already: never go back
    return nu if loss(np.log(nu)) <= found.fun else float(np.exp(found.x))
