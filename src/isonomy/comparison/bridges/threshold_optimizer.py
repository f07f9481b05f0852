"""A bridge to fairlearn's ThresholdOptimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from isonomy._group_codes import MissingGroups
from isonomy._validation import check_choice, check_count
from isonomy.comparison.bridges._fairlearn import FairlearnClassifier, fairlearn_module

__all__ = ["ThresholdOptimizerBridge"]

_CONSTRAINTS = {
    "demographic_parity": "demographic_parity",
    "equalized_odds": "equalized_odds",
    "equal_opportunity": "true_positive_rate_parity",
}


class ThresholdOptimizerBridge(FairlearnClassifier):
    """Cut each group's scores at random thresholds, by fairlearn's ThresholdOptimizer.

    Parameters
    ----------
    estimator : classifier
        Cloned and fitted on the same rows as the thresholds, as fairlearn does.
    constraint : "demographic_parity", "equalized_odds" or "equal_opportunity"
        Which rates to equalise; the last means the true positive rate.
    objective : "accuracy_score" or "balanced_accuracy_score"
        What to maximise under the constraint.
    grid_size : int
        Values of the constrained rate that are tried.
    pos_label : label, optional
        The positive class. Default: the larger of the two.
    randomised : bool
        Draw each decision with its probability, as the method is meant: the same row may be
        decided otherwise in another call, and with an integer ``random_state`` at another
        position. False: decide for the more probable class, which no longer keeps the
        constraint.
    missing_groups : "raise", "single" or "own_group"
        As in ``IdealSteerer``.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; taken out and dropped.
    random_state : int, RandomState or None
        Of the draws in ``predict``; ``fit`` has none.

    Attributes
    ----------
    fairlearn_ : fitted fairlearn.postprocessing.ThresholdOptimizer
        On labels 0 and 1 (positive) and groups by position in ``groups_``.
    classes_ : (2,)
    groups_ : list

    Notes
    -----
    The group is needed in ``predict``. Source: Hardt, Price and Srebro (2016); the mathematics
    is fairlearn's. What it does not promise: the constraint holds on the training rows, on which
    the scores are over-confident; on new rows up to that and sampling error.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> ThresholdOptimizerBridge(LogisticRegression(), constraint="equalized_odds").objective
    'accuracy_score'
    """

    _groups_at_prediction = True
    group_use = "given"

    def __init__(
        self,
        estimator: Any,
        *,
        constraint: Literal[
            "demographic_parity", "equalized_odds", "equal_opportunity"
        ] = "demographic_parity",
        objective: Literal["accuracy_score", "balanced_accuracy_score"] = "accuracy_score",
        grid_size: int = 1000,
        pos_label: Any = None,
        randomised: bool = True,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.constraint = constraint
        self.objective = objective
        self.grid_size = grid_size
        self.pos_label = pos_label
        self.randomised = randomised
        self.missing_groups = missing_groups
        self.group_columns = group_columns
        self.random_state = random_state

    def _fit_fairlearn(
        self, X: Any, y: NDArray[np.intp], groups: NDArray[np.intp], *, where: str
    ) -> Any:
        check_choice("constraint", self.constraint, tuple(_CONSTRAINTS), where=where)
        objectives = ("accuracy_score", "balanced_accuracy_score")
        check_choice("objective", self.objective, objectives, where=where)
        grid_size = check_count("grid_size", self.grid_size, where=where, low=2)
        postprocessing = fairlearn_module("postprocessing", where=where)
        method = postprocessing.ThresholdOptimizer(
            estimator=clone(self.estimator),
            constraints=_CONSTRAINTS[self.constraint],
            objective=self.objective,
            grid_size=grid_size,
            prefit=False,
            predict_method="auto",
        )
        return method.fit(X, y, sensitive_features=groups)

    def _positive_share(self, X: Any, groups: NDArray[np.intp] | None) -> NDArray[np.float64]:
        # fairlearn shows the probabilities of its decisions by this name alone
        shares = self.fairlearn_._pmf_predict(X, sensitive_features=groups)
        return np.asarray(shares[:, 1], dtype=np.float64)
