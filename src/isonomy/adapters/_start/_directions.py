"""Which directions of a layer's inputs tell the rare classes apart: the start's mathematics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from isonomy.adapters._start._whitening import Whitening
from isonomy.distributions._linalg import rank_tolerance, symmetrize

__all__ = [
    "Rows",
    "default_row_norm",
    "leading_right_vectors",
    "orthonormal_rows",
    "principal_rows",
    "tail_matrix",
    "tail_rows",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Directions, the strongest first, and what share of the whole they carry.

    Attributes
    ----------
    rows : (k, d)
        Not scaled, k at most the number asked for.
    captured : float
        Share of the summed squared singular values that these k have; NaN of nothing.
    """

    rows: Floats
    captured: float


def tail_matrix(means: Floats, n_rows: Floats, counts: Floats, tail: NDArray[np.bool_]) -> Floats:
    """Return M (t, d): the tail classes' mean deviations, weighted by 1 / n_class.

    Parameters
    ----------
    means : (K, d)
        Class means of the draw.
    n_rows : (K,)
        Rows of the draw; a class without any takes no part.
    counts : (K,)
        Training rows n_class.
    tail : (K,) bool

    Notes
    -----
    Row k is ``w_k (mu_k - mu)`` with w_k proportional to 1 / n_k and mu the mean of the class
    means: the draw is balanced, and so is its centre.
    """
    seen = n_rows > 0
    centre = means[seen].mean(axis=0)
    kept = tail & seen
    weight = 1.0 / np.maximum(counts[kept], 1.0)
    scaled: Floats = (weight / weight.sum())[:, None] * (means[kept] - centre)
    return scaled


def tail_rows(matrix: Floats, whitening: Whitening, r: int) -> Rows:
    """Return at most ``r`` directions that maximise the tail's between / within ratio.

    Parameters
    ----------
    matrix : (t, d)
        M, of `tail_matrix`.
    whitening : Whitening
        Of the within-class covariance S = L L'.
    r : int

    Returns
    -------
    Rows

    Notes
    -----
    With v_j the right-singular vectors of ``M L^-T``, the row is ``a_j = L^-T v_j``: the
    functional that reads v_j off the whitened input. These are the leading generalised
    eigenvectors of (M'M, S), the same for every root of S, and lie in the span of
    ``S^-1 M'`` as linear discriminants do. Among all r-dimensional subspaces theirs has the
    largest ``tr[(A S A')^-1 (A M'M A')]``, the sum of the r largest squared singular values
    (Fukunaga, Introduction to Statistical Pattern Recognition, 2nd ed., section 10.2).
    """
    vectors, captured = leading_right_vectors(whitening.apply(matrix), r)
    return Rows(whitening.functional(vectors), captured)


def leading_right_vectors(matrix: Floats, r: int) -> tuple[Floats, float]:
    """Return at most ``r`` right-singular vectors (k, d) of nonzero singular value, and share."""
    if matrix.size == 0:
        return np.zeros((0, matrix.shape[1])), float("nan")
    _, values, vectors = np.linalg.svd(matrix, full_matrices=False)
    k = int((values[:r] > rank_tolerance(values, size=max(matrix.shape))).sum())
    power = values**2
    return vectors[:k], float(power[:k].sum() / power.sum()) if k else float("nan")


def principal_rows(covariance: Floats, taken: Floats, n: int) -> Floats:
    """Return at most ``n`` leading principal directions (k, d) orthogonal to ``taken``.

    Parameters
    ----------
    covariance : (d, d)
        Of the inputs.
    taken : (j, d)
        Orthonormal rows.
    n : int
    """
    d = len(covariance)
    n = min(n, d - len(taken))
    if n < 1:
        return np.zeros((0, d))
    rest = covariance - taken.T @ (taken @ covariance)
    rest = symmetrize(rest - (rest @ taken.T) @ taken)
    values, vectors = eigh(rest, subset_by_index=[d - n, d - 1])
    tolerance = rank_tolerance(np.diagonal(covariance), size=d)
    order = [j for j in range(n)[::-1] if values[j] > tolerance]
    found: Floats = vectors[:, order].T
    return found


def orthonormal_rows(*parts: Floats) -> Floats:
    """Return the rows of all parts orthonormalised in order (Gram-Schmidt), signs fixed.

    The largest entry of a row is positive, so that the result does not depend on which
    sign a decomposition happened to return.
    """
    stacked = np.concatenate(parts)
    if not len(stacked):
        return stacked
    norms = np.linalg.norm(stacked, axis=1, keepdims=True)
    basis = np.linalg.qr((stacked / norms).T)[0].T
    at = np.abs(basis).argmax(axis=1)
    signs = np.sign(basis[np.arange(len(basis)), at])
    found: Floats = basis * signs[:, None]
    return found


def default_row_norm() -> float:
    """Return the root mean square norm of a row of PEFT's default ``lora_A``: 1 / sqrt(3).

    Kaiming's uniform start with a = sqrt(5) draws from +-1 / sqrt(d_in), whose variance is
    1 / (3 d_in).
    """
    return float(1.0 / np.sqrt(3.0))
