"""Literal rational-quadratic splines and marginal likelihoods: slow judges of fast code."""

from __future__ import annotations

import itertools
import math

import numpy as np


def spline_value(knots, values, slopes, x):
    """Return T(x): equation (4) of Durkan et al. 2019 in the bin, straight lines beyond."""
    if x < knots[0]:
        return values[0] + slopes[0] * (x - knots[0])
    if x > knots[-1]:
        return values[-1] + slopes[-1] * (x - knots[-1])
    k = max(i for i in range(len(knots) - 1) if knots[i] <= x)
    w = knots[k + 1] - knots[k]
    s = (values[k + 1] - values[k]) / w
    t = (x - knots[k]) / w
    top = (values[k + 1] - values[k]) * (s * t**2 + slopes[k] * t * (1 - t))
    return values[k] + top / (s + (slopes[k + 1] + slopes[k] - 2 * s) * t * (1 - t))


def spline_inverse(knots, values, slopes, z):
    """Return the x with T(x) = z by bisection, or on the straight line of a tail."""
    if z < values[0]:
        return knots[0] + (z - values[0]) / slopes[0]
    if z > values[-1]:
        return knots[-1] + (z - values[-1]) / slopes[-1]
    low, high = knots[0], knots[-1]
    for _ in range(200):
        middle = 0.5 * (low + high)
        if spline_value(knots, values, slopes, middle) < z:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def hat(knots, k, x):
    """Return the hat function of knot k at x: 1 at its knot, 0 at the others."""
    x = min(max(x, knots[0]), knots[-1])
    return float(np.interp(x, knots, np.eye(len(knots))[k]))


def hat_integral(knots, k, x):
    """Return the integral of hat k from the first knot to x, by the trapezium rule.

    The rule is exact between breakpoints, where the hat is linear.
    """
    sign = 1.0 if x >= knots[0] else -1.0
    low, high = min(x, knots[0]), max(x, knots[0])
    points = sorted({low, high, *[p for p in knots if low < p < high]})
    pieces = [
        0.5 * (hat(knots, k, a) + hat(knots, k, b)) * (b - a) for a, b in itertools.pairwise(points)
    ]
    return sign * sum(pieces)


def profile_log_likelihood(transformed, log_slopes, y, weight, *, tied, pseudo_rows):
    """Return -1/2 sum_y n_y ln v_y + sum_i w_i ln T'(x_i), v_y the class variances.

    Each v_y is a mean of the class's own variance and the pooled one, the latter counting
    as ``pseudo_rows`` rows.
    """
    classes = sorted(set(y.tolist()))
    squares = {}
    for c in classes:
        z, w = transformed[y == c], weight[y == c]
        mean = sum(w * z) / sum(w)
        squares[c] = sum(w * (z - mean) ** 2)
    total = sum(weight)
    pooled = sum(squares.values()) / total
    value = sum(weight * log_slopes)
    if tied:
        return value - 0.5 * total * math.log(pooled)
    for c in classes:
        n = sum(weight[y == c])
        v = (squares[c] + pseudo_rows * pooled) / (n + pseudo_rows)
        value -= 0.5 * n * math.log(v)
    return value


def penalised(c, knots, x, y, weight, *, tied, pseudo_rows, evenness):
    """Return what the coefficients of the hats maximise, every term spelt out."""
    if min(c) <= 0:
        return -math.inf
    slopes = [sum(c[k] * hat(knots, k, v) for k in range(len(knots))) for v in x]
    images = [sum(c[k] * hat_integral(knots, k, v) for k in range(len(knots))) for v in x]
    fit = profile_log_likelihood(
        np.array(images), np.log(slopes), y, weight, tied=tied, pseudo_rows=pseudo_rows
    )
    rms = math.sqrt(sum(v * v for v in c) / len(c))
    return fit + evenness * sum(math.log(v / rms) for v in c)
