"""LinearPost's linear programme over a few columns (row, class), handed to HiGHS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

from isonomy.errors import ConvergenceError

__all__ = ["Programme", "Restricted", "adjusted_risk", "solve_restricted"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Programme:
    """Least risk of a randomised rule whose rates agree over groups.

    ``risk`` (n, K): cost of deciding k in row i. ``ratio`` (n, C, G): p(group a, condition c |
    x_i) over its mean. ``bound`` (C, K, G): whether the rate "decides k given c" of group a is
    bound to the other groups'. ``weight`` (n,), mean 1. Rates may differ by ``tolerance``.
    """

    risk: Floats
    ratio: Floats
    bound: NDArray[np.bool_]
    weight: Floats
    tolerance: float

    def take(self, rows: NDArray[np.intp]) -> Programme:
        """Return the programme of some rows alone: weights of mean 1, ratios of mean 1.

        A rate whose condition none of the rows may meet is bound to nothing. Otherwise no
        decisions at all might meet the constraints.
        """
        weight = self.weight[rows] / self.weight[rows].mean()
        ratio = self.ratio[rows]
        mean = np.tensordot(weight, ratio, axes=1) / len(rows)
        bound = self.bound & (mean > 0)[:, None, :]
        bound[bound.sum(axis=2) < 2] = False
        ratio = ratio / np.where(mean > 0, mean, 1.0)
        return Programme(self.risk[rows], ratio, bound, weight, self.tolerance)


@dataclass(frozen=True)
class Restricted:
    """Dual prices (C, K, G), mean risk, and by how much constraints were missed in sum."""

    duals: Floats
    objective: float
    missed: float


def adjusted_risk(risk: Floats, ratio: Floats, duals: Floats) -> Floats:
    """Return ``risk[i, k] - sum_ca duals[c, k, a] ratio[i, c, a]``."""
    n, n_conditions, n_groups = ratio.shape
    prices = duals.transpose(0, 2, 1).reshape(n_conditions * n_groups, -1)
    adjusted: Floats = risk - ratio.reshape(n, -1) @ prices
    return adjusted


def solve_restricted(
    programme: Programme, chosen: NDArray[np.bool_], *, ceiling: float, where: str
) -> Restricted:
    """Solve with decisions among the ``chosen`` (n, K) alone.

    Variables: pi of every chosen column in rows with several; a free level q of every rate; the
    slack of every bound rate within half the tolerance; by how much it is missed above and
    below, at ``ceiling`` a unit. Everything is in units of rows, so that HiGHS's absolute
    tolerances of 1e-7 are small against one row.

    Raises
    ------
    ConvergenceError
        If HiGHS finds no optimum.
    """
    several = chosen.sum(axis=1) > 1
    active, settled = np.flatnonzero(several), np.flatnonzero(~several)
    decided = chosen[settled].argmax(axis=1)
    row, klass = np.nonzero(chosen[active])
    n, n_bound = len(programme.risk), int(programme.bound.sum())
    n_rates = int(programme.bound.any(axis=2).sum())
    fixed = _settled_rates(programme, settled, decided)[programme.bound]
    cost = programme.weight[active[row]] * programme.risk[active[row], klass]
    half = np.full(n_bound, programme.tolerance / 2)
    free, none = np.full(n_rates, np.inf), np.zeros(2 * n_bound)
    found = linprog(
        np.concatenate([cost, np.zeros(n_rates + n_bound), none + ceiling * n]),
        A_eq=sparse.vstack(
            [
                _one_decision(row, len(active), len(row) + n_rates + 3 * n_bound),
                sparse.hstack([_rates(programme, active[row], klass), _slacks(programme)]),
            ],
            format="csc",
        ),
        b_eq=np.concatenate([np.ones(len(active)), -fixed]),
        bounds=np.column_stack(
            [
                np.concatenate([np.zeros(len(row)), -free, -half, none]),
                np.concatenate([np.full(len(row), np.inf), free, half, none + np.inf]),
            ]
        ),
        method="highs",
    )
    if found.status != 0:
        raise ConvergenceError(
            f"HiGHS could not solve the linear programme of `{where}`: {found.message}"
        )
    duals = np.zeros(programme.bound.shape)
    duals[programme.bound] = found.eqlin.marginals[len(active) :]
    rest = float(programme.weight[settled] @ programme.risk[settled, decided])
    missed = float(found.x[len(found.x) - 2 * n_bound :].sum())
    return Restricted(duals, (float(found.fun) + rest) / n, missed)


def _one_decision(row: NDArray[np.intp], n_active: int, width: int) -> sparse.coo_array:
    """Return the equations "the decisions of a row sum to 1"."""
    return sparse.coo_array(
        (np.ones(len(row)), (row, np.arange(len(row)))), shape=(n_active, width)
    )


def _rates(
    programme: Programme, rows: NDArray[np.intp], klass: NDArray[np.intp]
) -> sparse.coo_array:
    """Return the share of every column (row, class) in every bound rate, times n."""
    bound = programme.bound
    number = np.full(bound.shape, -1, dtype=np.intp)
    number[bound] = np.arange(bound.sum())
    where, columns, values = [], [], []
    for condition, group in np.argwhere(bound.any(axis=1)):
        target = number[condition, klass, group]
        share = programme.weight[rows] * programme.ratio[rows, condition, group]
        kept = np.flatnonzero((target >= 0) & (share != 0))
        where.append(target[kept])
        columns.append(kept)
        values.append(share[kept])
    return sparse.coo_array(
        (np.concatenate(values), (np.concatenate(where), np.concatenate(columns))),
        shape=(int(bound.sum()), len(rows)),
    )


def _slacks(programme: Programme) -> sparse.coo_array:
    """Return the part of the equations beside the rates: - n (level + slack + above - below)."""
    bound = programme.bound
    level = (np.cumsum(bound.any(axis=2)) - 1).reshape(bound.shape[:2])
    of_rate = np.broadcast_to(level[:, :, None], bound.shape)[bound]
    n_bound, n = len(of_rate), float(len(programme.risk))
    levels = sparse.coo_array(
        (np.full(n_bound, n), (np.arange(n_bound), of_rate)),
        shape=(n_bound, int(bound.any(axis=2).sum())),
    )
    unit = n * sparse.eye_array(n_bound)
    return sparse.hstack([-levels, -unit, -unit, unit])


def _settled_rates(
    programme: Programme, rows: NDArray[np.intp], decided: NDArray[np.intp]
) -> Floats:
    """Return the part of every rate, times n, of rows with one decision: ``(C, K, G)``."""
    shares = programme.weight[rows, None, None] * programme.ratio[rows]
    total = np.zeros(programme.bound.shape)
    for k in np.unique(decided):
        total[:, k, :] = shares[decided == k].sum(axis=0)
    return total
