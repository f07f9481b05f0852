"""The sections of an audit that hold rates: by group, and over all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.auditing._small_groups import hidden_cells
from isonomy.metrics._counts import ConfusionCounts
from isonomy.metrics.intervals import wilson_interval
from isonomy.metrics.rates import RateTable, rate_table

__all__ = ["number", "overall_section", "rates_section", "withheld_reason"]

METRICS = (
    "accuracy",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
)
DRAWN_NUMBERS = 4_000_000


def number(value: Any) -> float | None:
    """Return a float, or None for NaN: JSON has no NaN."""
    return None if value is None or np.isnan(value) else float(value)


def withheld_reason(min_cell: int) -> str:
    """Return why a number is not shown."""
    return f"withheld: fewer than {min_cell} people"


def rates_section(
    counts: ConfusionCounts, min_cell: int, confidence: float
) -> list[dict[str, Any]]:
    """Return every rate of every class and group, small cells withheld."""
    hidden = hidden_cells(counts.rows.sum(axis=1), min_cell)
    entries: list[dict[str, Any]] = []
    for metric in METRICS:
        table = rate_table(counts, metric)
        entries += _entries(table, _hidden(metric, table, hidden, min_cell), min_cell, confidence)
    return entries


def _hidden(
    metric: str, table: RateTable, cells: NDArray[np.bool_], min_cell: int
) -> NDArray[np.bool_]:
    small: NDArray[np.bool_] = (table.n_rows > 0) & (table.n_rows < min_cell)
    if metric == "true_positive_rate":
        return small | cells
    if metric == "false_positive_rate" and len(cells) == 2:
        return small | cells[::-1]  # of two classes, one's false positives are the other's misses
    return small


def _entries(
    table: RateTable, hidden: NDArray[np.bool_], min_cell: int, confidence: float
) -> list[dict[str, Any]]:
    low, high = wilson_interval(table.values, table.n_effective, confidence)
    entries = []
    for y, a in np.ndindex(table.values.shape):
        label = table.classes[y]
        entry = {
            "metric": table.name,
            "class": None if label is None else str(label),
            "group": str(table.groups[a]),
            "value": number(table.values[y, a]),
            "low": number(low[y, a]),
            "high": number(high[y, a]),
            "n": int(table.n_rows[y, a]),
            "n_effective": number(table.n_effective[y, a]),
            "reason": table.reason if np.isnan(table.values[y, a]) else None,
        }
        if hidden[y, a]:
            entry.update(dict.fromkeys(("value", "low", "high", "n", "n_effective")))
            entry["reason"] = withheld_reason(min_cell)
        entries.append(entry)
    return entries


def overall_section(
    counts: ConfusionCounts, *, n_boot: int, confidence: float, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Return accuracy (Wilson), balanced accuracy and macro F1 (resampled counts)."""
    table, squares = counts.weights.sum(axis=2), counts.squares.sum()
    n = int(counts.rows.sum())
    total = table.sum()
    effective = float(total**2 / squares)
    accuracy = float(np.trace(table) / total)
    low, high = wilson_interval(accuracy, effective, confidence)
    used = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1) > 0)
    seen = table[np.ix_(used, used)]
    size = max(1, min(n_boot, DRAWN_NUMBERS // seen.size))
    drawn = rng.multinomial(round(effective), (seen / total).ravel(), size=size)
    drawn = drawn.reshape(size, *seen.shape)
    tail = [(1 - confidence) / 2, (1 + confidence) / 2]
    entries = {"accuracy": _summary(accuracy, float(low), float(high), n)}
    for name, statistic in (("balanced_accuracy", _balanced), ("macro_f1", _macro_f1)):
        value = float(statistic(seen))
        lowest, highest = np.clip(np.quantile(statistic(drawn), tail), 0, 1).tolist()
        entries[name] = _summary(value, lowest, highest, n)
    return entries


def _summary(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    return {
        "value": number(value),
        "low": number(low),
        "high": number(high),
        "n": n,
        "reason": None,
    }


def _balanced(tables: NDArray[Any]) -> NDArray[np.float64]:
    """Mean true-positive rate of the classes that have true rows, over leading axes."""
    true = tables.sum(axis=-1).astype(np.float64)
    right = np.einsum("...ii->...i", tables)
    rates = np.divide(right, true, out=np.full(true.shape, np.nan), where=true > 0)
    mean: NDArray[np.float64] = np.nanmean(rates, axis=-1)
    return mean


def _macro_f1(tables: NDArray[Any]) -> NDArray[np.float64]:
    """Mean F1 of the classes that are true or predicted somewhere, over leading axes."""
    both = (tables.sum(axis=-1) + tables.sum(axis=-2)).astype(np.float64)
    right = 2.0 * np.einsum("...ii->...i", tables)
    f1 = np.divide(right, both, out=np.full(both.shape, np.nan), where=both > 0)
    mean: NDArray[np.float64] = np.nanmean(f1, axis=-1)
    return mean
