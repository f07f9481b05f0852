"""Laws between a fitted and an ideal one: proportional to p^(1-s) p~^s, P(A) kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from isonomy.distributions import JointDistribution
from isonomy.distributions._linalg import symmetrize
from isonomy.ideal._cells import Array

__all__ = ["Geodesic"]


@dataclass(frozen=True, eq=False)
class Geodesic:
    """The laws E_s on the way from ``start`` (D) to ``goal`` (I), normal cells.

    Notes
    -----
    E_s minimises ``(1 - s) KL(E || D) + s KL(E || I)`` among all laws of the same P(A=a)
    (docs/theory.md 16.1, applied to (label, row) given the group). Cells have precisions
    ``(1-s) S^-1 + s S~^-1`` and precision times mean interpolated alike; labels have
    ``P_s(y | a)`` proportional to ``q(y | a)^(1-s) q~(y | a)^s Z_ya``, Z_ya the integral of
    ``p^(1-s) p~^s`` over the cell.
    """

    start: JointDistribution
    goal: JointDistribution
    precisions: tuple[Array, Array]
    log_determinants: tuple[Array, Array]

    @classmethod
    def between(cls, start: JointDistribution, goal: JointDistribution) -> Geodesic:
        """Return the way from ``start`` to ``goal``, whose cells are of one family and shape."""
        covs = [np.asarray(joint.covariances) for joint in (start, goal)]
        inverses = [np.asarray(np.linalg.inv(c), dtype=np.float64) for c in covs]
        logs = [np.asarray(np.linalg.slogdet(c)[1], dtype=np.float64) for c in covs]
        return cls(start, goal, (inverses[0], inverses[1]), (logs[0], logs[1]))

    def at(self, s: float) -> JointDistribution:
        """Return E_s."""
        if s <= 0.0:
            return self.start
        means, inverses = (self.start.means, self.goal.means), self.precisions
        precision = (1.0 - s) * inverses[0] + s * inverses[1]
        covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        lean = (1.0 - s) * inverses[0] @ np.asarray(means[0])[..., None]
        lean = lean + s * inverses[1] @ np.asarray(means[1])[..., None]
        middle = (covariance @ lean)[..., 0]
        prior = self._prior(s, covariance, middle)
        start = self.start
        tied = start.is_tied and self.goal.is_tied
        return JointDistribution.from_arrays(
            middle,
            symmetrize(covariance[0] if tied else covariance),
            prior,
            start.classes,
            start.groups,
            start.family,
            start.shape,
        )

    def _prior(self, s: float, covariance: Array, middle: Array) -> Array:
        shares = [np.asarray(joint.prior) for joint in (self.start, self.goal)]
        group = shares[0].sum(axis=0)
        logs = (1.0 - s) * np.log(shares[0]) + s * np.log(shares[1])
        logs = logs + self._log_integral(s, covariance, middle)
        weights = np.exp(logs - logs.max(axis=0))
        prior: Array = weights / weights.sum(axis=0) * group
        return prior

    def _log_integral(self, s: float, covariance: Array, middle: Array) -> Array:
        """Return ln of the integral of p^(1-s) p~^s over every cell, (K, G).

        ``1/2 [ln det S_s - (1-s) ln det S - s ln det S~ - (1-s) r' S^-1 r - s r~' S~^-1 r~]``
        with r, r~ the distances of the two means from the new one.
        """
        found = np.linalg.slogdet(covariance)[1]
        ends = zip(
            (1.0 - s, s),
            (self.start, self.goal),
            self.precisions,
            self.log_determinants,
            strict=True,
        )
        for share, joint, precision, log_determinant in ends:
            far = np.asarray(joint.means) - middle
            found = found - share * log_determinant
            found = found - share * np.einsum("yai,yaij,yaj->ya", far, precision, far)
        half: Array = 0.5 * found
        return half

    def within(self, budget: float) -> tuple[float, JointDistribution]:
        """Return the largest s, and E_s, with ``KL(E_s || D)`` at most ``budget``.

        The divergence rises with s (docs/theory.md 16.2).
        """
        price = self._price()
        if price(1.0) <= budget:
            end = self.at(1.0)
            if end.kl_divergence(self.start) <= budget:
                return 1.0, end
        if budget <= 0.0:
            return 0.0, self.start
        s = 1.0
        if price(1.0) > budget:
            s = float(brentq(lambda s: price(s) - budget, 0.0, 1.0, xtol=1e-12, rtol=1e-12))
        # the root may lie a rounding above the budget: a hair before it does not
        for hair in np.geomspace(1e-13, 1e-6, 22):
            law = self.at(s)
            if law.kl_divergence(self.start) <= budget:
                return s, law
            s *= 1.0 - hair
        return 0.0, self.start

    def _price(self) -> Callable[[float], float]:
        """Return ``KL(E_s || D)`` as a function of s, at O(K G d) a value.

        In coordinates of a cell in which D is N(0, I) and I is N(m, 1/g), E_s has the precision
        ``p = 1 - s + s g`` and the mean ``s g m / p``.
        """
        tied = self.start.is_tied and self.goal.is_tied
        covariances = np.asarray(self.start.covariances)[: 1 if tied else None]
        lower = np.linalg.cholesky(covariances)
        inner = np.swapaxes(lower, -1, -2) @ self.precisions[1][: len(lower)] @ lower
        g, axes = np.linalg.eigh(symmetrize(inner))
        far = (np.asarray(self.goal.means) - np.asarray(self.start.means))[..., None]
        m = (np.swapaxes(axes, -1, -2) @ np.linalg.solve(lower, far))[..., 0]
        shares = [np.asarray(joint.prior) for joint in (self.start, self.goal)]
        logs = [np.log(share / share.sum(axis=0)) for share in shares]
        group = shares[0].sum(axis=0)
        sizes = np.log(g).sum(axis=-1)

        def price(s: float) -> float:
            p = 1.0 - s + s * g
            log_p = np.log(p).sum(axis=-1)
            lean = s * g * m / p
            overlap = 0.5 * (s * sizes - log_p - (1.0 - s) * (lean * m).sum(axis=-1))
            raw = (1.0 - s) * logs[0] + s * logs[1] + overlap
            label = raw - logsumexp(raw, axis=0)
            cell = 0.5 * ((1.0 / p - 1.0).sum(axis=-1) + log_p + (lean**2).sum(axis=-1))
            return float((group * np.exp(label) * (label - logs[0] + cell)).sum())

        return price
