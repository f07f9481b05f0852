"""A bridge to fairlearn's CorrelationRemover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import GroupAwareTransformer, MissingGroups
from isonomy._validation import check_real
from isonomy.comparison.bridges._fairlearn import fairlearn_module
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = ["CorrelationRemoverBridge"]


class CorrelationRemoverBridge(GroupAwareTransformer):
    """Take out of every column its regression on the group, by fairlearn's CorrelationRemover.

    Parameters
    ----------
    alpha : float in [0, 1]
        Share of the correlation removed.
    missing_groups : "raise", "single" or "own_group"
        As in ``IdealSteerer``.
    group_columns : name, index or sequence of them, optional
        Columns of X that hold the groups; taken out and dropped.

    Attributes
    ----------
    fairlearn_ : fitted fairlearn.preprocessing.CorrelationRemover or None
        None where there is one group alone.
    groups_ : list

    Notes
    -----
    fairlearn wants the sensitive columns inside X: here they are one 0/1 column for every group
    but the first, put behind the numeric columns. The group is needed in ``transform``. What it
    does not promise: uncorrelated is not independent; only group means are moved. fairlearn
    takes no ``sample_weight``, so giving one raises.

    Examples
    --------
    >>> CorrelationRemoverBridge(alpha=0.5).get_params()["alpha"]
    0.5
    """

    _requires_y = False
    group_use = "given"
    unknown_group = "error"

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.alpha = alpha
        self.missing_groups = missing_groups
        self.group_columns = group_columns

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: NDArray[np.float64] | None,
    ) -> None:
        where = "CorrelationRemoverBridge.fit"
        alpha = check_real("alpha", self.alpha, where=where, low=0, high=1)
        if sample_weight is not None and np.ptp(sample_weight) > 0:
            raise InvalidInputError(
                f"`sample_weight` passed to `{where}` must be None or one number for all rows, "
                "because fairlearn's CorrelationRemover takes none; got different weights. Use "
                "`MeanMatching` for weighted rows."
            )
        preprocessing = fairlearn_module("preprocessing", where=where)
        self.fairlearn_ = None
        if len(groups.labels) > 1:
            n_features = values.shape[1]
            columns = range(n_features, n_features + len(groups.labels) - 1)
            remover = preprocessing.CorrelationRemover(
                sensitive_feature_ids=list(columns), alpha=alpha
            )
            self.fairlearn_ = remover.fit(self._with_groups(values, groups.codes))

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        if self.fairlearn_ is None or codes is None:
            return values
        moved: NDArray[Any] = self.fairlearn_.transform(self._with_groups(values, codes))
        return moved

    def _with_groups(self, values: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[np.float64]:
        others = codes[:, None] == np.arange(1, len(self.groups_))
        return np.column_stack([values, others]).astype(np.float64)
