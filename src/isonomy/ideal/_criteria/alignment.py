"""The best affine map between two groups of normal cells, found explicitly.

Used only where no characterisation is known to be exact and equal spectra need no affine
map: Student-t cells of free scale matrices, three or more classes and features (or two
features and classes so many that spectra do not decide). The map found is a witness: a
residual of 0 proves that the cells are affine images of each other; a positive one proves
nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from isonomy.ideal._cells import Array

__all__ = ["alignment_residual"]

_N_COMBINATIONS = 8
_N_POLISH = 200
_POLISH_WORK = 1e10
"""Multiplications a polish may take: fewer steps where matrices are large and many."""


def alignment_residual(means_p: Array, covs_p: Array, means_q: Array, covs_q: Array) -> float:
    """Return the largest entry left between Q's cells and the mapped cells of P.

    Means (K, d), covariances (K, d, d). Both are whitened by their first class, so that
    only an orthogonal map is left: it is read off the eigenvectors of a generic
    combination of the other cells, its signs are made consistent, and it is polished.
    The residual is relative to 1 + the largest entry compared.
    """
    p, q = _whitened(means_p, covs_p), _whitened(means_q, covs_q)
    rng = np.random.default_rng(0)
    # groups that already share their cells need no search
    best = _residual(p, q, np.eye(p[0].shape[1]))
    for _ in range(_N_COMBINATIONS):
        if best < 1e-13:
            break
        mix, lean = rng.uniform(0.5, 1.5, len(p[0])), rng.normal(size=len(p[0]))
        start = _by_eigenvectors(p, q, mix, lean)
        best = min(best, _residual(p, q, start), _residual(p, q, _polish(p, q, start)))
    return float(best)


Cells = tuple[Array, Array]


def _whitened(means: Array, covs: Array) -> Cells:
    lower = np.linalg.cholesky(covs[0])
    white_means = solve_triangular(lower, (means[1:] - means[0]).T, lower=True).T
    inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
    return white_means, inverse @ covs[1:] @ inverse.T


def _by_eigenvectors(p: Cells, q: Cells, mix: Array, lean: Array) -> Array:
    found = []
    for means, covs in (p, q):
        size = np.linalg.norm(covs, axis=(1, 2))
        middle = (lean / len(lean)) @ means
        combined = np.einsum("k,kij->ij", mix / size, covs) + np.outer(middle, middle)
        found.append(np.linalg.eigh(combined)[1])
    basis_p, basis_q = found
    signs = _consistent_signs(_turned(p, basis_p.T), _turned(q, basis_q.T))
    rotation: Array = (basis_q * signs) @ basis_p.T
    return rotation


def _turned(cells: Cells, rotation: Array) -> Cells:
    return cells[0] @ rotation.T, rotation @ cells[1] @ rotation.T


def _consistent_signs(p: Cells, q: Cells) -> Array:
    """Return signs s with s_i s_j cov_p[i, j] ~ cov_q[i, j] and s_i mean_p[i] ~ mean_q[i].

    The strongest agreements form a spanning tree (node d stands for the means, whose
    sign is fixed), along which signs are passed on.
    """
    d = p[0].shape[1]
    votes = np.zeros((d + 1, d + 1))
    votes[:d, :d] = (p[1] * q[1]).sum(axis=0)
    votes[d, :d] = votes[:d, d] = (p[0] * q[0]).sum(axis=0)
    np.fill_diagonal(votes, 0.0)
    strength = np.abs(votes)
    # a minimum tree over decreasing costs keeps the strongest edges; all costs are > 0
    tree = minimum_spanning_tree(2.0 - strength / max(strength.max(), np.finfo(float).tiny))
    order, parents = breadth_first_order(tree, d, directed=False)
    signs = np.ones(d + 1)
    for node in order[1:]:
        signs[node] = signs[parents[node]] * (-1.0 if votes[node, parents[node]] < 0 else 1.0)
    return signs[:d]


def _polish(p: Cells, q: Cells, rotation: Array) -> Array:
    """Raise sum tr(C_q R C_p R') + sum m_q' R m_p, convex in R, by linearisation."""
    work = 2.0 * q[1].shape[0] * q[1].shape[1] ** 3
    for _ in range(int(np.clip(_POLISH_WORK / work, 5, _N_POLISH))):
        slope = np.einsum("kij,jl,klm->im", q[1], rotation, p[1]) + q[0].T @ p[0]
        left, _, right = np.linalg.svd(slope)
        following = left @ right
        if np.abs(following - rotation).max() < 1e-15:
            break
        rotation = following
    return rotation


def _residual(p: Cells, q: Cells, rotation: Array) -> float:
    means, covs = _turned(p, rotation)
    size = max(np.abs(q[0]).max(), np.abs(q[1]).max(), np.abs(means).max(), np.abs(covs).max())
    miss = max(np.abs(means - q[0]).max(), np.abs(covs - q[1]).max())
    return float(miss / (1.0 + size))
