"""The section of an audit that judges scores: calibration, log loss, ROC area by group."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.auditing._calibration import calibration_curve, score_bins
from isonomy.auditing._rates import number, withheld_reason
from isonomy.auditing._score_bootstrap import score_replicates, score_values
from isonomy.metrics._counts import LabelledRows

__all__ = ["scores_section"]

Floats = NDArray[np.float64]

EVERYONE = "(all)"
RESAMPLED_ROWS = 4_000_000
"""Rows drawn at most per group: fewer replicates for more rows."""

WORDS = {
    "roc_auc": "The chance that a positive outranks a negative",
    "log_loss": "The log loss of the scores (nats)",
    "mean_score_minus_rate": "The mean score less the rate",
    "calibration_error": "The calibration error of the scores",
}


def scores_section(
    rows: LabelledRows,
    score: Floats,
    *,
    min_cell: int,
    n_boot: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Return every metric that the scores allow, per group and over everyone."""
    parts = {EVERYONE: np.ones(len(rows.true), dtype=bool)}
    parts |= {str(g): rows.group == a for a, g in enumerate(rows.groups)}
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    entries: list[dict[str, Any]] = []
    drawn: dict[str, dict[str, tuple[float, Floats]]] = {}
    bins = score_bins(rows, score, min_cell=min_cell)
    for name, mask in parts.items():
        weight = None if rows.weight is None else rows.weight[mask]
        true, own, n = rows.true[mask], score[mask], int(mask.sum())
        size = max(200, min(n_boot, RESAMPLED_ROWS // n))
        held = None if bins is None else bins[mask]
        replicates = score_replicates(true, own, weight, n_boot=size, rng=rng, bins=held)
        for metric, value in score_values(true, own, weight, held).items():
            entry: dict[str, Any] = {
                "metric": metric,
                "class": None,
                "group": name,
                "value": number(value),
                "low": None,
                "high": None,
                "n": n,
                "reason": None,
            }
            if np.isnan(value):
                entry["reason"] = "only one class in the group"
            elif metric == "roc_auc" and _few_of_a_class(true, min_cell):
                # a ROC area with one positive tells where that person's score ranks
                entry.update(value=None, n=None, reason=withheld_reason(min_cell))
            else:
                sample = replicates[metric]
                entry["low"], entry["high"] = map(float, np.nanquantile(sample, tail))
                if name != EVERYONE:
                    drawn.setdefault(metric, {})[name] = (value, sample)
            entries.append(entry)
    return {
        "by_group": entries,
        "disparities": [_difference(m, found, confidence) for m, found in drawn.items()],
        "calibration": calibration_curve(rows, score, min_cell=min_cell, confidence=confidence),
    }


def _few_of_a_class(true: NDArray[np.intp], min_cell: int) -> bool:
    sizes = np.bincount(true, minlength=2)
    return bool(((sizes > 0) & (sizes < min_cell)).any())


def _difference(
    metric: str, found: dict[str, tuple[float, Floats]], confidence: float
) -> dict[str, Any]:
    """Bound the largest difference by that of all pairs at once, as for rates."""
    entry: dict[str, Any] = {
        "metric": metric,
        "value": None,
        "low": None,
        "high": None,
        "pair": None,
        "reason": None,
        "sentence": "",
    }
    if len(found) < 2:
        entry["reason"] = "defined in fewer than two groups"
        return entry
    names = list(found)
    values = np.array([found[g][0] for g in names])
    size = min(len(found[g][1]) for g in names)
    drawn = np.stack([found[g][1][:size] for g in names], axis=1) - values
    first, second = np.triu_indices(len(names), 1)
    deviation = np.nan_to_num(drawn[:, first] - drawn[:, second])
    error = np.maximum(deviation.std(axis=0), np.finfo(np.float64).tiny)
    q = float(np.quantile(np.abs(deviation / error).max(axis=1), confidence))
    distance = np.abs(values[first] - values[second])
    high, low = int(np.argmax(values)), int(np.argmin(values))
    entry.update(
        value=float(values[high] - values[low]),
        low=float(np.maximum(distance - q * error, 0).max()),
        high=float((distance + q * error).max()),
        pair=[names[high], names[low]],
    )
    entry["sentence"] = (
        f"{WORDS[metric]} is {values[high]:.3f} in group {names[high]} and {values[low]:.3f} in "
        f"group {names[low]}: a difference of {entry['value']:.3f} (interval {entry['low']:.3f} "
        f"to {entry['high']:.3f})."
    )
    return entry
