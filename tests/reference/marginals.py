"""Moments of groups from moments of cells, by the mixture formula, entry by entry."""

import numpy as np


def group_mixture(weights, means, covariances):
    """Return (weight, mean, covariance) of one group from those of its cells.

    ``weights`` (K,), ``means`` (K, d), ``covariances`` (K, d, d), divisor the weight. Cells
    of weight 0 may hold anything.
    """
    d = means.shape[1]
    total = 0.0
    mean = np.zeros(d)
    for w, m in zip(weights, means, strict=True):
        if w > 0:
            total += w
            mean += w * m
    mean /= total
    covariance = np.zeros((d, d))
    for w, m, s in zip(weights, means, covariances, strict=True):
        if w > 0:
            for i in range(d):
                for j in range(d):
                    covariance[i, j] += w * (s[i, j] + (m[i] - mean[i]) * (m[j] - mean[j]))
    return total, mean, covariance / total
