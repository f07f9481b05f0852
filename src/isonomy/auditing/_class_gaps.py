"""The section of an audit that holds the gap of every class, rare classes apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from isonomy.auditing._rates import number, withheld_reason
from isonomy.auditing._small_groups import hidden_cells
from isonomy.metrics._counts import ConfusionCounts
from isonomy.metrics._gap_statistics import cell_rates
from isonomy.metrics.intervals import clopper_pearson_interval, newcombe_interval

__all__ = ["RARE_CELL", "class_gaps_section", "rare_section"]

RARE_CELL = 30
"""A rate from 30 rows has a 95 % interval of up to 18 points either side."""


def class_gaps_section(
    counts: ConfusionCounts, reference: int, min_cell: int, confidence: float
) -> list[dict[str, Any]]:
    """Return the signed gap of every class with true rows, for every other group."""
    cells = cell_rates(counts)
    present = counts.present()
    classes = [str(c) for c, p in zip(counts.classes, present, strict=True) if p]
    n_rows = counts.rows.sum(axis=1)[present]
    hidden = hidden_cells(n_rows, min_cell)
    rare = n_rows.min(axis=1) < max(RARE_CELL, min_cell)
    known = int((n_rows > 0).sum())
    lowest, highest = clopper_pearson_interval(cells.rates, cells.n, confidence, n_rates=known)
    entries = []
    for a in range(len(counts.groups)):
        if a == reference:
            continue
        gap = cells.rates[:, a] - cells.rates[:, reference]
        low, high = newcombe_interval(
            cells.rates[:, a], cells.n[:, a], cells.rates[:, reference], cells.n[:, reference],
            confidence,
        )  # fmt: skip
        for y, label in enumerate(classes):
            entry: dict[str, Any] = {
                "class": label,
                "group": str(counts.groups[a]),
                "reference_group": str(counts.groups[reference]),
                "gap": number(gap[y]),
                "low": number(low[y]),
                "high": number(high[y]),
                "simultaneous_low": number(lowest[y, a] - highest[y, reference]),
                "simultaneous_high": number(highest[y, a] - lowest[y, reference]),
                "n_group": int(n_rows[y, a]),
                "n_reference": int(n_rows[y, reference]),
                "rare": bool(rare[y]),
                "reason": None,
            }
            _withhold(entry, bool(hidden[y, a]), bool(hidden[y, reference]), min_cell)
            entries.append(entry)
    return entries


def _withhold(entry: dict[str, Any], group: bool, reference: bool, min_cell: int) -> None:
    absent = [n for n in ("group", "reference") if entry[f"n_{n}"] == 0]
    if absent:
        which = entry["group"] if absent[0] == "group" else entry["reference_group"]
        entry["reason"] = f"no rows of this class in {which}"
    if group or reference:
        numbers = ("gap", "low", "high", "simultaneous_low", "simultaneous_high")
        entry.update(dict.fromkeys(numbers))
        entry["reason"] = withheld_reason(min_cell)
    if group:
        entry["n_group"] = None
    if reference:
        entry["n_reference"] = None


def rare_section(counts: ConfusionCounts, min_cell: int) -> list[dict[str, Any]]:
    """Return the classes with too few people in some group for their own gap to say much."""
    least = max(RARE_CELL, min_cell)
    n_rows = counts.rows.sum(axis=1)
    found = []
    for y in np.flatnonzero(counts.present()):
        few = [str(g) for g, n in zip(counts.groups, n_rows[y], strict=True) if n < least]
        if few:
            found.append(
                {
                    "class": str(counts.classes[y]),
                    "reason": f"fewer than {least} people in {', '.join(few)}",
                }
            )
    return found
