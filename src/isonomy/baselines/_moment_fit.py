"""The common form of baselines that need nothing of rows but the moments of their groups."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import GroupAwareTransformer
from isonomy.baselines._group_moments import Kind, group_moments, marginal_moments
from isonomy.distributions import CellMoments
from isonomy.groups import GroupCodes

__all__ = ["FitsMoments"]


class FitsMoments(GroupAwareTransformer):
    """Base of the transformers whose ``fit`` reduces rows to moments of the groups.

    A subclass names the ``_kind`` of moments it wants and says in ``_solve`` what follows
    from them; ``_check_parameters`` runs first, before any row is read.
    """

    _kind: ClassVar[Kind]

    def fit_moments(self, moments: CellMoments) -> Self:
        """Learn from the moments of (label, group) cells in the place of rows.

        Parameters
        ----------
        moments : CellMoments
            Of the training rows, weights included, as `isonomy.hidden_states.collect`
            returns them; labels are summed over. Every group must have rows, a cell may be
            empty. "full" and "tied" covariances serve all methods, "diagonal" those that
            need means alone (`MeanMatching`, `OracleLEACE`, `DifferenceOfMeans`).

        Returns
        -------
        self
            As after ``fit`` on the rows behind the moments, to rounding.

        Raises
        ------
        InvalidInputError
            If these are no moments, a group has no rows, there is one group alone, or the
            method needs covariances that are not there.

        Notes
        -----
        With weights w_ya, means m_ya and scatters M_ya (sums of squares about the mean) of
        the cells, the group's own are::

            w_a = sum_y w_ya,   m_a = sum_y w_ya m_ya / w_a
            M_a = sum_y [ M_ya + w_ya (m_ya - m_a)(m_ya - m_a)' ]

        Examples
        --------
        >>> from isonomy.baselines import MeanMatching
        >>> X, groups = [[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"]
        >>> moments = CellMoments(1).update(X, [0, 1, 0, 1], sensitive_features=groups)
        >>> MeanMatching().fit_moments(moments).transform(X, sensitive_features=groups).ravel()
        array([5., 7., 5., 7.])
        """
        where = f"{type(self).__name__}.fit_moments"
        cells = self._read_moments(moments, where=where)
        self.groups_ = list(cells.groups)
        self._check_parameters(cells.groups)
        marginal = marginal_moments(cells, kind=self._kind, where=where)
        self._solve(marginal, cells.groups, where=where)
        return self

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: NDArray[np.float64] | None,
    ) -> None:
        where = f"{type(self).__name__}.fit"
        self._check_parameters(groups.labels)
        moments = group_moments(values, groups, sample_weight, kind=self._kind, where=where)
        self._solve(moments, groups.labels, where=where)

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        """Raise for a parameter that cannot be used, before any moment is computed."""

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        """Set the fitted attributes from moments of ``_kind``; see `group_moments`."""
        raise NotImplementedError
