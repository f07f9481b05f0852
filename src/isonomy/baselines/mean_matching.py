"""Move the mean of every group onto one mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy.baselines._group_moments import find_reference, group_moments
from isonomy.baselines._mapped import MappedGroups
from isonomy.distributions import AffineMap
from isonomy.groups import GroupCodes

__all__ = ["MeanMatching"]


class MeanMatching(MappedGroups):
    """Translate the rows of every group so that all groups have the same mean.

    Parameters
    ----------
    reference : group label, optional
        The group whose mean the others take and whose rows stay; default the mean over
        all rows, towards which every group moves.
    missing_groups : "raise", "single" or "own_group"
        What to do without ``sensitive_features`` or with missing values among them.
    unknown_group : "error" or "identity"
        What ``transform`` does with a group that ``fit`` never saw.
    group_columns : sequence of column names or indices, optional
        Take the groups out of ``X`` and drop those columns.

    Attributes
    ----------
    maps_ : {group: AffineMap}
    groups_ : list of group labels

    Notes
    -----
    x of group a becomes ``x - mean_a + mean_reference``. The moments are those of the
    group, not of its (label, group) cells. Source: the mean matching of Singh et al.,
    Representation surgery (ICML 2024).

    What it does not promise: equal covariances, equal means within a label, or fair
    decisions. A quadratic probe still finds the group. It needs the group of every row
    at ``transform``.

    Examples
    --------
    >>> X = [[0.0], [2.0], [10.0], [12.0]]
    >>> groups = ["a", "a", "b", "b"]
    >>> MeanMatching(reference="a").fit_transform(X, sensitive_features=groups).ravel()
    array([0., 2., 0., 2.])
    """

    def __init__(
        self,
        *,
        reference: Any = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.reference = reference
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: NDArray[np.float64] | None,
    ) -> None:
        target = find_reference(self.reference, groups.labels, where="MeanMatching")
        moments = group_moments(
            values, groups, sample_weight, kind="means", where="MeanMatching.fit"
        )
        means = moments.means[:, 0, :]
        goal = moments.total_mean() if target is None else means[target]
        if len(means) == 1:  # one group is its own target: no rounding, no move
            goal = means[0]
        nothing = np.zeros((values.shape[1], 0))
        self.maps_ = {
            group: AffineMap.low_rank(nothing, nothing, goal - mean)
            for group, mean in zip(groups.labels, means, strict=True)
        }
