"""A comparison of methods as a page: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from isonomy.report._answer import (
    Method,
    answer_sentences,
    answer_tiles,
    gap_interval,
    gap_of,
    gap_text,
)
from isonomy.report._calibration import scores_sections
from isonomy.report._document import (
    Block,
    Bullets,
    Fold,
    Notice,
    Page,
    Paragraph,
    Section,
    Table,
    Tiles,
    Tone,
)
from isonomy.report._group_rates import before_after_section
from isonomy.report._model_section import model_sections
from isonomy.report._numbers import UNDEFINED, confidence, count, number, p_value, points
from isonomy.report._rates import gap_changes, gap_section, rates_section
from isonomy.report._sections import (
    certificate_section,
    group_table,
    how_to_read_section,
    min_cell_of,
    missing_section,
    rate_text,
    reproduce_section,
    safe_count,
)
from isonomy.report._trade_off import trade_off_section, utility_of
from isonomy.report._words import (
    GROUP_USE,
    GROUP_USE_SHORT,
    LEGAL_NOTICE,
    LEGAL_NOTICE_TITLE,
)
from isonomy.report.figures import Mark

__all__ = ["comparison_page"]

_UTILITIES = ("accuracy", "balanced_accuracy", "macro_f1")
_ROLE_WORDS: dict[Tone, str] = {"before": " (before)", "after": " (after)", "plain": ""}


def comparison_page(result: Mapping[str, Any]) -> Page:
    """Return the page of a result of kind "comparison", already checked and cleaned."""
    methods: list[Method] = list(result["methods"])
    before, after = _before_and_after(methods, result.get("main_method"))
    mark = cast(Mark, str(after["group_use"]) if after["group_use"] in GROUP_USE else "blind")
    old_audit = before["audit"] if before else None
    audits = [(m["label"], m["audit"]) for m in (before, after) if m is not None]
    missing = missing_section(result.get("not_computed") or (), audits)
    sections = (
        _answer(result, before, after, methods),
        trade_off_section(methods, before, after, lambda m: _role(m, before, after)),
        _group_use(methods, before, after),
        *model_sections(result),
        _people(result, after),
        before_after_section(old_audit, after["audit"], mark=mark),
        gap_section(old_audit, after["audit"], mark=mark),
        rates_section(old_audit, after["audit"], mark=mark),
        *scores_sections(after["audit"]),
        _methods_tables(methods, before, after),
        certificate_section(
            (after["label"], after.get("certificate")),
            [(m["label"], m.get("certificate")) for m in methods if m is not after],
        ),
        missing,
        reproduce_section(result),
        how_to_read_section(),
    )
    data = result["data"]
    facts = (
        ("Data", str(data.get("name") or UNDEFINED)),
        ("Rows", f"{count(data.get('n_train'))} to fit, {count(data.get('n_test'))} to test"),
        ("Features", count(data.get("n_features"))),
        ("Classes", count(len(data.get("classes") or after["audit"]["classes"]))),
        ("Groups", "; ".join(_group_names(data, after["audit"]))),
    )
    return Page(
        kicker="Comparison of methods",
        title=str(result.get("title") or "Before and after steering"),
        question=str(result.get("question") or ""),
        facts=facts,
        sections=sections,
        footer=f"Made by isonomy {result.get('isonomy_version', '')} from a result file of "
        "numbers alone: no row of data is in this page, and it loads and runs nothing.",
    )


def _before_and_after(methods: Sequence[Method], main: Any) -> tuple[Method | None, Method]:
    untouched = [m for m in methods if m.get("family") == "untouched"]
    before = untouched[0] if untouched else None
    named = [m for m in methods if m["name"] == main]
    after = named[0] if named else methods[-1]
    return (None if before is after else before), after


def _group_names(data: Mapping[str, Any], audit: Mapping[str, Any]) -> list[str]:
    groups = data.get("groups") or audit["groups"]
    return [str(g["name"]) if isinstance(g, Mapping) else str(g) for g in groups]


def _answer(
    result: Mapping[str, Any], before: Method | None, after: Method, methods: Sequence[Method]
) -> Section:
    audit = after["audit"]
    sentences = answer_sentences(
        before,
        after,
        [m for m in methods if m is not before and m is not after],
        n_test=result["data"].get("n_test"),
        n_rare=len(audit.get("rare_classes") or ()),
        changes=gap_changes(before["audit"], audit) if before else "",
        n_missing=len(result.get("not_computed") or ()) + len(audit.get("not_computed") or ()),
    )
    blocks: tuple[Block, ...] = (
        Tiles(answer_tiles(before, after)),
        Bullets(tuple((head, text[:1].upper() + text[1:]) for head, text in sentences)),
    )
    return Section("answer", "The answer", blocks)


def _role(method: Method, before: Method | None, after: Method) -> Tone:
    if method is after:
        return "after"
    return "before" if method is before else "plain"


def _group_use(methods: Sequence[Method], before: Method | None, after: Method) -> Section:
    used = [use for use in GROUP_USE if any(m.get("group_use") == use for m in methods)]
    items = []
    for use in used:
        labels = [
            str(m["label"]) + _ROLE_WORDS[_role(m, before, after)]
            for m in methods
            if m.get("group_use") == use
        ]
        items.append(("; ".join(labels) + ":", GROUP_USE[use]))
    return Section(
        "group-use",
        "Does a decision use the group?",
        (Bullets(tuple(items)), Notice(LEGAL_NOTICE_TITLE, LEGAL_NOTICE)),
    )


def _people(result: Mapping[str, Any], after: Method) -> Section:
    data, audit = result["data"], after["audit"]
    blocks: list[Block] = []
    if data.get("description"):
        blocks.append(Paragraph(str(data["description"])))
    blocks.append(group_table(audit))
    cells = data.get("cells") or ()
    if cells:
        table = _cell_table(cells, min_cell_of(audit))
        n = len(table.rows)
        summary = f"Rows of every class and group ({n} classes)"
        blocks.append(Fold(summary, (table,), is_open=n <= 6))
    return Section("people", "Who is in the data", tuple(blocks))


def _cell_table(cells: Sequence[Mapping[str, Any]], min_cell: int) -> Table:
    groups = list(dict.fromkeys(str(c["group"]) for c in cells))
    classes = list(dict.fromkeys(str(c["class"]) for c in cells))
    by_cell = {(str(c["class"]), str(c["group"])): c for c in cells}
    columns = ("Class", *(f"{g}: {part}" for g in groups for part in ("fit", "test")))
    rows = []
    for name in classes:
        row = [name]
        for group in groups:
            cell = by_cell.get((name, group), {})
            row += [safe_count(cell.get(k), min_cell) for k in ("n_train", "n_test")]
        rows.append(tuple(row))
    return Table("Rows of every class and group, to fit and to test", columns, tuple(rows))


def _methods_tables(methods: Sequence[Method], before: Method | None, after: Method) -> Section:
    tones = tuple(_role(m, before, after) for m in methods)
    fairness = Table(
        "Fairness of every method (points; smaller is more even)",
        (
            "Method",
            "Group at prediction",
            "Typical gap, corrected",
            f"{confidence(after['audit'])} interval",
            "Plain",
            "Permutation test",
            "Plain, classes equal",
            "Demographic parity",
            "Equalized odds",
        ),
        tuple(_fairness_row(m) for m in methods),
        tones,
        (1,),
    )
    utility = Table(
        "Utility and cost of every method (%, with intervals)",
        ("Method", "Accuracy", "Balanced accuracy", "Macro F1", "Seconds"),
        tuple(
            (
                str(m["label"]),
                *(rate_text(utility_of(m, name)) for name in _UTILITIES),
                number(m.get("seconds"), 1),
            )
            for m in methods
        ),
        tones,
    )
    about = tuple((f"{m['label']}.", _about(m)) for m in methods)
    unlike = Paragraph(
        "Demographic parity and equalized odds cannot both be reached by a useful classifier "
        "when base rates differ between groups: choose one criterion and name it.",
        style="small",
    )
    blocks = (fairness, unlike, utility, Fold("What each method does", (Bullets(about),)))
    return Section("all-methods", "All methods in numbers", blocks)


def _about(method: Method) -> str:
    parts = [method.get("description"), *(method.get("notes") or ())]
    return " ".join(str(part) for part in parts if part)


def _fairness_row(method: Method) -> tuple[str, ...]:
    gaps = method.get("gap") or {}
    gap = gap_of(method)
    others = ("rms_tpr_gap", "demographic_parity_difference", "equalized_odds_difference")
    return (
        str(method["label"]),
        GROUP_USE_SHORT.get(str(method.get("group_use")), UNDEFINED),
        gap_text(gap),
        gap_interval(gap),
        points(gap.get("value")),
        p_value(gap.get("p_value")),
        *(points((gaps.get(name) or {}).get("value")) for name in others),
    )
