"""Steps of a search over maps, relative to the map: there its curved valleys are straight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.ideal._cells import Array

__all__ = ["RelativeSteps"]

_FLOOR = 0.1
"""Least curvature that the preconditioner assumes: turning W costs next to nothing on average."""


class RelativeSteps:
    """Moves ``W -> W (I + A + A A / 2)``, and the average curvature in A, for `descend`.

    Notes
    -----
    In white coordinates the average of the quadratic form is ``|W|^2 / 2``. A turn of W
    changes neither that nor det W: it is a flat direction between steep ones, and straight
    steps leave the circle on which it is flat. Steps relative to W, exponential up to
    second order, stay on it. With ``W = U diag(s) V'`` and ``A = V B V'`` the average
    curvature is ``sum_ij s_i^2 b_ij^2 + b_ij b_ji``: blocks of two entries, which are
    inverted, with eigenvalues of at least 0.1. Source: the relative gradient and the
    block-diagonal Hessian of independent component analysis (Ablin, Cardoso and Gramfort,
    Faster independent component analysis by preconditioning with Hessian approximations,
    2018), for a quadratic form in place of the densities.
    """

    def __init__(self, n: int, d: int) -> None:
        self.d = d
        # single precision: what only has to be near the curvature costs half
        self.axes = np.tile(np.eye(d, dtype=np.float32), (n, 1, 1))
        self.same, self.other = np.ones_like(self.axes), np.zeros_like(self.axes)

    def prepare(self, run: NDArray[np.intp], points: Array) -> None:
        """Take the curvature of the searches ``run`` at their points (n, d d)."""
        _, sizes, axes = np.linalg.svd(self._maps(points))
        stiff = sizes**2
        middle = 0.5 * (stiff[:, :, None] + stiff[:, None, :])
        lean = 0.5 * (stiff[:, :, None] - stiff[:, None, :])
        radius = np.hypot(lean, 1.0)
        high, low = 1.0 / (middle + radius), 1.0 / np.maximum(middle - radius, _FLOOR)
        gap = 0.5 * (high - low) / radius
        same, other = 0.5 * (high + low) + gap * lean, gap
        on = np.arange(self.d)
        same[:, on, on], other[:, on, on] = 1.0 / (stiff + 1.0), 0.0
        self.axes[run], self.same[run], self.other[run] = axes, same, other

    def pull(self, points: Array, gradients: Array) -> Array:
        """Return the gradients in A at A = 0, ``W' G``."""
        turned = np.swapaxes(self._maps(points), 1, 2) @ self._maps(gradients)
        return turned.reshape(points.shape)

    def move(self, points: Array, moves: Array) -> Array:
        """Return the points that relative moves lead to."""
        turns = self._maps(moves)
        first = self._maps(points) @ turns
        return points + (first + 0.5 * first @ turns).reshape(points.shape)

    def precondition(self, run: NDArray[np.intp], slopes: Array) -> Array:
        """Return slopes (n, d d) divided by the average curvature."""
        axes = self.axes[run]
        back = np.swapaxes(axes, 1, 2)
        turned = axes @ self._maps(slopes).astype(np.float32) @ back
        turned = self.same[run] * turned + self.other[run] * np.swapaxes(turned, 1, 2)
        return (back @ turned @ axes).astype(np.float64).reshape(slopes.shape)

    def _maps(self, flat: Array) -> Array:
        return flat.reshape(len(flat), self.d, self.d)
