"""Exact probabilities that two binomial samples lead to a verdict; any number of rows.

Each verdict is a staircase in the two counts, so a probability costs one sum over one count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.stats import binom

from isonomy.metrics.intervals import clopper_pearson_interval

__all__ = ["bound_holds", "bound_shows", "fisher_shows"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_TAIL = 1e-12
"""Counts beyond these quantiles are left out: probabilities come out this much too small."""


def _likely(n: int, p: float) -> Counts:
    """Return the counts that a binomial takes but for ``_TAIL`` on either side."""
    low, high = binom.ppf([_TAIL, 1 - _TAIL], n, p)
    return np.arange(int(low), int(high) + 1)


def _fewer_first(
    n: tuple[int, int], rates: tuple[float, float]
) -> tuple[tuple[int, int], tuple[float, float]]:
    """Exchange the samples where that leaves fewer counts to sum over."""
    return (n, rates) if n[0] <= n[1] else (n[::-1], rates[::-1])


def _limits(n: int, level: float) -> Callable[[Counts], tuple[Floats, Floats]]:
    def limits(k: Counts) -> tuple[Floats, Floats]:
        return clopper_pearson_interval(k / n, np.full(k.shape, n), 1 - level)

    return limits


def _count_range(n: int, below: Floats, above: Floats, level: float) -> tuple[Counts, Counts]:
    """Return the least count whose lower limit exceeds ``below``, and the largest count
    whose upper limit stays under ``above``.

    ``lower(k) > x`` means P(Binomial(n, x) >= k) < level / 2: quantiles of binomials.
    """
    least = binom.isf(level / 2, n, np.clip(below, 0.0, 1.0)).astype(np.int64) + 1
    least = np.where(below < 0, 0, np.where(below >= 1, n + 1, least))
    most = binom.ppf(level / 2, n, np.clip(above, 0.0, 1.0)).astype(np.int64) - 1
    most = np.where(above > 1, n, np.where(above <= 0, -1, most))
    return least, most


def bound_holds(n: tuple[int, int], rate: float, gap: float, level: float) -> float:
    """Return P(both bounds of the gap lie within ``gap``) where both true rates are ``rate``.

    ``level`` is the probability of error of one rate's two-sided Clopper-Pearson interval.
    """
    n = min(n), max(n)  # both rates are equal: sum over the fewer counts
    k = _likely(n[0], rate)
    low, high = _limits(n[0], level)(k)
    # high_1 < low_0 + gap and low_1 > high_0 - gap
    least, most = _count_range(n[1], high - gap, low + gap, level)
    inside = binom.cdf(most, n[1], rate) - binom.cdf(least - 1, n[1], rate)
    return float(binom.pmf(k, n[0], rate) @ np.maximum(inside, 0.0))


def bound_shows(n: tuple[int, int], rates: tuple[float, float], level: float) -> float:
    """Return P(the bounds of the gap exclude 0)."""
    (n, rates) = _fewer_first(n, rates)
    k = _likely(n[0], rates[0])
    low, high = _limits(n[0], level)(k)
    least, most = _count_range(n[1], high, low, level)
    outside = binom.cdf(most, n[1], rates[1]) + binom.sf(least - 1, n[1], rates[1])
    return float(binom.pmf(k, n[0], rates[0]) @ outside)


def fisher_shows(n: tuple[int, int], rates: tuple[float, float], level: float) -> float:
    """Return P(Fisher's exact test, its smaller side doubled, rejects equal rates)."""
    (n, rates) = _fewer_first(n, rates)
    k = _likely(n[0], rates[0])
    most = _fisher_edge(k, n, level / 2)
    # the other side by symmetry: exchange hits and misses
    least = n[1] - _fisher_edge(n[0] - k, n, level / 2)
    outside = binom.cdf(most, n[1], rates[1]) + binom.sf(least - 1, n[1], rates[1])
    return float(binom.pmf(k, n[0], rates[0]) @ outside)


def _fisher_edge(k: Counts, n: tuple[int, int], level: float) -> Counts:
    """Return for every count of the first sample the largest count j of the second with
    P(second count <= j | total k + j) <= level, or -1; by bisection, all at once.
    """

    def rejected(at: Any, j: Counts) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = _hypergeometric_tail(j, k[at] + j, n) <= level
        return found

    low, high = np.full(k.shape, -1), np.full(k.shape, n[1])
    # counts about the normal approximation, likeliest first, save most of the halvings:
    # of two samples alike the edge lies 1 or 2 below it, of others some n_1 / n_0 counts off
    guess, wide = _normal_edge(k, n, level), 2 * -(-n[1] // n[0])
    for offset in (-1, -2, 0, -wide, wide):
        j = guess + offset
        inside = np.flatnonzero((j > low) & (j < high))
        yes = rejected(inside, j[inside])
        low[inside[yes]], high[inside[~yes]] = j[inside[yes]], j[inside[~yes]]
    while len(open_ := np.flatnonzero(high - low > 1)):
        middle = (low[open_] + high[open_]) // 2
        yes = rejected(open_, middle)
        low[open_[yes]], high[open_[~yes]] = middle[yes], middle[~yes]
    found: Counts = low
    return found


def _normal_edge(k: Counts, n: tuple[int, int], level: float) -> Counts:
    """Return about where the edge lies; the bisection does not rely on it."""
    j = k * (n[1] / n[0])
    for _ in range(3):
        pooled = np.clip((k + j) / sum(n), 0.0, 1.0)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / n[0] + 1 / n[1]))
        j = np.clip(n[1] * (k / n[0] + special.ndtri(level) * spread), 0, n[1])
    edge: Counts = np.rint(j).astype(np.int64)
    return edge


def _hypergeometric_tail(j: Counts, total: Counts, n: tuple[int, int]) -> Floats:
    """Return P(J <= j) of the second sample's share of ``total`` hits, 1 beyond the mean + 1.

    The series ``pmf(j) (1 + r_j + r_j r_(j-1) + ...)`` with r_i = pmf(i - 1) / pmf(i): a
    few times the standard deviation of terms, and SciPy's takes as many for each j by itself.
    """
    mean = total * (n[1] / (n[0] + n[1]))
    found = np.where(j >= mean + 1, 1.0, 0.0)  # median and mean differ by less than 1
    at = np.flatnonzero((found == 0) & (j >= 0) & (total - j <= n[0]))
    i, rest = j[at].astype(np.float64), (total - j)[at].astype(np.float64)
    term = np.exp(_log_choose(n[1], i) + _log_choose(n[0], rest) - _log_choose(sum(n), i + rest))
    tail = term.copy()
    while len(i) and (term > _TAIL * tail).any():
        term *= i * (n[0] - rest) / ((n[1] - i + 1) * (rest + 1))
        tail += term
        i, rest = i - 1, rest + 1
    found[at] = tail
    return found


def _log_choose(n: int, k: Floats) -> Floats:
    found: Floats = -special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    return found
