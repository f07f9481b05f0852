"""Gaps between groups as functions of arrays, over any number of leading replicates.

Shapes: ``rates`` and ``n`` are ``(..., n_rates, n_groups)``; a *pair* is two group codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.metrics._counts import ConfusionCounts

__all__ = [
    "CellRates",
    "Pair",
    "Weighting",
    "cell_rates",
    "class_weights",
    "conditional_rates",
    "corrected_mean_square",
    "group_pairs",
    "largest_difference",
    "mean_square",
    "selection_rates",
    "signed_root",
]

Floats = NDArray[np.float64]
Pair = tuple[int, int]
Weighting = Literal["equal", "precision"]

MIN_ROWS = 2
"""The correction divides by n - 1: a cell of one row has no estimate of its variance."""


@dataclass(frozen=True)
class CellRates:
    """True-positive rates ``(n_classes, n_groups)`` with weights and effective sizes."""

    rates: Floats
    weight: Floats
    n: Floats


def cell_rates(counts: ConfusionCounts) -> CellRates:
    """Return the rates of the classes with true rows; NaN where a cell is empty."""
    present = counts.present()
    weight = counts.n_true[present]
    squares = counts.squares.sum(axis=1)[present]
    rows = counts.rows.sum(axis=1)[present]
    rates = np.divide(
        counts.correct[present], weight, out=np.full(weight.shape, np.nan), where=rows > 0
    )
    n = np.divide(weight**2, squares, out=np.zeros(weight.shape), where=rows > 0)
    return CellRates(np.minimum(rates, 1.0), weight, n)


def selection_rates(counts: ConfusionCounts) -> Floats:
    """Return P(predicted k | a), ``(n_classes, n_groups)``."""
    rates: Floats = counts.n_predicted / counts.n_group
    return rates


def conditional_rates(counts: ConfusionCounts) -> Floats:
    """Return P(predicted k | true j, a), ``(n_classes, n_classes, n_groups)``, NaN if empty."""
    rows = np.broadcast_to(counts.rows.sum(axis=1, keepdims=True) > 0, counts.rows.shape)
    total = np.broadcast_to(counts.n_true[:, None], counts.rows.shape)
    rates: Floats = np.divide(counts.weights, total, out=np.full(total.shape, np.nan), where=rows)
    return rates


def group_pairs(n_groups: int, reference: int | None) -> list[Pair]:
    """Return all pairs of groups, or the pairs (group, reference)."""
    if reference is None:
        return list(combinations(range(n_groups), 2))
    return [(a, reference) for a in range(n_groups) if a != reference]


def class_weights(
    cells: CellRates, pair: Pair, weighting: Weighting, min_rows: float = 1
) -> Floats:
    """Return weights ``(n_classes,)`` that sum to 1, or all 0 where no class counts.

    Classes with fewer than ``min_rows`` effective rows in one of the two groups weigh 0.
    Precision weights are n_0 n_1 / (n_0 + n_1), proportional to one over the variance of
    the gap at equal rates.
    """
    first, second = cells.weight[:, pair[0]], cells.weight[:, pair[1]]
    usable = (cells.n[:, list(pair)] >= min_rows - 1e-9).all(axis=1)
    if weighting == "equal":
        raw = usable.astype(np.float64)
    else:
        total = np.where(usable, first + second, 1.0)
        raw = np.where(usable, first * second / total, 0.0)
    total_weight = float(raw.sum())
    weights: Floats = np.divide(raw, total_weight if total_weight > 0 else 1.0)
    return weights


def mean_square(rates: Floats, weights: Floats, pair: Pair) -> NDArray[np.float64]:
    """Return sum_y w_y gap_y^2 of a pair, over the leading axes of ``rates``."""
    kept = weights > 0
    if not kept.any():
        return np.full(rates.shape[:-2], np.nan)
    gap = rates[..., kept, pair[0]] - rates[..., kept, pair[1]]
    square: Floats = np.square(gap) @ weights[kept]
    return square


def corrected_mean_square(
    rates: Floats, n: Floats, weights: Floats, pair: Pair
) -> NDArray[np.float64]:
    """Return sum_y w_y [gap_y^2 - sum_a p_a (1 - p_a) / (n_a - 1)] of a pair.

    Its expectation is the mean square of the true gaps for n >= 2 and predictions that
    were not fitted on these rows; it may be negative.
    """
    kept = weights > 0
    if not kept.any():
        return np.full(rates.shape[:-2], np.nan)
    noise = sum(rates[..., kept, a] * (1 - rates[..., kept, a]) / (n[kept, a] - 1) for a in pair)
    gap = rates[..., kept, pair[0]] - rates[..., kept, pair[1]]
    corrected: Floats = (np.square(gap) - noise) @ weights[kept]
    return corrected


def signed_root(square: float) -> float:
    """Return sign(x) sqrt(|x|): a corrected mean square on the scale of a gap."""
    return float(np.sign(square) * np.sqrt(np.abs(square)))


def largest_difference(rates: Floats) -> tuple[float, int, Pair]:
    """Return the largest max - min over groups, its row and its (high, low) groups.

    ``rates`` is ``(n_rates, n_groups)``; NaN entries are left out, and a row with fewer
    than two groups does not count. All NaN gives (NaN, -1, (-1, -1)).
    """
    usable = np.flatnonzero((~np.isnan(rates)).sum(axis=1) > 1)
    if len(usable) == 0:
        return float("nan"), -1, (-1, -1)
    kept = rates[usable]
    spread = np.nanmax(kept, axis=1) - np.nanmin(kept, axis=1)
    j = int(np.argmax(spread))
    pair = (int(np.nanargmax(kept[j])), int(np.nanargmin(kept[j])))
    return float(spread[j]), int(usable[j]), pair
