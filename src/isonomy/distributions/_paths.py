"""Paths of invertible matrices from the identity to a given one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import polar, schur

from isonomy.distributions._affine_checks import check_invertible
from isonomy.distributions._linalg import cholesky, solve_cholesky
from isonomy.errors import InvalidInputError

__all__ = ["partial_matrix", "polar_power", "rotation_power"]

Floats = NDArray[np.float64]


def partial_matrix(matrix: Floats, strength: float, covariance: Floats | None) -> Floats:
    """Return ``L R^s P^s L^-1`` with LL' the covariance and ``L^-1 matrix L = R P``.

    Raises
    ------
    InvalidInputError
        If the determinant is negative.
    SingularCovarianceError
        If the matrix or the covariance is singular.
    """
    check_invertible(matrix, size=len(matrix))
    if np.linalg.slogdet(matrix)[0] < 0:
        raise InvalidInputError(
            "`AffineMap.partial` needs a map of positive determinant, got one that mirrors "
            "space: no path of invertible maps leads from the identity to it. `partial_ideal` "
            'may find an equal map without the mirror; map_family="symmetric" always has none.'
        )
    if covariance is None:
        return polar_power(matrix, strength)
    lower = cholesky(covariance, what="`covariance` of `AffineMap.partial`")
    inner = polar_power(solve_cholesky(lower, matrix @ lower), strength)
    found: Floats = np.asarray(np.linalg.solve(lower.T, (lower @ inner).T).T, dtype=np.float64)
    return found


def polar_power(matrix: Floats, strength: float) -> Floats:
    """Return ``R^s P^s`` for the polar form ``matrix = R P`` with det(matrix) > 0.

    Parameters
    ----------
    matrix : (d, d)
        Of positive determinant.
    strength : float
        s.

    Returns
    -------
    (d, d)
        The identity at 0, ``matrix`` at 1, of determinant ``det(matrix)^s`` in between.
    """
    rotation, stretch = polar(matrix)
    sizes, axes = np.linalg.eigh(stretch)
    found: Floats = rotation_power(rotation, strength) @ ((axes * sizes**strength) @ axes.T)
    return found


def rotation_power(rotation: Floats, strength: float) -> Floats:
    """Return the rotation by ``strength`` times the angle of every plane of ``rotation``.

    Notes
    -----
    The real Schur form of an orthogonal matrix is block diagonal: plane rotations, and 1 or
    -1 on the axes. Of determinant 1 it has an even number of -1, which are half turns of
    planes spanned by pairs of axes: any of these shortest ways will do.
    """
    form, basis = schur(rotation, output="real")
    d = len(form)
    power = np.eye(d)
    turned: list[int] = []
    i = 0
    while i < d:
        if i + 1 < d and form[i + 1, i] != 0.0:
            angle = strength * np.arctan2(
                0.5 * (form[i + 1, i] - form[i, i + 1]), 0.5 * (form[i, i] + form[i + 1, i + 1])
            )
            _turn(power, i, i + 1, angle)
            i += 2
            continue
        if form[i, i] < 0.0:
            turned.append(i)
        i += 1
    for first, second in zip(turned[::2], turned[1::2], strict=True):
        _turn(power, first, second, strength * np.pi)
    found: Floats = basis @ power @ basis.T
    return found


def _turn(matrix: Floats, i: int, j: int, angle: float) -> None:
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
