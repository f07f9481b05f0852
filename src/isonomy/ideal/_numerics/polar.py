"""The orthogonal matrix nearest to a given one."""

from __future__ import annotations

import numpy as np

from isonomy.ideal._cells import Array

__all__ = ["orthogonal_factor"]

_MAX_STEPS = 20
"""Newton's steps at most: 9 suffice up to a condition of 1e16, if rounding lets them."""

_SMALL = 64
"""Size up to which one singular value decomposition is as quick as a few inverses."""


def orthogonal_factor(matrix: Array) -> Array:
    """Return the orthogonal R that maximises ``tr(R' matrix)``, (d, d).

    Parameters
    ----------
    matrix : (d, d)
        Square; where it is singular R is not unique, and some maximiser is returned.

    Returns
    -------
    (d, d)
        ``L R'`` for the singular value decomposition ``L diag(s) R'``.

    Notes
    -----
    Newton's iteration ``X <- (g X + X^-T / g) / 2`` with Higham's scaling g, which is
    quadratic and costs one inverse a step: a fraction of the decomposition. Its result is
    taken only if it is orthogonal to rounding; else the decomposition decides. Source:
    Higham, Computing the polar decomposition - with applications (1986), section 3.
    """
    d = len(matrix)
    if d > _SMALL:
        found = _newton(matrix)
        if found is not None:
            return found
    left, _, right = np.linalg.svd(matrix)
    rotation: Array = left @ right
    return rotation


def _newton(matrix: Array) -> Array | None:
    """Return the orthogonal factor, or None where the iteration does not get there."""
    d, eps = len(matrix), np.finfo(np.float64).eps
    x = matrix
    for _ in range(_MAX_STEPS):
        try:
            inverse = np.asarray(np.linalg.inv(x), dtype=np.float64)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(inverse).all():
            return None
        scale = _scale(x, inverse)
        following = (0.5 * scale) * x + (0.5 / scale) * inverse.T
        step = float(np.linalg.norm(following - x))
        x = following
        # quadratic: an error of this size is squared by the next step, below rounding
        if abs(scale - 1.0) < 0.1 and step < np.sqrt(eps) * 0.1:
            break
    miss = float(np.abs(x.T @ x - np.eye(d)).max())
    return x if miss < 8.0 * d * eps else None


def _scale(x: Array, inverse: Array) -> float:
    """Return g, the fourth root of the ratio of 1- and infinity-norms of inverse and x."""
    norms = [np.abs(m).sum(axis=axis).max() for m in (inverse, x) for axis in (0, 1)]
    scale = float((norms[0] * norms[1] / (norms[2] * norms[3])) ** 0.25)
    # near the end scaling only disturbs the quadratic convergence
    return 1.0 if abs(scale - 1.0) < 1e-2 else scale
