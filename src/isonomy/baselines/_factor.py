"""A square root of a covariance that may be singular, and division by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular

from isonomy.distributions._linalg import cholesky, correlation, rank_tolerance
from isonomy.errors import SingularCovarianceError

__all__ = ["Factor"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Factor:
    """L (d, r) with ``L L' = S`` and r the rank of S in correlation units.

    ``left_inverse`` is None where S has full rank: then L is lower triangular and
    division is a triangular solve.
    """

    root: Floats
    left_inverse: Floats | None

    @classmethod
    def of(cls, covariance: Floats) -> Self:
        """Factor a symmetric positive semi-definite matrix."""
        try:
            return cls(cholesky(covariance, what="covariance"), None)
        except SingularCovarianceError:
            scaled, scale = correlation(covariance)
        values, vectors = eigh(scaled)
        kept = values > rank_tolerance(values)
        sizes, vectors = np.sqrt(values[kept]), vectors[:, kept]
        return cls(scale[:, None] * vectors * sizes, (vectors / sizes / scale[:, None]).T)

    def divide(self, columns: Floats) -> Floats:
        """Return ``L^-1 columns``; columns outside the range of S are projected first."""
        if self.left_inverse is not None:
            return np.asarray(self.left_inverse @ columns)
        return np.asarray(solve_triangular(self.root, columns, lower=True, check_finite=False))

    def divide_transposed(self, columns: Floats) -> Floats:
        """Return ``L^-T columns``."""
        if self.left_inverse is not None:
            return np.asarray(self.left_inverse.T @ columns)
        return np.asarray(
            solve_triangular(self.root, columns, lower=True, trans="T", check_finite=False)
        )
