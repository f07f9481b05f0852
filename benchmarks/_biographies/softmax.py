"""Fit a multinomial logistic regression by descent in coordinates where it is nearly round.

The objective is scikit-learn's: mean log-loss plus ``penalty / 2`` times the squared weights,
intercepts free. Hidden states have a few directions of large variance and many of small, and
rare classes have small curvature; plain L-BFGS then takes hundreds of steps. In the principal
axes of the columns the curvature of weight (k, j) is near ``h_k e_j + penalty``, with ``h_k =
p_k (1 - p_k)`` of the class's share and ``e_j`` the variance along axis j: the descent runs on
weights scaled by its root, and ends after a few dozen steps at the same optimum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = ["fit_softmax"]

Floats = NDArray[Any]


def fit_softmax(
    X: Floats,
    codes: NDArray[np.intp],
    n_classes: int,
    *,
    penalty: float,
    weight: Floats | None = None,
    max_iter: int = 300,
    tol: float = 3e-4,
) -> tuple[Floats, Floats, int]:
    """Return weights ``(n_classes, d)``, intercepts ``(n_classes,)`` and the steps taken.

    ``X`` is ``(n, d)``; products are computed in float32. ``tol`` bounds the largest slope in
    the scaled coordinates.
    """
    share = np.full(len(X), 1 / len(X)) if weight is None else weight / weight.sum()
    centre = share @ X
    variance, axes = np.linalg.eigh((X - centre).T @ ((X - centre) * share[:, None]))
    rows = ((X - centre) @ axes).astype(np.float32)
    truth = np.zeros((len(X), n_classes), np.float32)
    truth[np.arange(len(X)), codes] = 1
    p = share @ truth
    curvature = p * (1 - p)
    scale = 1 / np.sqrt(np.outer(curvature, np.maximum(variance, 0)) + penalty)
    scale = np.hstack([scale, 1 / np.sqrt(curvature)[:, None]])
    loss = _Loss(rows, truth, share.astype(np.float32), penalty, scale)
    start = np.zeros_like(scale)
    start[:, -1] = np.log(p) / scale[:, -1]
    found = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iter, "maxcor": 20, "gtol": tol, "ftol": 1e-12},
    )  # fmt: skip
    moved = found.x.reshape(start.shape) * scale
    coef = moved[:, :-1] @ axes.T
    intercept = moved[:, -1] - coef @ centre
    return coef, intercept - intercept.mean(), int(found.nit)


class _Loss:
    """Value and slope of the objective in the scaled coordinates."""

    def __init__(
        self, rows: Floats, truth: Floats, share: Floats, penalty: float, scale: Floats
    ) -> None:
        self.rows, self.truth, self.share = rows, truth, share[:, None]
        self.penalty, self.scale = penalty, scale

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        moved = flat.reshape(self.scale.shape) * self.scale
        coef = moved[:, :-1]
        scores = self.rows @ coef.T.astype(np.float32) + moved[:, -1].astype(np.float32)
        top = scores.max(axis=1, keepdims=True)
        share = np.exp(scores - top)
        mass = share.sum(axis=1, keepdims=True)
        total = top + np.log(mass)
        lost = (total[:, 0] - (scores * self.truth).sum(axis=1)).astype(np.float64)
        value = lost @ self.share[:, 0].astype(np.float64) + self.penalty / 2 * (coef**2).sum()
        error = (share / mass - self.truth) * self.share
        slope = (error.T @ self.rows).astype(np.float64) + self.penalty * coef
        intercept = error.sum(axis=0, dtype=np.float64)
        return float(value), (np.hstack([slope, intercept[:, None]]) * self.scale).ravel()
