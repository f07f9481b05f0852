"""The nearest ideal law whose kept columns do not move, by a general optimiser."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def normal_kl(m, s, mu, sigma):
    """KL(N(m, s) || N(mu, sigma)), nats, covariances."""
    inverse = np.linalg.inv(sigma)
    far = mu - m
    logs = np.linalg.slogdet(sigma)[1] - np.linalg.slogdet(s)[1]
    return 0.5 * (np.trace(inverse @ s) + far @ inverse @ far - len(m) + logs)


def group_law(x, points, means, cov, n_kept):
    """Means and covariance with the law of the first columns kept: w = B u + V z + b, z normal.

    ``x`` holds V (f, f), B (f, p) and b (f,); z has means ``points`` (K, f) and covariance I.
    """
    f = points.shape[1]
    v, slope, offset = (
        x[: f * f].reshape(f, f), x[f * f : f * f + f * n_kept].reshape(f, n_kept), x[-f:],
    )  # fmt: skip
    kept = means[:, :n_kept]
    kept_cov = cov[:n_kept, :n_kept]
    free = kept @ slope.T + points @ v.T + offset
    across = slope @ kept_cov
    whole = np.block([[kept_cov, across.T], [across, across @ slope.T + v @ v.T]])
    return np.hstack([kept, free]), whole


def divergence(x, points, means, cov, q, n_kept, direction):
    """sum_y q_y KL between a law of `group_law` and the cells."""
    new, spread = group_law(x, points, means, cov, n_kept)
    total = 0.0
    for y in range(len(means)):
        pairs = (new[y], spread, means[y], cov), (means[y], cov, new[y], spread)
        total += q[y] * normal_kl(*(pairs[0] if direction == "information" else pairs[1]))
    return total


def best_law(points, means, cov, q, n_kept, direction, starts=6, seed=0):
    """Least divergence over V, B, b from many starts, both orientations."""
    rng = np.random.default_rng(seed)
    f = points.shape[1]
    size = f * f + f * n_kept + f
    lower = np.linalg.cholesky(cov[n_kept:, n_kept:])
    slope = np.linalg.solve(cov[:n_kept, :n_kept], cov[:n_kept, n_kept:]).T
    values = []
    for i in range(starts):
        turn = np.linalg.qr(rng.normal(size=(f, f)))[0]
        turn[0] *= (-1.0) ** i
        start = np.concatenate([(lower @ turn).ravel(), slope.ravel(), np.zeros(f)])
        assert len(start) == size
        run = minimize(
            divergence, start, (points, means, cov, q, n_kept, direction), method="BFGS",
            options={"gtol": 1e-9, "maxiter": 2000},
        )  # fmt: skip
        values.append(run.fun)
    return min(values)


def gram(means, cov):
    """Gram matrix of whitened differences from the first class, term by term."""
    inverse = np.linalg.inv(cov)
    n = len(means)
    return np.array(
        [[(means[y] - means[0]) @ inverse @ (means[z] - means[0]) for z in range(1, n)]
         for y in range(1, n)]
    )  # fmt: skip


def points_of(matrix, width):
    """Points (K, width) whose differences have this Gram matrix."""
    values, vectors = np.linalg.eigh(matrix)
    found = np.zeros((len(matrix) + 1, width))
    found[1:, : len(matrix)] = vectors * np.sqrt(np.maximum(values, 0.0))
    return found


def least_total(means, covs, weights, direction, starts):
    """Least sum_ya w_ya KL over ideal laws that keep the first column, by SLSQP on the laws.

    ``means`` (K, G, d), ``covs`` (G, d, d). Each group has its own points (K, f), V, B and b;
    that whitened squared distances agree between groups is a constraint.
    """
    k, n_groups, d = means.shape
    f = d - 1
    size = (k - 1) * f + f * f + f + f

    def law(x, a):
        part = x[a * size : (a + 1) * size]
        points = np.vstack([np.zeros(f), part[: (k - 1) * f].reshape(k - 1, f)])
        return points, group_law(part[(k - 1) * f :], points, means[:, a], covs[a], 1)

    def total(x):
        value = 0.0
        for a in range(n_groups):
            points = law(x, a)[0]
            part = x[a * size + (k - 1) * f : (a + 1) * size]
            value += divergence(part, points, means[:, a], covs[a], weights[:, a], 1, direction)
        return value

    def apart(x):
        grams = [gram(*law(x, a)[1]) for a in range(n_groups)]
        upper = np.triu_indices(len(grams[0]))
        return np.concatenate([(g - grams[0])[upper] for g in grams[1:]])

    values = []
    for start in starts:
        run = minimize(
            total, start, method="SLSQP", constraints={"type": "eq", "fun": apart},
            options={"maxiter": 500, "ftol": 1e-12},
        )  # fmt: skip
        if np.abs(apart(run.x)).max() < 1e-6:
            values.append(float(run.fun))
    return min(values)
