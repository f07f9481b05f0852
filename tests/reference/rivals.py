"""Literal transcriptions of the erasure and resampling rivals: loops, for tests only."""

from fractions import Fraction
from math import floor

import numpy as np
from scipy.linalg import null_space, sqrtm
from sklearn.linear_model import LogisticRegression


def oracle_rows(rows, groups, *, labels):
    """x - S_xz S_zz^+ (z - E z), with every covariance summed row after row."""
    z = np.array([[float(g == label) for label in labels] for g in groups])
    n, mean_x, mean_z = len(rows), rows.mean(axis=0), z.mean(axis=0)
    s_xz = np.zeros((rows.shape[1], len(labels)))
    s_zz = np.zeros((len(labels), len(labels)))
    for row, one in zip(rows, z, strict=True):
        s_xz += np.outer(row - mean_x, one - mean_z) / n
        s_zz += np.outer(one - mean_z, one - mean_z) / n
    coefficients = s_xz @ np.linalg.pinv(s_zz, rcond=1e-10)
    moved = [row - coefficients @ (one - mean_z) for row, one in zip(rows, z, strict=True)]
    return np.array(moved), coefficients


def barycentre_error(centre, laws, weights):
    """S - sum_a p_a (S^1/2 S_a S^1/2)^1/2, which is 0 at the barycentre."""
    root = sqrtm(centre)
    total = np.zeros_like(centre)
    for p, law in zip(weights, laws, strict=True):
        total += p * sqrtm(root @ law @ root).real
    return centre - total


def wasserstein_squared(one, two):
    """Squared 2-Wasserstein distance of two centred normals."""
    root = sqrtm(one)
    return np.trace(one + two - 2 * sqrtm(root @ two @ root).real)


def inlp_rows(rows, groups, n_iterations):
    """Probe the projected rows, stack the readers, project on the null space of the stack."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    stack = np.zeros((0, rows.shape[1]))
    projection = np.eye(rows.shape[1])
    for _ in range(n_iterations):
        projected = (rows - mean) @ projection
        probe = LogisticRegression(solver="newton-cholesky", tol=1e-10)
        weights = probe.fit(projected / deviation, groups).coef_
        if len(weights) > 1:  # less their mean they depend on one another: drop one
            weights = (weights - weights.mean(axis=0))[:-1]
        stack = np.vstack([stack, (weights / deviation) @ projection])
        free = null_space(stack / np.linalg.norm(stack, axis=1, keepdims=True))
        projection = free @ free.T
    return mean + (rows - mean) @ projection


def level_by_hand(values, weight, value):
    """Weight below, and half the weight at, one of the values; over the total."""
    below = sum(w for v, w in zip(values, weight, strict=True) if v < value)
    at = sum(w for v, w in zip(values, weight, strict=True) if v == value)
    return (below + at / 2) / sum(weight)


def quantile_by_hand(values, weight, level):
    """Linear between the levels of the values; the end values beyond."""
    distinct = sorted(set(values))
    levels = [level_by_hand(values, weight, v) for v in distinct]
    if level <= levels[0]:
        return distinct[0]
    for i in range(1, len(distinct)):
        if level <= levels[i]:
            share = (level - levels[i - 1]) / (levels[i] - levels[i - 1])
            return distinct[i - 1] + share * (distinct[i] - distinct[i - 1])
    return distinct[-1]


def repaired_column(values, weight, groups, repair_level):
    """The geometric repair of training values, one after the other."""
    parts = {
        g: (
            [v for v, h in zip(values, groups, strict=True) if h == g],
            [w for w, h in zip(weight, groups, strict=True) if h == g],
        )
        for g in sorted(set(groups))
    }
    out = []
    for value, group in zip(values, groups, strict=True):
        level = level_by_hand(*parts[group], value)
        found = sorted(quantile_by_hand(*part, level) for part in parts.values())
        n = len(found)
        target = found[n // 2] if n % 2 else (found[n // 2 - 1] + found[n // 2]) / 2
        out.append((1 - repair_level) * value + repair_level * target)
    return np.array(out)


def wanted_counts(y, groups, *, target, grow):
    """{(label, group): rows} after over- (``grow``) or undersampling of unweighted rows."""
    n = len(y)
    counts = {}
    for pair in zip(y, groups, strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    shape = {}
    for label, group in counts:
        n_label = sum(v == label for v in y)
        n_group = sum(v == group for v in groups)
        even = Fraction(n_label * n_group, n)
        shape[label, group] = even if target == "independent" else Fraction(1)
    ratios = [counts[pair] / shape[pair] for pair in counts]
    scale = max(ratios) if grow else min(ratios)
    return {pair: max(1, floor(scale * shape[pair] + Fraction(1, 2))) for pair in counts}
