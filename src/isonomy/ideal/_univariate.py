"""One variable: the closed form for a moving group (3.1), the search for all groups (3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter
from scipy.optimize import minimize
from scipy.stats import qmc

from isonomy.ideal._cells import Array, Direction

__all__ = ["AllGroups", "Start", "best_line", "nearest_for_all_groups"]

Start = tuple[Array, Array]
"""Signs of the groups and the search variables."""

_ALL_SIGNS_UP_TO = 6
"""Groups up to which all 2^(G-1) signs are tried; beyond, signs are flipped one at a time."""

_GRID = {1: 121, 2: 41}
"""Points an axis of the grid over ln|gamma|, by the number of free scales."""

_N_SOBOL = 4096
_MAX_POLISHED = 12
_GRADIENT_TOLERANCE = 1e-6


def best_line(
    source_means: Array,
    source_variances: Array,
    target_means: Array,
    target_variances: Array,
    weights: Array,
) -> tuple[float, float]:
    """Return slope and intercept of the line that carries source cells nearest to targets.

    Parameters
    ----------
    source_means, source_variances, target_means, target_variances : (K,)
    weights : (K,)
        q_i > 0; only ratios matter.

    Returns
    -------
    slope, intercept
        The global minimiser of ``sum_i q_i KL(slope X_i + intercept || Y_i)``.

    Notes
    -----
    With w_i = q_i / var(Y_i), bars w-weighted means and Q = sum q_i::

        P = sum w_i [var(X_i) + (m_i - m_bar)^2],  R = sum w_i (m_i - m_bar)(t_i - t_bar)
        slope = sign(R) (|R| + sqrt(R^2 + 4 P Q)) / (2 P),  intercept = t_bar - slope m_bar

    Both terms of the root are positive, so nothing cancels. R = 0: both signs tie, + is
    taken. Source: theory.md 3.1.
    """
    w = weights / target_variances
    source_middle = w @ source_means / w.sum()
    target_middle = w @ target_means / w.sum()
    source, target = source_means - source_middle, target_means - target_middle
    p = w @ (source_variances + source**2)
    r = (w * source) @ target
    size = (abs(r) + np.sqrt(r * r + 4.0 * p * weights.sum())) / (2.0 * p)
    slope = float(-size if r < 0 else size)
    return slope, float(target_middle - slope * source_middle)


@dataclass(frozen=True, eq=False)
class AllGroups:
    """The best common shape: canonical means and variances (K,), lines (G,) to groups.

    ``means[i, a] = slopes[a] * canonical_means[i] + intercepts[a]`` are the ideal means.
    """

    canonical_means: Array
    canonical_variances: Array
    slopes: Array
    intercepts: Array
    value: float
    converged: bool
    n_iter: int
    history: tuple[float, ...]
    state: Start


def nearest_for_all_groups(
    means: Array,
    variances: Array,
    weights: Array,
    direction: Direction,
    start: Start | None = None,
) -> AllGroups:
    """Return the nearest ideal cells where every group may move, one variable.

    Parameters
    ----------
    means, variances, weights : (K, G)
        ``weights`` are the ideal priors (information) or the fitted ones (moment).
    start : optional
        The ``state`` of an earlier result for other weights: search from there alone.

    Notes
    -----
    Each group is standardised first, which changes no divergence. Over all signs: a grid
    over ln|gamma| (Sobol points beyond three groups), then L-BFGS from the grid's local
    minima. The objective has several local minima, and nothing proves that the best one
    found is the global one. Source: theory.md 3.2; the moment direction profiles out the
    canonical means and variances.
    """
    share = weights / weights.sum(axis=0)
    shift = (share * means).sum(axis=0)
    scale = np.sqrt((share * (variances + (means - shift) ** 2)).sum(axis=0))
    standard = (means - shift) / scale, variances / scale**2, weights / weights.sum()
    kind = _Information if direction == "information" else _Moment
    best: tuple[float, Array, Any] | None = None
    history: list[float] = []
    n_iter = 0
    patterns = _sign_patterns(means.shape[1]) if start is None else iter([start[0]])
    for signs in patterns:
        programme = kind(*standard, signs)
        for x0 in _starts(programme) if start is None else [start[1]]:
            found = minimize(
                programme.value_and_gradient,
                x0,
                jac=True,
                method="L-BFGS-B",
                bounds=programme.bounds(len(x0)),
                options={"maxiter": 500, "ftol": 1e-16, "gtol": 1e-11},
            )
            n_iter += int(found.nit)
            if best is None or found.fun < best[0]:
                best = float(found.fun), found.x, programme
                history.append(best[0])
    assert best is not None
    value, x, programme = best
    gradient = programme.value_and_gradient(x)[1]
    converged = bool(np.abs(gradient).max(initial=0.0) < _GRADIENT_TOLERANCE)
    canonical_means, canonical_variances, slopes, intercepts = programme.solution(x)
    total = float(weights.sum())
    return AllGroups(
        canonical_means,
        canonical_variances,
        scale * slopes,
        scale * intercepts + shift,
        total * value,
        converged,
        n_iter,
        tuple(total * v for v in history),
        (programme.signs, x),
    )


def _sign_patterns(n_groups: int) -> Iterator[Array]:
    if n_groups <= _ALL_SIGNS_UP_TO:
        for pattern in product((1.0, -1.0), repeat=n_groups - 1):
            yield np.array((1.0, *pattern))
        return
    # too many patterns: none flipped, one flipped, two flipped
    for i in range(n_groups):
        for j in range(i, n_groups):
            signs = np.ones(n_groups)
            signs[i] *= -1.0
            signs[j] *= -1.0
            if i < j or i == 0:
                yield signs * signs[0]


class _Programme:
    """The divergence as a function of x, with everything else profiled out.

    ``x[:G-1]`` are ln|scale| of the groups after the first, whose map is the identity.
    """

    def __init__(self, means: Array, variances: Array, weights: Array, signs: Array) -> None:
        self.means, self.variances, self.weights, self.signs = means, variances, weights, signs
        self.n_free = means.shape[1] - 1
        self.class_weight, self.group_weight = weights.sum(axis=1), weights.sum(axis=0)
        self.entropy = float((weights * 0.5 * np.log(variances)).sum())

    def scales(self, log_scales: Array) -> Array:
        """Return signed scales (n, G) for rows of ln|scale| (n, G - 1)."""
        return self.signs * np.exp(np.pad(log_scales, ((0, 0), (1, 0))))

    @property
    def span(self) -> float:
        """Half the range of ln|scale| worth a grid: standardised variances are in (0, 1]."""
        return 1.5 - 0.5 * float(np.log(self.variances).min())

    def bounds(self, n: int) -> list[tuple[float | None, float | None]]:
        """Return bounds of x that keep a line search from running into overflow."""
        wide = self.span + 2.0
        return [(-wide, wide)] * self.n_free + [(None, None)] * (n - self.n_free)

    def candidates(self, log_scales: Array) -> list[Array]:
        raise NotImplementedError

    def values(self, x: Array) -> Array:
        raise NotImplementedError

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        raise NotImplementedError

    def solution(self, x: Array) -> tuple[Array, Array, Array, Array]:
        raise NotImplementedError


class _Information(_Programme):
    """D~ first: cells of group a are scale_a * canonical + offset_a (3.2)."""

    def _parts(self, x: Array) -> tuple[Array, ...]:
        gamma = self.scales(x)
        b = self.weights / self.variances
        lean = gamma[:, None, :] * b
        part = gamma[:, None, :] * lean
        size = part.sum(axis=2)
        # A_i = B_i - B_i g g'B_i / size; its diagonal is B_ia times the share of the OTHER
        # groups in size, summed without the subtraction that would cancel at extreme scales
        a = -lean[..., :, None] * lean[..., None, :] / size[..., None, None]
        index = np.arange(len(self.signs))
        a[..., index, index] = b * (part @ (1.0 - np.eye(len(index)))) / size[..., None]
        normal = a.sum(axis=1)
        right = np.einsum("nkab,kb->na", a, self.means)
        offset = np.zeros_like(gamma)
        offset[:, 1:] = np.linalg.solve(normal[:, 1:, 1:], right[:, 1:, None])[:, :, 0]
        residual = self.means - offset[:, None, :]
        canonical = (lean * residual).sum(axis=2) / size
        return gamma, size, offset, residual, canonical

    def values(self, x: Array) -> Array:
        gamma, size, _, residual, canonical = self._parts(x)
        miss = residual - gamma[:, None, :] * canonical[:, :, None]
        far = 0.5 * (self.weights / self.variances * miss**2).sum(axis=(1, 2))
        value: Array = (
            far
            - np.log(np.abs(gamma)) @ self.group_weight
            - 0.5 * np.log(self.class_weight / size) @ self.class_weight
            + self.entropy
        )
        return value

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        gamma, size, _, residual, canonical = (p[0] for p in self._parts(x[None]))
        precision = self.weights / self.variances
        miss = gamma * canonical[:, None] - residual
        pull = precision * (gamma * (self.class_weight / size)[:, None] + miss * canonical[:, None])
        slope = gamma * pull.sum(axis=0) - self.group_weight
        return float(self.values(x[None])[0]), slope[1:]

    def candidates(self, log_scales: Array) -> list[Array]:
        return [log_scales]

    def solution(self, x: Array) -> tuple[Array, Array, Array, Array]:
        gamma, size, offset, _, canonical = (p[0] for p in self._parts(x[None]))
        return canonical, self.class_weight / size, gamma, offset


class _Moment(_Programme):
    """D first: rows of group a go to scale_a * x + shift_a; x holds both."""

    def _parts(self, x: Array) -> tuple[Array, ...]:
        scale = self.scales(x[:, : self.n_free])
        shift = np.pad(x[:, self.n_free :], ((0, 0), (1, 0)))
        moved = scale[:, None, :] * self.means + shift[:, None, :]
        canonical = (self.weights * moved).sum(axis=2) / self.class_weight
        miss = moved - canonical[:, :, None]
        spread = scale[:, None, :] ** 2 * self.variances + miss**2
        variance = (self.weights * spread).sum(axis=2) / self.class_weight
        return scale, shift, canonical, miss, variance

    def values(self, x: Array) -> Array:
        scale, _, _, _, variance = self._parts(x)
        value: Array = (
            0.5 * np.log(variance) @ self.class_weight
            - np.log(np.abs(scale)) @ self.group_weight
            - self.entropy
        )
        return value

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        scale, _, _, miss, variance = (p[0] for p in self._parts(x[None]))
        push = self.weights * miss / variance[:, None]
        grow = scale * (self.weights * self.variances / variance[:, None]).sum(axis=0)
        slope = scale * (grow + (push * self.means).sum(axis=0)) - self.group_weight
        return float(self.values(x[None])[0]), np.concatenate([slope[1:], push.sum(axis=0)[1:]])

    def candidates(self, log_scales: Array) -> list[Array]:
        """Return x with shifts that align the groups' means, or one class of theirs."""
        scale = self.scales(log_scales)
        anchors = [np.zeros(self.n_free + 1), *self.means]
        return [
            np.hstack([log_scales, anchor[0] - scale[:, 1:] * anchor[1:]]) for anchor in anchors
        ]

    def solution(self, x: Array) -> tuple[Array, Array, Array, Array]:
        scale, shift, canonical, _, variance = (p[0] for p in self._parts(x[None]))
        return canonical, variance, 1.0 / scale, -shift / scale


def _starts(programme: _Programme) -> list[Array]:
    """Return the grid's local minima, the lowest first."""
    n_free = programme.n_free
    span = programme.span
    if n_free in _GRID:
        axis = np.linspace(-span, span, _GRID[n_free])
        grid = np.stack(np.meshgrid(*[axis] * n_free, indexing="ij"), axis=-1)
        shape: tuple[int, ...] = grid.shape[:-1]
        grid = grid.reshape(-1, n_free)
    else:
        unit = qmc.Sobol(max(n_free, 1), seed=0).random(_N_SOBOL if n_free else 1)
        grid, shape = span * (2.0 * unit - 1.0), (len(unit),)
    picked: list[tuple[float, Array]] = []
    for x in programme.candidates(grid):
        values = programme.values(x)
        chosen = _local_minima(values.reshape(shape)) if n_free in _GRID else values.argsort()[:4]
        picked += [(float(values[i]), x[i]) for i in chosen]
    picked.sort(key=lambda pair: pair[0])
    return [x for _, x in picked[:_MAX_POLISHED]]


def _local_minima(values: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.flatnonzero(values <= minimum_filter(values, size=3, mode="nearest"))
