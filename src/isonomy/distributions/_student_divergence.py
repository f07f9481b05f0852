"""Divergences between Student-t laws by a quadrature over one variable, with gradients.

For X = m + L z / sqrt(tau), tau ~ Gamma(nu/2, rate nu/2), and Q a quadratic form in X,
``E ln(1 + Q/w)`` is the double integral over tau and s of ``(1 - e^{-sQ/w}) e^{-s} / s``.
With s = tau r / 2 the integral over tau is closed, and one over ln r is left: analytic in
a strip, so that the trapezoidal rule converges geometrically.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

__all__ = ["WhiteDivergence", "log_constant", "white_divergence"]

Floats = NDArray[np.float64]

_STEP = 0.28
"""The integrand is bounded by its values on the line for |Im| <= pi/2: error e^{-pi^2/step}."""

_CUT = 36.0
"""Where the integrand has fallen by e^-36 it is cut: 2e-16."""

_NEAR = 0.5
"""Scale ratios this near to 1 have their first-order part subtracted under the integral."""

_LAST = 650.0
"""Largest ln r that can be squared in floating point half-way; reached for df below 0.11."""

_BLOCK_VALUES = 1 << 21


@dataclass(frozen=True, eq=False)
class WhiteDivergence:
    """Values (n,) in nats and gradients in the roots (n, d, d) and shifts (n, d)."""

    values: Floats
    by_root: Floats
    by_shift: Floats


def white_divergence(roots: Floats, shifts: Floats, df_p: Floats, df_q: Floats) -> WhiteDivergence:
    """Return KL(t_p(e, B B') || t_q(0, I)) for stacks of roots B and shifts e.

    Parameters
    ----------
    roots : (n, d, d)
        Invertible; singular ones give infinity.
    shifts : (n, d)
    df_p, df_q : (n,)
        Degrees of freedom; ``df_p`` may be infinite (a normal law), ``df_q`` not.

    Notes
    -----
    With nu = df_p, w = df_q, l_i the eigenvalues of BB', c_i = e_i^2 / w in their basis and
    f(x) = (1 + x/nu)^(-nu/2)::

        E ln(1 + |X|^2/w) = int_0^inf dr/r [ f(r)
              - prod_i (1 + r l_i/w)^(-1/2) f(r (1 + sum_i c_i / (1 + r l_i/w))) ]

    The divergence is that of B = 1, e = 0 (0 for equal df) plus ``-ln |det B| + (w + d)/2``
    times the difference of two such integrals, formed under the integral: nothing cancels
    where the laws are close. Proof: docs/theory.md, 14.3; the double integral is in
    tests/reference/student.py.
    """
    n, d = shifts.shape
    df_p, df_q = np.broadcast_to(df_p, (n,)), np.broadcast_to(df_q, (n,))
    parts = []
    step = max(1, _BLOCK_VALUES // (d * 400))
    for first in range(0, n, step):
        block = slice(first, first + step)
        parts.append(_divergence(roots[block], shifts[block], df_p[block], df_q[block]))
    if len(parts) == 1:
        return parts[0]
    names = "values", "by_root", "by_shift"
    return WhiteDivergence(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _divergence(roots: Floats, shifts: Floats, df_p: Floats, df_q: Floats) -> WhiteDivergence:
    d = shifts.shape[1]
    fine: NDArray[np.bool_] = np.isfinite(np.concatenate([roots, shifts[:, :, None]], axis=2)).all(
        axis=(1, 2)
    )
    left, sizes, right = np.linalg.svd(np.where(fine[:, None, None], roots, np.eye(d)))
    fine &= sizes[:, -1] > 1e-150 * np.maximum(sizes[:, 0], 1e-150)
    sizes = np.where(fine[:, None], sizes, 1.0)
    turned = np.einsum("nij,ni->nj", left, np.where(fine[:, None], shifts, 0.0))
    terms = _Terms(sizes, turned, df_p[:, None], df_q[:, None])
    core, by_shift = terms.gradients()
    values = np.where(fine, terms.values() + _df_divergence(df_p, df_q, d), np.inf)
    return WhiteDivergence(values, left @ core @ right, np.einsum("nij,nj->ni", left, by_shift))


class _Terms:
    """The integrands at the nodes r (n, T): singular values (n, d), shifts in their basis.

    ``lean`` is -ln of the ratio of the two products in the integral, ``far`` its part from
    the shift; the other part is half the sum of ln(1 + x_i), x_i = r (l_i - 1) / (w + r).
    """

    def __init__(self, sizes: Floats, shifts: Floats, nu: Floats, w: Floats) -> None:
        self.sizes, self.shifts, self.nu, self.w = sizes, shifts, nu, w
        self.d = sizes.shape[1]
        self.r = _nodes(sizes, shifts, nu[:, 0], w[:, 0])
        self.shrink = 1.0 / (1.0 + self.r[:, :, None] * (sizes**2 / w)[:, None, :])  # (n, T, d)
        self.growth = np.einsum("ntd,nd->nt", self.shrink, shifts**2 / w)
        self.excess = (sizes - 1.0) * (sizes + 1.0)
        self.x = self.excess[:, None, :] * (self.r / (w + self.r))[:, :, None]
        self.far = _half_log(self.r * self.growth / (1.0 + self.r / nu), nu)
        self.lean = 0.5 * np.log1p(self.x).sum(axis=2) + self.far
        self.log_base = -0.5 * self.d * np.log1p(self.r / w) - _half_log(self.r, nu)

    def values(self) -> Floats:
        """Return ``-ln |det B| + (w + d)/2 int``, without what the df alone pay."""
        base, half = np.exp(self.log_base), 0.5 * (self.w[:, 0] + self.d) * _STEP
        near = np.abs(self.excess).max(axis=1) < _NEAR
        drop = -np.expm1(-self.lean)
        value = np.where(near, 0.0, -np.log(self.sizes).sum(axis=1))
        if near.any():
            # -expm1(-lean) - sum x/2, every part of second order by itself
            second = -_expm1_minus(-self.lean) - 0.5 * _minus_log1p(self.x).sum(axis=2) + self.far
            drop = np.where(near[:, None], second, drop)
            slope = half * (base * self.r / (self.w + self.r)).sum(axis=1) - 1.0
            slope = np.where(self.nu[:, 0] == self.w[:, 0], 0.0, slope)  # exactly 0 there
            first = _minus_log1p(self.excess).sum(axis=1) + self.excess.sum(axis=1) * slope
            value = value + 0.5 * near * first
        found: Floats = value + half * (base * drop).sum(axis=1)
        return found

    def gradients(self) -> tuple[Floats, Floats]:
        """Return gradients in the root (n, d, d) and the shift (n, d), in the singular bases."""
        w, scale = self.w, 0.5 * (self.w + self.d) / self.w
        weight = _STEP * self.r * np.exp(self.log_base - self.lean)
        inner = weight / (1.0 + self.r * (1.0 + self.growth) / self.nu)
        by_shift = scale * np.einsum("nt,ntd->nd", inner, self.shrink) * self.shifts
        cross = np.swapaxes(self.shrink * (inner * self.r)[:, :, None], 1, 2) @ self.shrink
        core = -cross / w[:, :, None] * self.shifts[:, :, None] * self.shifts[:, None, :]
        index = np.arange(self.d)
        core[:, index, index] += np.einsum("nt,ntd->nd", weight, self.shrink)
        core *= scale[:, :, None] * self.sizes[:, None, :]
        core[:, index, index] -= 1.0 / self.sizes
        return core, by_shift


def _nodes(sizes: Floats, shifts: Floats, df_p: Floats, df_q: Floats) -> Floats:
    """Return the nodes r (n, T), equally spaced in ln r: as many for all, each over its range."""
    scale = np.maximum(sizes[:, 0] ** 2, (shifts**2).sum(axis=1)) / df_q
    low = -_CUT - np.log(np.maximum(scale, 1.0))
    # what grows with r does so up to df_q, and only from there as f falls
    late = np.log(np.maximum(df_q / np.minimum(df_p, 1e12), 1.0))
    high = np.minimum(_last_node(df_p) + late, _LAST)
    n_nodes = int(np.ceil((high - low).max() / _STEP)) + 1
    found: Floats = np.exp(low[:, None] + _STEP * np.arange(n_nodes))
    return found


def _last_node(df: Floats) -> Floats:
    """Return ln r where (1 + r/df)^(-df/2) is e^-36; 72 itself for a normal law."""
    x = 2.0 * _CUT / np.minimum(df, 1e12)
    small = np.minimum(x, 50.0)
    return np.where(x > 50.0, x, np.log(np.expm1(small))) + np.log(np.minimum(df, 1e12))


def _half_log(x: Floats, nu: Floats) -> Floats:
    """Return nu/2 ln(1 + x/nu), x/2 for infinite nu."""
    with np.errstate(invalid="ignore"):
        found = 0.5 * nu * np.log1p(x / nu)
    return np.where(np.isinf(nu), 0.5 * x, found)


def _minus_log1p(x: Floats) -> Floats:
    """Return x - ln(1 + x), without cancellation near 0."""
    close = np.abs(x) < 0.02
    y = np.where(close, x, 0.0)
    series = np.zeros_like(y)
    for k in range(9, 1, -1):
        series = y * series + (1.0 if k % 2 == 0 else -1.0) / k
    return np.where(close, y * y * series, x - np.log1p(np.where(close, 0.0, x)))


def _expm1_minus(x: Floats) -> Floats:
    """Return e^x - 1 - x, without cancellation near 0."""
    close = np.abs(x) < 0.05
    y = np.where(close, x, 0.0)
    series = np.ones_like(y)
    for k in range(10, 2, -1):
        series = 1.0 + y * series / k
    return np.where(close, 0.5 * y * y * series, np.expm1(x) - x)


def log_constant(df: float, d: int) -> float:
    """Return ln of the density of t_df(0, I) at 0, accurate for large ``df`` too."""
    if np.isinf(df):
        return -0.5 * d * float(np.log(2.0 * np.pi))
    x, a = 0.5 * df, 0.5 * d
    if x < 50.0:
        ratio = float(gammaln(x + a) - gammaln(x)) - a * np.log(x)
    else:
        # Stirling: the large parts cancel in writing, not in rounding
        t = a / x
        ratio = -x * float(_minus_log1p(np.array([t]))[0]) + (a - 0.5) * np.log1p(t)
        ratio += _stirling(x + a) - _stirling(x)
    return float(ratio - a * np.log(2.0 * np.pi))


def _stirling(x: float) -> float:
    y = 1.0 / (x * x)
    return (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y / 1680.0))) / x


def _df_divergence(df_p: Floats, df_q: Floats, d: int) -> Floats:
    """Return KL(t_p(0, I) || t_q(0, I)) for every pair of degrees of freedom."""
    out = np.zeros(len(df_p))
    pairs = {(float(p), float(q)) for p, q in zip(df_p, df_q, strict=True) if p != q}
    for p, q in pairs:
        inside = 0.5 * d if np.isinf(p) else 0.5 * (p + d) * _mean_log(p, p, d)
        value = log_constant(p, d) - log_constant(q, d) - inside
        out[(df_p == p) & (df_q == q)] = max(0.0, value + 0.5 * (q + d) * _mean_log(p, q, d))
    return out


def _mean_log(df_p: float, df_q: float, d: int) -> float:
    """Return E ln(1 + |X|^2 / df_q) for X ~ t_p(0, I)."""
    p, q, one = np.array([df_p]), np.array([df_q]), np.ones((1, 1))
    r = _nodes(one, 0.0 * one, p, q)
    drop = -np.expm1(-0.5 * d * np.log1p(r / df_q))
    return float(_STEP * (np.exp(-_half_log(r, p[:, None])) * drop).sum())
