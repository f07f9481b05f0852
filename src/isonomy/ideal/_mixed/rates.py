"""Bayes rates of mixed tables: one numeric problem for every combination of categories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isonomy.distributions import JointDistribution, MixedJoint
from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal._categorical.criteria import product_table
from isonomy.ideal._cells import Array

__all__ = ["mixed_confusion"]

_MOST_COMBINATIONS = 500

Confusions = Callable[[JointDistribution, Sequence[Array]], tuple[list[Array], float]]


def mixed_confusion(
    joint: MixedJoint, costs: Sequence[Array], numeric: Confusions
) -> tuple[list[Array], float]:
    """Return P(predicted | true class, group) for each cost matrix, and the largest error.

    Notes
    -----
    Given the categories c the label's odds are those of ``q_ya P(c | y, a)`` before the
    numbers are seen: the numeric problem with these priors is solved for every c, and its
    rates are averaged with weights ``P(c | y, a)``.
    """
    table = product_table(joint.categorical)
    if table.shape[2] > _MOST_COMBINATIONS:
        raise UnsupportedProgrammeError(
            f"`joint` passed to `bayes_rates` must have at most {_MOST_COMBINATIONS} combinations "
            f"of categories beside numeric columns, got {table.shape[2]}. Pool rare categories."
        )
    found = [np.zeros((*cost.shape, len(joint.groups))) for cost in costs]
    worst = 0.0
    for x in range(table.shape[2]):
        # a category that a class lacks keeps the least prior: the class is never predicted there
        prior = np.maximum(joint.prior * table[:, :, x], np.finfo(np.float64).tiny * 1e8)
        given = JointDistribution.from_arrays(
            joint.numeric.means,
            joint.numeric.covariances,
            prior / prior.sum(),
            joint.classes,
            joint.groups,
            joint.numeric.family,
            joint.numeric.shape,
        )
        confusions, error = numeric(given, costs)
        for i, part in enumerate(confusions):
            found[i] += table[:, None, :, x] * part
        worst = max(worst, error)
    return found, worst
