"""Move the mean of every group onto one mean."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy.baselines._group_moments import find_reference
from isonomy.baselines._mapped import MappedGroups
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.distributions import AffineMap, CellMoments

__all__ = ["MeanMatching"]


class MeanMatching(FitsMoments, MappedGroups):
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

    _kind = "means"

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

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        find_reference(self.reference, labels, where="MeanMatching")

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        target = find_reference(self.reference, labels, where="MeanMatching")
        means = moments.means[:, 0, :]
        goal = moments.total_mean() if target is None else means[target]
        if len(means) == 1:  # one group is its own target: no rounding, no move
            goal = means[0]
        nothing = np.zeros((moments.n_features, 0))
        self.maps_ = {
            group: AffineMap.low_rank(nothing, nothing, goal - mean)
            for group, mean in zip(labels, means, strict=True)
        }
