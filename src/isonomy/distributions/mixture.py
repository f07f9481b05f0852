"""Mixtures of normal laws, immutable, and their divergence by fixed quasi-Monte-Carlo points."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtri
from scipy.stats import qmc

from isonomy._validation import check_random_state
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._linalg import cholesky, invert_lower, symmetrize
from isonomy.distributions.normal import Normal, as_rows, check_n_rows, check_parameters
from isonomy.errors import InvalidInputError

__all__ = ["NormalMixture", "sobol_rows"]

Floats = NDArray[np.float64]

_LOG2_POINTS, _N_SCRAMBLES = 10, 8


class NormalMixture(Frozen):
    """The law of a normal variable whose component is drawn first.

    Parameters
    ----------
    weights : (m,)
        Above 0, summing to 1.
    means : (m, d)
        ``(m,)`` is read as d = 1.
    covariances : (m, d, d)
        Symmetric, positive definite; ``(m,)`` is read as d = 1.

    Attributes
    ----------
    weights, means, covariances : arrays
        Read-only copies.

    Raises
    ------
    InvalidInputError
        If shapes disagree, values are not finite, or weights are not a distribution.
    SingularCovarianceError
        If a covariance is not positive definite at ``rank_tolerance``.

    Notes
    -----
    No family is exact for it: its divergences have no closed form and are estimated.

    Examples
    --------
    >>> law = NormalMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])
    >>> law.n_components, law.mean.tolist(), law.covariance.tolist()
    (2, [0.0], [[2.0]])
    """

    __slots__ = ("_lowers", "covariances", "means", "weights")

    weights: Floats
    means: Floats
    covariances: Floats
    _lowers: Floats

    def __init__(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> None:
        w = np.array(weights, dtype=np.float64, ndmin=1)
        m = np.array(means, dtype=np.float64, ndmin=1)
        s = np.array(covariances, dtype=np.float64, ndmin=1)
        m = m[:, None] if m.ndim == 1 else m
        s = s[:, None, None] if s.ndim == 1 else s
        if w.ndim != 1 or m.ndim != 2 or s.shape != (*m.shape, m.shape[-1]) or len(w) != len(m):
            raise InvalidInputError(
                "`weights`, `means` and `covariances` of `NormalMixture` must have shapes (m,), "
                f"(m, d) and (m, d, d), got {w.shape}, {m.shape} and {s.shape}."
            )
        if not np.isfinite(w).all() or (w <= 0).any() or abs(w.sum() - 1.0) > 1e-6:
            raise InvalidInputError(
                "`weights` of `NormalMixture` must be above 0 and sum to 1, got "
                f"{w.tolist()}. Leave out components of weight 0."
            )
        parts = [check_parameters(*pair, kind="NormalMixture") for pair in zip(m, s, strict=True)]
        what = "A covariance of `NormalMixture`"
        lowers = np.stack([cholesky(cov, what=what) for _, cov in parts])
        self._set(w / w.sum(), m, np.stack([cov for _, cov in parts]), lowers)

    def _set(self, weights: Floats, means: Floats, covariances: Floats, lowers: Floats) -> None:
        arrays = {"weights": weights, "means": means, "covariances": covariances}
        for name, array in (arrays | {"_lowers": lowers}).items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.weights, self.means, self.covariances)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NormalMixture):
            return NotImplemented
        names = "weights", "means", "covariances"
        return all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)

    def __hash__(self) -> int:
        return hash((self.weights.tobytes(), self.means.tobytes(), self.covariances.tobytes()))

    def __repr__(self) -> str:
        return f"NormalMixture(n_components={self.n_components}, n_features={self.n_features})"

    @property
    def n_features(self) -> int:
        """Number of variables, d."""
        return int(self.means.shape[1])

    @property
    def n_components(self) -> int:
        """Number of components, m."""
        return len(self.weights)

    @property
    def mean(self) -> Floats:
        """The mean of the law, (d,)."""
        found: Floats = self.weights @ self.means
        return found

    @property
    def covariance(self) -> Floats:
        """The covariance of the law, (d, d): within components and between them."""
        centred = self.means - self.mean
        within = np.einsum("m,mij->ij", self.weights, self.covariances)
        found: Floats = within + (self.weights[:, None] * centred).T @ centred
        return found

    def moment_matched(self) -> Normal:
        """Return the normal law of the same mean and covariance."""
        return Normal(self.mean, self.covariance)

    def log_density(self, X: ArrayLike) -> Floats:
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

        Examples
        --------
        >>> NormalMixture([1.0], [0.0], [1.0]).log_density([[0.0]]).round(6)
        array([-0.918939])
        """
        rows = as_rows(X, self.n_features, where="NormalMixture.log_density")
        return self._log_density_and_score(np.asarray(rows, dtype=np.float64))[0]

    def _log_density_and_score(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return ln p (n,) and its gradient (n, d) at rows (n, d)."""
        d = self.n_features
        logs, pulls = np.empty((self.n_components, len(rows))), []
        for i, (weight, lower) in enumerate(zip(self.weights, self._lowers, strict=True)):
            inverse = invert_lower(lower)
            white = (rows - self.means[i]) @ inverse.T
            top = np.log(weight) - np.log(np.diagonal(lower)).sum() - 0.5 * d * np.log(2.0 * np.pi)
            logs[i] = top - 0.5 * np.einsum("ij,ij->i", white, white)
            pulls.append(-white @ inverse)
        total: Floats = logsumexp(logs, axis=0)
        share = np.exp(logs - total)
        return total, np.einsum("mn,mnd->nd", share, np.stack(pulls))

    def sample(self, n: int, random_state: Any = None) -> Floats:
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
        >>> NormalMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0]).sample(3, random_state=0).shape
        (3, 1)
        """
        check_n_rows(n, where="NormalMixture.sample")
        rng = check_random_state(random_state)
        codes = rng.choice(self.n_components, size=int(n), p=self.weights)
        noise = rng.standard_normal((int(n), self.n_features))
        rows: Floats = self.means[codes] + np.einsum("nij,nj->ni", self._lowers[codes], noise)
        return rows

    def kl_divergence(self, other: NormalMixture) -> float:
        """Return KL(self || other) in nats, estimated by fixed points.

        Parameters
        ----------
        other : NormalMixture
            Of the same number of features.

        Raises
        ------
        InvalidInputError
            If ``other`` is of another kind or number of features.

        Notes
        -----
        The mean of ln p - ln q over 8 scrambled Sobol sequences of 1,024 points for every
        component of p, whose weights are kept exactly. ``kl_with_error`` gives the standard
        error too.

        Examples
        --------
        >>> law = NormalMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])
        >>> law.kl_divergence(law)
        0.0
        """
        return self.kl_with_error(other)[0]

    def kl_with_error(self, other: NormalMixture) -> tuple[float, float]:
        """Return the estimate of :meth:`kl_divergence` and its standard error.

        Parameters
        ----------
        other : NormalMixture
            Of the same number of features.

        Returns
        -------
        value, error : float
            The value is at least 0.

        Raises
        ------
        InvalidInputError
            If ``other`` is of another kind or number of features.

        Examples
        --------
        >>> law = NormalMixture([1.0], [0.0], [1.0])
        >>> value, error = law.kl_with_error(NormalMixture([1.0], [1.0], [1.0]))
        >>> abs(value - 0.5) < 5 * error + 1e-9
        True
        """
        if not isinstance(other, NormalMixture) or other.n_features != self.n_features:
            raise InvalidInputError(
                "`other` of `NormalMixture.kl_divergence` must be a NormalMixture of "
                f"{self.n_features} features, got {other!r}."
            )
        rows, weight = sobol_rows(self, _LOG2_POINTS, _N_SCRAMBLES)
        each = np.empty(_N_SCRAMBLES)
        for s, part in enumerate(rows):
            each[s] = weight @ (self.log_density(part) - other.log_density(part))
        error = float(each.std(ddof=1) / np.sqrt(_N_SCRAMBLES))
        return max(0.0, float(each.mean())), error

    def _affine_image(self, matrix: Floats, offset: Floats) -> Self:
        moved = matrix @ self._lowers
        covs = symmetrize(moved @ np.swapaxes(moved, 1, 2))
        return type(self)(self.weights, self.means @ matrix.T + offset, covs)


def sobol_rows(
    law: NormalMixture, log2_points: int, n_scrambles: int, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return rows (n_scrambles, m 2^log2_points, d) of the law and their weights, equal in each.

    Every component has the same Sobol points; components keep their exact weights.
    """
    n, (m, d) = 1 << log2_points, law.means.shape
    rows = np.empty((n_scrambles, m * n, d))
    for s in range(n_scrambles):
        unit = qmc.Sobol(d, seed=seed + s).random_base2(log2_points)
        noise = ndtri(np.clip(unit, 1e-16, 1.0 - 1e-16))
        rows[s] = (noise @ np.swapaxes(law._lowers, 1, 2) + law.means[:, None]).reshape(-1, d)
    return rows, np.repeat(law.weights / n, n)
