"""A fine-tuned classifier as a page: common and rare classes, before and after, first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
from isonomy.report._finetune_classes import class_sections
from isonomy.report._finetune_training import cost_section, training_section, usage_section
from isonomy.report._finetune_words import (
    READING,
    after_of,
    before_of,
    measure_of,
    thirds_of,
)
from isonomy.report._group_rates import before_after_section
from isonomy.report._numbers import (
    UNDEFINED,
    confidence,
    count,
    interval,
    is_number,
    number,
    per_cent,
    points,
)
from isonomy.report._rates import gap_section, rates_section
from isonomy.report._sections import (
    group_table,
    missing_section,
    reproduce_section,
)

__all__ = ["finetune_page"]

Entry = Mapping[str, Any]


def finetune_page(result: Mapping[str, Any]) -> Page:
    """Return the page of a result of kind "finetuning", already checked and cleaned."""
    before, after = before_of(result), after_of(result)
    audits = [(str(j["label"]), j["audit"]) for j in (before, after) if j and j.get("audit")]
    sections = (
        _answer(result, before, after),
        *class_sections(before, after),
        *_groups(before, after),
        _data(result),
        training_section(result),
        usage_section(result),
        cost_section(result),
        missing_section(result.get("not_computed") or (), audits),
        reproduce_section(result),
        Section("reading", "How to read this report", (Bullets(READING),)),
    )
    data, model = result["data"], result["model"]
    facts = (
        ("Model", str(model.get("base_model") or UNDEFINED)),
        ("Data", str(data.get("name") or UNDEFINED)),
        ("Rows", f"{count(data.get('n_train'))} to train, {count(data.get('n_test'))} to judge"),
        ("Classes", f"{count(data.get('n_classes'))}, most to least frequent {_ratio(data)}"),
        ("Strategy", str(result["training"].get("strategy"))),
    )
    return Page(
        kicker="Fine-tuned classifier",
        title=str(result.get("title") or "A fine-tuned classifier"),
        question=str(result.get("question") or ""),
        facts=facts,
        sections=sections,
        footer=f"Made by isonomy {result.get('isonomy_version', '')} from a result file of "
        "numbers alone: no row of data is in this page, and it loads and runs nothing.",
    )


def _ratio(data: Mapping[str, Any]) -> str:
    value = data.get("ratio")
    return f"{value:.3g} to 1" if is_number(value) and value is not None else UNDEFINED


def _answer(result: Mapping[str, Any], before: Entry | None, after: Entry) -> Section:
    blocks: list[Block] = [Tiles(_tiles(result, before, after))]
    blocks.append(Bullets(tuple(_sentences(result, before, after))))
    warned = [c for c in result["data"].get("checks") or () if c.get("level") == "warning"]
    if warned:
        blocks.append(Notice("About the data", " ".join(str(c["sentence"]) for c in warned)))
    return Section("answer", "The answer", tuple(blocks))


def _tiles(result: Mapping[str, Any], before: Entry | None, after: Entry) -> tuple[Tile, ...]:
    trainable = result["training"].get("trainable") or {}
    n_rows = f"on {count(after.get('n'))} rows it was not trained on"
    tiles = [_rate_tile("Accuracy, in %", before, after, lambda j: j["accuracy"], n_rows)]
    if is_number(measure_of(after, "head_tail_gap").get("value")):
        for name, label in (("tail", "Rare classes found, in %"), ("gap", "Common minus rare")):
            tiles.append(_third_tile(name, label, before, after))
    else:
        tiles.append(
            _rate_tile(
                "Macro F1, in %", before, after, lambda j: j["macro_f1"], "classes weigh alike"
            )
        )
    share = trainable.get("share")
    said = f"{count(trainable.get('trainable'))} of {count(trainable.get('total'))} weights"
    tiles.append(Tile("Weights that were trained, in %", None, _share(share), said))
    return tuple(tiles)


def _share(value: Any) -> str:
    return f"{100 * value:.3g}" if is_number(value) else UNDEFINED


def _rate_tile(label: str, before: Entry | None, after: Entry, of: Any, remark: str) -> Tile:
    span = interval(of(after))
    said = f"{confidence({})} interval {span}; {remark}" if span != UNDEFINED else remark
    old = per_cent(of(before).get("value")) if before else None
    return Tile(label, old, per_cent(of(after).get("value")), said)


def _third_tile(name: str, label: str, before: Entry | None, after: Entry) -> Tile:
    if name == "gap":
        return _rate_tile(
            f"{label}, in points", before, after, lambda j: measure_of(j, "head_tail_gap"),
            "of the share that is found",
        )  # fmt: skip
    rarest = len(thirds_of(after).get(name, {}).get("classes") or ())
    remark = f"mean over the {rarest} rarest classes" if rarest != 1 else "the rarest class"
    return _rate_tile(label, before, after, lambda j: thirds_of(j).get(name, {}), remark)


def _sentences(
    result: Mapping[str, Any], before: Entry | None, after: Entry
) -> list[tuple[str, str]]:
    items = [(f"Before ({before['label']}):", _thirds_sentence(before))] if before else []
    items.append((f"After ({after['label']}):", _thirds_sentence(after)))
    if before is not None:
        items.append(("What changed:", _change(before, after)))
    items.append(("How:", str(result["training"].get("sentence") or "")))
    items.append(("The limits:", _limits(result, after)))
    return [(head, text) for head, text in items if text]


def _thirds_sentence(judged: Entry) -> str:
    thirds, gap = thirds_of(judged), measure_of(judged, "head_tail_gap")
    accuracy = _per_cent(judged["accuracy"])
    if not is_number(gap.get("value")):
        why = gap.get("reason") or "they could not be told apart"
        f1 = _per_cent(judged["macro_f1"])
        return f"accuracy {accuracy}, macro F1 {f1}. Common and rare classes: {why}."
    head, tail = (per_cent(thirds[name].get("value")) for name in ("head", "tail"))
    return (
        f"it finds {head}% of the rows of the common classes and {tail}% of those of the rare "
        f"ones, a gap of {points(gap['value'])} points ({confidence({})} interval "
        f"{interval(gap)}); accuracy {accuracy}."
    )


def _per_cent(entry: Entry) -> str:
    span = interval(entry)
    return f"{per_cent(entry.get('value'))}%" + (f" ({span})" if span != UNDEFINED else "")


def _change(before: Entry, after: Entry) -> str:
    said = []
    for name, words in (("tail", "rare classes"), ("head", "common classes")):
        old, new = (thirds_of(j).get(name, {}).get("value") for j in (before, after))
        if is_number(old) and is_number(new) and old is not None and new is not None:
            said.append(f"{words} {_moved(new - old)}")
    old, new = (j["accuracy"].get("value") for j in (before, after))
    if is_number(old) and is_number(new):
        said.append(f"accuracy {_moved(new - old, verbs=('gains', 'loses', 'stays where it was'))}")
    text = "; ".join(said)
    return text[:1].upper() + text[1:] + "." if text else ""


def _moved(change: float, verbs: tuple[str, ...] = ("gain", "lose", "stay where they were")) -> str:
    if abs(change) < 0.0005:
        return verbs[2]
    return f"{verbs[0] if change > 0 else verbs[1]} {points(abs(change))} points"


def _limits(result: Mapping[str, Any], after: Entry) -> str:
    n = count(after.get("n"))
    text = f"All this is measured on {n} rows kept apart, for one split and one seed."
    few = [c for c in after.get("by_class") or () if is_number(c.get("n")) and c["n"] < 10]
    if few:
        classes = "1 class has" if len(few) == 1 else f"{len(few)} classes have"
        text += (
            f" {classes} fewer than 10 rows to be judged on: what is said of them may change "
            "with a row or two."
        )
    return text


def _groups(before: Entry | None, after: Entry) -> tuple[Section, ...]:
    """Return the sections of the audit: the same as in every other report."""
    audit = after.get("audit")
    if not isinstance(audit, Mapping):
        reason = str(after.get("audit_reason") or "")
        if not reason or "no group column" in reason:
            return ()
        text = f"The groups could not be compared: {reason}"
        return (Section("people", "Groups", (Paragraph(text),)),)
    old = before.get("audit") if before else None
    decision = (audit.get("decision") or {}).get("sentence")
    people: list[Block] = [Paragraph(str(decision))] if decision else []
    gaps, rates = gap_section(old, audit, mark="none"), rates_section(old, audit, mark="none")
    # elsewhere on this page a class is rare by its training rows, and before is no untouched one
    few = Paragraph(
        "Here a class is called rare if too few judged rows of it are in some group, however many "
        "training rows it has.",
        style="small",
    )
    intro = Paragraph("Open a group to see its rates, in per cent with intervals in brackets.")
    return (
        Section("people", "Groups among the judged rows", (*people, group_table(audit))),
        before_after_section(old, audit, mark="none"),
        replace(gaps, title="Gaps between groups", blocks=(few, *gaps.blocks)),
        replace(rates, blocks=(intro, *rates.blocks[1:])),
    )


def _data(result: Mapping[str, Any]) -> Section:
    data = result["data"]
    blocks: list[Block] = []
    if data.get("description"):
        blocks.append(Paragraph(str(data["description"])))
    checks: Sequence[Entry] = data.get("checks") or ()
    if checks:
        items = tuple((f"{_sentence(c['what'])}:", str(c["sentence"])) for c in checks)
        blocks.append(Bullets(items))
    table = data.get("class_table") or ()
    rows = tuple(
        (
            str(row["class"]),
            _THIRD.get(str(row.get("third")), UNDEFINED),
            *(count(row.get(key)) for key in ("n_train", "n_validation", "n_test")),
        )
        for row in table
    )
    caption = f"Rows of every class: {number(data.get('ratio'), 1)} to 1 from first to last"
    columns = ("Class", "Third", "To train", "To watch", "To judge")
    found = Table(caption, columns, rows, (), (1,))
    blocks.append(Fold(f"Rows of all {len(rows)} classes", (found,), is_open=len(rows) <= 12))
    return Section("data", "The data", tuple(blocks))


_THIRD = {"head": "common", "medium": "middle", "tail": "rare"}


def _sentence(text: Any) -> str:
    return str(text)[:1].upper() + str(text)[1:]
