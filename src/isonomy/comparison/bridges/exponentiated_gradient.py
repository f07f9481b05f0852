"""A bridge to fairlearn's ExponentiatedGradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from isonomy._group_codes import MissingGroups
from isonomy._validation import check_choice, check_count, check_real
from isonomy.comparison.bridges._fairlearn import FairlearnClassifier, fairlearn_module

__all__ = ["ExponentiatedGradientBridge"]

_MOMENTS = {
    "demographic_parity": "DemographicParity",
    "equalized_odds": "EqualizedOdds",
    "equal_opportunity": "TruePositiveRateParity",
}


class ExponentiatedGradientBridge(FairlearnClassifier):
    """Fit a random mixture of reweighted classifiers, by fairlearn's ExponentiatedGradient.

    Parameters
    ----------
    estimator : classifier
        Must take ``sample_weight`` in ``fit``; cloned.
    constraint : "demographic_parity", "equalized_odds" or "equal_opportunity"
        Which rates to equalise; the last means the true positive rate.
    tolerance : float
        By how much a group's rate may differ from that of everybody on the training rows
        (fairlearn's ``difference_bound``).
    max_iter : int
        Classifiers fitted at most, about.
    pos_label : label, optional
        The positive class. Default: the larger of the two.
    randomised : bool
        Draw each decision with the mixture's probability, as the method is meant: the same row
        may be decided otherwise in another call, and with an integer ``random_state`` at another
        position. False: decide for the more probable class, which no longer keeps ``tolerance``.
    missing_groups : "raise", "single" or "own_group"
        As in ``IdealSteerer``.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; taken out and dropped.
    random_state : int, RandomState or None
        Of the draws in ``predict``; ``fit`` has none.

    Attributes
    ----------
    fairlearn_ : fitted fairlearn.reductions.ExponentiatedGradient
        On labels 0 and 1 (positive) and groups by position in ``groups_``.
    classes_ : (2,)
    groups_ : list

    Notes
    -----
    The group is used in ``fit`` alone. Source: Agarwal and others (ICML 2018); the mathematics
    is fairlearn's. What it does not promise: the tolerance holds for the mixture on the training
    rows, up to the gap that the optimisation leaves (``fairlearn_.best_gap_``).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> ExponentiatedGradientBridge(LogisticRegression(), tolerance=0.02).constraint
    'demographic_parity'
    """

    _groups_at_prediction = False
    group_use = "blind"

    def __init__(
        self,
        estimator: Any,
        *,
        constraint: Literal[
            "demographic_parity", "equalized_odds", "equal_opportunity"
        ] = "demographic_parity",
        tolerance: float = 0.01,
        max_iter: int = 50,
        pos_label: Any = None,
        randomised: bool = True,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.constraint = constraint
        self.tolerance = tolerance
        self.max_iter = max_iter
        self.pos_label = pos_label
        self.randomised = randomised
        self.missing_groups = missing_groups
        self.group_columns = group_columns
        self.random_state = random_state

    def _fit_fairlearn(
        self, X: Any, y: NDArray[np.intp], groups: NDArray[np.intp], *, where: str
    ) -> Any:
        check_choice("constraint", self.constraint, tuple(_MOMENTS), where=where)
        tolerance = check_real("tolerance", self.tolerance, where=where, low=1e-6, high=1)
        max_iter = check_count("max_iter", self.max_iter, where=where)
        reductions = fairlearn_module("reductions", where=where)
        moment = getattr(reductions, _MOMENTS[self.constraint])
        method = reductions.ExponentiatedGradient(
            clone(self.estimator),
            moment(difference_bound=tolerance),
            eps=tolerance,
            max_iter=max_iter,
        )
        return method.fit(X, y, sensitive_features=groups)

    def _positive_share(self, X: Any, groups: NDArray[np.intp] | None) -> NDArray[np.float64]:
        # fairlearn shows the mixture's probabilities by this name alone
        return np.asarray(self.fairlearn_._pmf_predict(X)[:, 1], dtype=np.float64)
