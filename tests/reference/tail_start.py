"""The start's formulas, word for word, row by row and token by token."""

from __future__ import annotations

import numpy as np


def class_moments(rows, labels, n_classes, tokens="all"):
    """Return class means (K, d) and the pooled within-class covariance of rows of tokens.

    ``rows`` is a list of (tokens, d) arrays without padding. Every row has weight 1.
    """
    d = rows[0].shape[1]
    used = [row[-1:] if tokens == "last" else row for row in rows]
    means = np.zeros((n_classes, d))
    for k in range(n_classes):
        own = [row.mean(axis=0) for row, label in zip(used, labels, strict=True) if label == k]
        if own:
            means[k] = sum(own) / len(own)
    between_rows, within_rows = np.zeros((d, d)), np.zeros((d, d))
    for row, label in zip(used, labels, strict=True):
        centre = row.mean(axis=0)
        step = centre - means[label]
        between_rows += np.outer(step, step)
        for token in row:
            within_rows += np.outer(token - centre, token - centre) / len(row)
    covariance = between_rows / (len(rows) - len(set(labels)))
    if tokens == "all":
        covariance = covariance + within_rows / len(rows)
    return means, covariance


def inverse_root(matrix):
    """Return the symmetric inverse square root."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def tail_subspace(means, covariance, counts, tail, r):
    """Return the r directions S^{-1/2} v_j of the tail, as columns, and the singular values."""
    centre = means.mean(axis=0)
    M = np.array([(means[k] - centre) / counts[k] for k in range(len(means)) if tail[k]])
    root = inverse_root(covariance)
    _, values, vectors = np.linalg.svd(M @ root)
    return root @ vectors[:r].T, values


def captured_ratio(A, matrix, covariance):
    """Return tr[(A S A')^-1 (A M'M A')] for the rows of A."""
    return float(np.trace(np.linalg.inv(A @ covariance @ A.T) @ (A @ matrix.T @ matrix @ A.T)))


def two_covariance_scores(X, y, n_classes, covariance, queries):
    """Return the scores of the two-covariance model with the noise averaged over classes.

    ``covariance`` is the within-class covariance S. Every matrix is written out, in the
    coordinates that make S the identity and the spread of the class means diagonal.
    """
    means = np.array([X[y == k].mean(axis=0) for k in range(n_classes)])
    n = [int((y == k).sum()) for k in range(n_classes)]
    g = means.mean(axis=0)
    root = inverse_root(covariance)
    z = (means - g) @ root
    spread = sum(np.outer(row, row) for row in z) / (n_classes - 1)
    values, axes = np.linalg.eigh(spread)
    b = [max(value - sum(1 / m for m in n) / n_classes, 0.0) for value in values]
    scores = np.zeros((len(queries), n_classes))
    for i, query in enumerate(queries):
        q = axes.T @ (root @ (query - g))
        for k in range(n_classes):
            own = axes.T @ z[k]
            for j in range(len(b)):
                m = b[j] / (b[j] + 1 / n[k]) * own[j]
                v = 1 + sum(b[j] / (size * b[j] + 1) for size in n) / n_classes
                scores[i, k] += (m * q[j] - m * m / 2) / v
    return scores
