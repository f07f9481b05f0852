"""The pooled within-class covariance made safe to invert, and coordinates in which it is I."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from isonomy.distributions._linalg import cholesky, constant_columns
from isonomy.distributions.shrinkage import Shrinkage, shrink

__all__ = ["Whitening", "regularised", "whitening_of"]

Floats = NDArray[np.float64]

_FLOOR = 1e-4
"""Least share of a column's variance that is taken to lie within classes: what never varies
within the classes of a small draw would otherwise be read with unbounded weight."""


@dataclass(frozen=True)
class Whitening:
    """Coordinates z = L^-1 x[live] in which the within-class covariance L L' is the identity.

    Attributes
    ----------
    live : (d,) bool
        Columns that vary at all; the others are never read.
    lower : (p, p)
        L, the Cholesky factor over the p live columns.
    """

    live: NDArray[np.bool_]
    lower: Floats

    def apply(self, X: Floats) -> Floats:
        """Return rows (n, d) in whitened coordinates (n, p)."""
        found: Floats = solve_triangular(self.lower, X[:, self.live].T, lower=True)
        return found.T

    def functional(self, v: Floats) -> Floats:
        """Return the rows a (m, d) with ``a @ x == v @ z`` for all x: a = L^-T v."""
        out = np.zeros((len(v), len(self.live)))
        out[:, self.live] = solve_triangular(self.lower, v.T, lower=True, trans="T").T
        return out


def whitening_of(
    within: Floats, between: Floats, mean: Floats, n: float, shrinkage: Shrinkage
) -> Whitening:
    """Return the coordinates that whiten the shrunk within-class covariance.

    Parameters
    ----------
    within : (d, d)
        Pooled within-class covariance.
    between : (d,)
        Variance of the class means, column by column.
    mean : (d,)
    n : float
        Degrees of freedom behind ``within``: rows less classes.
    shrinkage : "oas", a number in [0, 1], or None

    Raises
    ------
    SingularCovarianceError
        If the covariance is singular and nothing shrinks it.
    """
    total = np.diagonal(within) + between
    live = ~constant_columns(total, mean)
    part = regularised(within[np.ix_(live, live)], total[live], n, shrinkage)
    lower = cholesky(part, what="The within-class covariance of the draw") if live.any() else part
    return Whitening(live, lower)


def regularised(within: Floats, total: Floats, n: float, shrinkage: Shrinkage) -> Floats:
    """Return the within-class covariance, its diagonal at least ``_FLOOR`` of ``total``, shrunk.

    Where no class has two rows (``n`` below 1) it is unknown, and diag(total) stands for it.
    """
    if n < 1:
        return np.diag(total)
    lack = np.maximum(_FLOOR * total - np.diagonal(within), 0.0)
    return shrink(within + np.diag(lack), n, shrinkage)
