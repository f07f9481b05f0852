"""Weighted moments of cells, by loops over rows and in exact sums."""

from __future__ import annotations

import math

import numpy as np


def cell_moments(X, y, a, w=None):
    """Return {(label, group): (weight, n_rows, mean, covariance)}; divisor the weight."""
    w = [1.0] * len(X) if w is None else w
    rows = {}
    for i in range(len(X)):
        if w[i] > 0:
            rows.setdefault((y[i], a[i]), []).append(i)
    return {cell: _moments(X, w, index) for cell, index in rows.items()}


def _moments(X, w, index):
    d = len(X[0])
    total = math.fsum(w[i] for i in index)
    mean = [math.fsum(w[i] * float(X[i][j]) for i in index) / total for j in range(d)]
    cov = np.empty((d, d))
    for j in range(d):
        for k in range(d):
            cov[j, k] = (
                math.fsum(
                    w[i] * (float(X[i][j]) - mean[j]) * (float(X[i][k]) - mean[k]) for i in index
                )
                / total
            )
    return total, len(index), np.array(mean), cov


def tied_covariance(X, y, a, group, w=None):
    """Within-class covariance of one group, pooled over its labels by weight."""
    cells = {c: m for c, m in cell_moments(X, y, a, w).items() if c[1] == group}
    total = math.fsum(m[0] for m in cells.values())
    return sum(m[0] * m[3] for m in cells.values()) / total


def total_moments(X, w=None):
    """Mean and covariance over all rows, ignoring cells."""
    zeros = [0] * len(X)
    _, _, mean, cov = cell_moments(X, zeros, zeros, w)[(0, 0)]
    return mean, cov
