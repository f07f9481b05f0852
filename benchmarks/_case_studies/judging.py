"""Gaps and risks of decision rules: of a law's own Bayes rule, and of one law's on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from isonomy.distributions import JointDistribution
from isonomy.ideal.bayes import BayesRates, rates_for_costs

__all__ = [
    "CRITERIA",
    "boundaries",
    "decisions_on_line",
    "gaps",
    "largest_gaps",
    "random_costs",
    "rates_under",
    "zero_one",
]

Floats = NDArray[np.float64]

CRITERIA = {"dp": "DP", "eo": "EO", "eodds": "EOdds"}
_REACH = 9.5
_STEPS = 801


def zero_one(n_classes: int) -> Floats:
    """Return the costs of which the risk is the share of wrong decisions."""
    return 1.0 - np.eye(n_classes)


def random_costs(n: int, n_classes: int, seed: int) -> list[Floats]:
    """Return ``n`` cost matrices: in turn lopsided losses with a zero diagonal, and any numbers.

    The first kind has off-diagonal entries ``exp(1.5 z)``, z standard normal: one error may
    weigh fifty times another. The second is uniform on [-1, 1] everywhere, gains included.
    """
    rng = np.random.default_rng([seed, n_classes])
    shape = (n_classes, n_classes)
    lopsided = [np.exp(1.5 * rng.standard_normal(shape)) * zero_one(n_classes) for _ in range(n)]
    anything = [rng.uniform(-1.0, 1.0, shape) for _ in range(n)]
    return [(lopsided, anything)[i % 2][i] for i in range(n)]


def gaps(rates: BayesRates) -> dict[str, float]:
    """Return the largest DP, EO (over every class) and EOdds differences between groups."""
    selected = rates.selection_rate.max(axis=1) - rates.selection_rate.min(axis=1)
    confused = rates.confusion.max(axis=2) - rates.confusion.min(axis=2)
    return {
        "dp": float(selected.max()),
        "eo": float(np.diagonal(confused).max()),
        "eodds": float(confused.max()),
    }


def largest_gaps(law: JointDistribution, costs: Sequence[Floats]) -> dict[str, list[float]]:
    """Return, for each criterion, the gap of the law's Bayes classifier at every cost matrix."""
    found = [gaps(rates) for rates in rates_for_costs(law, list(costs))]
    return {name: [one[name] for one in found] for name in CRITERIA}


def boundaries(law: JointDistribution, group: int, cost: Floats) -> Floats:
    """Return where the Bayes decision of ``group`` changes, on a line (of ln X if log-normal).

    A grid finds the changes, bisection the places to the last bit. Intervals narrower than
    a grid step (.024 standard deviations of the widest cell) would be missed.
    """
    means, sds = _line(law, group)
    grid = np.unique((means[:, None] + sds[:, None] * np.linspace(-_REACH, _REACH, _STEPS)).ravel())
    chosen = decisions_on_line(law, group, grid, cost)
    change = np.flatnonzero(chosen[1:] != chosen[:-1])
    low, high, left = grid[change], grid[change + 1], chosen[change]
    for _ in range(60):
        middle = 0.5 * (low + high)
        same = decisions_on_line(law, group, middle, cost) == left
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return 0.5 * (low + high)


def decisions_on_line(
    law: JointDistribution, group: int, x: Floats, cost: Floats
) -> NDArray[np.intp]:
    """Return the Bayes decision of ``group`` at points of a line (of ln X if log-normal)."""
    means, sds = _line(law, group)
    log_joint = np.log(law.prior[:, group] / sds) - 0.5 * ((x[:, None] - means) / sds) ** 2
    posterior = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    found: NDArray[np.intp] = (posterior @ cost).argmin(axis=1)
    return found


def rates_under(rule: JointDistribution, law: JointDistribution, cost: Floats) -> BayesRates:
    """Return what the Bayes rule of one law does on rows of another, both on a line.

    With ``rule`` the ideal law and ``law`` the fitted one: what a classifier that is
    optimal after steering does on the rows as they are. It decides row x of group a as
    ``rule`` would, which for a steered row is the same decision in another frame.
    """
    n_classes, n_groups = law.prior.shape
    confusion = np.zeros((n_classes, cost.shape[1], n_groups))
    for a in range(n_groups):
        cuts = boundaries(rule, a, cost)
        inside = np.concatenate([cuts[:1] - 1.0, 0.5 * (cuts[1:] + cuts[:-1]), cuts[-1:] + 1.0])
        inside = inside if len(cuts) else np.zeros(1)
        chosen = decisions_on_line(rule, a, inside, cost)
        means, sds = _line(law, a)
        edges = np.concatenate([[-np.inf], cuts, [np.inf]])
        below = ndtr((edges[:, None] - means) / sds)
        for k in range(cost.shape[1]):
            confusion[:, k, a] = np.diff(below, axis=0)[chosen == k].sum(axis=0)
    prior = np.asarray(law.prior)
    return BayesRates(
        risk=float(np.einsum("ya,yk,yka->", prior, cost, confusion)),
        selection_rate=np.einsum("ya,yka->ka", prior / prior.sum(axis=0), confusion),
        confusion=confusion,
        error=1e-12,
    )


def _line(law: JointDistribution, group: int) -> tuple[Floats, Floats]:
    return np.asarray(law.means)[:, group, 0], np.sqrt(np.asarray(law.covariances)[:, group, 0, 0])
