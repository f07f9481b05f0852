"""Erase all that is linear about the group, given the group of every row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy.baselines._mapped import MappedGroups
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.distributions import AffineMap, CellMoments

__all__ = ["OracleLEACE"]


class OracleLEACE(FitsMoments, MappedGroups):
    """Subtract from every row what its group, as one-hot numbers, predicts of it.

    Parameters
    ----------
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`.

    Attributes
    ----------
    coef_ : (n_features, n_groups) array
        ``S_xz S_zz^+``; its rows sum to 0. Columns follow ``groups_``.
    group_shares_ : (n_groups,) array
        ``E z``.
    maps_ : {group: AffineMap}
        Translations.
    groups_ : list of group labels

    Notes
    -----
    With z the one-hot group, S_xz and S_zz covariances, and ^+ the pseudo-inverse::

        x -> x - S_xz S_zz^+ (z - E z)

    the residual of the regression of x on z: of all that is a function of x and z and has
    no covariance with z, the nearest to x in mean square. For one-hot groups the prediction
    is the group's mean less the mean m of all rows, so the coefficients are, exactly and
    without an inverse, ``m_a`` less the plain average of the ``m_a``, and the rows are
    those of ``MeanMatching()`` without a reference. That also is where they part:
    ``MeanMatching(reference=a)`` carries all groups to the mean of one, and has no
    coefficients to be read. :class:`LEACE` needs no group at ``transform`` and moves rows
    more. A numerical cut-off of the inverse, as in the published package, is not needed:
    groups of any share are erased. Source: Belrose, Least-squares concept erasure with
    oracle concept labels (EleutherAI, 2023), after Belrose et al., LEACE (NeurIPS 2023).

    What it does not promise: equal covariances (:class:`QuadraticLEACE`), equal means
    within a label, or fair decisions; since rows move by group, a non-linear probe may
    even find the group more easily than before. It needs the group of every row at
    ``transform``.

    Examples
    --------
    >>> X = [[0.0], [2.0], [10.0], [12.0]]
    >>> eraser = OracleLEACE().fit(X, sensitive_features=["a", "a", "b", "b"])
    >>> eraser.transform(X, sensitive_features=["a", "a", "b", "b"]).ravel()
    array([5., 7., 5., 7.])
    >>> eraser.coef_
    array([[-5.,  5.]])
    """

    _kind = "means"

    def __init__(
        self,
        *,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        means, count = moments.means[:, 0, :], moments.counts[:, 0]
        self.group_shares_ = count / count.sum()
        self.coef_ = (means - means.mean(axis=0)).T
        predicted = self.coef_.T - self.coef_ @ self.group_shares_
        nothing = np.zeros((moments.n_features, 0))
        self.maps_ = {
            group: AffineMap.low_rank(nothing, nothing, -move)
            for group, move in zip(labels, predicted, strict=True)
        }
