"""What ``isonomy steer --model`` prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isonomy.cli._comparison_summary import GAP, certificate_line, find_method, method_line
from isonomy.cli._cost import Clock

__all__ = ["model_lines"]


def model_lines(result: Mapping[str, Any], *, name: str, folder: Path, clock: Clock) -> list[str]:
    """Return where the model was steered, before and after, and what was written."""
    found, data, main = result["steered_model"], result["data"], result["main_method"]
    n_rows = data["n_train"] + data["n_test"]
    methods = [m for n in ("untouched", main) if (m := find_method(result, n))]
    width = max(len(m["label"]) for m in methods)
    where = "the input of the head" if found["layer"] is None else f"block {found['layer']}"
    why = (found.get("choice") or {}).get("why")
    return [
        f"Steered {found['base_model']} at {where} ({found['site']}, positions "
        f"{found['positions']}), {n_rows} texts.",
        *([why] if why else []),
        *([found["method_why"]] if found.get("method_why") else []),
        f"A linear head, before and after, judged on {data['n_test']} texts kept apart:",
        *(f"  {method_line(m, width=width)}" for m in methods),
        *(f"  Not computed: {row['what']} ({row['why']})" for row in result["not_computed"]),
        *_warning(methods),
        certificate_line(result, among=[main]),
        *_served(found),
        f"Written: {folder}: " + ", ".join(f["name"] for f in found["files"]),
        clock.cost(n_rows),
    ]


def _warning(methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say so when the texts that were kept apart do not bear steering out."""
    gaps = [m["gap"].get(GAP, {}).get("corrected") for m in methods]
    if len(gaps) < 2 or None in gaps:
        return []
    before, after = (max(0.0, float(gap)) for gap in gaps)
    if before == after == 0.0:
        return ["  Neither gap is larger than chance alone makes it: more texts would tell more."]
    if after < before:
        return []
    return ["  On these texts steering did NOT narrow the gap: try another --mode, or more texts."]


def _served(found: Mapping[str, Any]) -> list[str]:
    checks = found.get("verified") or []
    if not checks:
        none = [row["how"] for row in found["serving"] if not row["where"]]
        reasons = [how.removeprefix("None: ") for how in none]
        return [f"No plain classifier or adapters: {reason}" for reason in reasons]
    n_same = sum(c["n_same"] for c in checks)
    worst = max(c["relative"] for c in checks)
    return [
        f"Read back from disk: {n_same} of {sum(c['n'] for c in checks)} decisions as before, "
        f"scores within {worst:.1g} of the largest."
    ]
