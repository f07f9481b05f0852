"""Where a column's spline has its knots, and the two coordinates in which it is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from isonomy.distributions.monotone import MonotoneSpline

__all__ = ["choose_knots", "ladder", "normal_scores", "straight"]

Floats = NDArray[np.float64]

_ROWS_OUTSIDE = 5.0
"""Weight beyond the outermost knots but for the extreme values themselves."""

_ROWS_A_KNOT = 8.0
"""Weight that a knot needs: with less the spline stays nearer a straight line."""

_LEAST_GAP = 1e-3
"""Least distance of two knots, in units of the middle 80 % of the column: ties and
near-ties must not buy an arbitrarily high derivative."""


def ladder(weight: float, n_knots: int) -> list[int]:
    """Return the numbers of knots to try, 2 (a straight line) not among them."""
    most = min(float(n_knots), 2.0 + weight / _ROWS_A_KNOT)
    found, size = [], 4.0
    while round(size) <= most:
        found.append(round(size))
        size *= 1.48
    return found


def choose_knots(values: Floats, mass: Floats, size: int) -> tuple[Floats, Floats]:
    """Return up to ``size`` knots and the normal scores of their places.

    ``values`` are sorted and distinct, ``mass`` their weights. Between the two extremes
    knots are quantiles at equally spaced normal scores, the last of which leaves
    `_ROWS_OUTSIDE` outside: tails get as many knots as the middle has.
    """
    upto = np.cumsum(mass)
    total = upto[-1]
    reach = -ndtri(np.clip(_ROWS_OUTSIDE / total, 0.5 / total, 0.25))
    shares = ndtr(np.linspace(-reach, reach, size - 2))
    inner = np.searchsorted(upto, shares * total)
    chosen = np.unique(np.r_[0, np.minimum(inner, len(values) - 1), len(values) - 1])
    middle = np.diff(values[np.searchsorted(upto, [0.1 * total, 0.9 * total])])[0]
    gap = _LEAST_GAP * (middle if middle > 0.0 else values[-1] - values[0])
    kept = [0]
    for i in range(1, len(chosen)):
        if values[chosen[i]] - values[chosen[kept[-1]]] >= gap:
            kept.append(i)
    # the largest value stays a knot, whatever stood just before it
    kept[-1 if len(kept) > 1 else len(kept) :] = [len(chosen) - 1]
    places = chosen[kept]
    share = (upto[places] - 0.5 * mass[places]) / total
    return values[places], ndtri(np.clip(share, 0.5 / total, 1.0 - 0.5 / total))


def normal_scores(knots: Floats, scores: Floats) -> MonotoneSpline:
    """Return the spline that takes knots to scores, with the slopes of geometric means.

    The slope between two secants s is s_left^(h_right / h) s_right^(h_left / h), with h
    the widths of the bins and their sum (Delbourgo and Gregory 1985): heavy tails, where
    secants fall by orders of magnitude, keep their shape.
    """
    width, rise = np.diff(knots), np.diff(scores)
    logs = np.log(rise) - np.log(width)
    slopes = np.exp(logs[np.r_[0, 0 : len(logs)]])
    share = width[1:] / (width[1:] + width[:-1])
    slopes[1:-1] = np.exp(share * logs[:-1] + (1.0 - share) * logs[1:])
    slopes[-1] = np.exp(logs[-1])
    return MonotoneSpline(knots, scores, slopes)


def straight(low: float, high: float) -> MonotoneSpline:
    """Return the straight line of slope 1 that is 0 at ``low``, with a knot at ``high``."""
    if not high > low:
        high = low + max(1.0, abs(low))
    return MonotoneSpline([low, high], [0.0, high - low], [1.0, 1.0])
