"""Sections that an audit and a comparison share, made from audit dictionaries.

Nothing here shows a number that rests on fewer rows than ``min_cell``, even if the
dictionary holds one: a one-row cell's rate IS that person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from isonomy.report._document import Block, Bullets, Code, Fold, Paragraph, Section, Table
from isonomy.report._numbers import (
    UNDEFINED,
    count,
    interval,
    is_number,
    per_cent,
    points,
    significant,
)
from isonomy.report._words import HOW_TO_READ, metric_name

__all__ = [
    "Audit",
    "certificate_section",
    "group_table",
    "how_to_read_section",
    "min_cell_of",
    "missing_section",
    "rate_text",
    "reproduce_section",
    "safe_count",
    "scaled",
    "shown",
    "visible_groups",
]

Audit = Mapping[str, Any]

_DEFAULT_MIN_CELL = 10
_MOST_LISTED = 12


def min_cell_of(audit: Audit) -> int:
    """Return the smallest number of rows that a shown number may rest on."""
    value = audit.get("min_cell")
    return int(value) if is_number(value) and value is not None else _DEFAULT_MIN_CELL


def shown(entry: Mapping[str, Any] | None, min_cell: int, *counts: str) -> Mapping[str, Any] | None:
    """Return ``entry`` if every one of its ``counts`` is known to reach ``min_cell``."""
    if entry is None:
        return None
    enough = all(is_number(entry.get(c)) and entry[c] >= min_cell for c in counts)
    return entry if enough else None


def safe_count(value: Any, min_cell: int) -> str:
    """Return a count, or "under 10" where it is small or withheld."""
    if not is_number(value) or value < min_cell:
        return f"under {min_cell}"
    return count(value)


def scaled(value: Any) -> float | None:
    """Return a rate as per cent for a chart, or None."""
    return 100.0 * value if is_number(value) else None


def rate_text(entry: Mapping[str, Any] | None) -> str:
    """Return "72.1 (65.0 to 78.2)" in per cent, or n/a."""
    if entry is None or not is_number(entry.get("value")):
        return UNDEFINED
    span = interval(entry)
    return per_cent(entry["value"]) + (f" ({span})" if span != UNDEFINED else "")


def visible_groups(audit: Audit) -> list[str]:
    """Return the names of the groups that may be shown, in their order."""
    min_cell = min_cell_of(audit)
    return [
        str(g["name"])
        for g in audit["groups"]
        if not g.get("withheld") and is_number(g.get("n")) and g["n"] >= min_cell
    ]


def group_table(audit: Audit) -> Table:
    """Return the groups with their numbers of test rows."""
    min_cell = min_cell_of(audit)
    visible = set(visible_groups(audit))
    rows = []
    for group in audit["groups"]:
        name = str(group["name"])
        role = []
        if name == audit.get("reference_group"):
            role.append("reference")
        if group.get("pooled"):
            role.append("pooled: " + ", ".join(map(str, group["pooled"])))
        if name not in visible:
            role.append("withheld, too few rows")
        share = per_cent(group.get("share")) if name in visible else UNDEFINED
        n = safe_count(group.get("n"), min_cell)
        rows.append((name, n, share, "; ".join(role) or "compared"))
    return Table(
        caption="Groups among the judged rows",
        columns=("Group", "Rows", "Share (%)", "Role"),
        rows=tuple(rows),
        text_columns=(3,),
    )


def certificate_section(main: tuple[str, Any], others: Sequence[tuple[str, Any]] = ()) -> Section:
    """Return the certificate of the main method in words, those of others folded.

    Each method is its label with its certificate (a dictionary, or None).
    """
    label, certificate = main
    blocks: list[Block] = []
    if isinstance(certificate, Mapping):
        blocks += _certificate_blocks(certificate)
    else:
        text = (
            f"{label} carries no certificate: it fits no distribution whose distance from an "
            "ideal one could be stated. What is known about it is what was measured above."
        )
        blocks.append(Paragraph(text))
    for i, (other, held) in enumerate(o for o in others if isinstance(o[1], Mapping)):
        is_open = i == 0 and not isinstance(certificate, Mapping)
        blocks.append(Fold(f"Certificate of {other}", tuple(_certificate_blocks(held)), is_open))
    blocks.append(
        Paragraph(
            "A certificate speaks of the distributions that were fitted to the training rows, "
            "under the law it names; the numbers above speak of test rows. Where the fit is "
            "rough, the two differ.",
            style="small",
        )
    )
    return Section("certificate", "The certificate", tuple(blocks))


def _certificate_blocks(certificate: Mapping[str, Any]) -> list[Block]:
    sentences = certificate.get("sentences") or certificate.get("text") or ()
    if isinstance(sentences, str):
        sentences = [sentences]
    numbers = tuple(
        (_key_words(key), _plain_value(value))
        for key, value in certificate.items()
        if key not in {"sentences", "text", "schema", "kind"}
        and isinstance(value, bool | int | float | str)
    )
    blocks: list[Block] = []
    if sentences:
        blocks.append(Bullets(tuple(("", str(s)) for s in sentences)))
    if numbers:
        table = Table("The certificate in numbers", ("Quantity", "Value"), numbers)
        blocks.append(Fold("The certificate in numbers", (table,), is_open=not sentences))
    by_class = certificate.get("by_class") or ()
    if by_class:
        blocks.append(Fold(f"Class by class ({len(by_class)})", (_bound_table(by_class),)))
    return blocks


def _bound_table(by_class: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (str(e.get("class")), points(e.get("transfer_bound")), points(e.get("head_gap")))
        for e in by_class
    )
    return Table(
        "On the fitted distribution after steering: TPR gaps between groups (points)",
        ("Class", "No classifier has more than", "One particular classifier has"),
        rows,
    )


def _key_words(key: str) -> str:
    words = str(key).replace("_", " ")
    return words[:1].upper() + words[1:]


def _plain_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or UNDEFINED
    return count(value) if isinstance(value, int) else significant(value)


def missing_section(
    listed: Iterable[Mapping[str, Any]], audits: Sequence[tuple[str, Audit]]
) -> Section:
    """Return what could not be estimated, and why, from lists and from reasons."""
    items = [(str(m.get("what", "")), str(m.get("why", ""))) for m in listed]
    for label, audit in audits:
        prefix = f"{label}: " if label else ""
        items += [
            (f"{prefix}{m.get('what', '')}", str(m.get("why", "")))
            for m in audit.get("not_computed", ())
        ]
        items += [(prefix + what, why) for why, what in _reasons(audit).items()]
    items = list(dict.fromkeys(items))
    if not items:
        text = "Everything that was asked for could be estimated."
        return Section("missing", "What could not be estimated", (Paragraph(text),))
    intro = Paragraph(
        "An undefined number is left out and never counted as zero. Numbers resting on very few "
        "rows are withheld, because the mean of a one-row cell is that person."
    )
    table = Table("What could not be estimated, and why", ("What", "Why"), tuple(items), (), (1,))
    blocks: tuple[Block, ...] = (intro, table)
    if len(items) > _MOST_LISTED:
        blocks = (intro, Fold(f"All {len(items)} of them", (table,), is_open=True))
    return Section("missing", "What could not be estimated", blocks)


def _reasons(audit: Audit) -> dict[str, str]:
    """Return {reason: the rates and gaps it concerns}, at most a few by name."""
    found: dict[str, list[str]] = {}
    for entry in audit.get("by_group", ()):
        if entry.get("reason"):
            where = " of " + str(entry["class"]) if entry.get("class") is not None else ""
            name = f"{metric_name(entry['metric']).lower()}{where} in {entry['group']}"
            found.setdefault(str(entry["reason"]), []).append(name)
    for entry in audit.get("class_gaps", ()):
        if entry.get("reason"):
            name = f"TPR gap of {entry['class']} for {entry['group']}"
            found.setdefault(str(entry["reason"]), []).append(name)
    for entry in audit.get("disparities", ()):
        if entry.get("reason"):
            found.setdefault(str(entry["reason"]), []).append(metric_name(entry["metric"]))
    return {reason: _some_of(names) for reason, names in found.items()}


def _some_of(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    extra = len(distinct) - 4
    return "; ".join(distinct[:4]) + (f"; and {extra} more" if extra > 0 else "")


def reproduce_section(result: Mapping[str, Any]) -> Section:
    """Return the command, the Python lines, versions, seeds and the fingerprint."""
    reproduce = result.get("reproduce") or {}
    created = result.get("created_by") or {}
    data = result.get("data") or {}
    blocks: list[Block] = []
    command = reproduce.get("command") or created.get("command")
    if command:
        blocks.append(Code("In a terminal", (str(command),)))
    if reproduce.get("python"):
        blocks.append(Code("In Python", tuple(map(str, reproduce["python"]))))
    facts = [
        ("isonomy", result.get("isonomy_version")),
        ("Schema of the result", result.get("schema")),
        ("Random state", created.get("random_state", result.get("random_state"))),
        ("Bootstrap replicates", result.get("n_boot")),
        ("Fingerprint of the data", _joined(data.get("fingerprint"))),
    ]
    facts += [(_key_words(k), v) for k, v in (reproduce.get("versions") or {}).items()]
    rows = tuple((name, str(value)) for name, value in facts if value not in (None, ""))
    blocks.append(Table("Versions, seeds and data", ("What", "Value"), rows, (), (1,)))
    blocks.append(
        Paragraph(
            "The same result file gives this same page, byte for byte, with the same versions "
            "of isonomy, Matplotlib and Jinja2.",
            style="small",
        )
    )
    return Section("reproduce", "How to reproduce this", tuple(blocks))


def _joined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return "; ".join(f"{_key_words(key).lower()} {item}" for key, item in value.items())
    return value


def how_to_read_section() -> Section:
    """Return the terms of the page, defined."""
    return Section("reading", "How to read this report", (Bullets(HOW_TO_READ),))
