"""Oracle of a fold: the layer's sums term by term, on the steered vector itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def steer(matrix: Matrix, offset: Vector, x: Vector) -> Vector:
    """Return M x + b, one number at a time."""
    out = np.zeros(len(offset))
    for i in range(len(offset)):
        total = offset[i]
        for j in range(len(x)):
            total += matrix[i, j] * x[j]
        out[i] = total
    return out


def linear(weight: Matrix, bias: Vector | None, x: Vector) -> Vector:
    """Return W x + c, one number at a time; W is (out, in)."""
    zeros = np.zeros(len(weight))
    return steer(weight, zeros if bias is None else bias, x)


def read_steered(
    weight: Matrix, bias: Vector | None, matrix: Matrix, offset: Vector, x: Vector
) -> Vector:
    """Return what a layer writes that reads the steered x."""
    return linear(weight, bias, steer(matrix, offset, x))


def write_steered(
    weight: Matrix, bias: Vector | None, matrix: Matrix, offset: Vector, h: Vector
) -> Vector:
    """Return the steered output of a layer that reads h."""
    return steer(matrix, offset, linear(weight, bias, h))
