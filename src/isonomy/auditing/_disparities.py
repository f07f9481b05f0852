"""The section of an audit that holds differences between groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.auditing._chance import Asked, chance_p_values, odds_replicates
from isonomy.auditing._rates import number
from isonomy.auditing._sentences import decision_sentence, difference_sentence, rms_sentence
from isonomy.metrics._counts import ConfusionCounts, LabelledRows
from isonomy.metrics._gap_statistics import (
    MIN_ROWS,
    Pair,
    Weighting,
    cell_rates,
    class_weights,
    conditional_rates,
    group_pairs,
    largest_difference,
    selection_rates,
)
from isonomy.metrics.intervals import (
    binomial_rates,
    difference_band,
    multinomial_rates,
    rms_gap_interval,
)

__all__ = ["Settings", "decide", "disparities_section"]

Floats = NDArray[np.float64]
Drawer = Callable[[int], Iterator[Floats]]

DETECTION_LEVEL = 0.05


@dataclass(frozen=True)
class Settings:
    """What all parts of one audit share; ``picked`` are the class codes looked at."""

    picked: NDArray[np.intp]
    reference_group: Hashable | None
    min_cell: int
    n_boot: int
    confidence: float
    rng: np.random.Generator


@dataclass(frozen=True)
class _Largest:
    """Rates whose largest difference between groups is a disparity.

    ``rates`` and ``n`` are ``(n_rates, n_groups)``, NaN where left out; ``of`` names the
    (true or only, predicted) class of every rate.
    """

    metric: str
    rates: Floats
    n: Floats
    draws: Drawer
    of: list[tuple[int | None, int | None]]
    n_classes: int | None
    left_out: list[str]
    n_boot: int


def disparities_section(rows: LabelledRows, settings: Settings) -> list[dict[str, Any]]:
    """Return every disparity of rows of two or more groups.

    The largest differences are over cells with at least ``min_cell`` rows; the rms gaps
    over classes with two rows in both groups.
    """
    counts = rows.count()
    enough = counts.rows.sum(axis=1) >= max(settings.min_cell, 1)
    reference = None
    if settings.reference_group in counts.groups:
        reference = counts.groups.index(settings.reference_group)
    asked = Asked(settings.picked, enough, group_pairs(len(counts.groups), reference))
    p = chance_p_values(rows, asked, n_permutations=settings.n_boot, rng=settings.rng)
    found = [
        _largest_entry(part, counts, settings, p[part.metric])
        for part in (
            _parity(counts, settings),
            _opportunity(counts, settings, enough),
            _odds(counts, settings, enough),
            _accuracy(counts, settings),
        )
    ]
    weightings: tuple[Weighting, Weighting] = ("equal", "precision")
    for weighting in weightings:
        name = "rms_tpr_gap" if weighting == "equal" else "rms_tpr_gap_precision"
        found.append(_rms_entry(name, weighting, counts, asked.pairs, settings, p[name]))
    return found


def decide(disparities: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what to conclude, by the gap weighted by precision."""
    entry = next((d for d in disparities if d["metric"] == "rms_tpr_gap_precision"), None)
    p, upper = (entry["p_value"], entry["high"]) if entry else (None, None)
    detected = None if p is None else p <= DETECTION_LEVEL
    return {
        "metric": "rms_tpr_gap_precision",
        "gap_detected": detected,
        "p_value": p,
        "upper_bound": upper,
        "sentence": decision_sentence(detected, p, upper),
    }


def _parity(counts: ConfusionCounts, settings: Settings) -> _Largest:
    picked, shares = settings.picked, selection_rates(counts)
    n = counts.n_group**2 / counts.squares.sum(axis=(0, 1))
    every = multinomial_rates(n[None], shares[None], settings.rng)
    one = binomial_rates(n[None], shares[picked], settings.rng)
    return _Largest(
        "demographic_parity_difference",
        shares[picked],
        np.broadcast_to(n, shares[picked].shape),
        one if len(picked) == 1 else lambda size: (c[:, picked] for c in every(size)),
        [(int(k), None) for k in picked],
        len(picked),
        [],
        settings.n_boot,
    )


def _opportunity(
    counts: ConfusionCounts, settings: Settings, enough: NDArray[np.bool_]
) -> _Largest:
    picked = settings.picked
    own = np.einsum("iig->ig", conditional_rates(counts))[picked]
    rates = np.where(enough[picked], own, np.nan)
    n = np.where(enough[picked], _cell_sizes(counts)[picked], 0.0)
    return _Largest(
        "equal_opportunity_difference",
        rates,
        n,
        binomial_rates(n, rates, settings.rng),
        [(int(k), None) for k in picked],
        int((enough[picked].sum(axis=1) > 1).sum()),
        _left_out(counts, enough, picked),
        settings.n_boot,
    )


def _odds(counts: ConfusionCounts, settings: Settings, enough: NDArray[np.bool_]) -> _Largest:
    k, g = len(counts.classes), len(counts.groups)
    rates = np.where(enough[:, None], conditional_rates(counts), np.nan)
    n = np.where(enough, _cell_sizes(counts), 0.0)
    return _Largest(
        "equalized_odds_difference",
        rates.reshape(-1, g),
        np.repeat(n, k, axis=0),
        multinomial_rates(n, rates, settings.rng),
        [(j, i) for j in range(k) for i in range(k)],
        int((enough.sum(axis=1) > 1).sum()),
        _left_out(counts, enough, np.arange(k)),
        odds_replicates(counts, settings.n_boot),
    )


def _accuracy(counts: ConfusionCounts, settings: Settings) -> _Largest:
    rates = (np.einsum("iig->g", counts.weights) / counts.n_group)[None]
    n = (counts.n_group**2 / counts.squares.sum(axis=(0, 1)))[None]
    draws = binomial_rates(n, rates, settings.rng)
    return _Largest(
        "accuracy_difference", rates, n, draws, [(None, None)], None, [], settings.n_boot
    )


def _largest_entry(
    part: _Largest, counts: ConfusionCounts, settings: Settings, p: float
) -> dict[str, Any]:
    value, j, pair = largest_difference(part.rates)
    entry = _blank(part.metric, None, part.n_classes, part.left_out)
    if np.isnan(value):
        entry["reason"] = f"no class has {settings.min_cell} people or more in two groups"
        return entry
    low, high = difference_band(
        part.rates,
        part.n,
        part.draws,
        group_pairs(len(counts.groups), None),
        n_boot=part.n_boot,
        confidence=settings.confidence,
    )
    label, predicted = (None if c is None else str(counts.classes[c]) for c in part.of[j])
    entry.update(
        {
            "value": value,
            "low": number(low),
            "high": number(high),
            "p_value": number(p),
            "pair": [str(counts.groups[a]) for a in pair],
            "class": label,
            "predicted": predicted,
        }
    )
    rates = (float(part.rates[j, pair[0]]), float(part.rates[j, pair[1]]))
    entry["sentence"] = difference_sentence(entry, rates)
    return entry


def _rms_entry(
    name: str,
    weighting: Weighting,
    counts: ConfusionCounts,
    pairs: list[Pair],
    settings: Settings,
    p: float,
) -> dict[str, Any]:
    cells = cell_rates(counts)
    found = rms_gap_interval(
        cells,
        pairs,
        weighting=weighting,
        n_boot=settings.n_boot,
        confidence=settings.confidence,
        rng=settings.rng,
    )
    present = [str(c) for c, q in zip(counts.classes, counts.present(), strict=True) if q]
    used = np.zeros(len(present), dtype=bool)
    if found.pair != (-1, -1):
        used = class_weights(cells, found.pair, weighting, MIN_ROWS) > 0
    left_out = [c for c, u in zip(present, used, strict=True) if not u]
    entry = _blank(name, weighting, int(used.sum()), left_out)
    if np.isnan(found.value):
        entry["reason"] = f"no class has {MIN_ROWS} people in two groups"
        return entry
    entry.update(
        {
            "value": found.value,
            "corrected": found.corrected,
            "low": found.low,
            "high": found.high,
            "p_value": number(p),
            "pair": [str(counts.groups[a]) for a in found.pair],
        }
    )
    entry["sentence"] = rms_sentence(entry)
    return entry


def _blank(
    metric: str, weighting: str | None, n_classes: int | None, left_out: list[str]
) -> dict[str, Any]:
    empty = ("value", "corrected", "low", "high", "p_value", "pair", "class", "predicted")
    return {
        "metric": metric,
        "weighting": weighting,
        **dict.fromkeys(empty),
        "n_classes": n_classes,
        "classes_left_out": left_out,
        "reason": None,
        "sentence": "",
    }


def _cell_sizes(counts: ConfusionCounts) -> Floats:
    squares = counts.squares.sum(axis=1)
    sizes = np.zeros(squares.shape)
    np.divide(counts.n_true**2, squares, out=sizes, where=squares > 0)
    return sizes


def _left_out(
    counts: ConfusionCounts, enough: NDArray[np.bool_], picked: NDArray[np.intp]
) -> list[str]:
    present = counts.present()
    return [str(counts.classes[y]) for y in picked if present[y] and not enough[y].all()]
