"""The multivariate log-normal law: X whose logarithm is normal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions.normal import GaussianFamily, as_rows

__all__ = ["LogNormal"]


class LogNormal(GaussianFamily):
    """The law of X > 0 whose coordinate-wise logarithm is Normal(mean, covariance).

    Parameters
    ----------
    mean, covariance : (d,), (d, d)
        Of ln X, not of X.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a value is not finite, or the covariance is not symmetric.
    SingularCovarianceError
        If the covariance is not positive definite at ``rank_tolerance``.

    Notes
    -----
    Divergences between two such laws equal those of their logarithms.

    Examples
    --------
    >>> law = LogNormal([0.0], [[0.25]])
    >>> bool((law.sample(5, random_state=0) > 0).all())
    True
    """

    __slots__ = ()

    def log_density(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``ln p(x)`` of every row; minus infinity where a value is not positive.

        Parameters
        ----------
        X : (n_samples, n_features)
            ``(n_samples,)`` is accepted where ``n_features`` is 1.

        Returns
        -------
        (n_samples,) array, float64
            Natural logarithm.

        Notes
        -----
        Normal log-density of ln x minus ``sum_j ln x_j``, the Jacobian.

        Examples
        --------
        >>> LogNormal(0.0, 1.0).log_density([[1.0], [-1.0]]).round(6)
        array([-0.918939,      -inf])
        """
        rows = as_rows(X, self.n_features, where="LogNormal.log_density")
        out = np.full(len(rows), -np.inf)
        # NaN is outside neither support: it stays NaN below
        inside = ~(rows <= 0).any(axis=1)
        logs = np.log(rows[inside].astype(np.float64, copy=False))
        out[inside] = self._gaussian_log_density(logs) - logs.sum(axis=1)
        return out

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """Return ``n`` independent rows, ``(n, n_features)``, all positive.

        Parameters
        ----------
        n : int
            At least 0.
        random_state : int, RandomState or None
            The same number gives the same rows.

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.

        Examples
        --------
        >>> LogNormal(0.0, 1.0).sample(2, random_state=0).shape
        (2, 1)
        """
        return np.exp(self._standard_rows(n, random_state))
