"""Literal transcriptions of mean matching, MiMiC and LEACE: dense, slow, for tests only."""

import numpy as np


def symmetric_power(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**power) @ vectors.T


def weighted_moments(rows, weight=None):
    """Mean and covariance (divisor: total weight) by summing row after row."""
    weight = np.ones(len(rows)) if weight is None else weight
    mean = np.zeros(rows.shape[1])
    for w, row in zip(weight, rows, strict=True):
        mean += w * row / weight.sum()
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    for w, row in zip(weight, rows, strict=True):
        covariance += w * np.outer(row - mean, row - mean) / weight.sum()
    return mean, covariance


def mimic_rows(rows, source, target):
    """W x + b with W = S^-1/2 (S^1/2 S' S^1/2)^1/2 S^-1/2 and b = m' - W m."""
    (m, s), (goal, t) = source, target
    root, inverse = symmetric_power(s, 0.5), symmetric_power(s, -0.5)
    w = inverse @ symmetric_power(root @ t @ root, 0.5) @ inverse
    return np.array([w @ row + goal - w @ m for row in rows])


def leace_rows(rows, groups):
    """x - W^+ U U' W (x - m), W the symmetric inverse root of the total covariance."""
    mean, total = weighted_moments(rows)
    labels = sorted(set(groups))
    cross = np.zeros((rows.shape[1], len(labels)))
    for row, group in zip(rows, groups, strict=True):
        for j, label in enumerate(labels):
            share = sum(g == label for g in groups) / len(groups)
            cross[:, j] += (row - mean) * (float(group == label) - share) / len(rows)
    w = symmetric_power(total, -0.5)
    u, sizes, _ = np.linalg.svd(w @ cross, full_matrices=False)
    u = u[:, sizes > 1e-9 * sizes[0]]
    project = symmetric_power(total, 0.5) @ u @ u.T @ w
    return np.array([row - project @ (row - mean) for row in rows])


def largest_mean_distance(rows, groups):
    """Largest distance between the means of two groups."""
    means = [rows[np.asarray(groups) == g].mean(axis=0) for g in np.unique(groups)]
    return max(np.linalg.norm(a - b) for a in means for b in means)
