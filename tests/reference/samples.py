"""Slow oracles of what samples show: bounds of rates, verdicts, energy distances."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq


def binomial(k, n, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def clopper_pearson(k, n, level):
    """Invert the two one-sided binomial tests by root finding, each at level / 2."""

    def at_least(p):
        return sum(binomial(i, n, p) for i in range(k, n + 1)) - level / 2

    def at_most(p):
        return sum(binomial(i, n, p) for i in range(k + 1)) - level / 2

    low = 0.0 if k == 0 else brentq(at_least, 0.0, 1.0, xtol=1e-14)
    high = 1.0 if k == n else brentq(at_most, 0.0, 1.0, xtol=1e-14)
    return low, high


def probability(n, rates, verdict):
    """Sum the probability of all pairs of counts for which ``verdict(i, j)`` is true."""
    return sum(
        binomial(i, n[0], rates[0]) * binomial(j, n[1], rates[1])
        for i, j in product(range(n[0] + 1), range(n[1] + 1))
        if verdict(i, j)
    )


def bounded(n, gap, level):
    first = [clopper_pearson(i, n[0], level) for i in range(n[0] + 1)]
    second = [clopper_pearson(j, n[1], level) for j in range(n[1] + 1)]

    def verdict(i, j):
        return max(first[i][1] - second[j][0], second[j][1] - first[i][0]) < gap

    return verdict


def apart(n, level):
    first = [clopper_pearson(i, n[0], level) for i in range(n[0] + 1)]
    second = [clopper_pearson(j, n[1], level) for j in range(n[1] + 1)]

    def verdict(i, j):
        return first[i][0] > second[j][1] or second[j][0] > first[i][1]

    return verdict


def fisher(n, level):
    """Fisher's exact test by the hypergeometric law, each side at level / 2."""

    def at_most(i, j):
        total = i + j
        ways = [math.comb(n[0], m) * math.comb(n[1], total - m) for m in range(i + 1)]
        return sum(ways) / math.comb(sum(n), total)

    def verdict(i, j):
        # the other side: as few misses
        return min(at_most(i, j), at_most(n[0] - i, n[1] - j)) <= level / 2

    return verdict


def energy_by_quadrature(white, law):
    """n times the squared energy distance on the line, as n 2 int (F_n - F)^2 dx."""
    x = np.sort(np.asarray(white).ravel())
    edges = np.concatenate([[-40.0], x, [40.0]])
    total = 0.0
    for i, (low, high) in enumerate(pairwise(edges)):
        total += quad(lambda t, i=i: (i / len(x) - law.cdf(t)) ** 2, low, high, limit=200)[0]
    return 2 * len(x) * total


def holm(p):
    """Holm's adjustment, written as its definition: sorted, multiplied, never falling."""
    order = np.argsort(p)
    out = np.empty(len(p))
    for rank, i in enumerate(order):
        out[i] = min(1.0, max((len(p) - s) * p[order[s]] for s in range(rank + 1)))
    return out
