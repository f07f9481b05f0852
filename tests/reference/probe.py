"""Oracles for inferred groups: literal formulas, with loops."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


def weights_of(posterior, inference, gate):
    """Return the weight of every map, row by row."""
    out = []
    for row in posterior:
        best = max(range(len(row)), key=lambda k: (row[k], -k))
        hard = [1.0 if k == best else 0.0 for k in range(len(row))]
        soft = [float(p) for p in row]
        if inference == "gated":
            out.append(hard if row[best] >= gate else soft)
        else:
            out.append(hard if inference == "hard" else soft)
    return np.array(out)


def moved_by(X, maps, weights):
    """Return sum over groups of weight times image, row by row."""
    out = []
    for x, row in zip(X, weights, strict=True):
        total = np.zeros(len(x))
        for (matrix, offset), w in zip(maps, row, strict=True):
            total = total + w * (matrix @ x + offset)
        out.append(total)
    return np.array(out)


def platt_loss(slope, intercept, scores, member, weights):
    """Return the log loss to Platt's smoothed targets."""
    ones = sum(w for w, m in zip(weights, member, strict=True) if m)
    zeros = sum(w for w, m in zip(weights, member, strict=True) if not m)
    total = 0.0
    for s, m, w in zip(scores, member, weights, strict=True):
        target = (ones + 1) / (ones + 2) if m else 1 / (zeros + 2)
        p = 1 / (1 + math.exp(-(slope * s + intercept)))
        total -= w * (target * math.log(p) + (1 - target) * math.log(1 - p))
    return total


def calibration_error(posterior, codes, weights, n_bins=10):
    """Return the expected calibration error of the largest posterior."""
    edges = [i / n_bins for i in range(n_bins + 1)]
    error = 0.0
    for low, high in pairwise(edges):
        rows = [
            i
            for i, row in enumerate(posterior)
            if low <= max(row) < high or (high == 1.0 and max(row) == 1.0)
        ]
        mass = sum(weights[i] for i in rows)
        if mass > 0:
            promised = sum(weights[i] * max(posterior[i]) for i in rows) / mass
            right = sum(weights[i] * (np.argmax(posterior[i]) == codes[i]) for i in rows) / mass
            error += mass / sum(weights) * abs(promised - right)
    return error
