"""Of all maps that carry ideal cells onto the canonical ones, those that move rows least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isonomy.ideal._cells import Array, CellArrays, Solved, center

__all__ = ["least_moving"]

_ROUND = 1e-4
"""How far from round canonical scales may be in a block that is turned: a descent stops
about this far from the optimum, and fitted scales that do differ do so by more."""


def least_moving(solved: Solved, cells: CellArrays, reference: int) -> Solved:
    """Return the solution with maps turned where canonical cells do not tell.

    Parameters
    ----------
    solved : Solved
        Ideal cells, and maps of rows to the frame of ``reference``.
    cells : CellArrays
        The fitted cells of the rows.

    Notes
    -----
    In coordinates u that make the mean canonical scale the identity, let B be an orthonormal
    basis of the directions without class means. Where every canonical scale is a multiple of
    the identity there, ``u -> u + B (R - I) B'u`` leaves each canonical cell as it is for
    every rotation or mirror R, and a descent ends at whatever R it started from. Least mean
    squared move of the rows x, in these coordinates: R is the orthogonal factor of
    ``B' E[x x'] B`` between rows as they are and as mapped.
    """
    means, scales = solved.means[:, reference], solved.covariances[:, reference]
    lower = np.asarray(np.linalg.cholesky(scales.mean(axis=0)), dtype=np.float64)
    basis = _round_block(means, scales, lower, cells.prior.sum(axis=1))
    if basis is None:
        return solved
    weight = cells.prior.sum(axis=1)
    middle = weight @ means / weight.sum()
    matrices, offsets = solved.matrices.copy(), solved.offsets.copy()
    for a in range(cells.prior.shape[1]):
        if a == reference:
            continue
        q = cells.prior[:, a] / cells.prior[:, a].sum()
        far = cells.means[:, a] - middle
        second = np.einsum("y,yij->ij", q, cells.covariances[:, a])
        second = second + (q[:, None] * far).T @ far
        shift = matrices[a] @ middle + offsets[a] - middle
        cross = second @ matrices[a].T + np.outer(q @ far, shift)
        inner = basis.T @ np.linalg.solve(lower, np.linalg.solve(lower, cross).T).T @ basis
        left, _, right = np.linalg.svd(inner)
        turn = np.eye(len(lower)) + basis @ (left @ right - np.eye(len(inner))) @ basis.T
        whole = lower @ turn @ np.linalg.inv(lower)
        offsets[a] = whole @ (offsets[a] - middle) + middle
        matrices[a] = whole @ matrices[a]
    return replace(solved, matrices=matrices, offsets=offsets)


def _round_block(means: Array, scales: Array, lower: Array, weight: Array) -> Array | None:
    """Return B (d, r), or None where canonical cells leave nothing to turn."""
    far = center(means, weight)[1]
    white = np.linalg.solve(lower, far.T)
    axes, sizes, _ = np.linalg.svd(white)
    rank = int((sizes > _ROUND * max(1.0, float(sizes.max(initial=0.0)))).sum())
    basis = axes[:, rank:]
    if basis.shape[1] == 0:
        return None
    for scale in scales:
        image = np.linalg.solve(lower, np.linalg.solve(lower, scale).T) @ basis
        size = float(np.trace(basis.T @ image)) / basis.shape[1]
        if np.abs(image - size * basis).max() > _ROUND * size:
            return None
    return np.asarray(basis, dtype=np.float64)
