"""The programme of one affine map between cells of free covariances, in white coordinates."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from isonomy.ideal._cells import Array, center

__all__ = ["MapProgramme"]

_LARGE = 32
"""Features from which one product a class costs no more than its call."""


class MapProgramme:
    """Minimise ``sum_y q_y KL(V # N(mu_y, Sigma_y) + b || N(m_y, S_y))`` over V, for the best b.

    Parameters
    ----------
    source_means, target_means : (K, d)
    source_lowers, target_lowers : (K, d, d)
        Lower factors of the covariances.
    weights : (K,)
        Positive; the value is that of weights that sum to 1.

    Notes
    -----
    With P_y = q_y S_y^-1, P = sum P_y and A = sum q_y [Sigma_y + (mu_y - mu_bar)(...)']::

        b = P^-1 sum P_y (m_y - V mu_y)
        F(V) = 1/2 sum tr(P_y V Sigma_y V') + 1/2 sum |m_y - V mu_y - b|^2_{P_y} - ln |det V|

    plus a constant: a quadratic form and a barrier at det V = 0, which no descent crosses.
    It is written in ``W = R_P V R_A'`` with P = R_P' R_P and A = R_A' R_A, where the
    average of the curvature is that of ``|W|^2 / 2``. The factors come from QR of stacked
    factors, so that a condition number is met as its root. Source: theory.md 3.4.
    """

    def __init__(
        self,
        source_means: Array,
        source_lowers: Array,
        target_means: Array,
        target_lowers: Array,
        weights: Array,
    ) -> None:
        q = weights / weights.sum()
        n_classes, d = source_means.shape
        self.shape, self.q = (n_classes, d), q
        root = np.sqrt(q)[:, None, None]
        self.source_middle, source = center(source_means, q)
        forms = np.stack([solve_triangular(low, np.eye(d), lower=True) for low in target_lowers])
        self.upper_p = _upper(root * forms)
        spread = root * np.swapaxes(source_lowers, 1, 2)
        self.upper_a = _upper(np.concatenate([spread, root * source[:, None, :]], axis=1))
        forms = root * _right_divide(forms, self.upper_p)
        self.precisions = np.swapaxes(forms, 1, 2) @ forms
        halves = _right_divide(np.swapaxes(source_lowers, 1, 2), self.upper_a)
        self.spreads = np.swapaxes(halves, 1, 2) @ halves
        self.source = solve_triangular(self.upper_a, source.T, trans="T").T
        # about the plain mean first: far from the origin nothing is to cancel
        self.target_origin = q @ target_means
        target = (target_means - self.target_origin) @ self.upper_p.T
        self.target_middle = np.einsum("kij,kj->i", self.precisions, target)
        self.target = target - self.target_middle
        self._wide = np.ascontiguousarray(self.spreads.transpose(1, 0, 2).reshape(d, -1))
        self._tall = np.ascontiguousarray(self.precisions.reshape(-1, d))
        self._sides: tuple[NDArray[Any], NDArray[Any]] = self._tall.T, self.spreads
        logs = [
            np.log(np.abs(np.diagonal(lows, axis1=1, axis2=2))).sum(axis=1)
            for lows in (target_lowers, source_lowers)
        ]
        self.constant = float(q @ (logs[0] - logs[1])) - 0.5 * d
        for upper in (self.upper_p, self.upper_a):
            self.constant += float(np.log(np.abs(np.diagonal(upper))).sum())

    def value_and_gradient(self, flat: Array) -> tuple[Array, Array]:
        """Return values (n,) and gradients (n, d d) at white maps (n, d d)."""
        n, d = len(flat), self.shape[1]
        maps = flat.reshape(n, d, d)
        slopes = self._pushed(maps) if d < _LARGE else self._pushed_large(maps)
        values = 0.5 * np.einsum("nij,nij->n", slopes, maps)
        miss, pull = self._miss(maps)
        values += 0.5 * np.einsum("nki,nki->n", miss, pull)
        slopes = slopes - np.swapaxes(pull, 1, 2) @ self.source
        sizes = np.linalg.slogdet(maps)[1]
        fine = np.isfinite(sizes) & np.isfinite(values)
        inverses = np.linalg.inv(np.where(fine[:, None, None], maps, np.eye(d)))
        values = np.where(fine, values - sizes + self.constant, np.inf)
        return values, (slopes - np.swapaxes(inverses, 1, 2)).reshape(n, -1)

    def _pushed(self, maps: Array) -> Array:
        """Return sum_y P_y V Sigma_y by two products for all classes and maps together."""
        n, d, _ = maps.shape
        pushed = (maps.reshape(n * d, d) @ self._wide).reshape(n, d, -1, d)
        turned = np.ascontiguousarray(pushed.transpose(0, 3, 2, 1)).reshape(n * d, -1)
        found: Array = (turned @ self._tall).reshape(n, d, d).swapaxes(1, 2)
        return found

    def _pushed_large(self, maps: Array) -> Array:
        """Return the same where products are large enough to be taken class by class."""
        n, d, _ = maps.shape
        beside, spreads = self._sides
        pushed = maps.astype(spreads.dtype, copy=False)[:, None] @ spreads
        found: Array = (beside @ pushed.reshape(n, -1, d)).astype(np.float64, copy=False)
        return found

    def coarse(self) -> MapProgramme:
        """Return the programme with its large products in single precision.

        Half the time an evaluation; the value is off by about 1e-9 of d, which is far less
        than a step gains until the end is near.
        """
        other = copy(self)
        other._sides = (
            np.ascontiguousarray(self._tall.T, dtype=np.float32),
            self.spreads.astype(np.float32),
        )
        return other

    def _miss(self, maps: Array) -> tuple[Array, Array]:
        """Return residuals of the means (n, K, d) at the best offsets, and P_y times them."""
        miss = self.target - self.source @ np.swapaxes(maps, 1, 2)
        offset = np.einsum("kij,nkj->ni", self.precisions, miss)
        miss = miss - offset[:, None, :]
        return miss, np.einsum("kij,nkj->nki", self.precisions, miss)

    def pooled_pull(self) -> Array:
        """Return H' (d, d), minus the slope that the means give at V = 0."""
        _, pull = self._miss(np.zeros((1, *self.upper_p.shape)))
        found: Array = pull[0].T @ self.source
        return found

    def to_white(self, matrices: Array) -> Array:
        """Return W = R_P V R_A' for matrices V (..., d, d)."""
        found: Array = self.upper_p @ matrices @ self.upper_a.T
        return found

    def from_white(self, white: Array) -> tuple[Array, Array]:
        """Return matrix V (d, d) and the best offset b (d,) for W (d, d)."""
        left = solve_triangular(self.upper_p, white)
        matrix: Array = solve_triangular(self.upper_a, left.T).T
        miss = self.target - self.source @ white.T
        shift = self.target_middle + np.einsum("kij,kj->i", self.precisions, miss)
        offset = self.target_origin + solve_triangular(self.upper_p, shift)
        return matrix, offset - matrix @ self.source_middle


def _upper(stacked: Array) -> Array:
    """Return R, upper triangular, with ``R'R = sum_k X_k'X_k`` of X (K, r, d)."""
    (found,) = qr(stacked.reshape(-1, stacked.shape[-1]), mode="r", check_finite=False)
    d = stacked.shape[-1]
    upper: Array = np.ascontiguousarray(found[:d])
    return upper


def _right_divide(stacked: Array, upper: Array) -> Array:
    """Return ``X_k R^-1`` for X (K, r, d)."""
    shape = stacked.shape
    flat = stacked.reshape(-1, shape[-1])
    divided: Array = solve_triangular(upper, flat.T, trans="T").T.reshape(shape)
    return divided
