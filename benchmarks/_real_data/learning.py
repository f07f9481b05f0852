"""The learning curve: the gap of the biographies against the number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _real_data.cases import BIOGRAPHIES
from _real_data.judging import judge_case
from _real_data.markdown import label_of, table

__all__ = ["SIZES", "curve_table", "learning_cases", "learning_curve", "learning_entries"]

SIZES = (3_500, 7_000)
"""Stratified samples, each part of the next; the whole data set ends the curve."""

_ENTRIES = (
    "untouched",
    "ideal_blind",
    "ideal_given_full",
    "ideal_given_discriminant",
    "calibrated",
    "calibrated_blind@half_a_point",
)


def learning_entries() -> list[str]:
    """Return the methods of the curve."""
    return list(_ENTRIES)


def learning_cases() -> list[str]:
    """Return the data sets of the curve, the smallest first."""
    return [*(f"{BIOGRAPHIES}@{size}" for size in SIZES), BIOGRAPHIES]


def learning_curve(folder: str, work: Path, n_boot: int) -> list[dict[str, Any]]:
    """Return a row for each (number of rows, method) that is on disk."""
    found = []
    for name in learning_cases():
        if not (work / "folds" / name).is_dir():
            continue
        judged = judge_case(name, learning_entries(), folder=folder, work=work, n_boot=n_boot)
        found += [{**row, "n_rows": len(judged.case.y)} for row in judged.rows]
    return found


def curve_table(rows: list[dict[str, Any]]) -> str:
    """Return corrected precision-weighted gap and accuracy by rows, a line a method."""
    sizes = sorted({row["n_rows"] for row in rows})
    head = ["method", *(f"{size:,} rows" for size in sizes)]
    lines = []
    for name in _ENTRIES:
        cells = []
        for size in sizes:
            row = next((r for r in rows if r["name"] == name and r["n_rows"] == size), None)
            cells.append("" if row is None else _cell(row))
        lines.append([label_of(name), *cells])
    return table(head, lines)


def _cell(row: dict[str, Any]) -> str:
    return f"{row['gap']['rms_tpr_gap_precision']['corrected']:.4f} ({row['accuracy']:.3f})"
