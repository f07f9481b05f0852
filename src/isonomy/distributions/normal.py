"""The multivariate normal law, immutable, and the divergence between two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_random_state
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._linalg import cholesky, log_determinant, solve_cholesky, symmetrize
from isonomy.errors import FamilyError, InvalidInputError

__all__ = ["GaussianFamily", "Normal", "kl_divergence"]

_BLOCK_VALUES = 1 << 20
"""Rows are worked on in blocks of about this many numbers (8 MiB of float64)."""


class GaussianFamily(Frozen, ABC):
    """What a normal law and its image under a coordinate-wise bijection share.

    ``mean`` (d,) and ``covariance`` (d, d) are read-only arrays.
    """

    __slots__ = ("_lower", "covariance", "mean")

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    _lower: NDArray[np.float64]

    def __init__(self, mean: ArrayLike, covariance: ArrayLike) -> None:
        kind = type(self).__name__
        self._set(*check_parameters(mean, covariance, kind=kind))

    def _set(
        self,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        lower: NDArray[np.float64] | None = None,
    ) -> None:
        if lower is None:
            lower = cholesky(covariance, what=f"`covariance` of `{type(self).__name__}`")
        for name, array in (("mean", mean), ("covariance", covariance), ("_lower", lower)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def _trusted(
        cls,
        mean: NDArray[np.float64],
        covariance: NDArray[np.float64],
        lower: NDArray[np.float64] | None = None,
    ) -> Self:
        """Build from checked arrays, whose factor may be known already."""
        law = object.__new__(cls)
        law._set(mean, covariance, lower)
        return law

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mean, self.covariance)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, GaussianFamily):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(
            self.covariance, other.covariance
        )

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.mean.tobytes(), self.covariance.tobytes()))

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.n_features > 4:
            return f"{kind}(n_features={self.n_features})"
        return f"{kind}(mean={self.mean.tolist()}, covariance={self.covariance.tolist()})"

    @property
    def n_features(self) -> int:
        """Number of variables, d."""
        return len(self.mean)

    @abstractmethod
    def log_density(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``ln p(x)`` of every row, ``(n_samples,)``."""

    @abstractmethod
    def sample(self, n: int, random_state: Any = None) -> NDArray[np.float64]:
        """Return ``n`` independent rows, ``(n, n_features)``."""

    def _standard_rows(self, n: int, random_state: Any) -> NDArray[np.float64]:
        check_n_rows(n, where=f"{type(self).__name__}.sample")
        draws = check_random_state(random_state).standard_normal((int(n), self.n_features))
        rows: NDArray[np.float64] = draws @ self._lower.T + self.mean
        return rows

    def _gaussian_log_density(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the log-density of the underlying normal at ``rows`` (n, d)."""
        d = self.n_features
        constant = -0.5 * (d * np.log(2.0 * np.pi) + log_determinant(self._lower))
        out = np.empty(len(rows))
        step = max(1, _BLOCK_VALUES // d)
        for start in range(0, len(rows), step):
            centred = np.asarray(rows[start : start + step], dtype=np.float64) - self.mean
            white = solve_cholesky(self._lower, centred.T)
            out[start : start + step] = constant - 0.5 * np.einsum("ij,ij->j", white, white)
        return out

    def _affine_image(self, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Self:
        moved = matrix @ self._lower
        return self._trusted(matrix @ self.mean + offset, symmetrize(moved @ moved.T))

    def _check_coordinates(self, other: GaussianFamily, *, where: str) -> None:
        """Raise unless ``other``, of the same kind, has the same latent coordinates."""

    def kl_divergence(self, other: GaussianFamily) -> float:
        """Return KL(self || other) in nats, as :func:`kl_divergence` does.

        Parameters
        ----------
        other : Normal or LogNormal
            Of the same kind and number of features.

        Examples
        --------
        >>> from isonomy.distributions import LogNormal
        >>> LogNormal(0.0, 1.0).kl_divergence(LogNormal(2.0, 1.0))
        2.0
        """
        return kl_divergence(self, other)


class Normal(GaussianFamily):
    """The multivariate normal law with the given mean and covariance.

    Parameters
    ----------
    mean : (d,)
        A number is read as d = 1.
    covariance : (d, d)
        Symmetric, positive definite; a number is read as d = 1.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a value is not finite, or the covariance is not symmetric.
    SingularCovarianceError
        If the covariance is not positive definite at ``rank_tolerance``.

    Notes
    -----
    Immutable: the arrays are read-only copies.

    Examples
    --------
    >>> law = Normal([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]])
    >>> law.n_features
    2
    >>> law.sample(3, random_state=0).shape
    (3, 2)
    """

    __slots__ = ()

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

        Examples
        --------
        >>> Normal(0.0, 1.0).log_density([[0.0]]).round(6)
        array([-0.918939])
        """
        return self._gaussian_log_density(as_rows(X, self.n_features, where="Normal.log_density"))

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
        >>> Normal(0.0, 1.0).sample(2, random_state=0).shape
        (2, 1)
        """
        return self._standard_rows(n, random_state)


def kl_divergence(p: GaussianFamily, q: GaussianFamily) -> float:
    """Return the Kullback-Leibler divergence KL(p || q), in nats.

    Parameters
    ----------
    p, q : Normal or LogNormal, both of one kind, or StudentT
        Laws of the same ``n_features`` variables; a StudentT may stand beside a Normal.

    Returns
    -------
    float
        At least 0, and 0 only if ``p`` equals ``q``.

    Raises
    ------
    FamilyError
        If one is normal and the other log-normal.
    InvalidInputError
        If their numbers of features differ.

    Notes
    -----
    With means m_p, m_q, covariances S_p, S_q and d = n_features::

        KL(p || q) = 1/2 [ tr(S_q^-1 S_p) + (m_q - m_p)' S_q^-1 (m_q - m_p)
                           - d + ln(det S_q / det S_p) ]

    Unchanged when one invertible affine map is applied to both. Of two log-normal laws
    it is the divergence of their logarithms: the logarithm is a bijection.

    Examples
    --------
    >>> kl_divergence(Normal([0.0], [[1.0]]), Normal([1.0], [[1.0]]))
    0.5
    """
    if "StudentT" in (type(p).__name__, type(q).__name__):
        # imported here: that law is built on this module
        from isonomy.distributions.student_t import student_kl

        return student_kl(p, q)
    check_same_kind(p, q, where="kl_divergence")
    return gaussian_kl(p.mean, p._lower, q.mean, q._lower)


def gaussian_kl(
    mean_p: NDArray[np.float64],
    lower_p: NDArray[np.float64],
    mean_q: NDArray[np.float64],
    lower_q: NDArray[np.float64],
) -> float:
    """Return KL(p || q) from means and lower Cholesky factors."""
    ratio = solve_cholesky(lower_q, lower_p)
    shift = solve_cholesky(lower_q, mean_q - mean_p)
    # per coordinate r^2 - 1 - ln r^2 >= 0 of the diagonal: no cancellation when p is near q
    log_diagonal = np.log(np.diagonal(lower_p)) - np.log(np.diagonal(lower_q))
    diagonal = np.expm1(2.0 * log_diagonal) - 2.0 * log_diagonal
    off_diagonal = float((np.tril(ratio, -1) ** 2).sum())
    return 0.5 * (float(diagonal.sum()) + off_diagonal + float(shift @ shift))


def check_same_kind(p: Any, q: Any, *, where: str) -> None:
    """Raise unless both are of one family and dimension."""
    for name, law in (("p", p), ("q", q)):
        if not isinstance(law, GaussianFamily):
            raise InvalidInputError(
                f"`{name}` of `{where}` must be a Normal or a LogNormal, got {type(law).__name__}."
            )
    if type(p) is not type(q):
        raise FamilyError(
            f"`{where}` needs two laws of one kind, got {type(p).__name__} and "
            f"{type(q).__name__}. Fit both with the same `family`."
        )
    if p.n_features != q.n_features:
        raise InvalidInputError(
            f"`{where}` needs laws of the same number of features, got {p.n_features} and "
            f"{q.n_features}."
        )
    p._check_coordinates(q, where=where)


def check_n_rows(n: Any, *, where: str) -> None:
    """Raise unless ``n`` is a whole number of rows to draw, at least 0."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise InvalidInputError(
            f"`n` of `{where}` must be a whole number of rows, at least 0, got {n!r}."
        )


def as_rows(X: ArrayLike, n_features: int, *, where: str) -> NDArray[Any]:
    """Return ``X`` as rows ``(n, n_features)``; one-dimensional where n_features is 1."""
    rows = np.asarray(X)
    if rows.ndim == 1 and n_features == 1:
        rows = rows[:, None]
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have shape (n_samples, {n_features}), got {rows.shape}."
        )
    if rows.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"`X` passed to `{where}` must hold real numbers, got dtype {rows.dtype}."
        )
    return rows


def check_parameters(
    mean: ArrayLike, covariance: ArrayLike, *, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return copies ``(d,)`` and ``(d, d)``, finite and symmetric."""
    m = np.array(mean, dtype=np.float64, ndmin=1)
    s = np.array(covariance, dtype=np.float64, ndmin=2)
    if m.ndim != 1 or len(m) == 0:
        raise InvalidInputError(
            f"`mean` of `{kind}` must have shape (d,) with d at least 1, got {m.shape}."
        )
    if s.shape != (len(m), len(m)):
        raise InvalidInputError(
            f"`covariance` of `{kind}` must have shape ({len(m)}, {len(m)}) to match `mean`, "
            f"got {s.shape}. For independent columns pass `np.diag(variances)`."
        )
    if not (np.isfinite(m).all() and np.isfinite(s).all()):
        raise InvalidInputError(
            f"`mean` and `covariance` of `{kind}` must be finite, got NaN or infinity."
        )
    check_symmetric(s, what=f"`covariance` of `{kind}`")
    return m, symmetrize(s)


def check_symmetric(matrix: NDArray[np.float64], *, what: str) -> None:
    """Raise unless entries (i, j) and (j, i) agree, relative to the two variances."""
    scale = np.sqrt(np.abs(np.diagonal(matrix)))
    bound = np.sqrt(np.finfo(np.float64).eps) * np.outer(scale, scale)
    difference = np.abs(matrix - matrix.T)
    if (difference > bound).any():
        i, j = np.unravel_index(int(np.argmax(difference - bound)), matrix.shape)
        raise InvalidInputError(
            f"{what} must be symmetric, got {matrix[i, j]:.6g} at ({i}, {j}) and "
            f"{matrix[j, i]:.6g} at ({j}, {i}). Pass `(S + S.T) / 2`."
        )
