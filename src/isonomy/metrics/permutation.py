"""Permutation tests: how often a gap is as large when groups are dealt at random.

Within each stratum the groups are shuffled among the rows. The counts that a shuffle
leaves follow a (multivariate) hypergeometric law, which is drawn directly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isonomy.metrics._counts import ConfusionCounts, LabelledRows

__all__ = ["p_value", "permuted_rates", "random_tables", "shuffled_statistics"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_SHUFFLES = 999
"""Shuffles of weighted rows, which have no closed law and cost a pass each."""


def p_value(observed: float, permuted: Floats) -> float:
    """Return (1 + #{T* >= T}) / (1 + n); valid at any n.

    Ties, which rounding would break at random, count as T* >= T.

    Examples
    --------
    >>> p_value(2.0, np.array([0.0, 1.0, 2.0]))
    0.5
    """
    slack = 1e-12 + 1e-9 * abs(observed)
    return float((1 + np.count_nonzero(permuted >= observed - slack)) / (1 + len(permuted)))


def random_tables(
    rows: NDArray[np.intp], columns: NDArray[np.intp], size: int, rng: np.random.Generator
) -> Integers:
    """Return ``(size, n_rows, n_columns)`` tables with the given margins.

    The law is that of counting (outcome, group) after the groups, ``columns`` many of each,
    were dealt at random to the outcomes, ``rows`` many of each.

    Examples
    --------
    >>> t = random_tables(np.array([3, 2]), np.array([1, 4]), 100, np.random.default_rng(0))
    >>> bool((t.sum(axis=2) == [3, 2]).all() and (t.sum(axis=1) == [1, 4]).all())
    True
    """
    tables = np.zeros((size, len(rows), len(columns)), dtype=np.int64)
    free = np.tile(np.asarray(columns, dtype=np.int64), (size, 1))
    order = np.argsort(rows)[::-1]  # the largest outcome last costs nothing: it is the rest
    order = np.r_[order[1:], order[:1]]
    for k in order[:-1]:
        if rows[k]:
            tables[:, k] = _deal(free, int(rows[k]), rng)
            free = free - tables[:, k]
    tables[:, order[-1]] = free
    return tables


def _deal(free: Integers, n: int, rng: np.random.Generator) -> Integers:
    """Deal ``n`` cards from decks holding ``free`` ``(size, n_groups)`` of each group."""
    dealt = np.zeros_like(free)
    left = np.full(len(free), n, dtype=np.int64)
    pool = free.sum(axis=1)
    for a in range(free.shape[1] - 1):
        pool = pool - free[:, a]
        dealt[:, a] = rng.hypergeometric(free[:, a], pool, left)
        left = left - dealt[:, a]
    dealt[:, -1] = left
    return dealt


def permuted_rates(
    counts: ConfusionCounts, n_permutations: int, rng: np.random.Generator
) -> Floats:
    """Return true-positive rates ``(n, n_classes, n_groups)`` with groups shuffled in classes.

    Only classes with true rows; NaN where a cell is empty.
    """
    present = counts.present()
    total = counts.rows.sum(axis=1)[present]
    right = np.einsum("iig->ig", counts.rows)[present].sum(axis=1)
    out = np.full((n_permutations, *total.shape), np.nan)
    for y, sizes in enumerate(total):
        outcomes = np.array([right[y], sizes.sum() - right[y]])
        drawn = random_tables(outcomes, sizes, n_permutations, rng)[:, 0]
        np.divide(drawn, sizes, out=out[:, y], where=sizes > 0)
    return out


def shuffled_statistics(
    rows: LabelledRows,
    statistics: Callable[[ConfusionCounts], Floats],
    *,
    within_classes: bool,
    n_permutations: int,
    rng: np.random.Generator,
) -> Floats:
    """Return statistics ``(n, n_statistics)`` with groups shuffled among weighted rows.

    Each row keeps its weight, label and prediction; groups are shuffled among the rows of
    a class, or among all rows. At most :data:`MAX_SHUFFLES` shuffles are made.
    """
    strata = rows.true if within_classes else np.zeros_like(rows.true)
    order = np.argsort(strata, kind="stable")
    edges = np.flatnonzero(np.diff(strata[order])) + 1
    group = rows.group[order]
    drawn = []
    for _ in range(min(n_permutations, MAX_SHUFFLES)):
        for part in np.split(group, edges):  # views: shuffled in place
            rng.shuffle(part)
        dealt = np.empty_like(group)
        dealt[order] = group
        drawn.append(statistics(rows.count(dealt)))
    return np.array(drawn)
