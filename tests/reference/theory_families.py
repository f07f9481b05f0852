"""Families beyond normal cells: finite laws, Cauchy cells, geodesics, protected columns."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def kl(p, q):
    """KL(p || q) of finite laws in nats; infinite where q misses what p has."""
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    if (q[p > 0] == 0).any():
        return np.inf
    kept = p > 0
    return float((p[kept] * np.log(p[kept] / q[kept])).sum())


def geometric_mean(laws, weights):
    """P proportional to prod_a P_a^w_a, and the normalising sum, with loops."""
    found = np.ones(len(laws[0]))
    for law, w in zip(laws, weights, strict=True):
        found = found * np.asarray(law) ** w
    return found / found.sum(), float(found.sum())


def mixture(laws, weights):
    """sum_a w_a P_a with weights that sum to 1."""
    return sum(w * np.asarray(law) for law, w in zip(laws, weights, strict=True))


def minimal_flip(p, goal):
    """Kernel rows[x][x'] that carries p onto goal and changes as few rows as possible."""
    p, goal = np.asarray(p, dtype=float), np.asarray(goal, dtype=float)
    moved = 0.5 * abs(p - goal).sum()
    surplus = np.maximum(goal - p, 0.0)
    kernel = np.zeros((len(p), len(p)))
    for x in range(len(p)):
        stay = min(1.0, goal[x] / p[x]) if p[x] > 0 else 1.0
        kernel[x, x] += stay
        if stay < 1.0:
            kernel[x] += (1.0 - stay) * surplus / moved
    return kernel


def kernel_between(sources, goals, cost=None):
    """The kernel R with R # source_y = goal_y for every y of least mean cost, or None."""
    sources, goals = np.asarray(sources), np.asarray(goals)
    n, m = sources.shape[1], goals.shape[1]
    equal, right = [], []
    for x in range(n):
        row = np.zeros((n, m))
        row[x] = 1.0
        equal.append(row.ravel())
        right.append(1.0)
    for source, goal in zip(sources, goals, strict=True):
        for z in range(m):
            row = np.zeros((n, m))
            row[:, z] = source
            equal.append(row.ravel())
            right.append(goal[z])
    c = np.zeros(n * m) if cost is None else np.ravel(cost)
    found = linprog(c, A_eq=np.array(equal), b_eq=np.array(right), bounds=(0, 1))
    return found.x.reshape(n, m) if found.status == 0 else None


def geodesic(p, q, s):
    """The law proportional to p^(1-s) q^s, and ln of its normalising sum."""
    size = p ** (1 - s) * q**s
    return size / size.sum(), float(np.log(size.sum()))


def cauchy_log_density(x, z):
    """Of the Cauchy law with location Re z and scale Im z."""
    return np.log(z.imag / np.pi) - np.log(abs(x - z) ** 2)


def cauchy_quantiles(z, n):
    """n equally likely points of the Cauchy law at z."""
    u = (np.arange(n) + 0.5) / n
    return z.real + z.imag * np.tan(np.pi * (u - 0.5))


def turn_about_i(x, angle):
    """The Moebius map of the line that keeps the standard Cauchy law."""
    return (x * np.cos(angle) + np.sin(angle)) / (np.cos(angle) - x * np.sin(angle))


def split_gram(means, cov, n_first):
    """Gram of the first coordinates and of the rest given them, entry by entry."""
    far = means - means[0]
    u, w = far[:, :n_first], far[:, n_first:]
    c_uu, c_uw = cov[:n_first, :n_first], cov[:n_first, n_first:]
    slope = np.linalg.solve(c_uu, c_uw)
    rest = w - u @ slope
    inner = cov[n_first:, n_first:] - c_uw.T @ slope
    return u @ np.linalg.solve(c_uu, u.T), rest @ np.linalg.solve(inner, rest.T)


def kept_value(split, points, q, *, inward):
    """Least sum_y q_y KL of cells with the law of u kept and the rest an image of ``points``.

    ``split``: means of u (K, p), its covariance, means of the rest (K, f), its covariance.
    The closed form of one map, in rows times the root of A.
    """
    u, s_u, rest, s_w = split
    root = np.sqrt(q)[:, None]
    m = root * (u - q @ u)
    a = np.linalg.inv(np.eye(len(q)) + m @ np.linalg.solve(s_u, m.T))
    own, goal = root * (points - q @ points), root * (rest - q @ rest)
    own_cov, goal_cov = np.eye(points.shape[1]), s_w
    if inward:
        own, goal, own_cov, goal_cov = goal, own, goal_cov, own_cov
    g = own_cov + own.T @ a @ own
    left = np.linalg.solve(np.linalg.cholesky(g), own.T @ a @ goal)
    h = np.linalg.svd(np.linalg.solve(np.linalg.cholesky(goal_cov), left.T), compute_uv=False)
    v = 0.5 * (h + np.sqrt(h * h + 4.0))
    logs = np.linalg.slogdet(g)[1] - np.linalg.slogdet(own_cov)[1]
    spread = np.trace(np.linalg.solve(goal_cov, goal.T @ a @ goal))
    return float((0.5 * v * v - v * h - np.log(v) - 0.5).sum() + 0.5 * logs + 0.5 * spread)
