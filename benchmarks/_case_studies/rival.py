"""A general optimiser on the affirmative programme: L-BFGS from many starts, nothing known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution

__all__ = ["Affirmative", "descend"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affirmative:
    """Sum of q_y KL(V # N(mu_y, S_y) + b || N(m_y, T_y)) over V and b, with its gradient.

    The source cells (mu, S) are the reference's, the targets (m, T) the moving group's.
    """

    weights: Floats
    source_means: Floats
    source_covs: Floats
    target_means: Floats
    precisions: Floats
    constant: float

    @classmethod
    def of(cls, law: JointDistribution, solution: IdealSolution) -> Affirmative:
        """Return the programme that ``solution`` solves: one mover, information direction."""
        r, a = law.groups.index(solution.reference), law.groups.index(solution.moves[0])
        q = np.asarray(solution.distribution.prior)[:, a]
        own, target = np.asarray(law.covariances)[:, r], np.asarray(law.covariances)[:, a]
        logs = np.linalg.slogdet(target)[1] - np.linalg.slogdet(own)[1] - law.n_features
        means = np.asarray(law.means)
        return cls(q, means[:, r], own, means[:, a], np.linalg.inv(target), float(0.5 * q @ logs))

    def __call__(self, x: Floats) -> tuple[float, Floats]:
        """Return value and gradient at V and b, flat."""
        d = self.source_means.shape[1]
        V, b = x[: d * d].reshape(d, d), x[d * d :]
        sign, log_det = np.linalg.slogdet(V)
        if sign == 0:
            return np.inf, np.zeros_like(x)
        value = self.constant - self.weights.sum() * log_det
        by_matrix, by_offset = -self.weights.sum() * np.linalg.inv(V).T, np.zeros(d)
        for q, mu, S, m, P in zip(
            self.weights,
            self.source_means,
            self.source_covs,
            self.target_means,
            self.precisions,
            strict=True,
        ):
            spread, miss = P @ V @ S, V @ mu + b - m
            pull = P @ miss
            value += 0.5 * q * (float((V * spread).sum()) + float(miss @ pull))
            by_matrix += q * (spread + np.outer(pull, mu))
            by_offset += q * pull
        return float(value), np.concatenate([by_matrix.ravel(), by_offset])


def descend(programme: Affirmative, n_starts: int, seed: int) -> tuple[float, float]:
    """Return the least value found, and that of the first start alone, the identity.

    Every other start is random, half of them with a reflection.
    """
    rng = np.random.default_rng(seed)
    d = programme.source_means.shape[1]
    found = []
    for start in range(n_starts):
        turn = np.eye(d) if start == 0 else rng.standard_normal((d, d))
        if start % 2:
            turn[0] *= -np.sign(np.linalg.det(turn))
        x = np.concatenate([turn.ravel(), np.zeros(d)])
        options = {"maxiter": 2_000, "maxfun": 4_000, "ftol": 1e-13, "gtol": 1e-8}
        run = minimize(programme, x, jac=True, method="L-BFGS-B", options=options)
        found.append(float(run.fun))
    return min(found), found[0]
