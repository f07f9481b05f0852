"""The nonparanormal law: X whose image under one increasing function a column is normal."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions.normal import GaussianFamily, as_rows
from isonomy.distributions.transforms import MarginalTransform
from isonomy.errors import FamilyError, InvalidInputError

__all__ = ["Nonparanormal"]


class Nonparanormal(GaussianFamily):
    """The law of X with T(X) Normal(mean, covariance), T one increasing spline a column.

    Parameters
    ----------
    mean, covariance : (d,), (d, d)
        Of T(X), not of X.
    transform : MarginalTransform
        T, of d columns.

    Raises
    ------
    FamilyError
        If ``transform`` has another number of columns.
    InvalidInputError
        If shapes disagree, a value is not finite, the covariance is not symmetric, or
        ``transform`` is no MarginalTransform.
    SingularCovarianceError
        If the covariance is not positive definite at ``rank_tolerance``.

    Notes
    -----
    A Gaussian copula with free marginals (Liu, Lafferty and Wasserman 2009). Between two
    such laws of ONE transform the divergence is that of their latent normals, because T
    is a bijection; between different transforms there is no closed form.

    Examples
    --------
    >>> transform = MarginalTransform.identity(1)
    >>> Nonparanormal(0.0, 1.0, transform).log_density([[0.0]]).round(6)
    array([-0.918939])
    """

    __slots__ = ("transform",)

    transform: MarginalTransform

    def __init__(
        self, mean: ArrayLike, covariance: ArrayLike, transform: MarginalTransform
    ) -> None:
        super().__init__(mean, covariance)
        if not isinstance(transform, MarginalTransform):
            raise InvalidInputError(
                "`transform` of `Nonparanormal` must be a MarginalTransform, got "
                f"{type(transform).__name__}."
            )
        if transform.n_features != self.n_features:
            raise FamilyError(
                f"`transform` of `Nonparanormal` must have {self.n_features} column(s) to match "
                f"`mean`, got {transform.n_features}."
            )
        object.__setattr__(self, "transform", transform)

    @classmethod
    def _trusted(
        cls,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        lower: NDArray[np.float64] | None = None,
        *,
        transform: MarginalTransform | None = None,
    ) -> Self:
        """Build from checked arrays; no transform is the identity."""
        law = super()._trusted(mean, covariance, lower)
        known = MarginalTransform.identity(len(mean)) if transform is None else transform
        object.__setattr__(law, "transform", known)
        return law

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mean, self.covariance, self.transform)

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        if same is True and isinstance(other, Nonparanormal):
            return self.transform == other.transform
        return same

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.transform))

    def _affine_image(self, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Self:
        moved = super()._affine_image(matrix, offset)
        object.__setattr__(moved, "transform", self.transform)
        return moved

    def _check_coordinates(self, other: GaussianFamily, *, where: str) -> None:
        if isinstance(other, Nonparanormal) and other.transform != self.transform:
            raise FamilyError(
                f"`{where}` needs two nonparanormal laws of one `transform`, got different ones: "
                "their divergence has no closed form. Build both on one transform."
            )

    def log_density(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``ln p(x)`` of every row, in the units of X.

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
        Normal log-density of T(x) plus ``sum_j ln T_j'(x_j)``, the Jacobian.

        Examples
        --------
        >>> from isonomy.distributions import MonotoneSpline
        >>> halved = MarginalTransform([MonotoneSpline.linear(0.5)])
        >>> Nonparanormal(0.0, 1.0, halved).log_density([[0.0]]).round(6)
        array([-1.612086])
        """
        rows = as_rows(X, self.n_features, where="Nonparanormal.log_density")
        latent = self.transform.forward(rows)
        return self._gaussian_log_density(latent) + self.transform.log_derivative(rows)

    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """Return ``n`` independent rows, ``(n, n_features)``.

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
        >>> law = Nonparanormal(0.0, 1.0, MarginalTransform.identity(1))
        >>> law.sample(2, random_state=0).shape
        (2, 1)
        """
        return self.transform.inverse(self._standard_rows(n, random_state))
