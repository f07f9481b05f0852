"""How often chance alone gives differences as large: one p-value per disparity.

Groups are dealt at random among all rows for demographic parity and accuracy, and among
the rows of each true class for everything that conditions on it.
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
    shuffled_counts_p_values,
)

__all__ = ["Asked", "chance_p_values", "odds_replicates", "spread"]

Floats = NDArray[np.float64]

CHUNK_NUMBERS = 4_000_000
ODDS_NUMBERS = 2_000_000
WEIGHTINGS: tuple[Weighting, Weighting] = ("equal", "precision")


@dataclass(frozen=True)
class Asked:
    """What is compared: class codes, cells with enough rows, pairs of the rms gap.

    ``picked`` are codes into the classes, ``enough`` is ``(n_classes, n_groups)``.
    """

    picked: NDArray[np.intp]
    enough: NDArray[np.bool_]
    pairs: list[Pair]


def odds_replicates(counts: ConfusionCounts, n: int) -> int:
    """Return how many replicates of equalized odds to draw: fewer for very many rates.

    One replicate draws every (true, predicted, group) count that is not 0: 1,500 for 28
    classes and two groups. A thousand replicates give a 95 % quantile well enough.
    """
    return min(n, max(1000, ODDS_NUMBERS // max(int(np.count_nonzero(counts.weights)), 1)))


def spread(rates: Floats, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the largest max - min over usable groups, over the leading axes; NaN if none."""
    kept = np.flatnonzero(usable.sum(axis=-1) > 1)
    if len(kept) == 0:
        return np.full(rates.shape[:-2], np.nan)
    some, mask = rates[..., kept, :], usable[kept]
    top = np.where(mask, some, -np.inf).max(axis=-1)
    bottom = np.where(mask, some, np.inf).min(axis=-1)
    largest: Floats = (top - bottom).max(axis=-1)
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
    everyone = np.ones((len(predicted), len(sizes)), dtype=bool)[asked.picked]

    def parity(size: int) -> Floats:
        shares = random_tables(predicted, sizes, size, rng)[:, asked.picked] / sizes
        return spread(shares, everyone)

    def accuracy(size: int) -> Floats:
        outcomes = np.array([right, sizes.sum() - right])
        return spread(random_tables(outcomes, sizes, size, rng)[:, :1] / sizes, everyone[:1])

    observed_parity, observed_accuracy = _among_all_values(counts, asked)
    return {
        "demographic_parity_difference": _p(
            observed_parity, _in_chunks(parity, n, everyone.shape[1] * len(predicted))
        ),
        "accuracy_difference": _p(observed_accuracy, _in_chunks(accuracy, n, 2 * len(sizes))),
    }


def _within_classes(
    counts: ConfusionCounts, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    cells = cell_rates(counts)
    picked, usable = _picked_cells(counts, asked)
    weights = {w: [class_weights(cells, p, w) for p in asked.pairs] for w in WEIGHTINGS}

    def statistics(size: int) -> Floats:
        rates = permuted_rates(counts, size, rng)
        gaps = [_largest_square(rates, weights[w], asked.pairs) for w in WEIGHTINGS]
        return np.stack([spread(rates[:, picked], usable), *gaps], axis=1)

    permuted = _in_chunks(statistics, n, cells.rates.size)
    observed = _within_classes_values(counts, asked)[[0, 2, 3]]
    names = ("equal_opportunity_difference", "rms_tpr_gap", "rms_tpr_gap_precision")
    return {m: _p(o, permuted[:, i]) for i, (m, o) in enumerate(zip(names, observed, strict=True))}


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
            rates = tables / np.maximum(sizes[y], 1)
            usable = np.broadcast_to(asked.enough[y], rates.shape[1:])
            largest[:, i] = spread(rates, usable)
        top: Floats = largest.max(axis=1)
        return top

    observed = _within_classes_values(counts, asked)[1]
    permuted = _in_chunks(odds, n, counts.rows[0].size)
    return {"equalized_odds_difference": _p(float(observed), permuted)}


def _weighted(
    rows: LabelledRows, asked: Asked, n: int, rng: np.random.Generator
) -> dict[str, float]:
    found: dict[str, float] = {}
    for within, names, values in (
        (False, ("demographic_parity_difference", "accuracy_difference"), _among_all_values),
        (
            True,
            (
                "equal_opportunity_difference",
                "equalized_odds_difference",
                "rms_tpr_gap",
                "rms_tpr_gap_precision",
            ),
            _within_classes_values,
        ),
    ):
        p = shuffled_counts_p_values(
            rows,
            partial(values, asked=asked),
            within_classes=within,
            n_permutations=n,
            rng=rng,
        )
        found.update(zip(names, p, strict=True))
    return found


def _among_all_values(counts: ConfusionCounts, asked: Asked) -> Floats:
    selected = selection_rates(counts)[asked.picked]
    accuracy = (np.einsum("iig->g", counts.weights) / counts.n_group)[None]
    return np.array(
        [
            spread(selected, np.ones(selected.shape, dtype=bool)),
            spread(accuracy, np.ones(accuracy.shape, dtype=bool)),
        ]
    )


def _within_classes_values(counts: ConfusionCounts, asked: Asked) -> Floats:
    cells = cell_rates(counts)
    picked, usable = _picked_cells(counts, asked)
    rates = conditional_rates(counts)
    enough = np.broadcast_to(asked.enough[:, None], rates.shape)
    g = rates.shape[-1]
    gaps = [
        _largest_square(cells.rates, [class_weights(cells, p, w) for p in asked.pairs], asked.pairs)
        for w in WEIGHTINGS
    ]
    return np.array(
        [
            spread(cells.rates[picked], usable),
            spread(rates.reshape(-1, g), enough.reshape(-1, g)),
            *gaps,
        ]
    )


def _picked_cells(
    counts: ConfusionCounts, asked: Asked
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return rows of the cells' rates for the picked classes, and which cells are usable."""
    position = np.cumsum(counts.present()) - 1
    chosen = asked.picked[counts.present()[asked.picked]]
    return position[chosen], asked.enough[chosen]


def _largest_square(rates: Floats, weights: list[Floats], pairs: list[Pair]) -> Floats:
    squares = [mean_square(rates, w, p) for w, p in zip(weights, pairs, strict=True) if w.any()]
    if not squares:
        return np.full(rates.shape[:-2], np.nan)
    largest: Floats = np.max(squares, axis=0)
    return largest


def _in_chunks(draw: Callable[[int], Floats], n: int, numbers: int) -> Floats:
    size = max(1, min(n, CHUNK_NUMBERS // max(numbers, 1)))
    return np.concatenate([draw(min(size, n - start)) for start in range(0, n, size)])


def _p(observed: float, permuted: Floats) -> float:
    return float("nan") if np.isnan(observed) else p_value(float(observed), permuted)
