"""The programme of `nearest_ideal`, handed to SciPy's BFGS from many starts.

Ideal cells are images ``V_a # N(c_y, S)`` of common cells; the sum of weights times
KL(ideal cell || fitted cell) is minimised over the maps, and over the common means (with
S = I) where all groups move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution

__all__ = ["Programme", "best_of_starts", "random_joint"]


def random_joint(n_classes: int, n_groups: int, d: int, seed: int) -> JointDistribution:
    """Return tied normal cells at random."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n_groups, d, 2 * d))
    covariances = factors @ np.swapaxes(factors, 1, 2) / (2 * d)
    base = rng.standard_normal((n_classes, 1, d))
    means = 1.5 * base + 0.7 * rng.standard_normal((n_classes, n_groups, d))
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    return JointDistribution.from_arrays(
        means, covariances, prior, range(n_classes), range(n_groups)
    )


@dataclass(frozen=True)
class Programme:
    """Objective and gradient in a flat vector: maps of the movers, then common means.

    ``source`` holds means (K, d) and covariance of the reference where it stays, else None.
    """

    joint: JointDistribution
    weights: np.ndarray
    movers: tuple[int, ...]
    source: tuple[np.ndarray, np.ndarray] | None
    precisions: np.ndarray

    @classmethod
    def of(cls, joint: JointDistribution, solution: IdealSolution) -> Programme:
        """Return the programme that ``solution`` (information direction) solves."""
        movers = tuple(joint.groups.index(g) for g in solution.moves)
        r = joint.groups.index(solution.reference)
        stays = (joint.means[:, r], joint.covariances[0, r]) if r not in movers else None
        precisions = np.linalg.inv(joint.covariances[0])
        return cls(joint, solution.distribution.prior, movers, stays, precisions)

    @property
    def prior_kl(self) -> float:
        """What the priors cost."""
        return float((self.weights * np.log(self.weights / self.joint.prior)).sum())

    @property
    def n_parameters(self) -> int:
        """Entries of all maps, and of the common means where they are free."""
        k, _, d = self.joint.means.shape
        return len(self.movers) * d * (d + 1) + (k * d if self.source is None else 0)

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        k, _, d = self.joint.means.shape
        n_maps = len(self.movers)
        matrices = x[: n_maps * d * d].reshape(n_maps, d, d)
        offsets = x[n_maps * d * d : n_maps * d * (d + 1)].reshape(n_maps, d)
        if self.source is not None:
            return matrices, offsets, *self.source
        return matrices, offsets, x[n_maps * d * (d + 1) :].reshape(k, d), np.eye(d)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the sum of weighted divergences of the cells, and its gradient."""
        matrices, offsets, means, cov = self._split(x)
        d = means.shape[1]
        value, by_mean = 0.0, np.zeros_like(means)
        by_matrix, by_offset = np.empty_like(matrices), np.empty_like(offsets)
        for i, a in enumerate(self.movers):
            q, own = self.weights[:, a], self.joint.covariances[0, a]
            precision = self.precisions[a]
            sign_size = np.linalg.slogdet(matrices[i])
            if not np.isfinite(sign_size[1]):
                return np.inf, np.zeros_like(x)
            spread = matrices[i] @ cov
            miss = means @ matrices[i].T + offsets[i] - self.joint.means[:, a]
            pull = (q[:, None] * miss) @ precision
            log_ratio = np.linalg.slogdet(own)[1] - np.linalg.slogdet(cov)[1]
            value += 0.5 * q.sum() * (
                np.sum(precision * (spread @ matrices[i].T)) - d + log_ratio - 2.0 * sign_size[1]
            ) + 0.5 * float((pull * miss).sum())
            inverse = np.linalg.inv(matrices[i])
            by_matrix[i] = q.sum() * (precision @ spread - inverse.T) + pull.T @ means
            by_offset[i] = pull.sum(axis=0)
            by_mean += pull @ matrices[i]
        parts = [by_matrix.ravel(), by_offset.ravel()]
        if self.source is None:
            parts.append(by_mean.ravel())
        return float(value), np.concatenate(parts)


def best_of_starts(programme: Programme, n_starts: int, *, gradient: bool) -> float:
    """Return the least total divergence that BFGS finds.

    The first start is the identity (the groups' average means), the others are random.
    Without ``gradient`` SciPy takes finite differences, as it does by default.
    """
    rng = np.random.default_rng(0)
    joint, d = programme.joint, programme.joint.n_features
    function: Callable[..., object] = programme if gradient else lambda x: programme(x)[0]
    best = np.inf
    for start in range(n_starts):
        turn = np.eye(d) if start == 0 else rng.standard_normal((d, d))
        parts = [np.tile(turn, (len(programme.movers), 1, 1)).ravel()]
        parts.append(np.zeros(len(programme.movers) * d))
        if programme.source is None:
            parts.append(joint.means.mean(axis=1).ravel())
        found = minimize(function, np.concatenate(parts), jac=gradient, method="BFGS")
        best = min(best, float(found.fun))
    return programme.prior_kl + best
