"""What ``isonomy steer`` prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isonomy.cli._comparison_summary import GAP, certificate_line, find_method, method_line
from isonomy.cli._cost import Clock

__all__ = ["steer_lines"]

SHOWN = 12


def steer_lines(result: Mapping[str, Any], *, name: str, folder: Path, clock: Clock) -> list[str]:
    """Return what was steered, before and after where it was judged, and where it is."""
    what = result["steered"]
    judged = _judged(result) if result["kind"] == "comparison" else []
    untouched, n_dropped = what["untouched"], what["n_dropped"]
    return [
        f"Steered {what['n_rows']} rows of {name}: {_some(what['steered'])}.",
        *judged,
        *_fitted(what),
        *([f"Passed untouched: {_some(untouched)}."] if untouched else []),
        *([f"Dropped {n_dropped} rows with a missing feature."] if n_dropped else []),
        f"Written: {folder / what['file']}"
        + (", artefact.safetensors, index.html and report.json beside it" if judged else ""),
        clock.cost(what["n_rows"] + n_dropped),
    ]


def _fitted(what: Mapping[str, Any]) -> list[str]:
    family, protected = what.get("family"), what.get("protected")
    feasibility = what.get("feasibility", {}).get("sentence")
    return [
        *([f"Family of the cells: {family}."] if family else []),
        *([f"Protected, the same in every row: {_some(protected)}."] if protected else []),
        *([feasibility] if feasibility else []),
    ]


def _judged(result: Mapping[str, Any]) -> list[str]:
    main = result["main_method"]
    methods = [m for n in ("untouched", main) if (m := find_method(result, n))]
    width = max(len(m["label"]) for m in methods)
    n_test, n_sampled = result["data"]["n_test"], result["steered"].get("n_sampled")
    sampled = f" in a sample of {n_sampled}" if n_sampled else ""
    return [
        f"A logistic regression, before and after, judged on {n_test} rows kept apart{sampled}:",
        *(f"  {method_line(m, width=width)}" for m in methods),
        *(f"  Not computed: {row['what']} ({row['why']})" for row in result["not_computed"]),
        *_warning(result),
        certificate_line(result, among=[main]),
    ]


def _warning(result: Mapping[str, Any]) -> list[str]:
    """Say so when the rows that were kept apart do not bear steering out."""
    found = [find_method(result, name) for name in ("untouched", result["main_method"])]
    gaps = [m["gap"].get(GAP, {}).get("value") for m in found if m]
    if len(gaps) < 2 or None in gaps or gaps[1] < gaps[0]:
        return []
    return [
        "  On these rows steering did NOT narrow the gap: try another --mode, or take logs of "
        "columns with long tails."
    ]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
