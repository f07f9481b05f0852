"""Sections on rates: class gaps before and after, and every rate of every group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from isonomy.report._document import Block, Chart, Fold, Paragraph, Section, Table
from isonomy.report._numbers import UNDEFINED, interval, is_number, signed_points
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

__all__ = ["gap_changes", "gap_section", "rates_section"]

_MOST_ROWS = 40
_MOST_CHARTS = 6
_RATE_METRICS = ("true_positive_rate", "false_positive_rate", "selection_rate", "precision")

Entry = Mapping[str, Any]


def gap_section(before: Audit | None, after: Audit, *, mark: Mark) -> Section:
    """Return the signed TPR gap of every class: charts, rare classes apart, table."""
    min_cell = min_cell_of(after)
    reference = str(after.get("reference_group"))
    groups = [g for g in visible_groups(after) if g != reference]
    blocks: list[Block] = []
    if not groups:
        text = "There is no second group with enough rows to compare."
        return Section("classes", "Class by class", (Paragraph(text),))
    for i, group in enumerate(groups):
        new = _gaps(after, group, min_cell)
        old = _gaps(before, group, min_cell) if before else {}
        inner = _gap_blocks(i, group, reference, old, new, mark, min_cell, before is not None)
        if len(groups) == 1:
            blocks += inner
        else:
            blocks.append(Fold(f"{group} compared with {reference}", tuple(inner), i == 0, "gap"))
    return Section("classes", "Class by class", tuple(blocks))


def gap_changes(before: Audit, after: Audit) -> str:
    """Return in how many classes the gap shrank and grew, and where it grew most."""
    min_cell, shrank, grew = min_cell_of(after), 0, []
    for group in visible_groups(after):
        old = _gaps(before, group, min_cell)
        for name, entry in _gaps(after, group, min_cell).items():
            was, now = old.get(name, {}).get("gap"), entry.get("gap")
            if not is_number(was) or not is_number(now) or was is None or now is None:
                continue
            shrank += abs(now) < abs(was)
            if abs(now) > abs(was):
                grew.append((abs(now) - abs(was), name, group, was, now))
    if not shrank and not grew:
        return ""
    text = f"Class by class, the gap shrank in {shrank} and grew in {len(grew)}"
    if not grew:
        return text + "."
    _, name, group, was, now = max(grew, key=lambda g: (g[0], g[1], g[2]))
    change = f"from {signed_points(was)} to {signed_points(now)} points"
    return f"{text}, most for {name} ({group}: {change})."


def _gaps(audit: Audit, group: str, min_cell: int) -> dict[str, Entry]:
    found = {}
    for entry in audit.get("class_gaps", ()):
        if str(entry["group"]) == group:
            kept = shown(entry, min_cell, "n_group", "n_reference")
            found[str(entry["class"])] = kept or {"class": entry["class"], "rare": True}
    return found


def _gap_blocks(
    i: int,
    group: str,
    reference: str,
    old: Mapping[str, Entry],
    new: Mapping[str, Entry],
    mark: Mark,
    min_cell: int,
    compares: bool,
) -> list[Block]:
    common = [c for c, e in new.items() if not e.get("rare") and is_number(e.get("gap"))]
    rare = [c for c in new if c not in set(common)]
    first = old if compares else new
    common.sort(key=lambda c: -(first.get(c, {}).get("gap") or 0.0))
    blocks: list[Block] = []
    if common:
        blocks.append(_gap_chart(str(i + 1), group, reference, common, old, new, mark))
    heads = ("Gap before", "Gap after") if compares else ("Gap",)
    columns = ("Class", f"{group}: rows", f"{reference}: rows", *heads)

    def row(name: str) -> tuple[str, ...]:
        entry = new[name]
        counts = tuple(safe_count(entry.get(k), min_cell) for k in ("n_group", "n_reference"))
        gaps = (_gap_text(old.get(name)),) if compares else ()
        return (name, *counts, *gaps, _gap_text(entry))

    if rare:
        known = [c for c in rare if is_number(new[c].get("gap"))]
        known.sort(key=lambda c: -(first.get(c, {}).get("gap") or 0.0))
        inner: list[Block] = [Paragraph(_rare_text([c for c in rare if c not in set(known)]))]
        if known:
            inner.append(_gap_chart(f"rare-{i + 1}", group, reference, known, old, new, mark))
            caption = "Gaps of rare classes, in points, with intervals"
            inner.append(Table(caption, columns, tuple(row(c) for c in known)))
        summary = f"Rare classes, listed apart ({len(rare)})"
        blocks.append(Fold(summary, tuple(inner), is_open=bool(known)))
    if common:
        caption = f"TPR of {group} minus TPR of {reference}, in points, with intervals"
        table = Table(caption, columns, tuple(row(c) for c in common))
        blocks.append(Fold(f"The numbers behind the chart ({len(common)} classes)", (table,)))
    return blocks


def _gap_text(entry: Entry | None) -> str:
    if entry is None or not is_number(entry.get("gap")):
        return UNDEFINED
    span = interval(entry)
    return signed_points(entry["gap"]) + (f" ({span})" if span != UNDEFINED else "")


def _rare_text(withheld: Sequence[str]) -> str:
    text = "Too few people in some group to judge each of these classes alone: intervals are wide."
    if withheld:
        text += f" Withheld, because a number would rest on very few rows: {'; '.join(withheld)}."
    return text


def _gap_chart(
    name: str,
    group: str,
    reference: str,
    names: Sequence[str],
    old: Mapping[str, Entry],
    new: Mapping[str, Entry],
    mark: Mark,
) -> Chart:
    drawn = _largest(names, new)
    rows = []
    for label in drawn:
        estimates = [_gap_estimate(old[label], "before")] if label in old else []
        rows.append(ChartRow(label, "", ((*estimates, _gap_estimate(new[label], mark)),)))
    scale = Scale(
        "TPR gap (percentage points)",
        f"right of 0: {_brief(group)} found more often; left: {_brief(reference)}",
        include=(-1.0, 1.0),
        is_signed=True,
        reference=0.0,
    )
    left_out = len(names) - len(drawn)
    caption = f"TPR of {group} minus TPR of {reference}, each class; bars are intervals."
    if left_out:
        caption += f" The {len(drawn)} largest classes; {left_out} more are in the table."
    worst = max(drawn, key=lambda c: abs(new[c]["gap"]))
    description = (
        f"{len(drawn)} classes. Largest gap{' after' if old else ''}: {worst}, "
        f"{_gap_text(new[worst])} points. The table below holds all numbers."
    )
    kind = "rare class" if name.startswith("rare") else "class"
    return Chart(
        f"class-gaps-{name}",
        f"TPR gap of every {kind}, {group} minus {reference}",
        description,
        partial(estimate_chart, rows, [scale]),
        caption,
        _legend(mark, bool(old)),
    )


def _brief(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "\N{HORIZONTAL ELLIPSIS}"


def _largest(names: Sequence[str], entries: Mapping[str, Entry]) -> list[str]:
    if len(names) <= _MOST_ROWS:
        return list(names)
    by_size = sorted(names, key=lambda c: -min(entries[c]["n_group"], entries[c]["n_reference"]))
    kept = set(by_size[:_MOST_ROWS])
    return [name for name in names if name in kept]


def _legend(mark: Mark, compares: bool) -> tuple[tuple[str, str], ...]:
    return (("before", "before"), (mark, "after")) if compares else ()


def _gap_estimate(entry: Entry, mark: Mark) -> Estimate:
    return Estimate(
        scaled(entry.get("gap")), scaled(entry.get("low")), scaled(entry.get("high")), mark
    )


def rates_section(before: Audit | None, after: Audit, *, mark: Mark) -> Section:
    """Return every rate of every group with its interval, one fold per group."""
    min_cell = min_cell_of(after)
    blocks: list[Block] = [
        Paragraph(
            "Open a group to see its rates, in per cent with intervals in brackets."
            + (" Before is the untouched classifier." if before else ""),
        )
    ]
    for i, group in enumerate(visible_groups(after)):
        new = _rates(after, group, min_cell)
        old = _rates(before, group, min_cell) if before else None
        inner: list[Block] = []
        if i < _MOST_CHARTS:
            inner += _rate_charts(i, group, after, old, new, mark)
        inner += _rate_tables(group, old, new, min_cell)
        n = safe_count(_size(after, group), min_cell)
        blocks.append(Fold(f"{group} ({n} rows)", tuple(inner), i == 0, "rates"))
    return Section("rates", "Rates of every group", tuple(blocks))


def _size(audit: Audit, group: str) -> Any:
    return next((g.get("n") for g in audit["groups"] if str(g["name"]) == group), None)


Rates = dict[tuple[str, str | None], Entry]


def _rates(audit: Audit, group: str, min_cell: int) -> Rates:
    found: Rates = {}
    for entry in audit["by_group"]:
        if str(entry["group"]) == group:
            name = None if entry.get("class") is None else str(entry["class"])
            hidden = {"n": None, "value": None}
            found[str(entry["metric"]), name] = shown(entry, min_cell, "n") or hidden
    return found


def _rate_tables(group: str, old: Rates | None, new: Rates, min_cell: int) -> list[Block]:
    metrics = list(dict.fromkeys(m for m, c in new if c is not None))
    metrics.sort(key=lambda m: _RATE_METRICS.index(m) if m in _RATE_METRICS else len(_RATE_METRICS))
    classes = list(dict.fromkeys(c for _, c in new if c is not None))
    whole = [m for m, c in new if c is None]
    blocks: list[Block] = []
    times = ("before", "after") if old is not None else ("",)

    def cells(metric: str, name: str | None) -> list[str]:
        held = (new,) if old is None else (old, new)
        return [rate_text(rates.get((metric, name))) for rates in held]

    if whole:
        heads = tuple(f"{t} (%)".strip().capitalize() if t else "Rate (%)" for t in times)
        rows = tuple(
            (metric_name(m), safe_count(new[m, None].get("n"), min_cell), *cells(m, None))
            for m in whole
        )
        blocks.append(Table(f"All rows of {group}", ("Measure", "Rows", *heads), rows))
    if classes and metrics:
        columns = ["Class", "Rows of the class"]
        for m in metrics:
            columns += [f"{metric_name(m)} {t}".strip() for t in times]
        table_rows = []
        for name in classes:
            n = new.get(("true_positive_rate", name), {}).get("n")
            row = [name, safe_count(n, min_cell)]
            for m in metrics:
                row += cells(m, name)
            table_rows.append(tuple(row))
        table = Table(f"Rates of {group} by class (%)", tuple(columns), tuple(table_rows))
        summary = f"All rates by class ({len(classes)} classes)"
        blocks.append(Fold(summary, (table,), len(classes) <= 8))
    return blocks


def _rate_charts(
    i: int, group: str, audit: Audit, old: Rates | None, new: Rates, mark: Mark
) -> list[Block]:
    positive = audit.get("pos_label")
    if positive is not None:
        keys = [k for k in new if k[1] is None or k[1] == str(positive)]
        title = f"Rates of {group}" + f" (class {positive})"
        names = {k: metric_name(k[0]) for k in keys}
    else:
        keys = [k for k in new if k[0] == "true_positive_rate"]
        title = f"True positive rates of {group}"
        names = {k: str(k[1]) for k in keys}
        first = old if old is not None else new
        keys.sort(key=lambda k: -(first.get(k, {}).get("value") or 0.0))
    keys = [k for k in keys if is_number(new[k].get("value"))]
    if not keys:
        return []
    if len(keys) > _MOST_ROWS:
        largest = sorted(keys, key=lambda k: -new[k]["n"])[:_MOST_ROWS]
        keys = [k for k in keys if k in set(largest)]
    rows = []
    for key in keys:
        estimates = [_rate_estimate(new[key], mark)]
        if old is not None and key in old:
            estimates.insert(0, _rate_estimate(old[key], "before"))
        rows.append(ChartRow(names[key], "", (tuple(estimates),)))
    axis = "Rate (%)" if positive is not None else "True positive rate (%)"
    scale = Scale(axis, "", include=(0.0, 100.0), bounds=(0.0, 100.0))
    chart = Chart(
        f"rates-{i + 1}",
        title,
        f"{len(rows)} rates between 0 and 100 per cent with intervals; the table holds all.",
        partial(estimate_chart, rows, [scale]),
        f"{title}; bars are intervals.",
        _legend(mark, old is not None),
    )
    return [chart]


def _rate_estimate(entry: Entry, mark: Mark) -> Estimate:
    return Estimate(
        scaled(entry.get("value")), scaled(entry.get("low")), scaled(entry.get("high")), mark
    )
