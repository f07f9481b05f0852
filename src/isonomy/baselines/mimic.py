"""Move mean and covariance of every group onto one pair, by the least movement of rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy.baselines._bures import bures_map
from isonomy.baselines._group_moments import find_reference
from isonomy.baselines._mapped import MappedGroups
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.distributions import AffineMap, CellMoments
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage, shrink

__all__ = ["MiMiC"]


class MiMiC(FitsMoments, MappedGroups):
    """Give all groups the same mean and covariance, moving rows as little as possible.

    Parameters
    ----------
    reference : group label, optional
        The group whose moments the others take and whose rows stay; default the mean
        over all rows and the pooled within-group covariance, towards which every group
        moves.
    shrinkage : None, "oas" or a number in [0, 1]
        Shrink every covariance towards its diagonal scale first: the diagonal target of
        ``distributions.shrinkage.shrink`` in units of the pooled standard deviations.
        Off-diagonal entries only ever shrink. None matches the moments exactly.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`.

    Attributes
    ----------
    maps_ : {group: AffineMap}
    groups_ : list of group labels

    Notes
    -----
    With mean m and covariance S of a group, m', S' of the target, ``x -> W x + b``::

        W = S^{-1/2} (S^{1/2} S' S^{1/2})^{1/2} S^{-1/2},   b = m' - W m

    the optimal transport map between two normals. W is unchanged when any L with
    ``L L' = S`` stands in for the symmetric root, as ``L^-T (L' S' L)^{1/2} L^-1``;
    that is how it is computed. Where S is singular (constant or collinear columns), W
    acts on its range and leaves the rest; then the covariances agree on that range
    alone. Divisor of the covariances: the total weight. The moments are those of the
    group, not of its cells. Source: Singh et al., Representation surgery (ICML 2024),
    where a regulariser is added to every entry, here never.

    What it does not promise: equal laws within a label, equal third moments, or fair
    decisions. It needs the group of every row at ``transform``.

    Examples
    --------
    >>> X = [[0.0], [2.0], [10.0], [14.0]]
    >>> groups = ["a", "a", "b", "b"]
    >>> MiMiC(reference="a").fit_transform(X, sensitive_features=groups).ravel()
    array([0., 2., 0., 2.])
    """

    _kind = "each"

    def __init__(
        self,
        *,
        reference: Any = None,
        shrinkage: Shrinkage = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.reference = reference
        self.shrinkage = shrinkage
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        find_reference(self.reference, labels, where="MiMiC")
        check_shrinkage(self.shrinkage, where="MiMiC")

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        target = find_reference(self.reference, labels, where="MiMiC")
        method = check_shrinkage(self.shrinkage, where="MiMiC")
        if len(labels) == 1:
            self.maps_ = {labels[0]: AffineMap.identity(moments.n_features)}
            return
        within = moments.within_covariance()
        scale = np.sqrt(np.diagonal(within))
        n = moments.counts[0]

        def regular(covariance: NDArray[np.float64], rows: float) -> NDArray[np.float64]:
            return shrink(covariance, rows, method, scale=scale)

        if target is None:
            goal_mean, goal = moments.total_mean(), regular(within, float(n.sum()))
        else:
            goal_mean = moments.means[0, target]
            goal = regular(moments.covariances[target], float(n[target]))
        self.maps_ = {}
        for a, group in enumerate(labels):
            if a == target:
                self.maps_[group] = AffineMap.identity(moments.n_features)
                continue
            matrix = bures_map(regular(moments.covariances[a], float(n[a])), goal)
            self.maps_[group] = AffineMap(matrix, goal_mean - matrix @ moments.means[0, a])
