"""Densities, divergences and affine maps, term by term."""

from __future__ import annotations

import math

import numpy as np


def kl_by_formula(mean_p, cov_p, mean_q, cov_q):
    """KL(p || q) in nats with explicit inverse and determinants."""
    d = len(mean_p)
    inverse = np.linalg.inv(cov_q)
    trace = sum(inverse[i, j] * cov_p[j, i] for i in range(d) for j in range(d))
    shift = [mean_q[i] - mean_p[i] for i in range(d)]
    distance = sum(shift[i] * inverse[i, j] * shift[j] for i in range(d) for j in range(d))
    ratio = math.log(np.linalg.det(cov_q)) - math.log(np.linalg.det(cov_p))
    return 0.5 * (trace + distance - d + ratio)


def log_density(mean, cov, x):
    """Log-density of a normal law at one point."""
    d = len(mean)
    inverse = np.linalg.inv(cov)
    shift = [x[i] - mean[i] for i in range(d)]
    distance = sum(shift[i] * inverse[i, j] * shift[j] for i in range(d) for j in range(d))
    return -0.5 * (d * math.log(2 * math.pi) + math.log(np.linalg.det(cov)) + distance)


def affine_image(matrix, offset, x):
    """The image of one point."""
    d = len(offset)
    return [sum(matrix[i][j] * x[j] for j in range(d)) + offset[i] for i in range(d)]
