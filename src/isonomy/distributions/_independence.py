"""Tests of whether columns are independent of one another within every (label, group) cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc
from scipy.stats import rankdata

__all__ = ["Independence", "independence_of", "pearson_within", "rank_tests_within"]


@dataclass(frozen=True)
class Independence:
    """Tests of the assumption that columns are independent given label and group.

    Attributes
    ----------
    pairs : tuple of (column, column)
    p_values : tuple of float
        Of every pair by itself; NaN where nothing varied.
    p_adjusted : tuple of float
        After Holm, so that any of them below a level rejects at that level.
    """

    pairs: tuple[tuple[Any, Any], ...]
    p_values: tuple[float, ...]
    p_adjusted: tuple[float, ...]

    @property
    def p_value(self) -> float:
        """The least adjusted p; NaN if no pair could be tested."""
        known = [p for p in self.p_adjusted if not np.isnan(p)]
        return min(known) if known else float("nan")

    @property
    def worst(self) -> tuple[Any, Any] | None:
        """The pair of least p; None if no pair could be tested."""
        known = [i for i, p in enumerate(self.p_values) if not np.isnan(p)]
        return self.pairs[min(known, key=lambda i: self.p_values[i])] if known else None

    def rejected(self, level: float = 0.05) -> tuple[tuple[Any, Any], ...]:
        """Return the pairs that are dependent at this level, all tests together."""
        judged = zip(self.pairs, self.p_adjusted, strict=True)
        return tuple(pair for pair, p in judged if p <= level)

    def beside(self, other: Independence | None) -> Independence:
        """Return both sets of tests as one, adjusted anew over all pairs.

        Parameters
        ----------
        other : Independence or None
        """
        if other is None:
            return self
        return independence_of(self.pairs + other.pairs, self.p_values + other.p_values)

    def __str__(self) -> str:
        if self.worst is None:
            return "Independence of the columns within cells could not be tested."
        found = (
            "is rejected" if self.p_value <= 0.05 else "is not rejected, which does not prove it"
        )
        return (
            f"Independence of the columns within (label, group) cells {found}: least adjusted "
            f"p = {self.p_value:.3g}, for columns {self.worst[0]!s} and {self.worst[1]!s}."
        )


def independence_of(pairs: Sequence[tuple[Any, Any]], p_values: Sequence[float]) -> Independence:
    """Return the tests with Holm's adjustment over the pairs that could be tested."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return Independence(tuple(pairs), tuple(p.tolist()), tuple(adjusted.tolist()))


def pearson_within(
    codes: Sequence[NDArray[np.intp]], names: Sequence[Any], cells: NDArray[np.intp]
) -> Independence:
    """Test every pair of categorical columns for independence within cells.

    Notes
    -----
    Sum over cells of ``(n - 1) / n`` times Pearson's statistic, whose mean over
    permutations of one column within the cell is exactly ``(r - 1)(c - 1)``, with r and c
    the categories seen in the cell, against chi-square with the sum of those degrees.
    Rows count once, whatever their weight.
    """
    pairs = list(combinations(range(len(codes)), 2))
    found = [_pearson(codes[i], codes[j], cells) for i, j in pairs]
    return independence_of([(names[i], names[j]) for i, j in pairs], found)


def _pearson(a: NDArray[np.intp], b: NDArray[np.intp], cells: NDArray[np.intp]) -> float:
    statistic, degrees = 0.0, 0
    for cell in np.unique(cells):
        rows = cells == cell
        table = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
        np.add.at(table, (a[rows], b[rows]), 1.0)
        table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
        n, expected = table.sum(), np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        statistic += (n - 1.0) / n * float(((table - expected) ** 2 / expected).sum())
        degrees += (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(chdtrc(degrees, statistic)) if degrees else float("nan")


def rank_tests_within(
    values: NDArray[np.float64],
    codes: Sequence[NDArray[np.intp]],
    names: tuple[Sequence[Any], Sequence[Any]],
    cells: NDArray[np.intp],
) -> Independence:
    """Test every numeric column against every categorical one within cells.

    Notes
    -----
    Kruskal and Wallis (1952): ``(n - 1)`` times the share of the ranks' variance between
    categories, mean under permutations exactly (categories - 1), summed over cells,
    against chi-square. Once for ranks (location), once for their distances from the middle
    rank (spread); p is twice the smaller of the two, at most 1. Dependence that changes
    neither is not seen.
    """
    pairs, found = [], []
    for i, numeric in enumerate(names[0]):
        for j, categorical in enumerate(names[1]):
            pairs.append((numeric, categorical))
            found.append(_rank_test(values[:, i], codes[j], cells))
    return independence_of(pairs, found)


def _rank_test(
    values: NDArray[np.float64], codes: NDArray[np.intp], cells: NDArray[np.intp]
) -> float:
    statistics, degrees = np.zeros(2), 0
    for cell in np.unique(cells):
        rows = cells == cell
        ranks = rankdata(values[rows])
        spread = np.abs(ranks - 0.5 * (len(ranks) + 1))
        seen, inside = np.unique(codes[rows], return_inverse=True)
        if len(seen) < 2 or np.ptp(ranks) == 0:
            continue
        statistics += [_between(ranks, inside), _between(spread, inside)]
        degrees += len(seen) - 1
    if degrees == 0:
        return float("nan")
    return float(min(1.0, 2.0 * chdtrc(degrees, statistics).min()))


def _between(scores: NDArray[np.float64], codes: NDArray[np.intp]) -> float:
    far = scores - scores.mean()
    total = float(far @ far)
    if total <= 0.0:
        return 0.0
    sums, counts = np.bincount(codes, weights=far), np.bincount(codes)
    return (len(far) - 1.0) * float((sums**2 / counts).sum()) / total
