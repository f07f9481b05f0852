"""The budget form for two classes, two groups and one variable, by a general optimiser."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def normal_kl(m, s, mu, sigma):
    """KL(N(m, s^2) || N(mu, sigma^2)), nats."""
    return np.log(sigma / s) + (s**2 + (m - mu) ** 2) / (2 * sigma**2) - 0.5


def joint_kl(p, q):
    """KL of (means, sds, priors), each (2, 2), by the chain rule."""
    total = 0.0
    for y in range(2):
        for a in range(2):
            cell = normal_kl(p[0][y, a], p[1][y, a], q[0][y, a], q[1][y, a])
            total += p[2][y, a] * (np.log(p[2][y, a] / q[2][y, a]) + cell)
    return total


def _law(x, group):
    shares = 1 / (1 + np.exp(-x[8:10]))
    prior = np.stack([(1 - shares) * group, shares * group])
    return x[:4].reshape(2, 2), np.exp(x[4:8].reshape(2, 2)), prior


def _ideal(x, group, sign):
    """Group 0 has the canonical cells, group 1 their image under one line."""
    slope, offset = sign * np.exp(x[4]), x[5]
    share = 1 / (1 + np.exp(-x[6]))
    means = np.stack([x[:2], slope * x[:2] + offset], axis=1)
    sds = np.stack([np.exp(x[2:4]), abs(slope) * np.exp(x[2:4])], axis=1)
    return means, sds, np.outer([1 - share, share], group)


def least_violation(means, sds, prior, budget, n_starts=12, seed=0):
    """min KL(E || I) over laws E with KL(E || D) <= budget and P(A) kept, and ideal laws I."""
    rng = np.random.default_rng(seed)
    group = prior.sum(axis=0)
    shares = prior[1] / group
    start = np.concatenate([means.ravel(), np.log(sds).ravel(), np.log(shares / (1 - shares))])
    fitted = (means, sds, prior)
    best = np.inf
    for i in range(n_starts):
        sign = 1.0 if i % 2 == 0 else -1.0
        first = np.concatenate([means[:, 0], np.log(sds[:, 0]), [0.0, 0.0, 0.0]])
        x0 = np.concatenate([start, first + 0.5 * rng.normal(size=7)])

        def value(x, sign=sign):
            return joint_kl(_law(x[:10], group), _ideal(x[10:], group, sign))

        def room(x):
            return budget - joint_kl(_law(x[:10], group), fitted)

        found = minimize(
            value,
            x0,
            method="SLSQP",
            constraints=[{"type": "ineq", "fun": room}],
            options={"maxiter": 500, "ftol": 1e-12},
        )
        if room(found.x) > -1e-8:
            best = min(best, float(found.fun))
    return best
