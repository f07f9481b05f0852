"""What the benchmark was asked to show, and whether it did, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _real_data.entries import BASE, CRITERIA
from _real_data.judging import Judged
from _real_data.markdown import label_of

__all__ = ["biography_goals", "criterion_goals"]

Row = dict[str, Any]
METRIC = "rms_tpr_gap_precision"
HALF_A_POINT = 0.005
CHOSEN_HERE = (
    "Penalties, stages and prices of isonomy's own rows were chosen while looking at these same "
    "rows: expect less of them on others."
)
AS_NEAR = 0.005


def biography_goals(judged: Judged) -> list[str]:
    """Return the sentences on the biographies: control, given groups, no groups, rivals."""
    base = judged.row(BASE)
    if base is None:
        return []
    p = base["gap"][METRIC]["p_value"]
    verdict = "is" if p < 0.001 else "is NOT"
    lines = [f"Control: untouched {verdict} rejected at p < .001 (p = {p:.4f})."]
    lines += _goal(
        judged,
        "given",
        "With given groups (p > .05, upper bound < .05, loss at most .5 points)",
        lambda g: g["p_value"] > 0.05 and g["high"] < 0.05,
    )
    bound = 0.65 * base["gap"][METRIC]["corrected"]
    lines += _goal(
        judged,
        "blind",
        f"Without groups (corrected gap at most {bound:.4f}, 35 % below untouched's, loss at "
        "most .5 points)",
        lambda g: g["corrected"] <= bound,
    )
    lines.append("Where rivals are compared, a corrected gap below 0 is 0 and a tie is lost.")
    return [*lines, CHOSEN_HERE]


def _goal(
    judged: Judged, use: str, words: str, reached: Callable[[dict[str, Any]], bool]
) -> list[str]:
    ours = [r for r in judged.rows if r["family"] == "isonomy" and _deployed(r) == use]
    if not ours:
        return []
    met = [r for r in ours if reached(r["gap"][METRIC]) and r.get("loss", 0.0) <= HALF_A_POINT]
    names = ", ".join(f"{label_of(r['name'])} ({_figures(r)})" for r in met)
    nearest = min(ours, key=lambda r: r["gap"][METRIC]["high"])
    missed = f"not reached; nearest is {label_of(nearest['name'])} ({_figures(nearest)})"
    lines = [f"{words}: {'reached by ' + names if met else missed}."]
    for row in met or [nearest]:
        better = [r for r in judged.rows if r["family"] == "rival" and _beats(r, row, use)]
        found = ", ".join(f"{label_of(r['name'])} ({_figures(r)})" for r in better) or "none"
        lines.append(f"Rivals better than {label_of(row['name'])} on both axes: {found}.")
    return lines


def _deployed(row: Row) -> str:
    return "given" if row["use"] == "given" else "blind"


def _beats(rival: Row, row: Row, use: str) -> bool:
    if _deployed(rival) != use:
        return False
    # below 0 there is nothing left to win: a gap inside its noise is no better than another
    gap, own = (max(r["gap"][METRIC]["corrected"], 0.0) for r in (rival, row))
    return bool(gap <= own and rival["accuracy"] > row["accuracy"])


def _figures(row: Row) -> str:
    gap = row["gap"][METRIC]
    return (
        f"corrected {gap['corrected']:.4f}, upper {gap['high']:.4f}, p {gap['p_value']:.3f}, each "
        f"rule {row['each_rule']:.4f}, loss "
        f"{100 * row.get('loss', 0.0):+.2f} points"
    )


def criterion_goals(judged: Judged, criterion: str) -> str | None:
    """Return the sentence that compares ours with ThresholdOptimizer under one criterion."""
    rival = judged.row(f"{criterion}:fairlearn_threshold_optimizer")
    ours = [r for r in judged.rows if r["criterion"] == criterion and r["family"] == "isonomy"]
    if rival is None or not ours or "loss" not in rival:
        return None
    metric = CRITERIA[criterion]
    limit = rival["gap"][metric]["value"] + AS_NEAR
    met = [
        r
        for r in ours
        if r["gap"][metric]["value"] <= limit and r["loss"] < rival["loss"] and r["same_share"] == 1
    ]
    best = min(met or ours, key=lambda r: r["loss"] if met else r["gap"][metric]["value"])
    told = (
        f"difference {best['gap'][metric]['value']:.4f} at {100 * best['loss']:.2f} points lost, "
        f"against {rival['gap'][metric]['value']:.4f} at {100 * rival['loss']:.2f}"
    )
    words = "reached by" if met else "not reached; nearest is"
    return (
        f"As near to 0 as ThresholdOptimizer (within {AS_NEAR:g}), at a smaller loss, "
        f"deterministic: {words} {label_of(best['name'])} ({told})."
    )
