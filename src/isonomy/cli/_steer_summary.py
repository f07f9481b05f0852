"""What ``isonomy steer`` prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isonomy.cli._comparison_summary import certificate_line, find_method, method_line
from isonomy.cli._outputs import PAGE
from isonomy.cli._rows import Rows

__all__ = ["applied_lines", "steered_lines"]

SHOWN = 12


def steered_lines(
    result: Mapping[str, Any], rows: Rows, *, folder: Path, seconds: float
) -> list[str]:
    """Return before, after, certificate, what passed untouched, where it all is, and the cost."""
    data, main = result["data"], result["main_method"]
    methods = [m for name in ("untouched", main) if (m := find_method(result, name))]
    width = max(len(m["label"]) for m in methods)
    n_rows = len(rows.labels)
    return [
        f"Steered {n_rows} rows of {rows.table.path}: {_some(rows.features.column_names)}. "
        f"Judged on {data['n_test']} rows that a logistic regression was not fitted on:",
        *(f"  {method_line(m, width=width)}" for m in methods),
        *(f"  {row['what']}: not computed ({row['why']})" for row in result["not_computed"]),
        certificate_line(result, among=[main]),
        *_rows_left(rows.untouched, rows.n_dropped),
        f"Written to {folder}: steered rows with their weights, artefact, {PAGE}, report.json.",
        f"Cost: {seconds:.1f} s for {n_rows} rows.",
    ]


def applied_lines(applied: Mapping[str, Any], *, folder: Path, seconds: float) -> list[str]:
    """Return what was steered, what passed untouched, where it is, and the cost."""
    return [
        f"Steered {applied['n_rows']} rows with {applied['artefact']} (mode "
        f"{applied['mode']}): {_some(applied['steered'])}.",
        *_rows_left(applied["untouched"], applied["n_dropped"]),
        f"Written: {folder / applied['file']}",
        f"Cost: {seconds:.1f} s for {applied['n_rows']} rows.",
    ]


def _rows_left(untouched: Sequence[str], n_dropped: int) -> list[str]:
    lines = [f"Passed untouched: {_some(untouched)}."] if untouched else []
    if n_dropped:
        lines.append(f"Dropped {n_dropped} rows with a missing feature.")
    return lines


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
