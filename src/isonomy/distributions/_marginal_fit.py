"""Maximum likelihood of one column's increasing transform, shared by all its classes.

T is sought such that T(x) given class y is normal(mu_y, s_y^2). With T' = sum_k c_k h_k,
h_k >= 0 hat functions on the knots, and mu_y, s_y at their best values, the
log-likelihood is, up to a constant and with n_y the weight of class y::

    L(c) = -1/2 sum_y n_y ln(c' V_y c) + sum_i w_i ln(sum_k c_k h_k(x_i))

V_y is the within-class covariance of the integrals of the hats. It does not depend on
the scale of c. With one s for all classes it has the maximiser of the strictly concave
-n/2 c'Vc + sum_i w_i ln(c'h(x_i)), so the maximum is global; with a scale a class each
step climbs a concave minorant (ln is concave), and only a stationary point is promised.
The T so found, piecewise quadratic, IS a monotone rational-quadratic spline.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._marginal_knots import (
    choose_knots,
    ladder,
    normal_scores,
    straight,
)
from isonomy.distributions.monotone import MonotoneSpline
from isonomy.errors import InvalidInputError

__all__ = ["ClassRows", "fit_column"]

Floats = NDArray[np.float64]

_PSEUDO_ROWS = 5.0
"""Rows' worth of the pooled variance in the variance of a class: rare classes lean on it."""

_EVENNESS = 1.0
"""Weight of the pull towards equal coefficients, in rows a knot; it keeps all above 0."""

_BINS = 4096
"""Rows of one class that are neighbours are merged while together they hold less than this
share of all rows: the time of a fit then hardly grows with the number of rows."""

_LONERS = 32
"""Smallest and largest values of a class that are never merged: tails are told by few."""

_MAX_STEPS = 100
_TOLERANCE = 1e-10
"""Rise of the likelihood a row that one more step promises, at which to stop."""


@dataclass(frozen=True)
class ClassRows:
    """Which rows of a group belong to which class: rows sorted by class, their weights."""

    bounds: NDArray[np.intp]
    weight: Floats
    tied: bool

    @property
    def total(self) -> float:
        """Total weight."""
        return float(self.weight.sum())

    @property
    def class_weight(self) -> Floats:
        """Weight of every class, (K,)."""
        return np.array([self.weight[a:b].sum() for a, b in self.spans])

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and past-the-last row of every class."""
        return list(itertools.pairwise(self.bounds.tolist()))

    def scatters(self, features: Floats) -> Floats:
        """Return the within-class scatter of ``features`` (n, m), one a class, (K, m, m)."""
        m = features.shape[1]
        out = np.zeros((len(self.bounds) - 1, m, m))
        for y, (a, b) in enumerate(self.spans):
            if b == a:
                continue
            rows, w = features[a:b], self.weight[a:b]
            centred = rows - (w @ rows) / w.sum()
            out[y] = (centred * w[:, None]).T @ centred
        return out

    def variances(self, features: Floats) -> tuple[Floats, Floats]:
        """Return V_y (K or 1, m, m) and the weight that each counts with."""
        scatter, n = self.scatters(features), self.class_weight
        pooled = scatter.sum(axis=0) / n.sum()
        if self.tied:
            return pooled[None], n.sum(keepdims=True)
        shrunk = scatter + _PSEUDO_ROWS * pooled
        return shrunk / (n + _PSEUDO_ROWS)[:, None, None], n


@dataclass(frozen=True)
class _Hats:
    """Hat functions on knots at the rows: the bin of each, the place in it, the integrals."""

    bins: NDArray[np.intp]
    place: Floats
    integrals: Floats

    @classmethod
    def at(cls, knots: Floats, x: Floats) -> _Hats:
        """Constant beyond the outer knots; integrals are from the first knot."""
        inside = np.clip(x, knots[0], knots[-1])
        bins = np.searchsorted(knots[1:-1], inside, side="right")
        width = np.diff(knots)
        h, place = width[bins], (inside - knots[bins]) / width[bins]
        # row j: integrals of all hats from the first knot to knot j
        steps = np.zeros((len(knots), len(knots)))
        j = np.arange(len(width))
        steps[j + 1, j] = steps[j + 1, j + 1] = 0.5 * width
        found = np.cumsum(steps, axis=0)[bins]
        rows = np.arange(len(x))
        half = 0.5 * h * place * place
        found[rows, bins] += h * place - half
        found[rows, bins + 1] += half
        found[:, 0] += np.minimum(x - knots[0], 0.0)
        found[:, -1] += np.maximum(x - knots[-1], 0.0)
        return cls(bins, place, found)

    def slope(self, c: Floats) -> Floats:
        """Return ``sum_k c_k h_k(x_i)``, (n,)."""
        low: Floats = c[self.bins]
        return low + (c[self.bins + 1] - low) * self.place

    def gradient(self, w: Floats) -> Floats:
        """Return ``sum_i w_i h_k(x_i)``, (m,)."""
        m = self.integrals.shape[1]
        right = w * self.place
        return _sums(self.bins, w - right, m) + _sums(self.bins + 1, right, m)

    def curvature(self, w: Floats) -> Floats:
        """Return ``sum_i w_i h_k(x_i) h_l(x_i)``, tridiagonal, (m, m)."""
        m = self.integrals.shape[1]
        right, left = w * self.place, w * (1.0 - self.place)
        cross = _sums(self.bins, left * self.place, m)[:-1]
        diagonal = _sums(self.bins, left * (1.0 - self.place), m)
        diagonal += _sums(self.bins + 1, right * self.place, m)
        out: Floats = np.diag(diagonal) + np.diag(cross, 1) + np.diag(cross, -1)
        return out


def fit_column(x: Floats, classes: ClassRows, n_knots: int) -> MonotoneSpline:
    """Return the transform of one column (n,): mean 0, within-class variance 1.

    The number of knots is the one with the largest L - (number of parameters / 2) ln n,
    from a straight line on; up to two more are tried after one that does no better. Where
    a straight line is not enough, the same is tried from the column's normal scores,
    which costs two parameters a knot: an outlier or a heavy tail calls for it.
    """
    low, high = float(x.min()), float(x.max())
    span = high / 2.0 - low / 2.0
    if not 2.0 * span < np.inf:
        raise InvalidInputError(
            f"`X` must have columns whose span is a floating-point number, got one from {low:g} "
            f"to {high:g}. Divide it by its size first."
        )
    span *= 2.0
    if not span > np.finfo(np.float64).tiny:
        return straight(low, high)
    unit = (x - low) / span
    merged, rows = _merged(unit, classes)
    line = straight(0.0, 1.0)
    score = _score(line, merged, rows, 1)
    sizes = ladder(rows.total, n_knots) if np.isfinite(score) else []
    best, score = _best(line, score, merged, rows, sizes, from_scores=False)
    if best is not line:
        best, score = _best(best, score, merged, rows, sizes, from_scores=True)
    return _standardised(best, unit, classes, low, span)


def _best(
    best: MonotoneSpline,
    score: float,
    x: Floats,
    classes: ClassRows,
    sizes: list[int],
    *,
    from_scores: bool,
) -> tuple[MonotoneSpline, float]:
    """Return what beats ``best`` with one of these numbers of knots, or ``best``."""
    values, inverse = np.unique(x, return_inverse=True)
    mass = _sums(inverse, classes.weight, len(values))
    worse = 0
    for size in sizes:
        knots, scores = choose_knots(values, mass, size)
        if len(knots) < 3 or worse == 2:
            break
        bent = normal_scores(knots, scores)
        start = bent if from_scores else MonotoneSpline(knots, knots, np.ones(len(knots)))
        guess = None if from_scores else bent.slopes
        spline = _improve(start, x, classes, guess)
        reached = _score(spline, x, classes, len(knots) * (2 if from_scores else 1))
        worse += 1
        if reached > score:
            best, score, worse = spline, reached, 0
    return best, score


def _merged(x: Floats, classes: ClassRows) -> tuple[Floats, ClassRows]:
    """Return the rows with equal or, where rows are many, neighbouring values merged."""
    parts, ends, step = [], [0], classes.total / _BINS
    for a, b in classes.spans:
        values, inverse = np.unique(x[a:b], return_inverse=True)
        mass = _sums(inverse, classes.weight[a:b], len(values))
        place = np.floor((np.cumsum(mass) - 0.5 * mass) / step)
        at = np.arange(len(values))
        alone = (np.minimum(at, at[::-1]) < _LONERS) | (at == _LONERS)
        new = alone | (np.diff(place, prepend=-1.0) > 0.0)
        firsts = np.flatnonzero(new)
        if len(firsts):
            total = np.add.reduceat(mass, firsts)
            parts.append((np.add.reduceat(mass * values, firsts) / total, total))
        ends.append(ends[-1] + len(firsts))
    means, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
    return means, ClassRows(np.array(ends), weight, classes.tied)


def _improve(
    start: MonotoneSpline, x: Floats, classes: ClassRows, guess: Floats | None
) -> MonotoneSpline:
    """Return S(start(x)), S the best piecewise quadratic on the images of the knots."""
    places = start.values
    c = _climb(_Hats.at(places, start.forward(x)), classes, guess)
    rise = 0.5 * (c[1:] + c[:-1]) * np.diff(places)
    # an empty stretch between separate classes may rise by next to nothing: keep it invertible
    rise = np.maximum(rise, 1e-10 * rise.sum())
    return MonotoneSpline(start.knots, np.r_[0.0, np.cumsum(rise)], c * start.slopes)


def _climb(hats: _Hats, classes: ClassRows, guess: Floats | None = None) -> Floats:
    """Return the positive coefficients that maximise L plus the pull to equal ones.

    ``guess`` (m,) is where to begin, equal coefficients by default.

    The pull is `_EVENNESS` times ``sum_k ln(c_k / rms(c))``, 0 where all are equal.
    Newton's method in relative steps (c_k spans orders of magnitude in heavy tails).
    """
    v, n = classes.variances(hats.integrals)
    w, m = classes.weight, v.shape[1]
    v, n = np.concatenate([v, np.eye(m)[None] / m]), np.append(n, _EVENNESS * m)

    def objective(c: Floats) -> float:
        if not (c > 0.0).all():
            return -np.inf
        with np.errstate(divide="ignore"):  # a slope below the least number: -inf, turned down
            fit = w @ np.log(hats.slope(c)) + _EVENNESS * np.log(c).sum()
        return float(fit - 0.5 * n @ np.log(_forms(v, c)))

    c: Floats = np.ones(m) if guess is None else guess
    c = c / np.sqrt(float(_forms(v[:-1], c).sum()))
    value = objective(c)
    if not np.isfinite(value):
        return c  # hundreds of orders of magnitude: there is nothing to climb on
    for _ in range(_MAX_STEPS):
        minorant = np.einsum("k,kij->ij", n / _forms(v, c), v)
        slope = hats.slope(c)
        gradient = hats.gradient(w / slope) - minorant @ c + _EVENNESS / c
        hessian = minorant + hats.curvature(w / slope**2)
        relative = hessian * np.outer(c, c) + _EVENNESS * np.eye(m)
        step = np.linalg.solve(relative, c * gradient)
        promise = float(step @ (c * gradient))
        if promise <= _TOLERANCE * classes.total:
            break
        size = 1.0
        while size > 1e-10:
            trial = c * (1.0 + size * step)
            reached = objective(trial)
            if reached >= value + 1e-4 * size * promise:
                break
            size *= 0.5
        else:
            break  # rounding is all that is left
        c, value = trial, reached
    return c


def _sums(codes: NDArray[np.intp], values: Floats, size: int) -> Floats:
    """Return the sum of the values of every code, (size,)."""
    return np.asarray(np.bincount(codes, values, size), dtype=np.float64)


def _forms(v: Floats, c: Floats) -> Floats:
    found: Floats = np.einsum("i,kij,j->k", c, v, c)
    return found


def _score(spline: MonotoneSpline, x: Floats, classes: ClassRows, n_parameters: int) -> float:
    """Return L less half the number of parameters times ln n; -inf where it is undefined."""
    v, n = classes.variances(spline.forward(x)[:, None])
    if not (v[n > 0.0] > 0.0).all():
        return -np.inf
    fit = classes.weight @ spline.log_derivative(x) - 0.5 * n[n > 0.0] @ np.log(v[n > 0.0, 0, 0])
    return float(fit - 0.5 * n_parameters * np.log(classes.total))


def _standardised(
    spline: MonotoneSpline, x: Floats, classes: ClassRows, low: float, span: float
) -> MonotoneSpline:
    """Return the spline of the column itself with mean 0 and within-class variance 1."""
    z = spline.forward(x)
    mean = float(classes.weight @ z) / classes.total
    variance = float(classes.scatters(z[:, None]).sum()) / classes.total
    if not variance > 0.0:  # constant in every class: in units of all rows
        variance = float(classes.weight @ (z - mean) ** 2) / classes.total
    scale = 1.0 / np.sqrt(variance)
    knots = low + span * spline.knots
    return MonotoneSpline(knots, scale * (spline.values - mean), scale * spline.slopes / span)
