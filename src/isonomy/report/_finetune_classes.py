"""Sections on classes: common, middle and rare ones, then every class by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from isonomy.report._document import Block, Chart, Fold, Paragraph, Section, Table
from isonomy.report._finetune_words import MEASURES, THIRDS, measure_of, thirds_of
from isonomy.report._numbers import UNDEFINED, count, interval, is_number, number, per_cent
from isonomy.report._sections import rate_text, scaled
from isonomy.report.figures import ChartRow, Estimate, Mark, Scale, estimate_chart

__all__ = ["class_sections"]

Entry = Mapping[str, Any]

_MOST_ROWS = 40
_IN_POINTS = ("head_tail_gap", "worst_class_recall", "cobias")
_THIRD = {"head": "common", "medium": "middle", "tail": "rare"}


def class_sections(before: Entry | None, after: Entry) -> tuple[Section, ...]:
    """Return the sections on thirds of the classes and on every class."""
    return (_thirds(before, after), _every_class(before, after))


def _estimate(entry: Entry, mark: Mark, *, text: bool = False) -> Estimate:
    shown = per_cent(entry.get("value")) if text else ""
    value, low, high = (scaled(entry.get(key)) for key in ("value", "low", "high"))
    return Estimate(value, low, high, mark, shown)


def _pair(old: Entry | None, new: Entry, *, text: bool = False) -> tuple[Estimate, ...]:
    marks = (_estimate(old, "before"),) if old else ()
    return (*marks, _estimate(new, "none", text=text))


def _legend(before: Entry | None) -> tuple[tuple[str, str], ...]:
    return () if before is None else (("before", "before"), ("none", "after"))


def _thirds(before: Entry | None, after: Entry) -> Section:
    old, new = thirds_of(before) if before else {}, thirds_of(after)
    rows = [
        ChartRow(words, _remark(new[key]), (_pair(old.get(key), new[key], text=True),))
        for key, words in THIRDS.items()
        if key in new and new[key].get("classes")
    ]
    rows.append(
        ChartRow(
            "All rows",
            f"accuracy, {count(after.get('n'))} rows",
            (_pair(before and before["accuracy"], after["accuracy"], text=True),),
        )
    )
    scale = Scale("Found, of the rows of a class (%)", "mean over its classes", bounds=(0.0, 100.0))
    said = ", ".join(
        f"{words.lower()} {rate_text(new[key])}%" for key, words in THIRDS.items() if key in new
    )
    chart = Chart(
        "class-thirds",
        "How often common and rare classes are found",
        f"{said}; all rows {rate_text(after['accuracy'])}%.",
        partial(estimate_chart, rows, [scale]),
        "Bars are 95% intervals. Every class of a third counts the same.",
        _legend(before),
    )
    blocks: tuple[Block, ...] = (chart, _measure_table(before, after))
    return Section("thirds", "Common and rare classes", blocks)


def _remark(entry: Entry) -> str:
    n = len(entry.get("classes") or ())
    return f"{n} {'class' if n == 1 else 'classes'}, {count(entry.get('n'))} rows"


def _measure_table(before: Entry | None, after: Entry) -> Table:
    rows = [
        ("Accuracy (%)", *_both(before, after, lambda j: rate_text(j["accuracy"]))),
        (
            "Balanced accuracy (%)",
            *_both(before, after, lambda j: rate_text(j["balanced_accuracy"])),
        ),
        ("Macro F1 (%)", *_both(before, after, lambda j: rate_text(j["macro_f1"]))),
    ]
    for key, words in THIRDS.items():
        text = _both(before, after, lambda j, key=key: rate_text(thirds_of(j).get(key)))
        rows.append((f"{words} found (%)", *text))
    for name, words in MEASURES.items():
        text = _both(before, after, lambda j, name=name: _measure_text(measure_of(j, name), name))
        rows.append((f"{words}{' (points)' if name in _IN_POINTS else ''}", *text))
    columns = ("Measure", *(("Before",) if before else ()), "After")
    return Table("All measures over classes, with 95% intervals", columns, tuple(rows))


def _both(before: Entry | None, after: Entry, show: Any) -> tuple[str, ...]:
    return (*((show(before),) if before else ()), show(after))


def _measure_text(entry: Entry, name: str) -> str:
    if name in _IN_POINTS:
        return rate_text(entry)
    shown = number(entry.get("value"))
    span = interval(entry, digits=3, scale=1.0)
    return shown + (f" ({span})" if span != UNDEFINED else "")


def _every_class(before: Entry | None, after: Entry) -> Section:
    old = {str(c["class"]): c for c in (before or {}).get("by_class") or ()}
    new: Sequence[Entry] = after.get("by_class") or ()
    judged = [c for c in new if is_number(c.get("value"))]
    blocks: list[Block] = []
    if judged:
        blocks.append(_chart(before, old, judged))
    rows = tuple(_row(c, old.get(str(c["class"]), {}), before is not None) for c in new)
    columns: tuple[str, ...] = ("Class", "Third", "To train", "To judge")
    columns += ("Found before (%)",) if before else ()
    columns += (f"Found{' after' if before else ''} (%)", "Right when named (%)")
    table = Table("Every class, the most frequent in training first", columns, rows, (), (1,))
    blocks.append(
        Fold(f"The numbers of all {len(rows)} classes", (table,), is_open=len(rows) <= 12)
    )
    if after.get("confusions"):
        blocks.append(Fold("The most frequent mistakes", (_mistakes(after["confusions"]),)))
    if not judged:
        blocks.insert(0, Paragraph("No class has rows to be judged on."))
    return Section("every-class", "Class by class", tuple(blocks))


def _chart(before: Entry | None, old: Mapping[str, Entry], judged: Sequence[Entry]) -> Chart:
    drawn = _ends(judged)
    rows = [
        ChartRow(
            str(c["class"]),
            f"{_THIRD.get(str(c.get('third')), '')}, {count(c.get('n_train'))} training rows",
            (_pair(old.get(str(c["class"])), c),),
        )
        for c in drawn
    ]
    scale = Scale("Found, of the rows of the class (%)", bounds=(0.0, 100.0))
    worst = min(judged, key=lambda c: c["value"])
    caption = "From the most frequent class in training to the rarest. Bars are 95% intervals."
    if len(drawn) < len(judged):
        half = len(drawn) // 2
        caption += f" The {half} most frequent and the {half} rarest; all are in the table."
    return Chart(
        "every-class",
        "How often every class is found",
        f"{len(drawn)} classes; least often found: {worst['class']}, {rate_text(worst)}%. The "
        "table below holds all numbers.",
        partial(estimate_chart, rows, [scale]),
        caption,
        _legend(before),
    )


def _ends(judged: Sequence[Entry]) -> list[Entry]:
    if len(judged) <= _MOST_ROWS:
        return list(judged)
    half = _MOST_ROWS // 2
    return [*judged[:half], *judged[-half:]]


def _row(entry: Entry, old: Entry, has_before: bool) -> tuple[str, ...]:
    return (
        str(entry["class"]),
        _THIRD.get(str(entry.get("third")), UNDEFINED),
        count(entry.get("n_train")),
        count(entry.get("n")),
        *((rate_text(old),) if has_before else ()),
        rate_text(entry),
        per_cent(entry.get("precision")) if entry.get("n_predicted") else "never named",
    )


def _mistakes(confusions: Sequence[Entry]) -> Table:
    rows = tuple(
        (str(c["class"]), str(c["predicted"]), count(c.get("n")), per_cent(c.get("share")))
        for c in confusions
    )
    columns = ("True class", "Named instead", "Rows", "Of its rows (%)")
    return Table("The most frequent mistakes after training", columns, rows, (), (1,))
