"""The nearest root: maps ``T R^-1`` with T symmetric positive definite, a convex programme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, qr, solve_triangular

from isonomy.ideal._cells import Array

__all__ = ["FoundRoot", "RootProgramme", "best_symmetric_root"]

_GAP = 1e-12
"""Distance from the least value, relative to 1 + the value, at which the search ends: near it
rounding of the value is all that is left to gain."""

_MAX_STEPS = 200
_FAR = 50.0
"""Size of the pull at the start beyond which the barrier is first strengthened."""

_WEAKENED = 0.05
"""What the barrier is multiplied by where its own minimum is near."""

_MAX_CONJUGATE = 500


@dataclass(frozen=True, eq=False)
class FoundRoot:
    """The root T (d, d), its offset m (d,), the value for weights that sum to 1, and how.

    ``gap`` bounds how far the value is above the least: proved, and infinite where the
    search stopped too early to say.
    """

    root: Array
    offset: Array
    value: float
    gap: float
    n_iter: int
    history: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether the value is proved to be the least, within rounding."""
        return self.gap <= _GAP * (1.0 + abs(self.value))


def best_symmetric_root(
    points: Array,
    shapes: Array,
    target_means: Array,
    target_lowers: Array,
    weights: Array,
    start: Array | None = None,
) -> FoundRoot:
    """Return the T > 0 whose cells N(m + T x_j, T M_j T) are nearest to the target cells.

    Parameters
    ----------
    points, shapes : (K, d), (K, d, d)
        x_j and lower factors of M_j.
    target_means, target_lowers : (K, d), (K, d, d)
        mu_j and lower factors of S_j.
    weights : (K,)
        q_j > 0; only their ratios matter.
    start : (d, d), optional
        A root to start from.

    Notes
    -----
    With q summing to 1 and the best m, up to a constant::

        J(T) = 1/2 sum q_j [tr(S_j^-1 T M_j T) + |m + T x_j - mu_j|^2_{S_j^-1}] - ln det T

    The first part is a convex quadratic form (a sum of |S_j^-1/2 T M_j^1/2|^2), -ln det is
    strictly convex: one minimum, and J is self-concordant with the standard constant.
    Newton's method with steps 1 / (1 + l) while the decrement l is large stays among
    positive definite T, and J(T) - min J <= -l - ln(1 - l) where l < 1. The Hessian is at
    least that of -ln det, so ``l <= |T^1/2 J'(T) T^1/2|``, which is what is checked.
    The equations are solved by conjugate gradients in coordinates (a congruence, which
    keeps T symmetric) where the sums of S_j^-1 and M_j are diagonal and inverse to each
    other. Source: theory.md 3.4 with x_j = -v_j; Boyd and Vandenberghe, Convex
    Optimization (2004), section 9.6.
    """
    programme = RootProgramme(points, shapes, target_means, target_lowers, weights)
    d = points.shape[1]
    inner = np.eye(d) if start is None else programme.to_inner(start)
    value, gradient = programme.value_and_gradient(inner)
    history = [value]
    size, steps = programme.norm(inner, gradient), 0
    # a barrier as strong as the pull at the start, weakened as the search comes near
    barrier = size if size > _FAR else 1.0
    while steps < _MAX_STEPS:
        if barrier == 1.0 and 0.5 * size**2 <= 0.1 * _GAP * (1.0 + abs(value)):
            break
        moved = _newton_step(programme, inner, barrier)
        if moved is None and barrier == 1.0:
            break
        inner = inner if moved is None else moved
        value, gradient = programme.value_and_gradient(inner, barrier)
        if moved is None or programme.norm(inner, gradient) < 0.5 * barrier:
            barrier = max(1.0, _WEAKENED * barrier)
        value, gradient = programme.value_and_gradient(inner)
        size = programme.norm(inner, gradient)
        history.append(min(value, history[-1]))
        steps += 1
    gap = float(-size - np.log1p(-size)) if size < 1.0 else float("inf")
    root, offset = programme.from_inner(inner)
    return FoundRoot(root, offset, value, gap, steps, tuple(history))


def _newton_step(programme: RootProgramme, inner: Array, barrier: float) -> Array | None:
    """Return the next T, or None where rounding leaves no descent."""
    value, gradient = programme.value_and_gradient(inner, barrier)
    act = programme.curvature(inner, barrier)
    step = _conjugate_gradients(act, -gradient, programme.preconditioner(inner, barrier))
    decrement = float(np.sqrt(max(np.sum(step * act(step)), 0.0)))
    # the whole step where it helps enough; else the damped one, which is sure to
    damped = 1.0 / (1.0 + decrement / np.sqrt(barrier))
    rounding = 32.0 * np.finfo(np.float64).eps * (1.0 + abs(value))
    for length in (1.0, *(damped * 0.5**k for k in range(20))):
        trial: Array = inner + length * step
        if programme.value(trial, barrier) <= value - 0.1 * length * decrement**2 + rounding:
            return trial
    return None


def _conjugate_gradients(
    act: Callable[[Array], Array], right: Array, precondition: Callable[[Array], Array]
) -> Array:
    """Solve ``act(X) = right`` for symmetric X, as exactly as Newton's method needs it."""
    x = np.zeros_like(right)
    residual, ahead = right, precondition(right)
    direction, size = ahead, float(np.sum(right * ahead))
    # a relative error that falls with the gradient keeps the convergence quadratic
    goal = size * min(0.1, np.sqrt(size)) ** 2
    for _ in range(_MAX_CONJUGATE):
        pushed = act(direction)
        curve = float(np.sum(direction * pushed))
        if curve <= 0.0:
            break
        x = x + size / curve * direction
        residual = residual - size / curve * pushed
        ahead = precondition(residual)
        following = float(np.sum(residual * ahead))
        if following <= goal:
            break
        direction = ahead + following / size * direction
        size = following
    return x


class RootProgramme:
    """J in coordinates T = R T' R' where the pooled programme has the solution T' = I."""

    def __init__(
        self,
        points: Array,
        shapes: Array,
        target_means: Array,
        target_lowers: Array,
        weights: Array,
    ) -> None:
        q = weights / weights.sum()
        d = points.shape[1]
        root = np.sqrt(q)[:, None, None]
        forms = np.stack([solve_triangular(low, np.eye(d), lower=True) for low in target_lowers])
        halves = np.swapaxes(shapes, 1, 2)
        self.middle = q @ points
        centred = points - self.middle
        upper_p = _upper(root * forms)
        upper_a = _upper(np.concatenate([root * halves, root * centred[:, None]], axis=1))
        # R'PR = 1/s and R'AR = s
        _, scale, axes = np.linalg.svd(solve_triangular(upper_p, upper_a.T, trans="T").T)
        self.frame = solve_triangular(upper_p, axes.T) / np.sqrt(scale)
        self.unframe = np.sqrt(scale)[:, None] * axes @ upper_p
        forms, halves = root * (forms @ self.frame), halves @ self.frame
        self.precisions = np.swapaxes(forms, 1, 2) @ forms
        self.spreads = np.swapaxes(halves, 1, 2) @ halves
        self.points = centred @ self.frame
        self.target_origin = q @ target_means
        self.target = (target_means - self.target_origin) @ self.unframe.T
        self.pooled = cholesky(self.precisions.sum(axis=0), lower=True)
        ratio = scale[:, None] / scale
        self.stiffness = 0.5 * (ratio + ratio.T)
        self._wide = np.ascontiguousarray(self.spreads.transpose(1, 0, 2).reshape(d, -1))
        self._tall = np.ascontiguousarray(self.precisions.reshape(-1, d))
        logs = [
            np.log(np.abs(np.diagonal(lows, axis1=1, axis2=2))).sum(axis=1)
            for lows in (target_lowers, shapes)
        ]
        self.constant = float(q @ (logs[0] - logs[1])) - 0.5 * d
        self.constant -= 2.0 * float(np.linalg.slogdet(self.frame)[1])

    def to_inner(self, root: Array) -> Array:
        """Return T' of ``T = R T' R'``."""
        inner: Array = self.unframe @ root @ self.unframe.T
        return 0.5 * (inner + inner.T)

    def from_inner(self, inner: Array) -> tuple[Array, Array]:
        """Return T and the best m."""
        root = self.frame @ inner @ self.frame.T
        miss = self.target - self.points @ inner
        pull = np.einsum("kij,kj->i", self.precisions, miss)
        offset = self.target_origin + self.frame @ cho_solve((self.pooled, True), pull)
        root = 0.5 * (root + root.T)
        return root, offset - root @ self.middle

    def _quadratic(self, inner: Array, target: Array) -> tuple[Array, Array, Array]:
        """Return sum P_j T M_j + (residuals) x_j', residuals and P_j times them."""
        d = len(inner)
        pushed = (inner @ self._wide).reshape(d, -1, d)
        turned = np.ascontiguousarray(pushed.transpose(2, 1, 0)).reshape(d, -1)
        slope = (turned @ self._tall).T
        miss = self.points @ inner - target
        pull = np.einsum("kij,kj->ki", self.precisions, miss)
        shift = cho_solve((self.pooled, True), pull.sum(axis=0))
        miss, pull = miss - shift, pull - self.precisions @ shift
        return slope, miss, pull

    def value(self, inner: Array, barrier: float = 1.0) -> float:
        """Return J, -ln det times ``barrier``; infinite where T is not positive definite."""
        return self._value(inner, barrier)[0]

    def value_and_gradient(self, inner: Array, barrier: float = 1.0) -> tuple[float, Array]:
        """Return J and its symmetric gradient at a positive definite T'."""
        value, slope = self._value(inner, barrier)
        inverse = cho_solve((cholesky(inner, lower=True), True), np.eye(len(inner)))
        return value, 0.5 * (slope + slope.T) - barrier * inverse

    def _value(self, inner: Array, barrier: float) -> tuple[float, Array]:
        slope, miss, pull = self._quadratic(inner, self.target)
        value = 0.5 * float(np.sum(slope * inner)) + 0.5 * float(np.sum(miss * pull))
        try:
            lower = cholesky(inner, lower=True)
        except np.linalg.LinAlgError:
            return float("inf"), slope
        value -= 2.0 * barrier * float(np.log(np.diagonal(lower)).sum())
        return value + self.constant, slope + pull.T @ self.points

    def curvature(self, inner: Array, barrier: float = 1.0) -> Callable[[Array], Array]:
        """Return the Hessian at T' as a function of a symmetric direction."""
        inverse = cho_solve((cholesky(inner, lower=True), True), np.eye(len(inner)))
        none = np.zeros_like(self.target)

        def act(direction: Array) -> Array:
            slope, _, pull = self._quadratic(direction, none)
            slope = slope + pull.T @ self.points
            turned: Array = 0.5 * (slope + slope.T) + barrier * inverse @ direction @ inverse
            return turned

        return act

    def preconditioner(self, inner: Array, barrier: float = 1.0) -> Callable[[Array], Array]:
        """Return division by the Hessian's diagonal for pooled cells."""
        scale = np.diagonal(inner)
        diagonal = self.stiffness + barrier / np.outer(scale, scale)
        return lambda direction: direction / diagonal

    def norm(self, inner: Array, gradient: Array) -> float:
        """Return ``|T^1/2 J' T^1/2|``, at least the Newton decrement."""
        lower = cholesky(inner, lower=True)
        return float(np.linalg.norm(lower.T @ gradient @ lower))


def _upper(stacked: Array) -> Array:
    """Return R, upper triangular, with ``R'R = sum_k X_k'X_k`` of X (K, r, d)."""
    d = stacked.shape[-1]
    (found,) = qr(stacked.reshape(-1, d), mode="r", check_finite=False)
    upper: Array = found[:d]
    return upper
