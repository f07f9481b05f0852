"""A group in coordinates where all class information sits in a few orthonormal axes.

With Sigma = L L' and Q (d, r) an orthonormal basis of the whitened class differences, a
map that changes the class axes by m and no others is F = L (I + Q (m - I) Q'). Its image
of the identity is Sigma plus r directions, so a nearest ideal costs no product of d x d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, lapack

from isonomy.distributions._accumulate import mirror_upper
from isonomy.ideal._cells import Array
from isonomy.ideal._numerics.polar import orthogonal_factor
from isonomy.ideal._numerics.root import symmetric_root

__all__ = ["ClassFrame", "class_frame", "least_map"]

_SMALL = 64
"""Size up to which accuracy is had for nothing by decompositions."""

_LEAST_RCOND = 1e-3
"""Below it the two-sided solves of the symmetric way would lose digits that the other keeps."""


@dataclass(frozen=True, eq=False)
class ClassFrame:
    """A group's covariance and its factor L (d, d), class axes Q (d, r), means (K, r) in them.

    ``lower`` is laid out by columns, as LAPACK reads it.
    """

    covariance: Array
    lower: Array
    axes: Array
    coordinates: Array

    def solve(self, block: Array, *, transposed: bool = False) -> Array:
        """Return ``L^-1 block``, or ``L^-T block``."""
        found: Array = blas.dtrsm(1.0, self.lower, block, lower=1, trans_a=int(transposed))
        return found

    def directions(self) -> Array:
        """Return ``L Q`` (d, r): the class axes in the group's own coordinates."""
        found: Array = blas.dtrmm(1.0, self.lower, self.axes, lower=1)
        return found


def class_frame(means: Array, covariance: Array, lower: Array | None = None) -> ClassFrame:
    """Return the frame of a group of class means (K, d) and one covariance (d, d).

    The coordinates are lower triangular below the first row, with a diagonal >= 0: the
    same for every affine image of the cells. ``lower`` is the covariance's factor, if known.
    """
    lower = np.asfortranarray(np.linalg.cholesky(covariance) if lower is None else lower)
    differences = blas.dtrsm(1.0, lower, (means[1:] - means[0]).T, lower=1)
    axes, upper = np.linalg.qr(differences)
    signs = np.where(np.diagonal(upper) < 0, -1.0, 1.0)
    coordinates = np.zeros((len(means), upper.shape[0]))
    coordinates[1:] = (signs[:, None] * upper).T
    return ClassFrame(covariance, lower, axes * signs, coordinates)


def least_map(
    source: ClassFrame,
    source_inner: Array,
    target: ClassFrame,
    target_inner: Array,
    span: Array,
) -> Array:
    """Return the matrix that carries one ideal group onto another and moves rows least.

    Parameters
    ----------
    source, target : ClassFrame
    source_inner, target_inner : (r, r)
        m of the module's F: F_s and F_t carry the same canonical cells, of identity
        covariance, onto the two groups.
    span : (r, k)
        Orthonormal basis E of the axes in which the canonical class means differ.

    Returns
    -------
    (d, d)
        ``F_t (Q_t E E' Q_s' + R) F_s^-1``, R the rotation of the rest that moves least.

    Notes
    -----
    With P_s, P_t the projections off Q_s E and Q_t E, ``R = polar(P_t F_t' F_s P_s)``
    (theory.md 3.3). With B = F_s' F_t P_t F_t' F_s and A = P_s B P_s, symmetric::

        F_t R F_s^-1 = F_s^-T [A^1/2 + Q_s E (E' Q_s' B P_s) A^-1/2] F_s^-1

    in which the root of one symmetric matrix stands for the polar factor.
    """
    d, k = len(source.lower), span.shape[1]
    if k < d and d > _SMALL and lapack.dtrcon(source.lower, uplo="L")[0] > _LEAST_RCOND:
        found = _by_root(source, source_inner, target, target_inner, span)
        if found is not None:
            return found
    return _by_polar(source, source_inner, target, target_inner, span)


def _by_root(
    source: ClassFrame,
    source_inner: Array,
    target: ClassFrame,
    target_inner: Array,
    span: Array,
) -> Array | None:
    d, (r, k) = len(source.lower), span.shape
    q, eye, rest = source.axes, np.eye(r), np.eye(r) - span @ span.T
    there = target.directions()
    # F_t P_t F_t' = S_t + L_t Q_t (m (I - E E') m' - I) (L_t Q_t)'
    goal = _plus(target.covariance, there @ (target_inner @ rest @ target_inner.T - eye), there)
    both, info = lapack.dsygst(goal, source.lower, itype=2, lower=1, overwrite_a=1)
    assert info == 0  # it fails on arguments alone
    # from here on ``both`` is L_s' F_t P_t F_t' L_s, its lower triangle
    beside = blas.dsymm(1.0, both, q, lower=1)
    off = source_inner @ rest - eye
    inside = q.T @ beside
    shared = (source_inner @ span).T @ (beside.T + inside @ off @ q.T)
    null = _plus(both, beside @ off + 0.5 * (q @ (off.T @ inside @ off)), q, twice=True)
    axes = q @ span
    size = float(np.trace(null)) / (d - k)  # a value amid the others for the empty axes
    null = blas.dsyrk(size, axes, beta=1.0, c=null, lower=1, overwrite_c=1)
    found = symmetric_root(null, shared.T)
    if found is None:
        return None
    root, turned = found
    back = np.linalg.inv(source_inner)
    bend = back - eye
    # F_s^-1 = (I + Q bend Q') L_s^-1, on both sides of the root
    seen = root @ q
    root = _plus(root, seen @ bend + 0.5 * (q @ (bend.T @ (q.T @ seen) @ bend)), q, twice=True)
    mirror_upper(root.T)
    matrix = blas.dtrsm(1.0, source.lower, root, side=1, lower=1, overwrite_b=1)
    matrix = blas.dtrsm(1.0, source.lower, matrix, lower=1, trans_a=1, overwrite_b=1)
    left = source.solve(q, transposed=True) @ back.T @ span
    row = source.solve(turned + q @ (bend.T @ (q.T @ turned)), transposed=True)
    row -= np.sqrt(size) * left
    matrix = blas.dgemm(1.0, left, row, beta=1.0, c=matrix, trans_b=1, overwrite_c=1)
    kept = there @ (target_inner @ span)
    result: Array = blas.dgemm(1.0, kept, left, beta=1.0, c=matrix, trans_b=1, overwrite_c=1)
    return result


def _plus(matrix: Array, left: Array, right: Array, *, twice: bool = False) -> Array:
    """Return the lower triangle of ``matrix + left right'``, symmetric, by columns.

    ``twice`` adds ``right left'`` too; else ``left right'`` must be symmetric by itself.
    """
    factor = 1.0 if twice else 0.5
    room = np.array(matrix, order="F", copy=not twice)
    found: Array = blas.dsyr2k(factor, left, right, beta=1.0, c=room, lower=1, overwrite_c=1)
    return found


def _by_polar(
    source: ClassFrame,
    source_inner: Array,
    target: ClassFrame,
    target_inner: Array,
    span: Array,
) -> Array:
    d, r = len(source.lower), len(span)
    eye, rest = np.eye(r), np.eye(r) - span @ span.T
    q, p = source.axes, target.axes
    cross = blas.dtrmm(1.0, target.lower, source.lower, lower=1, trans_a=1)
    size = float(np.linalg.norm(cross)) / np.sqrt(d)  # amid the other singular values
    cross += p @ ((target_inner @ rest - eye).T @ (p.T @ cross))
    cross += (cross @ q) @ (source_inner @ rest - eye) @ q.T
    # where every axis carries class nothing but rounding is left of the first term
    turn = orthogonal_factor(cross + size * (p @ span) @ (q @ span).T)
    turn = turn + p @ ((target_inner - eye) @ (p.T @ turn))
    turn += (turn @ q) @ (np.linalg.inv(source_inner) - eye) @ q.T
    matrix = blas.dtrmm(1.0, target.lower, turn, lower=1)
    result: Array = blas.dtrsm(1.0, source.lower, matrix, side=1, lower=1)
    return result
