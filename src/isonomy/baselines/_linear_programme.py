"""The linear programme of LinearPost, solved exactly by column generation with HiGHS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.baselines._restricted_programme import Programme, adjusted_risk, solve_restricted
from isonomy.errors import ConvergenceError

__all__ = ["Solution", "solve_programme"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """Dual prices ``(C, K, G)``, the least mean risk and a lower bound on it."""

    duals: Floats
    risk: float
    lower_bound: float
    n_rounds: int


PRICE_TOLERANCE = 1e-9
"""A column is added when it lowers the risk of its row by more; risks have range 1 here."""

SMALL_ENOUGH = 4000
"""Up to so many rows the programme is solved without a start from a sample of rows."""

NEAR = {"cold": 0.1, "warm": 0.03}
"""A row's second best class is a column from the start if it is within this of the best."""

MAX_ROUNDS = 500


def solve_programme(programme: Programme, *, start: Floats | None = None, where: str) -> Solution:
    """Return the optimal dual prices.

    Parameters
    ----------
    programme : Programme
        ``risk`` of range about 1.
    start : (C, K, G), optional
        Duals to start from; they change the time taken and not the answer.

    Raises
    ------
    ConvergenceError
        If HiGHS fails, or columns do not run out.

    Notes
    -----
    The primal has n K variables and n + C K G constraints; nearly all rows decide for the
    class that is best anyway. So only columns (i, k) near the best of their row enter; rows
    with one column are constants; solve; add to each row the column that the dual prices find
    better; repeat until there is none, which proves optimality over all n K columns. A missed
    constraint costs ``ceiling`` a unit, so that every round has a solution; if the end still
    misses one, the ceiling rises tenfold.
    """
    if not programme.bound.any():
        least = float(np.mean(programme.weight * programme.risk.min(axis=1)))
        return Solution(np.zeros(programme.bound.shape), least, least, n_rounds=0)
    if start is None and len(programme.risk) > SMALL_ENOUGH:
        step = -(-len(programme.risk) // (SMALL_ENOUGH // 2))
        sample = programme.take(np.arange(0, len(programme.risk), step))
        start = solve_programme(sample, where=where).duals
    duals = np.zeros(programme.bound.shape) if start is None else start
    adjusted = adjusted_risk(programme.risk, programme.ratio, duals)
    chosen = _first_columns(adjusted, NEAR["cold" if start is None else "warm"])
    ceiling = 1.0 if start is None else max(2 * float(np.abs(start).max()), 1e-3)
    for n_rounds in range(1, MAX_ROUNDS + 1):
        found = solve_restricted(programme, chosen, ceiling=ceiling, where=where)
        adjusted = adjusted_risk(programme.risk, programme.ratio, found.duals)
        best_chosen = np.where(chosen, adjusted, np.inf).min(axis=1)
        better = np.flatnonzero(adjusted.min(axis=1) < best_chosen - PRICE_TOLERANCE)
        if len(better):
            chosen[better, adjusted[better].argmin(axis=1)] = True
        elif found.missed > 1e-7:  # HiGHS's own tolerance of feasibility
            ceiling *= 10
        else:
            return Solution(
                found.duals,
                found.objective,
                _dual_value(programme, adjusted, found.duals),
                n_rounds,
            )
    raise ConvergenceError(
        f"The linear programme of `{where}` was not solved within {MAX_ROUNDS} rounds. Try a "
        "larger `tolerance`."
    )


def _first_columns(adjusted: Floats, near: float) -> NDArray[np.bool_]:
    """Choose the best class of every row, and the second best where it is near."""
    order = np.argpartition(adjusted, 1, axis=1)[:, :2]
    first = np.take_along_axis(adjusted, order, axis=1)
    chosen = np.zeros(adjusted.shape, dtype=bool)
    np.put_along_axis(chosen, order, first <= first.min(axis=1, keepdims=True) + near, axis=1)
    return chosen


def _dual_value(programme: Programme, adjusted: Floats, duals: Floats) -> float:
    kept = float(np.mean(programme.weight * adjusted.min(axis=1)))
    return kept - programme.tolerance / 2 * float(np.abs(duals).sum())
