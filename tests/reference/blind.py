"""Literal forms of the group-blind erasure of two groups."""

import numpy as np


def difference_rows(X, y, groups, tau):
    """Rows sqrt(q_y rho_y) D_y, one loop over classes."""
    labels, (first, second) = np.unique(y), np.unique(groups)
    q, rho, delta = {}, {}, {}
    for label in labels:
        a = X[(y == label) & (groups == first)]
        b = X[(y == label) & (groups == second)]
        q[label] = (len(a) + len(b)) / len(X)
        n = min(len(a), len(b))
        rho[label] = n / (n + tau)
        delta[label] = a.mean(axis=0) - b.mean(axis=0)
    average = sum(q[k] * delta[k] for k in labels)
    return np.array(
        [np.sqrt(q[k] * rho[k]) * (rho[k] * delta[k] + (1 - rho[k]) * average) for k in labels]
    )


def erase(X, rows, rank):
    """x -> mu + P (x - mu), P = I - S^{1/2} U U' S^{-1/2}, by explicit square roots."""
    mean = X.mean(axis=0)
    covariance = (X - mean).T @ (X - mean) / len(X)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    inverse = vectors @ np.diag(1 / np.sqrt(values)) @ vectors.T
    u = np.linalg.svd(inverse @ rows.T)[0][:, :rank]
    projection = np.eye(len(mean)) - root @ u @ u.T @ inverse
    return mean + (X - mean) @ projection.T
