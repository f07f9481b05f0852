"""How differently Bayes classifiers that know the group treat groups, before and after."""

from __future__ import annotations

import numpy as np

from isonomy.ideal.bayes import rates_for_costs
from isonomy.ideal.nearest import IdealSolution

__all__ = ["bayes_gaps"]

_N_RANDOM_COSTS = 5
_LOG2_POINTS = 7
"""8 scrambles of 2^7 points a class: quick enough to run within every fit."""


def bayes_gaps(solution: IdealSolution) -> tuple[float, float, float]:
    """Return the gap before and after, and the numerical error: the largest difference between
    groups of any rate, over ordinary errors and random ways to price them.
    """
    n_classes = len(solution.source.classes)
    rng = np.random.default_rng(0)
    costs = [1.0 - np.eye(n_classes)]
    costs += [c * costs[0] for c in rng.uniform(0.1, 1.0, (_N_RANDOM_COSTS, n_classes, n_classes))]
    gaps, errors = [], []
    for joint in (solution.source, solution.distribution):
        rates = rates_for_costs(joint, costs, log2_points=_LOG2_POINTS)
        gaps.append(max(r.largest_gap for r in rates))
        errors.append(max(r.error for r in rates))
    return gaps[0], gaps[1], max(errors)
