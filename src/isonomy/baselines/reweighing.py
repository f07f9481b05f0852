"""Weights under which label and group are independent, alone or around an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import MissingGroups
from isonomy.baselines._balanced import Balanced, BalancedClassifier, check_takes_weights
from isonomy.groups import GroupCodes, kamiran_calders_weights

__all__ = ["Reweighing"]


class Reweighing(BalancedClassifier):
    """Fit a classifier on weights that make label and group independent.

    Parameters
    ----------
    estimator : classifier, optional
        Must take ``sample_weight`` in ``fit``, itself or as a Pipeline's last step; cloned.
        Without it ``fit`` computes ``sample_weight_`` and nothing else, and there is no
        ``predict``.
    missing_groups : "raise", "single" or "own_group"
        As in :class:`MeanMatching`; "single" without groups leaves the weights as they
        are.
    group_columns : sequence of column names or indices, optional
        Take the groups out of ``X`` and drop those columns before the estimator.

    Attributes
    ----------
    sample_weight_ : (n_samples,) array
        Kamiran-Calders weight times the caller's.
    estimator_ : fitted clone, if an estimator was given
    classes_ : array of labels
    groups_ : list of group labels

    Notes
    -----
    A row of label y and group a weighs ``P(y) P(a) / P(y, a)``, with the shares under
    the caller's own weights; see ``isonomy.groups.kamiran_calders_weights``. Source:
    Kamiran and Calders, Data preprocessing techniques for classification without
    discrimination (2012), reweighing.

    What it does not promise: equal rates. It balances the training rows; a model that
    reads the group from ``X`` may still treat groups differently. The group is not used
    at prediction: ``sensitive_features`` there is accepted and ignored.

    Examples
    --------
    >>> weights = Reweighing().fit([[0], [1], [2], [3]], [0, 0, 0, 1],
    ...                            sensitive_features=["a", "a", "b", "b"]).sample_weight_
    >>> weights
    array([0.75, 0.75, 1.5 , 0.5 ])
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.missing_groups = missing_groups
        self.group_columns = group_columns

    def _check_settings(self, weighted: bool, *, where: str) -> None:
        check_takes_weights(self.estimator, where=where)

    def _balance(
        self,
        X: Any,
        y: NDArray[Any],
        groups: GroupCodes,
        weight: NDArray[np.float64] | None,
    ) -> Balanced:
        self.sample_weight_ = kamiran_calders_weights(
            y, sensitive_features=groups.codes, sample_weight=weight
        )
        return X, y, self.sample_weight_
