"""Rates of every group side by side: of one classifier, or before and after a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from isonomy.report._document import Block, Chart, Fold, Paragraph, Section, Table
from isonomy.report._numbers import confidence, per_cent
from isonomy.report._sections import (
    Audit,
    min_cell_of,
    rate_text,
    safe_count,
    scaled,
    shown,
    visible_groups,
)
from isonomy.report._words import metric_name
from isonomy.report.figures import ChartRow, Estimate, Mark, Scale, estimate_chart

__all__ = ["before_after_section", "group_rate_blocks", "group_rate_charts"]

_ONE_CLASS_METRICS = ("selection_rate", "true_positive_rate", "false_positive_rate")
_MOST_CLASSES = 3
_MOST_GROUPS = 40

Key = tuple[str, str | None]
Rates = dict[tuple[str, str | None, str], Mapping[str, Any]]


def before_after_section(before: Audit | None, after: Audit, *, mark: Mark) -> Section:
    """Return the rates of every group before and after the main method."""
    blocks = group_rate_blocks(before, after, mark=mark)
    if not blocks:
        blocks = (Paragraph("No group has enough rows for its rates to be shown."),)
    title = "Every group, before and after" if before is not None else "Every group"
    return Section("before-after", title, blocks)


def group_rate_blocks(before: Audit | None, after: Audit, *, mark: Mark) -> tuple[Block, ...]:
    """Return the charts and, folded, the table of the same numbers."""
    charts = group_rate_charts(before, after, mark=mark)
    if not charts:
        return ()
    return (*charts, Fold("The numbers behind the charts", (_table(before, after),)))


def group_rate_charts(
    before: Audit | None, after: Audit, *, mark: Mark = "blind"
) -> tuple[Chart, ...]:
    """Return accuracy and the rates of the positive or the largest classes, by group.

    With two classes these are the selection, true and false positive rates of the positive
    one; with more, the true positive rates of the classes with most rows, chosen by size so
    that the choice does not depend on what was measured.
    """
    keys, new, old = _keys(after), _found(after), _found(before)
    visible = visible_groups(after)
    groups = visible[:_MOST_GROUPS]
    left_out = len(visible) - len(groups)
    more = (
        f" The first {_MOST_GROUPS} groups; {left_out} more are in the table." if left_out else ""
    )
    charts = []
    for part in range(0, len(keys), 2):
        pair = keys[part : part + 2]
        rows = [
            ChartRow(g, "", tuple(_estimates(k, g, old, new, mark) for k in pair)) for g in groups
        ]
        names = [_name(k) for k in pair]
        scales = [Scale(f"{name} (%)", "", bounds=(0.0, 100.0)) for name in names]
        times = ", before and after" if before is not None else ""
        what = f"{names[0]}{_second(names)}"
        legend = (("before", "before"), (mark, "after")) if before is not None else ()
        charts.append(
            Chart(
                f"groups-{part // 2 + 1}",
                f"{what} of every group{times}",
                "; ".join(f"{r.label}: {', '.join(map(_said, r.estimates))}" for r in rows)
                + " per cent.",
                partial(estimate_chart, rows, scales),
                f"{what} by group{times}; bars are {confidence(after)} intervals.{more}",
                legend,
            )
        )
    return tuple(charts)


def _second(names: Sequence[str]) -> str:
    return "".join(f" and {name[:1].lower()}{name[1:]}" for name in names[1:])


def _said(estimates: tuple[Estimate, ...]) -> str:
    return " then ".join(e.text for e in estimates)


def _name(key: Key) -> str:
    return metric_name(key[0]) + (f" of {key[1]}" if key[1] is not None else "")


def _keys(audit: Audit) -> list[Key]:
    positive = audit.get("pos_label")
    wanted: list[Key] = [("accuracy", None)]
    if positive is not None:
        wanted += [(metric, str(positive)) for metric in _ONE_CLASS_METRICS]
    else:
        wanted += [("true_positive_rate", name) for name in _largest_classes(audit)]
    held = {(e["metric"], _class(e)) for e in audit["by_group"]}
    return [k for k in wanted if k in held]


def _largest_classes(audit: Audit) -> list[str]:
    """Return the classes with most rows, of those that every group may show."""
    min_cell, sizes = min_cell_of(audit), dict[str, list[float]]()
    visible = set(visible_groups(audit))
    for entry in audit["by_group"]:
        if entry["metric"] == "true_positive_rate" and str(entry["group"]) in visible:
            n = entry.get("n") if shown(entry, min_cell, "n") else 0
            sizes.setdefault(str(entry["class"]), []).append(n or 0)
    whole = {name: sum(n) for name, n in sizes.items() if min(n) > 0}
    return sorted(whole, key=lambda name: -whole[name])[:_MOST_CLASSES]


def _class(entry: Mapping[str, Any]) -> str | None:
    return None if entry.get("class") is None else str(entry["class"])


def _found(audit: Audit | None) -> Rates:
    if audit is None:
        return {}
    min_cell = min_cell_of(audit)
    return {
        (e["metric"], _class(e), str(e["group"])): shown(e, min_cell, "n") or {}
        for e in audit["by_group"]
    }


def _estimates(key: Key, group: str, old: Rates, new: Rates, mark: Mark) -> tuple[Estimate, ...]:
    after = _estimate(new.get((*key, group), {}), mark)
    return (_estimate(old.get((*key, group), {}), "before"), after) if old else (after,)


def _estimate(entry: Mapping[str, Any], mark: Mark) -> Estimate:
    value, low, high = (scaled(entry.get(k)) for k in ("value", "low", "high"))
    return Estimate(value, low, high, mark, per_cent(entry.get("value")))


def _table(before: Audit | None, after: Audit) -> Table:
    keys, new, old = _keys(after), _found(after), _found(before)
    columns = ["Group", "Rows"]
    for key in keys:
        columns += [f"{_name(key)} {t}" for t in ("before", "after")] if old else [_name(key)]
    sizes = {str(g["name"]): g.get("n") for g in after["groups"]}
    rows = []
    for group in visible_groups(after):
        row = [group, safe_count(sizes[group], min_cell_of(after))]
        for key in keys:
            held = (old, new) if old else (new,)
            row += [rate_text(rates.get((*key, group), {})) for rates in held]
        rows.append(tuple(row))
    return Table("Every group's rates (%), with intervals", tuple(columns), tuple(rows))
