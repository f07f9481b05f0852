"""What follows from the moments of all cells together: means, within, between."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions._cell_state import CellState
from isonomy.errors import InvalidInputError

__all__ = ["CellTotals"]


class CellTotals(CellState):
    """Moments over all cells, each weighted by its rows or as the caller says."""

    def total_mean(self, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the mean over all cells, ``(d,)``.

        Parameters
        ----------
        weights : (n_classes, n_groups), optional
            Weight of every cell, at least 0, any sum; default its share of the rows.
            Under the reweighed law: ``counts * cell_factors(counts)``.

        Raises
        ------
        InvalidInputError
            If there are no rows, or a cell without rows has weight.

        Examples
        --------
        >>> from isonomy.distributions import CellMoments
        >>> moments = CellMoments(1)
        >>> _ = moments.update([[0.0], [0.0], [6.0]], [0, 0, 1], sensitive_features=["a"] * 3)
        >>> moments.total_mean(), moments.total_mean(weights=[[1.0], [1.0]])
        (array([2.]), array([3.]))
        """
        share = self._shares(weights, where="CellMoments.total_mean")
        mean: NDArray[np.float64] = np.einsum("ya,yad->d", share, self._mean)
        return mean

    def within_covariance(self, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the covariance about the cell means, pooled over all cells.

        Parameters
        ----------
        weights : (n_classes, n_groups), optional
            As in :meth:`total_mean`. With tied covariances a cell's covariance is
            its group's.

        Returns
        -------
        (d, d) array; the variances (d,) where ``covariance`` is "diagonal".

        Examples
        --------
        >>> from isonomy.distributions import CellMoments
        >>> moments = CellMoments(1)
        >>> _ = moments.update([[0.0], [2.0], [9.0]], [0, 0, 1], sensitive_features=["a"] * 3)
        >>> moments.within_covariance().round(4)
        array([[0.6667]])
        """
        share = self._shares(weights, where="CellMoments.within_covariance")
        tied = self.covariance == "tied"
        total = self._weight.sum(axis=0) if tied else self._weight
        wanted = share.sum(axis=0) if tied else share
        per_weight = np.divide(wanted, total, out=np.zeros_like(total), where=total > 0)
        axes = per_weight.ndim
        within: NDArray[np.float64] = np.tensordot(per_weight, self._scatter, axes=axes)
        return within

    def total_covariance(self, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the covariance about the total mean: within plus between cells.

        Parameters
        ----------
        weights : (n_classes, n_groups), optional
            As in :meth:`total_mean`.

        Returns
        -------
        (d, d) array; the variances (d,) where ``covariance`` is "diagonal".

        Examples
        --------
        >>> from isonomy.distributions import CellMoments
        >>> moments = CellMoments(1)
        >>> _ = moments.update([[0.0], [2.0], [7.0]], [0, 0, 1], sensitive_features=["a"] * 3)
        >>> moments.total_covariance().round(4)
        array([[8.6667]])
        """
        share = self._shares(weights, where="CellMoments.total_covariance")
        centred = (self._mean - self.total_mean(weights=weights)).reshape(-1, self.n_features)
        scaled = centred * np.sqrt(share).reshape(-1, 1)
        between = (scaled**2).sum(axis=0) if self.covariance == "diagonal" else scaled.T @ scaled
        return self.within_covariance(weights=weights) + between

    def _shares(self, weights: ArrayLike | None, *, where: str) -> NDArray[np.float64]:
        share = self._weight if weights is None else np.asarray(weights, dtype=np.float64)
        if share.shape != self._weight.shape:
            raise InvalidInputError(
                f"`weights` of `{where}` must have shape {self._weight.shape}, one weight a "
                f"cell, got {share.shape}."
            )
        if not np.isfinite(share).all() or (share < 0).any() or not share.any():
            raise InvalidInputError(
                f"`{where}` needs cell weights that are finite, at least 0 and not all 0; "
                "call `update` with rows first, or check `weights`."
            )
        if (share[self._weight == 0] > 0).any():
            raise InvalidInputError(
                f"`weights` of `{where}` must be 0 in cells without rows, whose mean is unknown."
            )
        shares: NDArray[np.float64] = share / share.sum()
        return shares
