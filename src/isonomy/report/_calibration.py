"""The section on scores: reliability of every group, then the metrics of the scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from isonomy.report._document import Block, Chart, Fold, Paragraph, Section, Table
from isonomy.report._numbers import UNDEFINED, confidence, interval, is_number, number, per_cent
from isonomy.report._reliability import Bin, ReliabilityPanel, reliability_chart
from isonomy.report._sections import Audit, min_cell_of, safe_count, shown, visible_groups
from isonomy.report._words import metric_name

__all__ = ["calibration_charts", "scores_sections"]

_MOST_PANELS = 12
_MOST_METRICS = 16

Curve = Mapping[str, Any]


def scores_sections(result: Audit) -> tuple[Section, ...]:
    """Return the section on scores; none for an audit without scores."""
    scores = result.get("scores")
    if not scores:
        return ()
    blocks: list[Block] = []
    charts = calibration_charts(result)
    if charts:
        blocks += [Paragraph(_meaning(scores["calibration"])), *charts]
        table = _curve_table(scores["calibration"], result)
        blocks.append(Fold(f"The numbers behind the chart ({len(table.rows)} bins)", (table,)))
    metrics = _metric_table(scores.get("by_group") or (), min_cell_of(result))
    curve = scores.get("calibration") or {}
    if any(b.get("n") is None for b in curve.get("bins") or ()):
        text = "The calibration error below takes the withheld bins of a group as one bin."
        blocks.append(Paragraph(text, style="small"))
    many = len(metrics.rows) > _MOST_METRICS
    blocks.append(Fold(f"{metrics.caption} ({len(metrics.rows)})", (metrics,)) if many else metrics)
    return (Section("scores", "Scores", tuple(blocks)),)


def calibration_charts(result: Audit) -> tuple[Chart, ...]:
    """Return the reliability of every group as a chart; none without a bin to show."""
    curve = (result.get("scores") or {}).get("calibration")
    if not curve:
        return ()
    panels = _panels(curve, result)
    if not any(panel.bins for panel in panels):
        return ()
    left_out = len(visible_groups(result)) - len(panels)
    caption = (
        "One panel a group; the other groups' curves in grey. Upright bars are "
        f"{confidence(result)} intervals, each bin by itself; the grey bars below tell how the "
        f"shown rows spread over the bins. Bins with fewer than {min_cell_of(result)} rows are "
        "withheld, and others with them where the group's numbers would give them away; lines "
        "join neighbouring bins only."
    )
    if left_out:
        caption += f" The {len(panels)} largest groups; {left_out} more are in the table."
    worst = max(
        ((abs(b.rate - b.score), p.group, b) for p in panels for b in p.bins), key=lambda w: w[:2]
    )
    description = (
        f"{len(panels)} groups. Farthest from the diagonal: {worst[1]}, where scores around "
        f"{worst[2].score:.0f} per cent came true for {worst[2].rate:.0f} per cent of the rows. "
        "The table below holds all numbers."
    )
    axis = "Score (%)" if curve.get("of") is not None else "Largest score (%)"
    return (
        Chart(
            "calibration",
            "Calibration of every group: what scores said, and what came true",
            description,
            partial(reliability_chart, panels, axis=axis),
            caption,
        ),
    )


def _meaning(curve: Curve) -> str:
    of = curve.get("of")
    if of is not None:
        said = f"the share of rows that truly are {of} among rows given about the same score"
    else:
        said = (
            "how often the class with the largest score was the true one, among rows whose "
            "largest score is about the same"
        )
    return (
        f"Across: the score. Up: {said}. On the dashed diagonal scores mean what they say; below "
        "it they promise too much, above it too little. A group whose curve lies elsewhere than "
        "another's gets scores that mean something else."
    )


def _panels(curve: Curve, result: Audit) -> list[ReliabilityPanel]:
    sizes = {str(g["name"]): g.get("n") or 0 for g in result["groups"]}
    groups = visible_groups(result)
    largest = sorted(groups, key=lambda g: -sizes[g])[:_MOST_PANELS]
    panels = []
    for group in (g for g in groups if g in set(largest)):
        bins = [_bin(b, curve) for b in _shown_bins(curve, group, min_cell_of(result))]
        panels.append(ReliabilityPanel(group, tuple(bins)))
    return panels


def _bin(b: Mapping[str, Any], curve: Curve) -> Bin:
    score, rate, low, high = (100.0 * b[k] for k in ("mean_score", "value", "low", "high"))
    return Bin(score, rate, low, high, b["n"], round(b["low_edge"] * curve["n_bins"]))


def _shown_bins(curve: Curve, group: str, min_cell: int) -> list[Mapping[str, Any]]:
    return [
        b
        for b in curve["bins"]
        if str(b["group"]) == group
        and shown(b, min_cell, "n")
        and all(is_number(b.get(k)) for k in ("low_edge", "mean_score", "value", "low", "high"))
    ]


def _curve_table(curve: Curve, result: Audit) -> Table:
    min_cell, visible, rows = min_cell_of(result), set(visible_groups(result)), []
    for b in curve["bins"]:
        if str(b["group"]) not in visible:
            continue
        kept = shown(b, min_cell, "n") or {}
        edges = f"{per_cent(b.get('low_edge'), 0)} to {per_cent(b.get('high_edge'), 0)}"
        rows.append(
            (
                str(b["group"]),
                edges,
                "withheld" if not kept else safe_count(b.get("n"), min_cell),
                per_cent(kept.get("mean_score")),
                per_cent(kept.get("value")),
                interval(kept) if kept else UNDEFINED,
            )
        )
    columns = ("Group", "Scores (%)", "Rows", "Mean score (%)", "Came true (%)", "Interval")
    return Table("Calibration of every group, bin by bin", columns, tuple(rows))


def _metric_table(entries: Any, min_cell: int) -> Table:
    rows = []
    for entry in entries:
        kept = shown(entry, min_cell, "n") or {}
        rows.append(
            (
                metric_name(entry["metric"]),
                str(entry["group"]),
                safe_count(entry.get("n"), min_cell),
                number(kept.get("value")),
                interval(kept, digits=3, scale=1.0),
            )
        )
    columns = ("Measure", "Group", "Rows", "Value", "Interval")
    return Table("Metrics of the scores, by group", columns, tuple(rows), (), (1,))
