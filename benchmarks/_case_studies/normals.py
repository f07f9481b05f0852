"""Univariate normals over a grid of mismatches: divergence, risk and gaps, before and after."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from _case_studies.judging import CRITERIA, largest_gaps, random_costs, zero_one
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution
from isonomy.ideal import bayes_rates, is_ideal, nearest_ideal

__all__ = ["N_COSTS", "PROGRAMMES", "compute", "two_groups"]

PROGRAMMES: dict[str, dict[str, Any]] = {
    "affirmative": {"moves": ["b"]},
    "all groups": {"moves": "all"},
    "symmetric": {"moves": ["b"], "map_family": "symmetric"},
}
N_COSTS = 50
SHARE_B = 0.3
MATCH = 2.0

_FULL = {
    2: ([i / 2 for i in range(-4, 9)], [0.5, 0.7, 1.0, 1.4, 2.0], [0.5, 0.3, 0.1]),
    3: ([i / 2 for i in range(-4, 13, 2)], [0.5, 1.0, 2.0], [0.5, 0.1]),
}
_QUICK = {
    2: ([-1.0, 0.0, 2.0, 3.0], [1.0, 2.0], [0.5, 0.3]),
    3: ([-1.0, 2.0], [1.0], [0.5]),
}


def two_groups(
    n_classes: int, separation: float, scale: float, prior_b: float
) -> JointDistribution:
    """Return a law whose group b misses group a's in mean, scale and priors.

    Every standard deviation is 1 but that of b's class 1, which is ``scale``. Class means are
    0 and 2 in a, 0 and ``separation`` in b; a third class stands at 4 in both. Classes other
    than 1 share what P(Y = 1 | group) leaves alike; it is .5 in a and ``prior_b`` in b.
    """
    means = np.zeros((n_classes, 2, 1))
    means[1, :, 0] = MATCH, separation
    means[2:, :, 0] = 2 * MATCH
    variances = np.ones((n_classes, 2, 1, 1))
    variances[1, 1] = scale**2
    prior = np.empty((n_classes, 2))
    for a, one in enumerate((0.5, prior_b)):
        prior[:, a] = (1.0 - one) / (n_classes - 1)
        prior[1, a] = one
    prior *= [1.0 - SHARE_B, SHARE_B]
    return JointDistribution.from_arrays(means, variances, prior, range(n_classes), ["a", "b"])


def compute(asked: Asked, tell: Tell) -> Results:
    """Solve every programme at every point of the grid and judge it at random costs."""
    grids = _QUICK if asked.quick else _FULL
    points = [(k, *point) for k, axes in grids.items() for point in itertools.product(*axes)]
    costs = {k: random_costs(N_COSTS, k, asked.seed) for k in grids}
    rows = []
    for i, (n_classes, separation, scale, prior_b) in enumerate(points):
        tell(f"normals, {n_classes} classes, b at {separation:g}", i, len(points))
        law = two_groups(n_classes, separation, scale, prior_b)
        rows.append(
            {
                "n_classes": n_classes,
                "separation": separation,
                "scale": scale,
                "prior_b": prior_b,
                "before": _judge(law, costs[n_classes]),
                "after": {
                    name: _solve(law, programme, costs[n_classes])
                    for name, programme in PROGRAMMES.items()
                },
            }
        )
    tell("normals", len(points), len(points))
    return {"n_costs": N_COSTS, "share_b": SHARE_B, "rows": rows}


def _solve(law: JointDistribution, programme: dict[str, Any], costs: list[Any]) -> dict[str, Any]:
    solution = nearest_ideal(law, reference="a", **programme)
    ideal = solution.distribution
    cells = sum(ideal.priors[cell] * paid for cell, paid in solution.kl_by_cell.items())
    return {
        **_judge(ideal, costs),
        "kl": solution.kl,
        "kl_priors": solution.kl - float(cells),
        "slope": float(solution.maps["b"].matrix[0, 0]),
        "ideal": is_ideal(ideal),
        "proved": solution.global_optimum,
        "converged": solution.converged,
    }


def _judge(law: JointDistribution, costs: list[Any]) -> dict[str, Any]:
    """Return the 0-1 risk, and each gap's mean and largest value over the cost matrices."""
    found = largest_gaps(law, costs)
    return {
        "risk": bayes_rates(law, zero_one(len(law.classes))).risk,
        "mean": {name: float(np.mean(found[name])) for name in CRITERIA},
        "largest": {name: max(found[name]) for name in CRITERIA},
    }
