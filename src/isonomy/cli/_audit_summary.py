"""What an audit says on a terminal: a few tables and the sentences that matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isonomy.cli.printing import format_interval, format_number, print_lines, print_rows

__all__ = ["print_audit"]

RATES = {
    "selection_rate": "selected",
    "true_positive_rate": "TPR",
    "false_positive_rate": "FPR",
    "accuracy": "accuracy",
}
CLASSES_SHOWN = 8
GROUPS_SHOWN = 20


def print_audit(audit: Mapping[str, Any], *, name: str) -> None:
    """Print who was audited, the rates by group, the disparities and what to conclude."""
    classes = audit["classes"]
    print_lines(
        [
            f"Audit of {name}: {audit['n_samples']} rows, {len(classes)} classes, "
            f"{len(audit['groups'])} groups"
            + (f" (positive class: {audit['pos_label']})" if audit.get("pos_label") else ""),
            f"Accuracy {_with_interval(audit['overall']['accuracy'])}; balanced accuracy "
            f"{_with_interval(audit['overall']['balanced_accuracy'])}",
            "",
        ]
    )
    _print_groups(audit)
    _print_disparities("Between groups", audit["disparities"])
    for alone in audit.get("marginals") or ():
        _print_disparities(f"Between groups of {alone['column']} alone", alone["disparities"])
    if len(classes) > 2:
        _print_class_gaps(audit["class_gaps"])
    _print_sentences(audit)


def _with_interval(row: Mapping[str, Any]) -> str:
    return f"{format_number(row['value'])} {format_interval(row['low'], row['high'])}"


def _print_groups(audit: Mapping[str, Any]) -> None:
    # a rate per class and group is a table of its own in the report; two classes fit here
    positive = audit.get("pos_label")
    wanted = {m: t for m, t in RATES.items() if positive is not None or m == "accuracy"}
    found = {
        (row["metric"], row["group"]): row
        for row in audit["by_group"]
        if row["class"] is None or row["class"] == positive
    }
    rows = []
    for group in audit["groups"][:GROUPS_SHOWN]:
        rates = [found.get((metric, group["name"]), {}) for metric in wanted]
        size = "withheld" if group["withheld"] else str(group["n"])
        rows.append([group["name"], size, *(format_number(r.get("value")) for r in rates)])
    left = len(audit["groups"]) - len(rows)
    if left > 0:
        rows.append([f"({left} more in the report)", *[""] * (len(wanted) + 1)])
    print_rows("By group", ["group", "n", *wanted.values()], rows)
    print_lines([""])


def _print_disparities(title: str, disparities: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        [
            row["metric"],
            format_number(row["value"]),
            format_number(row.get("corrected")),
            format_interval(row["low"], row["high"]),
            format_number(row.get("p_value"), 4),
        ]
        for row in disparities
    ]
    header = ["disparity", "value", "corrected", "95 % interval", "p"]
    print_rows(title, header, rows)
    print_lines([""])


def _print_class_gaps(gaps: Sequence[Mapping[str, Any]]) -> None:
    known = [row for row in gaps if row["gap"] is not None]
    largest = sorted(known, key=lambda row: -abs(row["gap"]))[:CLASSES_SHOWN]
    rows = [
        [
            f"{row['class']} ({row['group']})",
            f"{row['gap']:+.3f}",
            format_interval(row["low"], row["high"]),
            str(row["n_group"]),
            str(row["n_reference"]),
        ]
        for row in largest
    ]
    header = ["class (group)", "gap", "95 % interval", "n", "n reference"]
    print_rows("Largest gaps in true positive rate, group minus reference", header, rows)
    print_lines([""])


def _print_sentences(audit: Mapping[str, Any]) -> None:
    decision = audit.get("decision") or {}
    if decision.get("sentence"):
        print_lines([decision["sentence"]])
    for row in audit["not_computed"]:
        print_lines([f"Not computed: {row['what']} ({row['why']})"])
