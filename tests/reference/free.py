"""The programmes of theory.md 3.4, term by term, and SciPy's BFGS from many starts."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from reference.gaussian import kl_by_formula


def map_divergence(matrix, offset, source, target, q):
    """sum_y q_y KL(V # N(mu_y, Sigma_y) + b || N(m_y, S_y)); sides are (means, covariances)."""
    total = 0.0
    for y in range(len(q)):
        mean = matrix @ source[0][y] + offset
        cov = matrix @ source[1][y] @ matrix.T
        total += q[y] * kl_by_formula(mean, cov, target[0][y], target[1][y])
    return total


def root_divergence(root, offset, joint, reference_class, stays, moves, q, direction):
    """J of 3.4 with T, m as printed: mu~_j = m - T v_j, Sigma~_j = T M_j T (or the other KL)."""
    c = reference_class
    half = np.linalg.inv(np.real(sqrtm(joint.covariances[c, stays])))
    total = 0.0
    for j in range(len(q)):
        shape = half @ joint.covariances[j, stays] @ half
        v = half @ (joint.means[c, stays] - joint.means[j, stays])
        ideal = offset - root @ v, root @ shape @ root
        own = joint.means[j, moves], joint.covariances[j, moves]
        pair = (*ideal, *own) if direction == "information" else (*own, *ideal)
        total += q[j] * kl_by_formula(*pair)
    return total


def least_map_divergence(source, target, q, n_starts, rng):
    """The least value of `map_divergence` that BFGS finds from random starts of any orientation."""
    d = source[0].shape[1]

    def value(x):
        matrix = x[: d * d].reshape(d, d)
        if abs(np.linalg.det(matrix)) < 1e-12:
            return 1e6
        return map_divergence(matrix, x[d * d :], source, target, q)

    best = math.inf
    for _ in range(n_starts):
        start = np.concatenate([rng.normal(size=d * d), np.zeros(d)])
        best = min(best, minimize(value, start, method="BFGS").fun)
    return best


def least_all_groups(joint, weights, direction, n_starts, rng):
    """The least total over canonical cells (means, factors) AND all maps, by BFGS."""
    n_classes, n_groups, d = joint.means.shape
    lower_rows = np.tril_indices(d)
    n_lower = len(lower_rows[0])

    def value(x):
        means = x[: n_classes * d].reshape(n_classes, d)
        x = x[n_classes * d :]
        covs = []
        for _ in range(n_classes):
            lower = np.zeros((d, d))
            lower[lower_rows] = x[:n_lower]
            x = x[n_lower:]
            covs.append(lower @ lower.T)
        total = 0.0
        for a in range(n_groups):
            matrix, offset = np.eye(d), np.zeros(d)
            if a:  # the first group's map is the identity: it chooses the frame
                matrix, offset = x[: d * d].reshape(d, d), x[d * d : d * d + d]
                x = x[d * d + d :]
            if abs(np.linalg.det(matrix)) < 1e-9 or min(np.linalg.det(c) for c in covs) < 1e-12:
                return 1e6
            for y in range(n_classes):
                ideal = matrix @ means[y] + offset, matrix @ covs[y] @ matrix.T
                own = joint.means[y, a], joint.covariances[y, a]
                pair = (*ideal, *own) if direction == "information" else (*own, *ideal)
                total += weights[y, a] * kl_by_formula(*pair)
        return total

    best = math.inf
    for _ in range(n_starts):
        parts = [rng.normal(size=n_classes * d), np.tile(np.eye(d)[lower_rows], n_classes)]
        for _ in range(n_groups - 1):
            parts += [rng.normal(size=d * d), np.zeros(d)]
        best = min(best, minimize(value, np.concatenate(parts), method="BFGS").fun)
    return best
