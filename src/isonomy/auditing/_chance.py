"""How often chance alone gives differences as large: one p-value per disparity.

Groups are dealt at random among all rows for demographic parity and accuracy, and among
the rows of each true class for everything that conditions on it.

What is compared is not the raw difference: the largest of many would nearly always be that
of the smallest group or rarest class, and their noise would hide a gap among everybody
else. Each rate's distance from that of all groups together is divided by its standard
error under random dealing, and the mean square of each pair of groups is standardised by
its mean and standard deviation over the deals; then the largest is taken. With two groups
the p-value of an rms gap is that of the gap itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from isonomy.metrics._counts import ConfusionCounts, LabelledRows
from isonomy.metrics._gap_statistics import (
    Pair,
    Weighting,
    cell_rates,
    class_weights,
    conditional_rates,
    mean_square,
    selection_rates,
)
from isonomy.metrics.permutation import (
    p_value,
    permuted_rates,
    random_tables,
    shuffled_statistics,
)

__all__ = ["Asked", "chance_p_values", "largest_deviation", "odds_replicates"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHUNK_NUMBERS = 2_000_000
ODDS_NUMBERS = 2_000_000
WEIGHTINGS: tuple[Weighting, Weighting] = ("equal", "precision")
RMS_NAMES = ("rms_tpr_gap", "rms_tpr_gap_precision")


@dataclass(frozen=True)
class Asked:
    """What is compared: class codes, cells with enough rows, pairs of the rms gap.

    ``picked`` are codes into the classes, ``enough`` is ``(n_classes, n_groups)``.
    """

    picked: NDArray[np.intp]
    enough: Mask
    pairs: list[Pair]


def odds_replicates(counts: ConfusionCounts, n: int) -> int:
    """Return how many replicates of equalized odds to draw: fewer for very many rates.

    One replicate draws every (true, predicted, group) count that is not 0: 1,500 for 28
    classes and two groups. A thousand replicates give a 95 % quantile well enough.
    """
    return min(n, max(1000, ODDS_NUMBERS // max(int(np.count_nonzero(counts.weights)), 1)))


def largest_deviation(rates: Floats, n: Floats, usable: Mask) -> Floats:
    """Return max |p_ja - p_j| / s_ja over usable groups, over the leading axes; NaN if none.

    ``rates`` is ``(..., n_rates, n_groups)``, ``n`` their sizes; p_j is the rate of all
    groups together and s_ja^2 = p_j (1 - p_j) (1 / n_ja - 1 / n_j) its variance under
    random dealing, up to a factor n_j / (n_j - 1) near 1.
    """
    kept = np.flatnonzero(usable.sum(axis=-1) > 1)
    if len(kept) == 0:
        return np.full(rates.shape[:-2], np.nan)
    some, size, mask = np.nan_to_num(rates[..., kept, :]), n[kept], usable[kept]
    total = size.sum(axis=-1, keepdims=True)
    pooled = (some * size).sum(axis=-1, keepdims=True) / total
    spread = np.where(mask, 1 / np.where(mask, size, 1.0) - 1 / total, 0.0)
    variance = pooled * (1 - pooled) * spread
    # a rate that is 0 or 1 for everybody differs for nobody, whatever rounding says
    known = variance > 1e-14 * spread
    error = np.sqrt(np.where(known, variance, 1.0))
    largest: Floats = np.where(known, np.abs(some - pooled) / error, 0.0).max(axis=(-1, -2))
    return largest


def chance_p_values(
    rows: LabelledRows, asked: Asked, *, n_permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return a p-value for every disparity; NaN where it is undefined."""
    counts = rows.count()
    if counts.is_weighted:
        return _weighted(rows, asked, n_permutations, rng)
    return {
        **_among_all(counts, asked, n_permutations, rng),
        **_within_classes(counts, asked, n_permutations, rng),
        **_equalized_odds(counts, asked, odds_replicates(counts, n_permutations), rng),
    }


def _among_all(
    counts: ConfusionCounts, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    sizes = counts.rows.sum(axis=(0, 1))
    predicted = counts.rows.sum(axis=(0, 2))
    right = np.einsum("iig->", counts.rows)
    n_rates = np.broadcast_to(sizes, (len(asked.picked), len(sizes)))
    everyone = n_rates > 0

    def parity(size: int) -> Floats:
        shares = random_tables(predicted, sizes, size, rng)[:, asked.picked] / sizes
        return largest_deviation(shares, n_rates, everyone)

    def accuracy(size: int) -> Floats:
        outcomes = np.array([right, sizes.sum() - right])
        shares = random_tables(outcomes, sizes, size, rng)[:, :1] / sizes
        return largest_deviation(shares, n_rates[:1], everyone[:1])

    seen = _among_all_values(counts, asked)
    numbers = len(predicted) * len(sizes)
    return {
        "demographic_parity_difference": _p(seen[0], _in_chunks(parity, n, numbers)),
        "accuracy_difference": _p(seen[1], _in_chunks(accuracy, n, 2 * len(sizes))),
    }


def _within_classes(
    counts: ConfusionCounts, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    cells = cell_rates(counts)
    picked, usable = _picked_cells(counts, asked)
    weights = [[class_weights(cells, p, w) for p in asked.pairs] for w in WEIGHTINGS]

    def statistics(size: int) -> Floats:
        rates = permuted_rates(counts, size, rng)
        largest = largest_deviation(rates[:, picked], cells.n[picked], usable)
        squares = [_squares(rates, w, asked.pairs) for w in weights]
        return np.concatenate([largest[:, None], *squares], axis=1)

    permuted = _in_chunks(statistics, n, cells.rates.size + len(asked.pairs))
    seen = np.delete(_within_classes_values(counts, asked), 1)
    return {
        "equal_opportunity_difference": _p(seen[0], permuted[:, 0]),
        **_rms_p_values(seen[1:], permuted[:, 1:]),
    }


def _equalized_odds(
    counts: ConfusionCounts, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    sizes = counts.rows.sum(axis=1)
    classes = np.flatnonzero(asked.enough.sum(axis=1) > 1)

    def odds(size: int) -> Floats:
        largest = np.full((size, max(len(classes), 1)), np.nan)
        for i, y in enumerate(classes):
            outcomes = counts.rows[y].sum(axis=1)
            seen = np.flatnonzero(outcomes)
            tables = random_tables(outcomes[seen], sizes[y], size, rng)
            n_rates = np.broadcast_to(sizes[y], tables.shape[1:])
            usable = np.broadcast_to(asked.enough[y], tables.shape[1:])
            largest[:, i] = largest_deviation(tables / np.maximum(sizes[y], 1), n_rates, usable)
        top: Floats = largest.max(axis=1)
        return top

    seen = _within_classes_values(counts, asked)[1]
    permuted = _in_chunks(odds, n, counts.rows[0].size)
    return {"equalized_odds_difference": _p(seen, permuted)}


def _weighted(
    rows: LabelledRows, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    values = (partial(_among_all_values, asked=asked), partial(_within_classes_values, asked=asked))
    (all_seen, all_drawn), (seen, drawn) = (
        (
            statistics(rows.count()),
            shuffled_statistics(rows, statistics, within_classes=within, n_permutations=n, rng=rng),
        )
        for within, statistics in zip((False, True), values, strict=True)
    )
    return {
        "demographic_parity_difference": _p(all_seen[0], all_drawn[:, 0]),
        "accuracy_difference": _p(all_seen[1], all_drawn[:, 1]),
        "equal_opportunity_difference": _p(seen[0], drawn[:, 0]),
        "equalized_odds_difference": _p(seen[1], drawn[:, 1]),
        **_rms_p_values(seen[2:], drawn[:, 2:]),
    }


def _rms_p_values(seen: Floats, drawn: Floats) -> dict[str, float]:
    """Standardise every pair by its deals, and compare the largest, for each weighting."""
    n_pairs = len(seen) // len(WEIGHTINGS)
    found = {}
    for i, name in enumerate(RMS_NAMES):
        part = slice(i * n_pairs, (i + 1) * n_pairs)
        known = ~np.isnan(seen[part])
        if not known.any():
            found[name] = float("nan")
            continue
        dealt = drawn[:, part][:, known]
        mean, deviation = dealt.mean(axis=0), dealt.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1.0)
        largest = ((dealt - mean) / scale).max(axis=1)
        found[name] = p_value(float(((seen[part][known] - mean) / scale).max()), largest)
    return found


def _among_all_values(counts: ConfusionCounts, asked: Asked) -> Floats:
    selected = selection_rates(counts)[asked.picked]
    accuracy = (np.einsum("iig->g", counts.weights) / counts.n_group)[None]
    return np.array(
        [
            largest_deviation(r, np.broadcast_to(counts.n_group, r.shape), np.isfinite(r))
            for r in (selected, accuracy)
        ]
    )


def _within_classes_values(counts: ConfusionCounts, asked: Asked) -> Floats:
    """Largest deviations of the true-positive and of all rates, then the squares by pair."""
    cells = cell_rates(counts)
    picked, usable = _picked_cells(counts, asked)
    rates = conditional_rates(counts)
    shape = (-1, rates.shape[-1])
    enough = np.broadcast_to(asked.enough[:, None], rates.shape).reshape(shape)
    n = np.broadcast_to(counts.n_true[:, None], rates.shape).reshape(shape)
    squares = [
        _squares(cells.rates, [class_weights(cells, p, w) for p in asked.pairs], asked.pairs)
        for w in WEIGHTINGS
    ]
    largest = [
        largest_deviation(cells.rates[picked], cells.weight[picked], usable),
        largest_deviation(rates.reshape(shape), n, enough),
    ]
    return np.concatenate([np.array(largest), *squares])


def _picked_cells(counts: ConfusionCounts, asked: Asked) -> tuple[NDArray[np.intp], Mask]:
    """Return rows of the cells' rates for the picked classes, and which cells are usable."""
    position = np.cumsum(counts.present()) - 1
    chosen = asked.picked[counts.present()[asked.picked]]
    return position[chosen], asked.enough[chosen]


def _squares(rates: Floats, weights: list[Floats], pairs: list[Pair]) -> Floats:
    """Return the mean square of every pair, ``(..., n_pairs)``."""
    return np.stack(
        [mean_square(rates, w, p) for w, p in zip(weights, pairs, strict=True)], axis=-1
    )


def _in_chunks(draw: Callable[[int], Floats], n: int, numbers: int) -> Floats:
    size = max(1, min(n, CHUNK_NUMBERS // max(numbers, 1)))
    return np.concatenate([draw(min(size, n - start)) for start in range(0, n, size)])


def _p(observed: float, permuted: Floats) -> float:
    return float("nan") if np.isnan(observed) else p_value(float(observed), permuted)
