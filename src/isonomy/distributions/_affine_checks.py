"""What an affine map demands of its arrays, and when it can be undone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions._linalg import rank_tolerance
from isonomy.errors import InvalidInputError, SingularCovarianceError

__all__ = ["check_invertible", "finite"]


def finite(name: str, values: ArrayLike, ndim: int) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.ndim != ndim or not np.isfinite(array).all():
        raise InvalidInputError(
            f"`{name}` of `AffineMap` must be a finite {ndim}-D array, got shape {array.shape}"
            f"{'' if np.isfinite(array).all() else ' with NaN or infinity'}."
        )
    return array


def check_invertible(matrix: NDArray[np.float64], *, size: int) -> None:
    """Raise unless the matrix has full rank once rows and columns have size 1."""
    if matrix.size == 0:
        return  # the core of a map of rank 0, which is a translation
    rows = np.abs(matrix).max(axis=1, keepdims=True, initial=0.0)
    scaled = matrix / np.where(rows > 0, rows, 1.0)
    columns = np.abs(scaled).max(axis=0, keepdims=True, initial=0.0)
    values = np.linalg.svd(scaled / np.where(columns > 0, columns, 1.0), compute_uv=False)
    n_zero = int((values <= rank_tolerance(values, size=size)).sum())
    if n_zero:
        raise SingularCovarianceError(
            f"`AffineMap.inverse` needs a map of full rank, got a matrix that loses {n_zero} "
            f"of {size} dimension(s). A map that erases directions cannot be undone."
        )
