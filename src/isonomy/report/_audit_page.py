"""An audit of one classifier as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isonomy.report._answer import gap_interval, gap_text
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
    Tile,
    Tiles,
)
from isonomy.report._group_rates import group_rate_blocks
from isonomy.report._numbers import (
    UNDEFINED,
    confidence,
    count,
    interval,
    is_number,
    number,
    p_value,
    points,
)
from isonomy.report._rates import gap_section, rates_section
from isonomy.report._sections import (
    Audit,
    group_table,
    how_to_read_section,
    min_cell_of,
    missing_section,
    rate_text,
    reproduce_section,
    safe_count,
)
from isonomy.report._words import LEGAL_NOTICE, LEGAL_NOTICE_TITLE, metric_name

__all__ = ["audit_page"]


def audit_page(result: Audit) -> Page:
    """Return the page of a result of kind "audit", already checked and cleaned."""
    sections = [
        _answer(result),
        _groups(result),
        _disparities(result),
        gap_section(None, result, mark="blind"),
        rates_section(None, result, mark="blind"),
        *_marginals(result),
        *_controls(result),
        *scores_sections(result),
        missing_section((), [("", result)]),
        reproduce_section(result),
        how_to_read_section(),
    ]
    notes = tuple(str(n) for n in result.get("notes") or ())
    law = Section(
        "law",
        "Before anything is changed",
        (
            Paragraph(
                "This audit looked at decisions that were already made. Whether they used "
                "the group cannot be told from the decisions; ask whoever made the classifier."
            ),
            Notice(LEGAL_NOTICE_TITLE, LEGAL_NOTICE),
            *((Bullets(tuple(("", n) for n in notes)),) if notes else ()),
        ),
    )
    sections.insert(-3, law)
    facts = (
        ("Rows judged", count(result.get("n_samples"))),
        ("Classes", count(len(result["classes"]))),
        ("Groups", "; ".join(str(g["name"]) for g in result["groups"])),
        ("Smallest cell shown", f"{min_cell_of(result)} rows"),
    )
    return Page(
        kicker="Audit of one classifier",
        title=str(result.get("title") or "How a classifier treats groups"),
        question=str(
            result.get("question")
            or "Are people of every group served equally well by this classifier?"
        ),
        facts=facts,
        sections=tuple(sections),
        footer=f"Made by isonomy {result.get('isonomy_version', '')} from a result file of "
        "numbers alone: no row of data is in this page, and it loads and runs nothing.",
    )


def _disparity(result: Audit, metric: str) -> Mapping[str, Any]:
    found = [d for d in result.get("disparities") or () if d["metric"] == metric]
    return found[0] if found else {}


def _answer(result: Audit) -> Section:
    gap = _disparity(result, "rms_tpr_gap_precision")
    accuracy = result["overall"].get("accuracy") or {}
    parity = _disparity(result, "demographic_parity_difference")
    span = gap_interval(gap)
    tiles = (
        Tile(
            "Typical gap between groups, in points",
            None,
            gap_text(gap),
            f"{confidence(result)} interval {span}" if span != UNDEFINED else "no interval",
        ),
        Tile(
            "Largest difference in selection rates, in points",
            None,
            points(parity.get("value")),
            _where(parity),
        ),
        Tile(
            "Accuracy, in %",
            None,
            rate_text({"value": accuracy.get("value")}),
            f"{confidence(result)} interval {interval(accuracy)}",
        ),
    )
    decision = result.get("decision") or {}
    sentences = [decision.get("sentence")]
    sentences += [d.get("sentence") for d in result.get("disparities") or ()]
    kept = tuple(("", str(s)) for s in dict.fromkeys(s for s in sentences if s))[:5]
    blocks: tuple[Block, ...] = (Tiles(tiles),)
    return Section("answer", "The answer", (*blocks, Bullets(kept)) if kept else blocks)


def _where(entry: Mapping[str, Any]) -> str:
    parts = []
    if entry.get("pair"):
        parts.append(" and ".join(map(str, entry["pair"])))
    if entry.get("class") is not None:
        parts.append(f"class {entry['class']}")
    return "between " + ", ".join(parts) if parts else "over groups"


def _groups(result: Audit) -> Section:
    blocks = group_rate_blocks(None, result, mark="blind")
    return Section("people", "Groups and their rates", (group_table(result), *blocks))


def _disparities(result: Audit) -> Section:
    table = _disparity_table(result.get("disparities") or (), "Differences between groups")
    return Section("disparities", "Differences between groups", (table,))


def _disparity_table(disparities: Sequence[Mapping[str, Any]], caption: str) -> Table:
    rows = []
    for entry in disparities:
        is_ratio = str(entry["metric"]).endswith("_ratio")
        show, scale = (number, 1.0) if is_ratio else (points, 100.0)
        corrected = entry.get("corrected")
        shown_corrected = gap_text(entry) if is_number(corrected) else UNDEFINED
        rows.append(
            (
                metric_name(entry["metric"]) + (" (ratio)" if is_ratio else ""),
                show(entry.get("value")),
                shown_corrected,
                gap_interval(entry) if not is_ratio else interval(entry, digits=3, scale=scale),
                p_value(entry.get("p_value")),
                _where(entry) if entry.get("pair") else "",
            )
        )
    columns = ("Measure", "Plain (points)", "Corrected", "Interval", "Permutation test", "Where")
    return Table(caption + " (points)", columns, tuple(rows), (), (5,))


def _marginals(result: Audit) -> tuple[Section, ...]:
    marginals = result.get("marginals") or ()
    if not marginals:
        return ()
    blocks = tuple(
        Fold(
            f"By {m['column']} alone",
            (_disparity_table(m.get("disparities") or (), f"By {m['column']} alone"),),
            is_open=i == 0,
        )
        for i, m in enumerate(marginals)
    )
    return (Section("marginals", "Each attribute alone", blocks),)


def _controls(result: Audit) -> tuple[Section, ...]:
    controls = result.get("controls") or ()
    if not controls:
        return ()
    min_cell = min_cell_of(result)
    blocks: list[Block] = [
        Paragraph("The same differences among rows that share one level of a control column.")
    ]
    for control in controls:
        name = f"{control['column']}: {control['level']}"
        n = safe_count(control.get("n"), min_cell)
        if n.startswith("under") or not control.get("disparities"):
            why = str(control.get("reason") or "too few rows")
            blocks.append(Paragraph(f"{name} ({n} rows): withheld, {why}.", style="small"))
            continue
        table = _disparity_table(control["disparities"], name)
        blocks.append(Fold(f"{name} ({n} rows)", (table,)))
    return (Section("controls", "Within levels of the control columns", tuple(blocks)),)
