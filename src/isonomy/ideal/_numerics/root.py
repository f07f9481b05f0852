"""The square root of a symmetric positive definite matrix, by rational approximation."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas, eigvalsh_tridiagonal, lapack
from scipy.special import ellipj, ellipkm1

from isonomy.distributions._accumulate import mirror_upper
from isonomy.ideal._cells import Array

__all__ = ["symmetric_root"]

_LANCZOS_STEPS = 16
_LARGEST_CONDITION = 1e4
"""Beyond it the squared condition costs digits, and more poles than a decomposition is worth."""

_WIDE = 8.0
"""A spectrum of this condition has its low end resolved by few Lanczos steps no longer."""

_MAX_POLES = 32
_SCALAR_MISS = 1e-14
"""What the poles may miss: below what rounding makes of products of a few hundred terms."""

_MISS = 1e-12


def symmetric_root(matrix: Array, block: Array) -> tuple[Array, Array] | None:
    """Return the symmetric root of a matrix, and its inverse times a few columns.

    Parameters
    ----------
    matrix : (d, d)
        Symmetric; the lower triangle is read.
    block : (d, k)

    Returns
    -------
    (d, d), (d, k) or None
        ``matrix^1/2`` and ``matrix^-1/2 block``; None where the matrix is not positive
        definite with a condition below 1e4, or the root does not square to it.

    Notes
    -----
    ``A^-1/2 = sum_j w_j (A + c_j I)^-1`` and ``A^1/2 = A A^-1/2``, with the poles of
    Zolotarev's best rational approximation on the spectrum: an inverse of a positive
    definite matrix a pole, a third of the work of a general one, and nothing to iterate.
    Source: Hale, Higham and Trefethen, Computing A^alpha, log(A) and related matrix
    functions by contour integrals (2008), method 3.
    """
    low, high = _spectrum(matrix)
    if not (low > 0.0 and high < _LARGEST_CONDITION * low):
        return None
    found = _poles(low, high)
    if found is None:
        return None
    weights, poles = found
    d = len(matrix)
    root, turned = np.zeros((d, d), order="F"), np.zeros_like(block)
    shifted, diagonal = np.empty((d, d), order="F"), np.arange(d)
    for weight, pole in zip(weights, poles, strict=True):
        shifted[...] = matrix
        shifted[diagonal, diagonal] += pole
        _, info = lapack.dpotrf(shifted, lower=1, clean=0, overwrite_a=1)
        if info != 0:
            return None
        lapack.dpotri(shifted, lower=1, overwrite_c=1)
        turned += weight * blas.dsymm(1.0, shifted, block, lower=1)
        blas.daxpy(shifted.ravel("K"), root.ravel("K"), a=-weight * pole)
    root[diagonal, diagonal] += weights.sum()
    mirror_upper(root.T)
    return (root, turned) if _squares_to(root, matrix) else None


def _spectrum(matrix: Array) -> tuple[float, float]:
    """Return a little less than the least eigenvalue and a little more than the largest."""
    d = len(matrix)
    steps = min(_LANCZOS_STEPS, d)
    basis = np.empty((steps, d))
    alpha, beta = np.empty(steps), np.empty(steps)
    v = np.random.default_rng(0).standard_normal(d)
    for i in range(steps):
        basis[i] = v / np.linalg.norm(v)
        v = blas.dsymv(1.0, matrix, basis[i], lower=1)
        alpha[i] = basis[i] @ v
        for _ in range(2):  # once is not enough for orthogonality to rounding
            v -= (basis[: i + 1] @ v) @ basis[: i + 1]
        beta[i] = np.linalg.norm(v)
        if beta[i] <= np.finfo(np.float64).eps * np.abs(alpha[: i + 1]).max() * d:
            steps = i + 1  # an invariant subspace: its values are exact
            break
    values = eigvalsh_tridiagonal(alpha[:steps], beta[: steps - 1])
    low, high = float(values[0]), float(values[-1])
    # the ends of a spectrum without gaps are missed by about (pi / 2 / steps)^2 of its width
    edge = 0.05 * (high - low)
    low = low / 4.0 if high > _WIDE * low else low - edge
    return low, 1.01 * (high + edge)


def _poles(low: float, high: float) -> tuple[Array, Array] | None:
    """Return weights and poles that give ``x^-1/2`` on [low, high] to rounding."""
    grid = np.geomspace(low, high, 257)
    for n in range(1, _MAX_POLES + 1):
        ratio = low / high
        period = ellipkm1(ratio)  # of parameter 1 - ratio
        sn, cn, dn, _ = ellipj((np.arange(n) + 0.5) * period / n, 1.0 - ratio)
        poles = low * (sn / cn) ** 2
        weights = 2.0 * period * np.sqrt(low) / (np.pi * n) * dn / cn**2
        scalar = (weights / (grid[:, None] + poles)).sum(axis=1) * np.sqrt(grid)
        if np.abs(scalar - 1.0).max() < _SCALAR_MISS:
            return weights, poles
    return None


def _squares_to(root: Array, matrix: Array) -> bool:
    """Whether root root = matrix, judged by what both do to a few fixed directions."""
    for seed in (1, 2):
        v = np.random.default_rng(seed).standard_normal(len(root))
        wanted = blas.dsymv(1.0, matrix, v, lower=1)
        if np.linalg.norm(root @ (root @ v) - wanted) > _MISS * np.linalg.norm(wanted):
            return False
    return True
