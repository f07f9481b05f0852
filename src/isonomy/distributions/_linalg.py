"""The one place that decides rank and zero, and the factorisations that rest on it.

Every decision is relative to the floating type, the size and the largest eigenvalue
(or singular value), never absolute. Covariances are judged in correlation units, so
that measuring a column in metres or in microns cannot change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, lapack, solve_triangular

from isonomy.errors import SingularCovarianceError

__all__ = [
    "cholesky",
    "constant_columns",
    "correlation",
    "dependent_columns",
    "invert_lower",
    "log_determinant",
    "matrix_rank",
    "rank_tolerance",
    "solve_cholesky",
    "sure_cholesky",
    "symmetric_inverse_sqrt",
    "symmetric_sqrt",
    "symmetrize",
]

_SAFETY = 10.0
"""Rounding of an eigenvalue is a small multiple of ``size * eps``; this is the multiple."""


def rank_tolerance(values: ArrayLike, *, size: int | None = None, dtype: Any = np.float64) -> float:
    """Return the value at and below which an eigenvalue or singular value is zero.

    Parameters
    ----------
    values : (r,)
        Eigenvalues of a symmetric matrix, or singular values; any order.
    size : int, optional
        The largest dimension of what they were computed from (number of columns, or of
        rows for an estimate from rows); default their number.
    dtype : floating type
        The precision in which the matrix was computed.

    Returns
    -------
    float
        ``10 * size * eps(dtype) * max |values|``; 0 if there are no values.

    Notes
    -----
    Relative to the type, the size and the largest value: multiplying the matrix by a
    constant multiplies the tolerance by it. The rounding error of an eigenvalue is
    bounded by a modest multiple of ``size * eps * max |values|`` (Golub and Van Loan,
    Matrix Computations, 4th ed., section 8.1); 10 is that multiple here.

    Examples
    --------
    >>> rank_tolerance([4.0, 1.0]) == 10 * 2 * 4.0 * 2.0**-52
    True
    """
    found = np.abs(np.asarray(values, dtype=np.float64))
    if found.size == 0:
        return 0.0
    n = found.size if size is None else max(size, found.size)
    return _SAFETY * n * float(np.finfo(dtype).eps) * float(found.max())


def matrix_rank(matrix: NDArray[np.float64], *, size: int | None = None) -> int:
    """Return how many singular values of ``matrix`` lie above ``rank_tolerance``."""
    if matrix.size == 0:
        return 0
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > rank_tolerance(values, size=size or max(matrix.shape))).sum())


def symmetrize(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(matrix + matrix') / 2``, also for stacks ``(..., d, d)``."""
    return 0.5 * (matrix + np.swapaxes(matrix, -1, -2))


def constant_columns(
    variance: NDArray[np.float64], mean: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Return which columns vary by no more than rounding, ``(d,)``.

    With ``mean`` given, a standard deviation of a few units in the last place of the
    mean is what rounding makes of a constant.
    """
    floor = 0.0 if mean is None else 4.0 * np.finfo(np.float64).eps * np.abs(mean)
    constant: NDArray[np.bool_] = np.sqrt(np.maximum(variance, 0.0)) <= floor
    return constant


def correlation(
    covariance: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlation matrix and the scale; scale 1 where the variance is 0."""
    variance = np.diagonal(covariance)
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    return covariance / scale / scale[:, None], scale


def cholesky(
    covariance: NDArray[np.float64],
    *,
    what: str,
    size: int | None = None,
    names: Sequence[str] | None = None,
) -> NDArray[np.float64]:
    """Return the lower factor L with ``L L' = covariance``.

    Parameters
    ----------
    covariance : (d, d), symmetric
    what : str
        How to name the matrix in the message, for instance "`covariance` of `Normal`".
    size : int, optional
        As in :func:`rank_tolerance`.
    names : sequence of d str, optional
        Column names for the message; default their positions.

    Raises
    ------
    SingularCovarianceError
        If the correlation matrix has an eigenvalue at or below ``rank_tolerance``.
    """
    scaled, scale = correlation(covariance)
    factor, sure = _try_cholesky(scaled, size=size)
    if factor is None or not sure:
        _check_eigenvalues(scaled, what=what, size=size, names=names, factored=factor is not None)
    assert factor is not None  # else the check has raised
    lower: NDArray[np.float64] = factor * scale[:, None]
    return lower


def sure_cholesky(
    matrix: NDArray[np.float64], *, size: int | None = None
) -> NDArray[np.float64] | None:
    """Return the lower factor of a correlation matrix that is far from singular, else None.

    Parameters
    ----------
    matrix : (d, d), symmetric, of entries about 1 or less
    size : int, optional
        As in :func:`rank_tolerance`.

    Returns
    -------
    (d, d) or None
        None does not say that the matrix is singular: only its eigenvalues can.
    """
    factor, sure = _try_cholesky(matrix, size=size)
    return factor if sure else None


def _try_cholesky(
    scaled: NDArray[np.float64], *, size: int | None
) -> tuple[NDArray[np.float64] | None, bool]:
    """Return the lower factor, or None, and whether it is surely far from singular."""
    d = len(scaled)
    factor, info = lapack.dpotrf(scaled, lower=True, clean=True)
    if info != 0:
        return None, False
    relative = _SAFETY * max(size or 0, d) * np.finfo(np.float64).eps
    norm = float(np.abs(scaled).sum(axis=0).max())
    reciprocal_condition, _ = lapack.dpocon(factor, norm, uplo="L")
    # the estimate may exceed the truth a little, hence the wide margin
    return factor, bool(reciprocal_condition > 10.0 * relative)


def _check_eigenvalues(
    scaled: NDArray[np.float64],
    *,
    what: str,
    size: int | None,
    names: Sequence[str] | None,
    factored: bool,
) -> None:
    values = np.linalg.eigvalsh(scaled)
    n_zero = int((values <= rank_tolerance(values, size=size)).sum())
    if n_zero == 0 and factored:
        return
    columns = dependent_columns(scaled, size=size)
    shown = ", ".join(names[j] if names else str(j) for j in columns[:10])
    raise SingularCovarianceError(
        f"{what} must be positive definite, got rank {len(values) - n_zero} of {len(values)}: "
        f"column(s) {shown}{', ...' if len(columns) > 10 else ''} are constant or a linear "
        "combination of one another. Drop some of them, or add shrinkage."
    )


def dependent_columns(covariance: NDArray[np.float64], *, size: int | None = None) -> list[int]:
    """Return the columns with a part in the null space, constant ones included."""
    scaled, _ = correlation(covariance)
    values, vectors = np.linalg.eigh(scaled)
    null = vectors[:, values <= rank_tolerance(values, size=size)]
    if null.shape[1] == 0:
        null = vectors[:, :1]
    share = np.sqrt((null**2).sum(axis=1))
    # a column outside the dependency has a share of rounding size, one inside of order 1/d
    return [int(j) for j in np.flatnonzero(share > share.max() * np.sqrt(np.finfo(float).eps))]


def solve_cholesky(lower: NDArray[np.float64], rhs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``L^-1 rhs`` for the lower factor L."""
    solved: NDArray[np.float64] = solve_triangular(lower, rhs, lower=True, check_finite=False)
    return solved


def invert_lower(lower: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``L^-1`` for the lower factor L of a positive definite matrix."""
    inverse, info = lapack.dtrtri(lower, lower=True)
    assert info == 0  # a factor has no 0 on its diagonal
    found: NDArray[np.float64] = inverse
    return found


def log_determinant(lower: NDArray[np.float64]) -> float:
    """Return ``ln det(L L')`` of a lower factor L."""
    return 2.0 * float(np.log(np.diagonal(lower)).sum())


def symmetric_sqrt(matrix: NDArray[np.float64], *, what: str = "matrix") -> NDArray[np.float64]:
    """Return the symmetric positive semi-definite square root.

    Raises
    ------
    SingularCovarianceError
        If an eigenvalue is negative beyond ``rank_tolerance``.
    """
    values, vectors = eigh(matrix)
    tolerance = rank_tolerance(values)
    if (values < -tolerance).any():
        raise SingularCovarianceError(
            f"{what} must be positive semi-definite, got the eigenvalue {values.min():.3g}."
        )
    return symmetrize((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def symmetric_inverse_sqrt(
    matrix: NDArray[np.float64], *, what: str = "matrix"
) -> NDArray[np.float64]:
    """Return the inverse of the symmetric square root.

    Raises
    ------
    SingularCovarianceError
        If the matrix is singular in correlation units, at ``rank_tolerance``.
    """
    values, vectors = eigh(matrix)
    if values[0] <= rank_tolerance(values):
        cholesky(matrix, what=what)  # raises unless only the units are far apart
    return symmetrize((vectors / np.sqrt(np.maximum(values, np.finfo(float).tiny))) @ vectors.T)
