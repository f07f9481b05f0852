"""The multivariate Student-t law, immutable, and its divergences."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from isonomy._validation import check_random_state
from isonomy.distributions._linalg import log_determinant, solve_cholesky
from isonomy.distributions._student_divergence import log_constant, white_divergence
from isonomy.distributions._student_fit import check_df, fit_student
from isonomy.distributions.lognormal import LogNormal
from isonomy.distributions.normal import GaussianFamily, Normal, as_rows, check_n_rows
from isonomy.errors import FamilyError, InvalidInputError

__all__ = ["StudentT", "fit_student", "student_kl"]


class StudentT(GaussianFamily):
    """The multivariate Student-t law with a location, a scale matrix and degrees of freedom.

    Parameters
    ----------
    location : (d,)
        A number is read as d = 1.
    scale : (d, d)
        Symmetric, positive definite: NOT the covariance, which is df/(df - 2) times as large
        and infinite for df <= 2.
    df : float
        Degrees of freedom, finite and above 0.

    Attributes
    ----------
    mean : (d,) array
        The location. It is the mean only for df > 1: below, no mean exists.
    covariance : (d, d) array
        The scale matrix. The covariance of the law is ``variance``.
    df : float

    Raises
    ------
    InvalidInputError
        If shapes disagree, a value is not finite, the scale is not symmetric, or ``df`` is
        not a finite number above 0.
    SingularCovarianceError
        If the scale is not positive definite at ``rank_tolerance``.

    Notes
    -----
    The law of ``location + L z / sqrt(g)`` with LL' = scale, z standard normal and g an
    independent Gamma variable of mean 1 and shape df/2: the coordinates share g, and are
    dependent even where the scale is diagonal. Affine images are Student-t laws of the same
    df. As df grows it becomes Normal(location, scale).

    Examples
    --------
    >>> law = StudentT([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], df=4)
    >>> law.variance.tolist()
    [[4.0, 1.0], [1.0, 2.0]]
    >>> law.sample(3, random_state=0).shape
    (3, 2)
    """

    __slots__ = ("df",)

    df: float

    def __init__(self, location: ArrayLike, scale: ArrayLike, df: float) -> None:
        super().__init__(location, scale)
        object.__setattr__(self, "df", check_df(df, where="StudentT"))

    @classmethod
    def _trusted(
        cls,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        lower: NDArray[np.float64] | None = None,
        *,
        df: float = 1.0,
    ) -> Self:
        """Build from checked arrays."""
        law = super()._trusted(mean, covariance, lower)
        object.__setattr__(law, "df", df)
        return law

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mean, self.covariance, self.df)

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        return self.df == other.df if same is True and isinstance(other, StudentT) else same

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.df))

    def __repr__(self) -> str:
        if self.n_features > 4:
            return f"StudentT(n_features={self.n_features}, df={self.df:g})"
        place = f"location={self.mean.tolist()}, scale={self.covariance.tolist()}"
        return f"StudentT({place}, df={self.df:g})"

    def _affine_image(self, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Self:
        moved = super()._affine_image(matrix, offset)
        object.__setattr__(moved, "df", self.df)
        return moved

    @property
    def variance(self) -> NDArray[np.float64]:
        """The covariance ``df / (df - 2) scale``; for df <= 2 infinite, NaN off the diagonal."""
        if self.df > 2.0:
            found: NDArray[np.float64] = self.df / (self.df - 2.0) * self.covariance
            return found
        return np.where(np.eye(self.n_features, dtype=bool), np.inf, np.nan)

    def log_density(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``ln p(x)`` of every row.

        Parameters
        ----------
        X : (n_samples, n_features)
            ``(n_samples,)`` is accepted where ``n_features`` is 1.

        Returns
        -------
        (n_samples,) array, float64
            Natural logarithm.

        Raises
        ------
        InvalidInputError
            If ``X`` has another shape or does not hold real numbers.

        Notes
        -----
        With Q the squared distance from the location in the scale matrix S::

            ln p = ln Gamma((df + d)/2) - ln Gamma(df/2) - d/2 ln(df pi) - 1/2 ln det S
                   - (df + d)/2 ln(1 + Q/df)

        Examples
        --------
        >>> StudentT(0.0, 1.0, df=1).log_density([[0.0]]).round(6)
        array([-1.14473])
        """
        d = self.n_features
        rows = np.asarray(as_rows(X, d, where="StudentT.log_density"), dtype=np.float64)
        white = solve_cholesky(self._lower, (rows - self.mean).T)
        tails = np.log1p(np.einsum("ij,ij->j", white, white) / self.df)
        top = log_constant(self.df, d) - 0.5 * log_determinant(self._lower)
        found: NDArray[np.float64] = top - 0.5 * (self.df + d) * tails
        return found

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
        >>> StudentT(0.0, 1.0, df=3).sample(2, random_state=0).shape
        (2, 1)
        """
        check_n_rows(n, where="StudentT.sample")
        rng = check_random_state(random_state)
        noise = rng.standard_normal((int(n), self.n_features))
        noise *= np.sqrt(self.df / rng.chisquare(self.df, size=int(n)))[:, None]
        rows: NDArray[np.float64] = noise @ self._lower.T + self.mean
        return rows

    def kl_divergence(self, other: GaussianFamily) -> float:
        """Return KL(self || other) in nats, as :func:`student_kl` does.

        Parameters
        ----------
        other : StudentT, Normal or LogNormal
            Of the same number of features.

        Raises
        ------
        FamilyError
            If ``other`` is of a kind without a known divergence.
        InvalidInputError
            If the numbers of features differ.

        Notes
        -----
        Infinite against a Normal where df <= 2, and against a LogNormal always: it has no
        mass at or below 0.

        Examples
        --------
        >>> StudentT(0.0, 1.0, df=2).kl_divergence(Normal(0.0, 1.0))
        inf
        """
        return student_kl(self, other)


def student_kl(p: GaussianFamily, q: GaussianFamily) -> float:
    """Return KL(p || q) in nats where at least one of the laws is Student-t.

    Parameters
    ----------
    p, q : StudentT or Normal; q also LogNormal
        Laws of the same ``n_features`` variables.

    Returns
    -------
    float
        At least 0; ``inf`` for p of df <= 2 against a Normal, and against a LogNormal.

    Raises
    ------
    FamilyError
        For other kinds.
    InvalidInputError
        If the numbers of features differ.

    Notes
    -----
    Between Student-t laws: a quadrature over one variable in which the entropies' parts are
    closed, of relative accuracy about 1e-12 (degrees of freedom that differ: and absolute
    1e-13); it tends to the normal laws' divergence as both df grow. Against a Normal::

        KL = E ln p + 1/2 [d ln 2 pi + ln det S_q + df/(df - 2) tr(S_q^-1 S_p) + Q]

    with Q the squared distance of the locations in S_q.

    Examples
    --------
    >>> round(student_kl(StudentT(0.0, 1.0, df=3), StudentT(1.0, 1.0, df=3)), 6)
    0.313932
    """
    if not (isinstance(p, StudentT | Normal) and isinstance(q, StudentT | Normal | LogNormal)):
        raise FamilyError(
            "The divergence between these laws is not known: give Student-t or normal laws, got "
            f"{type(p).__name__} and {type(q).__name__}. Fit both with the same `family`."
        )
    if p.n_features != q.n_features:
        raise InvalidInputError(
            "`other` of `StudentT.kl_divergence` must have the same number of features "
            f"({p.n_features}), got {q.n_features}."
        )
    if isinstance(q, LogNormal):
        return float("inf")
    root = solve_cholesky(q._lower, p._lower)
    shift = solve_cholesky(q._lower, p.mean - q.mean)
    if isinstance(q, StudentT):
        df = p.df if isinstance(p, StudentT) else np.inf
        found = white_divergence(root[None], shift[None], np.array([df]), np.array([q.df]))
        return max(0.0, float(found.values[0]))
    if not isinstance(p, StudentT):
        return GaussianFamily.kl_divergence(p, q)
    return _against_normal(root, shift, p.df)


def _against_normal(root: NDArray[np.float64], shift: NDArray[np.float64], df: float) -> float:
    if df <= 2.0:
        return float("inf")
    d = len(shift)
    entropy = 0.5 * (df + d) * float(digamma(0.5 * (df + d)) - digamma(0.5 * df))
    spread = df / (df - 2.0) * float((root**2).sum()) + float(shift @ shift)
    log_ratio = float(np.log(np.abs(np.diagonal(root))).sum())
    gauss = log_constant(df, d) - entropy + 0.5 * d * np.log(2.0 * np.pi)
    return float(gauss - log_ratio + 0.5 * spread)
