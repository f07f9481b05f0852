"""The section on utility beside fairness: the front, every method's intervals, the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from isonomy.report._answer import Method, gap_interval, gap_of, gap_text, noise_free
from isonomy.report._document import Block, Chart, Fold, Section, Table, Tone
from isonomy.report._numbers import UNDEFINED, confidence, interval, per_cent
from isonomy.report._pareto import MethodPoint, both_fronts, trade_off_chart
from isonomy.report._sections import rate_text, scaled
from isonomy.report._words import GROUP_USE_SHORT
from isonomy.report.figures import ChartRow, Estimate, Mark, Scale, estimate_chart

__all__ = ["trade_off_section", "utility_of"]

Role = Callable[[Method], Tone]

_MARK_WORDS: tuple[tuple[Mark, str], ...] = (
    ("before", "before"),
    ("blind", "no group at prediction"),
    ("given", "group given at prediction"),
    ("inferred", "group inferred at prediction"),
)


def trade_off_section(
    methods: Sequence[Method], before: Method | None, after: Method, role: Role
) -> Section:
    """Return accuracy against the corrected gap: a chart of points, one of rows, a table."""
    points = [_point(m, role(m)) for m in methods]
    blocks: list[Block] = []
    if both_fronts(points)[0]:
        blocks.append(_front_chart(methods, points, role))
    blocks.append(_rows_chart(methods, before, after, role))
    table = _table(methods, points, confidence(after["audit"]), role)
    blocks.append(Fold(f"The numbers behind the charts ({len(methods)} methods)", (table,)))
    return Section("methods", "Utility beside fairness", tuple(blocks))


def utility_of(method: Method | None, name: str = "accuracy") -> Mapping[str, Any]:
    """Return one utility of a method, empty if it has none."""
    entry: Mapping[str, Any] = ((method or {}).get("utility") or {}).get(name) or {}
    return entry


def _front_chart(methods: Sequence[Method], points: Sequence[MethodPoint], role: Role) -> Chart:
    everyone, without = both_fronts(points)
    named = "; ".join(points[i].label for i in everyone)
    text = (
        "A method may ask for the group of a person when it decides, or guess it. On the front of "
        f"all methods, from the smallest gap: {named}."
    )
    if without != everyone:
        listed = "; ".join(points[i].label for i in without) or "none"
        text += f" On the front of those that neither ask for nor guess it (dotted): {listed}."
    else:
        text += " None of them asks for or guesses the group."
    caption = (
        f"{text} No other method is at least as good as these in both and better in one. The "
        "front is one of estimates: where intervals overlap, another sample may order the "
        "methods otherwise. A gap below its own noise stands at 0."
    )
    return Chart(
        "front",
        "Accuracy against the typical gap, every method",
        f"{len(points)} methods. {text} The table below holds all numbers.",
        partial(trade_off_chart, points),
        caption,
        _legend(methods, role),
    )


def _legend(methods: Sequence[Method], role: Role) -> tuple[tuple[str, str], ...]:
    drawn = {_mark(m, role(m)) for m in methods}
    return tuple((mark, text) for mark, text in _MARK_WORDS if mark in drawn)


def _rows_chart(
    methods: Sequence[Method], before: Method | None, after: Method, role: Role
) -> Chart:
    old = noise_free(gap_of(before)) if before else None
    scales = [
        Scale(
            "Typical gap between groups (points)",
            "smaller is more even; dashed: before",
            include=(0.0,),
            bounds=(0.0, 100.0),
            reference=scaled(old),
        ),
        Scale(
            "Accuracy (%)",
            "larger is more useful; dashed: before",
            bounds=(0.0, 100.0),
            reference=scaled(utility_of(before).get("value")) if before else None,
        ),
    ]
    described = "; ".join(
        f"{m['label']}: gap {gap_text(gap_of(m))}, accuracy {rate_text(utility_of(m))}"
        for m in methods
    )
    return Chart(
        "methods",
        "Utility beside fairness, every method",
        described + ".",
        partial(estimate_chart, [_row(m, role(m)) for m in methods], scales),
        f"Dots are estimates, bars are {confidence(after['audit'])} intervals. The gap is the "
        "precision-weighted root mean square of the TPR gaps, corrected for the noise of finite "
        "samples.",
        _legend(methods, role),
    )


def _mark(method: Method, role: Tone) -> Mark:
    use = str(method.get("group_use"))
    if role == "before":
        return "before"
    return cast(Mark, use) if use in {"given", "inferred"} else "blind"


def _estimates(method: Method, mark: Mark) -> tuple[Estimate, Estimate]:
    """Return the gap, never below 0, and the accuracy, in points and per cent."""
    gap, utility = gap_of(method), utility_of(method)
    low, high = scaled(gap.get("low")), scaled(gap.get("high"))
    return (
        Estimate(
            scaled(noise_free(gap)),
            None if low is None else max(0.0, low),
            None if high is None else max(0.0, high),
            mark,
            gap_text(gap),
        ),
        Estimate(
            scaled(utility.get("value")),
            scaled(utility.get("low")),
            scaled(utility.get("high")),
            mark,
            per_cent(utility.get("value")),
        ),
    )


def _point(method: Method, role: Tone) -> MethodPoint:
    gap, accuracy = _estimates(method, _mark(method, role))
    needs_group = str(method.get("group_use")) not in {"none", "blind"}
    return MethodPoint(str(method["label"]), gap, accuracy, needs_group, role == "after")


def _row(method: Method, role: Tone) -> ChartRow:
    use = {
        "none": "group not used",
        "blind": "blind at prediction",
        "given": "group given at prediction",
        "inferred": "group inferred at prediction",
    }.get(str(method.get("group_use")), "")
    tag = {"before": "BEFORE, ", "after": "AFTER, ", "plain": ""}[role]
    gap, accuracy = _estimates(method, _mark(method, role))
    return ChartRow(
        str(method["label"]),
        tag + use,
        ((gap,), (accuracy,)),
        is_bold=role == "before",
        is_marked=role == "after",
    )


def _table(
    methods: Sequence[Method], points: Sequence[MethodPoint], level: str, role: Role
) -> Table:
    everyone, without = both_fronts(points)
    rows = []
    for i, method in enumerate(methods):
        front = "all methods" if i in everyone else "without a group" if i in without else "behind"
        known = points[i].gap.value is not None and points[i].accuracy.value is not None
        gap, accuracy = gap_of(method), utility_of(method)
        rows.append(
            (
                f"{i + 1}. {method['label']}",
                GROUP_USE_SHORT.get(str(method.get("group_use")), UNDEFINED),
                gap_text(gap),
                gap_interval(gap),
                per_cent(accuracy.get("value")),
                interval(accuracy),
                front if known else UNDEFINED,
            )
        )
    return Table(
        "Accuracy (%) and corrected typical gap (points) of every method, with the fronts",
        (
            "Method",
            "Group at prediction",
            "Typical gap",
            f"{level} interval",
            "Accuracy",
            f"{level} interval of accuracy",
            "On the front of",
        ),
        tuple(rows),
        tuple(role(m) for m in methods),
        (1, 6),
    )
