"""Move mean and covariance of every group onto their barycentre."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy._validation import check_choice
from isonomy.baselines._bures import bures_barycentre, bures_map
from isonomy.baselines._mapped import MappedGroups
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.distributions import AffineMap, CellMoments
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage, shrink

__all__ = ["QuadraticLEACE"]


class QuadraticLEACE(FitsMoments, MappedGroups):
    """Give all groups the first two moments that are nearest to those they have.

    Parameters
    ----------
    weighting : "shares" or "equal"
        What a group counts in the barycentre: its share of the rows, or as any other.
    shrinkage : None, "oas" or a number in [0, 1]
        As in :class:`MiMiC`. None matches the moments exactly.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`.

    Attributes
    ----------
    maps_ : {group: AffineMap}
    mean_ : (n_features,) array
        Mean of all groups after the map.
    covariance_ : (n_features, n_features) array
        Covariance of all groups after the map.
    residual_ : float
        Largest entry of ``(sum_a p_a W_a - I) S`` over that of S, with S ``covariance_``
        and W_a the transport map from it to group a; 0 at the barycentre.
    converged_ : bool
        Whether ``residual_`` came to rounding size. The groups' moments agree either way,
        unless a group's covariance is singular where others' are not.
    n_iter_ : int
    groups_ : list of group labels

    Notes
    -----
    With weights p_a, means m_a, covariances S_a, the law N(m, S) with the least
    ``sum_a p_a W2^2(N(m_a, S_a), N(m, S))`` (W2: Wasserstein distance) has::

        m = sum_a p_a m_a,   S = sum_a p_a (S^{1/2} S_a S^{1/2})^{1/2}

    Two groups have S in closed form, M S_0 M with ``M = p_0 I + p_1 W`` and W the
    transport map from S_0 to S_1; more are iterated from ``sum_a p_a S_a`` by
    ``S <- T S T, T = sum_a p_a W_a``. Rows then go by the map of :class:`MiMiC` to N(m, S):
    of all maps, one a group, that make both moments equal, these move rows least in mean
    square (weighting "shares"). ``MiMiC()`` meets at the pooled covariance instead and
    moves rows further. Divisor of the covariances: the total weight. Where a covariance is
    singular the map acts on its range alone, and no affine map spreads a group over
    directions in which it does not vary.

    The published package takes "shares" for the covariance and "equal" for the mean, and
    the divisor n - 1; for groups of equal size the three choices are one. Sources: Belrose
    et al., LEACE (NeurIPS 2023) and its package's quadratic eraser; Agueh and Carlier,
    Barycenters in the Wasserstein space (2011); Alvarez-Esteban et al., A fixed-point
    approach to barycenters in Wasserstein space (2016).

    What it does not promise: equal laws within a label, equal third moments, or fair
    decisions. It needs the group of every row at ``transform``.

    Examples
    --------
    >>> X = [[0.0], [2.0], [10.0], [14.0]]
    >>> groups = ["a", "a", "b", "b"]
    >>> QuadraticLEACE().fit_transform(X, sensitive_features=groups).ravel()
    array([5., 8., 5., 8.])
    """

    _kind = "each"

    def __init__(
        self,
        *,
        weighting: Literal["shares", "equal"] = "shares",
        shrinkage: Shrinkage = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.weighting = weighting
        self.shrinkage = shrinkage
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        check_choice("weighting", self.weighting, ("shares", "equal"), where="QuadraticLEACE")
        check_shrinkage(self.shrinkage, where="QuadraticLEACE")

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        method = check_shrinkage(self.shrinkage, where="QuadraticLEACE")
        means, n = moments.means[0], moments.counts[0]
        scale = np.sqrt(np.diagonal(moments.within_covariance()))
        laws = np.array(
            [
                shrink(covariance, float(rows), method, scale=scale)
                for covariance, rows in zip(moments.covariances, n, strict=True)
            ]
        )
        weights = n / n.sum() if self.weighting == "shares" else np.full(len(n), 1.0 / len(n))
        centre = bures_barycentre(laws, weights)
        self.mean_, self.covariance_ = weights @ means, centre.covariance
        self.residual_, self.n_iter_ = centre.residual, centre.n_iter
        self.converged_ = centre.converged
        if len(n) == 1:  # one group is its own barycentre: no rounding, no move
            self.maps_ = {labels[0]: AffineMap.identity(moments.n_features)}
            return
        self.maps_ = {}
        for group, mean, law in zip(labels, means, laws, strict=True):
            matrix = bures_map(law, self.covariance_)
            self.maps_[group] = AffineMap(matrix, self.mean_ - matrix @ mean)
