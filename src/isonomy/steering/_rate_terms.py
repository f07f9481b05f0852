"""Which rates each fairness criterion wants equal over groups, as penalty terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.steering._offsets import RateTerm

__all__ = ["Criterion", "default_penalty", "rate_terms"]

Criterion = Literal["equal_opportunity", "equalized_odds", "demographic_parity"]

Floats = NDArray[np.float64]


def default_penalty(criterion: Criterion, n_classes: int) -> float:
    """Return the weight of the squared gaps that is used where none is given.

    One rate a class can be met almost exactly by offsets. Equalized odds in general cannot,
    and a larger weight buys it with one constant decision, with many classes the sooner.
    """
    if criterion == "equalized_odds":
        return 100.0 if n_classes == 2 else 30.0
    return 500.0 if n_classes == 2 else 150.0


@dataclass(frozen=True)
class _Rows:
    """Codes of labels and groups with weights, one a row."""

    y: NDArray[np.intp]
    groups: NDArray[np.intp]
    weight: Floats
    n_groups: int
    shrinkage: float


def rate_terms(
    criterion: Criterion,
    y: NDArray[np.intp],
    groups: NDArray[np.intp],
    weight: Floats,
    *,
    n_classes: int,
    n_groups: int,
    shrinkage: float,
    positive: int | None,
) -> list[RateTerm]:
    """Return one term for every rate that has rows in at least two groups.

    Parameters
    ----------
    y, groups : (n_samples,)
        Codes of label and group.
    weight : (n_samples,)
        Row weights.
    shrinkage : float
        A cell of ``n`` rows counts ``n / (n + shrinkage)``, so that rates estimated
        from a handful of rows do not drive the offsets.
    positive : int or None
        With two classes, the code of the positive class: equal opportunity then means
        its true positive rate alone, as usual for binary decisions.
    """
    rows = _Rows(y, groups, weight, n_groups, shrinkage)
    predicted = list(range(n_classes)) if positive is None else [positive]
    if criterion == "demographic_parity":
        everyone = np.ones(len(y), dtype=bool)
        return [t for k in predicted for t in _term(rows, everyone, k, 1.0)]
    terms: list[RateTerm] = []
    for label in range(n_classes):
        inside = y == label
        importance = 1.0 if positive is not None else float(weight[inside].sum() / weight.sum())
        if criterion == "equal_opportunity":
            wanted = [k for k in predicted if k == label]
        else:
            wanted = predicted
        for k in wanted:
            terms += _term(rows, inside, k, importance)
    return terms


def _term(
    rows: _Rows, inside: NDArray[np.bool_], predicted: int, importance: float
) -> list[RateTerm]:
    groups, weight = rows.groups[inside], rows.weight[inside]
    size = np.bincount(groups, weights=weight, minlength=rows.n_groups)
    if (size > 0).sum() < 2:
        return []  # a rate known in one group alone cannot be compared
    share = np.zeros(len(rows.weight))
    # rows without weight have none of a group without weight
    share[inside] = weight / np.where(size > 0, size, 1.0)[groups]
    trust = size[size > 0] / (size[size > 0] + rows.shrinkage)
    return [RateTerm(predicted, share, size / size.sum(), importance * float(trust.prod()))]
