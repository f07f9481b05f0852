"""The ten lines that ``isonomy demo`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isonomy.cli._comparison_summary import (
    best_baseline,
    certificate_line,
    find_method,
    method_line,
)

__all__ = ["demo_lines"]

SHOWN = ("calibrated_inferred", "ideal_given", "calibrated")


def demo_lines(result: Mapping[str, Any], *, page: Path, seconds: float) -> list[str]:
    """Return ten lines: what was done, before, after by mode, certificate, report, cost."""
    data = result["data"]
    n_rows = data["n_train"] + data["n_test"]
    shown = [("untouched", find_method(result, "untouched"), " (before)")]
    shown.append(("best baseline", best_baseline(result), " (best baseline)"))
    shown += [(name, find_method(result, name), "") for name in SHOWN]
    width = max(len(m["label"] + remark) for _, m, remark in shown if m)
    lines = [
        f"{n_rows} generated biographies: {len(data['classes'])} occupations, "
        f"{len(data['groups'])} genders; fitted on {data['n_train']}, judged on "
        f"{data['n_test']} others.",
        "gap: how much more often one gender's members of an occupation are found (rms, "
        "precision-weighted); p: could be chance.",
    ]
    for name, method, remark in shown:
        absent = f"{name}: not computed, the report says why."
        lines.append(method_line(method, width=width, remark=remark) if method else absent)
    return [
        *lines,
        certificate_line(result, among=["ideal_given", "ideal_blind"]),
        f"Report: {page} (and report.json beside it)",
        f"Cost: {seconds:.1f} s for {len(result['methods'])} methods and {n_rows} rows.",
    ]
