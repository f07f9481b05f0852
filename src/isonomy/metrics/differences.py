"""The largest difference between groups in a rate, over classes.

Two classes: the value other libraries give for the positive class. More: the largest over
all classes, never one of them in silence. Where a class has no rows in a group its rate is
undefined there; that group is left out for it, and an ``UndefinedRateWarning`` says so.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.metrics._choices import class_rows, count_rows
from isonomy.metrics._counts import ConfusionCounts
from isonomy.metrics._gap_statistics import (
    conditional_rates,
    largest_difference,
    selection_rates,
)
from isonomy.metrics.rates import warn_undefined

__all__ = [
    "demographic_parity_difference",
    "equal_opportunity_difference",
    "equalized_odds_difference",
]

Floats = NDArray[np.float64]


def demographic_parity_difference(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    pos_label: Hashable | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the largest difference between groups in the share predicted a class.

    Parameters
    ----------
    y_true : (n_samples,)
        Labels; only their set of classes matters here.
    y_pred : (n_samples,)
        Predicted labels.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    pos_label : label, optional
        Look at this class alone. With two classes (which one does not matter here) the
        larger in sorted order is taken; with more, the largest difference over classes.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        max_k max_{a,b} |P(predicted k | a) - P(predicted k | b)|, in [0, 1].

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value, or there is one group only.

    Examples
    --------
    >>> demographic_parity_difference([0, 1, 0, 1], [1, 1, 0, 1], sensitive_features=list("aabb"))
    0.5
    """
    where = "demographic_parity_difference"
    counts = count_rows(y_true, y_pred, sensitive_features, sample_weight, where=where)
    picked = class_rows(counts, pos_label, where=where)
    return largest_difference(selection_rates(counts)[picked])[0]


def equal_opportunity_difference(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    pos_label: Hashable | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the largest difference between groups in true-positive rate.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    pos_label : label, optional
        Look at this class alone. By default, with two classes the larger in sorted order;
        with more, the largest difference over classes.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        max_k max_{a,b} |P(predicted k | true k, a) - P(predicted k | true k, b)|, in
        [0, 1]; NaN if no class has rows in two groups.

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value, or there is one group only.

    Warns
    -----
    UndefinedRateWarning
        If a class has no rows in some group; that group is left out for that class.

    Examples
    --------
    >>> equal_opportunity_difference([1, 1, 1, 1], [1, 0, 1, 1], sensitive_features=list("aabb"))
    0.5
    """
    where = "equal_opportunity_difference"
    counts = count_rows(y_true, y_pred, sensitive_features, sample_weight, where=where)
    picked = class_rows(counts, pos_label, where=where)
    rates = conditional_rates(counts)
    _warn_undefined_rows(where, counts, rates[:, 0], picked)
    own = np.einsum("iig->ig", rates)
    return largest_difference(own[picked])[0]


def equalized_odds_difference(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the largest difference between groups in any (true, predicted) rate.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        max_{j,k} max_{a,b} |P(predicted k | true j, a) - P(predicted k | true j, b)|, in
        [0, 1]. With two classes: the larger of the differences in true-positive and
        false-positive rate. NaN if no class has rows in two groups.

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value, or there is one group only.

    Warns
    -----
    UndefinedRateWarning
        If a class has no rows in some group; that group is left out for that class.

    Examples
    --------
    >>> equalized_odds_difference([0, 1, 0, 1], [1, 1, 0, 1], sensitive_features=list("aabb"))
    1.0
    """
    where = "equalized_odds_difference"
    counts = count_rows(y_true, y_pred, sensitive_features, sample_weight, where=where)
    rates = conditional_rates(counts)
    _warn_undefined_rows(where, counts, rates[:, 0], np.flatnonzero(counts.present()))
    return largest_difference(rates.reshape(-1, len(counts.groups)))[0]


def _warn_undefined_rows(
    where: str, counts: ConfusionCounts, rates: Floats, picked: NDArray[np.intp]
) -> None:
    lacking = [
        f"({counts.classes[y]!s}, {counts.groups[a]!s})"
        for y in picked
        for a in np.flatnonzero(np.isnan(rates[y]))
        if counts.present()[y] or len(picked) == 1
    ]
    warn_undefined(f"a rate of {where}", lacking, "no rows of this class", stacklevel=4)
