"""The common Gram matrix of the nearest ideal law whose kept columns do not move.

The Gram matrix of a group's rest is X - X_u,a, with X the common one and X_u,a that of the
kept columns: at least 0. The programme is convex in X (moment) or T = X (I + X)^-1
(information): sums of convex functions of eigenvalues of matrices that are linear in it
(docs/decisions/0005 and `best_rest`). The constraints X >= X_u,a become
T >= I - (I + X_u,a)^-1, linear again. Newton's method with a logarithmic barrier of weight
m per constraint ends within m G (K - 1) of the least value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from isonomy.distributions._linalg import symmetrize
from isonomy.ideal._cells import Array, Direction, center
from isonomy.ideal._protected.split import Split, lean

__all__ = ["CommonGram", "common_gram"]

_FIRST, _SHRINK, _LAST = 1e-1, 0.1, 1e-12
"""Weights of the barrier."""

_MAX_STEPS = 60
_DECREMENT = 1e-11
"""Half the squared Newton decrement, relative to the barrier's weight, that ends a stage."""


@dataclass(frozen=True, eq=False)
class CommonGram:
    """The common Gram matrix (K - 1, K - 1) of differences, and how it was found.

    ``history`` holds values less a constant.
    """

    gram: Array
    converged: bool
    n_iter: int
    history: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Term:
    """``weight sum_i f(s_i)``, s the eigenvalues of ``basis' (sign X - offset) basis``."""

    weight: float
    basis: Array
    offset: Array
    sign: float
    of: Callable[[Array], tuple[Array, Array, Array]]


def common_gram(splits: Sequence[Split], weights: Array, direction: Direction) -> CommonGram:
    """Return the Gram matrix of the nearest ideal law, all groups moving.

    Parameters
    ----------
    splits : one a group
        With at least K - 1 columns that may move.
    weights : (K, G)
        Ideal priors, label independent of group (information), or the fitted ones (moment).
    """
    share = weights.sum(axis=0) / weights.sum()
    label = weights.sum(axis=1) / weights.sum()
    basis = _class_basis(label)
    into = _differences(basis, label)  # Gram matrices of differences into weighted coordinates
    kept = [symmetrize(into @ s.kept_gram @ into.T) for s in splits]
    start = sum(kept) + sum(p * symmetrize(into @ s.rest_gram @ into.T)
                            for p, s in zip(share, splits, strict=True))  # fmt: skip
    start = np.asarray(start) + 0.1 * np.eye(len(start))
    if direction == "information":
        terms, linear, floors = _information(splits, share, label, kept, basis)
        start = symmetrize(start @ np.linalg.inv(np.eye(len(start)) + start))
    else:
        terms, linear, floors = _moment(splits, weights, kept, into)
    found, converged, n_iter, history = _minimise(start, terms, linear, floors)
    if direction == "information":
        found = symmetrize(found @ np.linalg.inv(np.eye(len(found)) - found))
    back = np.linalg.inv(into)
    scale = float(weights.sum())
    return CommonGram(
        symmetrize(back @ found @ back.T), converged, n_iter, tuple(scale * v for v in history)
    )


def _class_basis(q: Array) -> Array:
    """Return an orthonormal basis (K, K - 1) of what is orthogonal to sqrt(q)."""
    basis: Array = np.linalg.qr(np.column_stack([np.sqrt(q), np.eye(len(q))[:, 1:]]))[0][:, 1:]
    return basis


def _differences(basis: Array, q: Array) -> Array:
    """Return J with ``J gram J'`` the Gram matrix of rows sqrt(q_y) z_y in the basis."""
    rows: Array = (basis * np.sqrt(q)[:, None])[1:].T
    return rows


def _information(
    splits: Sequence[Split], share: Array, label: Array, kept: Sequence[Array], basis: Array
) -> tuple[list[_Term], Array, list[Array]]:
    k = len(kept[0])
    eye = np.eye(k)
    floors = [symmetrize(eye - np.linalg.inv(eye + u)) for u in kept]
    terms = [_Term(0.5, eye, -eye, -1.0, _minus_log)]
    for p, split, floor in zip(share, splits, floors, strict=True):
        rows = np.sqrt(label)[:, None] * center(split.rest, label)[1]
        white = np.linalg.solve(np.linalg.cholesky(split.rest_cov), (basis.T @ rows).T).T
        terms.append(_Term(float(p), _span(white), floor, 1.0, _gain))
    return terms, np.zeros((k, k)), floors


def _moment(
    splits: Sequence[Split], weights: Array, kept: Sequence[Array], into: Array
) -> tuple[list[_Term], Array, list[Array]]:
    linear, terms = np.zeros_like(into), []
    for a, split in enumerate(splits):
        p, q = weights[:, a].sum() / weights.sum(), weights[:, a] / weights[:, a].sum()
        own = _class_basis(q)
        carry = _differences(own, q) @ np.linalg.inv(into)
        half = lean(split, q)
        middle = own.T @ half @ half @ own
        rows = own.T @ (np.sqrt(q)[:, None] * center(split.rest, q)[1])
        spread = np.linalg.cholesky(symmetrize(split.rest_cov + rows.T @ middle @ rows))
        white = np.linalg.solve(spread, (carry.T @ middle @ rows).T).T
        terms.append(_Term(float(p), _span(white), kept[a], 1.0, _gain))
        linear = linear + 0.5 * p * carry.T @ middle @ carry
    return terms, symmetrize(linear), list(kept)


def _span(rows: Array) -> Array:
    """Return a basis (k, r) with the same ``rows rows'``, of full rank."""
    vectors, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    noise = 8.0 * max(rows.shape) * np.finfo(np.float64).eps * max(1.0, sizes.max(initial=0.0))
    found: Array = (vectors * sizes)[:, sizes > noise]
    return found


def _gain(s: Array) -> tuple[Array, Array, Array]:
    """Return ``min_v v^2/2 - v sqrt(s) - ln v - 1/2`` and two derivatives in s > 0."""
    h = np.sqrt(s)
    v = 0.5 * (h + np.sqrt(s + 4.0))
    value = 0.5 * v * v - v * h - np.log(v) - 0.5
    first = -0.25 * (1.0 + np.sqrt(1.0 + 4.0 / s))
    return value, first, 0.5 / (s * np.sqrt(s) * np.sqrt(s + 4.0))


def _minus_log(s: Array) -> tuple[Array, Array, Array]:
    return -np.log(s), -1.0 / s, 1.0 / (s * s)


def _minimise(
    start: Array, terms: Sequence[_Term], linear: Array, floors: Sequence[Array]
) -> tuple[Array, bool, int, tuple[float, ...]]:
    """Return the minimiser, whether all stages settled, Newton steps and values of stages."""
    eye = np.eye(len(start))
    found, n_iter, settled = start, 0, True
    history = [_value(found, terms, linear)]
    weight = _FIRST
    while weight >= _LAST:
        fences = [_Term(weight, eye, floor, 1.0, _minus_log) for floor in floors]
        found, steps, settled = _newton(found, [*terms, *fences], linear, weight)
        n_iter += steps
        history.append(_value(found, terms, linear))
        weight *= _SHRINK
    return found, settled, n_iter, tuple(np.minimum.accumulate(history).tolist())


def _newton(
    x: Array, terms: Sequence[_Term], linear: Array, weight: float
) -> tuple[Array, int, bool]:
    value = _value(x, terms, linear)
    for count in range(_MAX_STEPS):
        gradient, hessian = _derivatives(x, terms, linear)
        hessian[np.diag_indices(len(hessian))] *= 1.0 + 1e-14
        step: Array = -np.asarray(cho_solve(cho_factor(hessian), gradient), dtype=np.float64)
        fall = -float(gradient @ step)
        if 0.5 * fall <= max(_DECREMENT, 1e-4 * weight):
            return x, count, True
        move, size = _unpack(step, len(x)), 1.0
        while size > 1e-12:
            there = x + size * move
            after = _value(there, terms, linear)
            if after <= value - 0.1 * size * fall:
                break
            size *= 0.5
        else:  # rounding is all that is left to gain
            return x, count, 0.5 * fall <= 1e-9
        x, value = there, after
    return x, _MAX_STEPS, False


def _value(x: Array, terms: Sequence[_Term], linear: Array) -> float:
    total = float((linear * x).sum())
    for term in terms:
        inner = term.basis.T @ (term.sign * x - term.offset) @ term.basis
        s = np.asarray(np.linalg.eigvalsh(inner), dtype=np.float64)
        if len(s) and s[0] <= 0.0:
            return np.inf
        total += term.weight * float(term.of(s)[0].sum())
    return total


def _derivatives(x: Array, terms: Sequence[_Term], linear: Array) -> tuple[Array, Array]:
    """Return gradient and Hessian in the packed coordinates of `_unpack`.

    For ``sum f(s_i)`` with eigenvectors Q the second derivative along D is
    ``sum_ij f'[s_i, s_j] (Q' D Q)_ij^2`` with divided differences of f'.
    """
    rows, cols = np.triu_indices(len(x))
    double = np.where(rows == cols, 1.0, np.sqrt(2.0))
    gradient = linear[rows, cols] * double
    hessian = np.zeros((len(rows), len(rows)))
    for term in terms:
        s, q = np.linalg.eigh(term.basis.T @ (term.sign * x - term.offset) @ term.basis)
        if not len(s):
            continue
        _, first, second = term.of(s)
        lift = term.basis @ q
        gradient += term.weight * term.sign * double * ((lift * first) @ lift.T)[rows, cols]
        gap = s[:, None] - s[None, :]
        close = np.abs(gap) <= 1e-6 * (s[:, None] + s[None, :])
        ratio = np.where(
            close,
            0.5 * (second[:, None] + second[None, :]),
            (first[:, None] - first[None, :]) / np.where(close, 1.0, gap),
        )
        image = lift[rows][:, :, None] * lift[cols][:, None, :]
        image = (0.5 * double)[:, None, None] * (image + np.swapaxes(image, 1, 2))
        flat = (np.sqrt(ratio) * image).reshape(len(rows), -1)
        hessian += term.weight * flat @ flat.T
    return gradient, hessian


def _unpack(values: Array, n: int) -> Array:
    rows, cols = np.triu_indices(n)
    found: Array = np.zeros((n, n))
    found[rows, cols] = values * np.where(rows == cols, 1.0, np.sqrt(0.5))
    found[cols, rows] = found[rows, cols]
    return found
