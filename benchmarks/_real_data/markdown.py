"""The tables of the results page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from _real_data.entries import BASE, CRITERIA
from _real_data.judging import Judged

__all__ = ["cost_table", "criterion_table", "label_of", "main_table", "missing_list", "table"]

USES = {"none": "no", "blind": "no", "given": "yes", "inferred": "guessed"}
SPELLED = {
    "leace": "LEACE",
    "leace_oracle": "LEACE, oracle",
    "leace_quadratic": "LEACE, quadratic",
    "mimic": "MiMiC",
    "inlp": "INLP",
    "linear_post": "LinearPost, aware",
    "linear_post_blind": "LinearPost, blind",
    "linear_post_cells": "LinearPost, aware, scores by cell",
    "ideal_blind": "ideal, blind",
    "ideal_given": "ideal, given",
    "ideal_given_full": "ideal, given, whole rows",
    "ideal_given_discriminant": "ideal, given, class directions",
    "ideal_inferred": "ideal, inferred",
    "calibrated": "calibrated offsets",
    "calibrated_blind": "calibrated offsets, group guessed",
    "default": "SteeredClassifier's defaults",
    "fairlearn_threshold_optimizer": "fairlearn ThresholdOptimizer",
    "fairlearn_exponentiated_gradient": "fairlearn ExponentiatedGradient",
    "fairlearn_correlation_remover": "fairlearn CorrelationRemover",
}


PRICES = {
    "quarter_point": ", at most a quarter point",
    "half_a_point": ", at most half a point",
}


def label_of(name: str) -> str:
    """Return the words for a method's name."""
    name = name.rsplit(":", maxsplit=1)[-1]
    stem, _, tolerance = name.partition("@")
    first, _, last = stem.partition("+")
    words = SPELLED.get(first, first.replace("_", " "))
    ending = f", tolerance {tolerance}" if tolerance else ""
    ending = PRICES.get(tolerance, ending)
    ending = {"calibrated": " + calibrated", "calibrated_blind": " + calibrated, guessed"}.get(
        last, ""
    ) + ending
    return words + ending


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main_table(judged: Judged) -> str:
    """Return utility, gaps and seconds of every method that was fitted."""
    head = (
        "method", "group at prediction", "accuracy", "balanced", "DP diff.", "EOdds diff.",
        "rms TPR gap", "corrected", "precision: gap", "corrected", "interval", "p", "each rule",
        "fit s", "predict s",
    )  # fmt: skip
    return table(head, [_main_row(row) for row in judged.rows if row["criterion"] is None])


def _main_row(row: dict[str, Any]) -> list[str]:
    gap = row["gap"]
    equal, precise = gap["rms_tpr_gap"], gap["rms_tpr_gap_precision"]
    return [
        label_of(row["name"]),
        USES[row["use"]],
        _number(row["accuracy"]),
        _number(row["balanced_accuracy"]),
        _number(gap["demographic_parity_difference"]["value"]),
        _number(gap["equalized_odds_difference"]["value"]),
        _number(equal["value"]),
        _number(equal["corrected"]),
        _number(precise["value"]),
        _number(precise["corrected"]),
        _interval(precise),
        _chance(precise["p_value"]),
        _number(row["each_rule"]),
        _seconds(row["fit_seconds"]),
        _seconds(row["predict_seconds"]),
    ]


def criterion_table(judged: Judged, criterion: str) -> str:
    """Return how near each method comes to one criterion, and what it pays."""
    head = (
        "method", "group at prediction", "difference", "interval", "p", "accuracy",
        "points lost", "deterministic", "fit s",
    )  # fmt: skip
    rows = []
    for row in judged.rows:
        if row["criterion"] == criterion or row["name"] == BASE:
            gap = row["gap"][CRITERIA[criterion]]
            lost = row.get("loss")
            paid = "" if lost is None else f"{100 * lost:.2f} ± {196 * row['loss_error']:.2f}"
            same = "yes" if row["same_share"] == 1 else f"no ({1 - row['same_share']:.1%} differ)"
            rows.append(
                [
                    label_of(row["name"]), USES[row["use"]], _number(gap["value"]),
                    _interval(gap), _chance(gap["p_value"]), _number(row["accuracy"]), paid, same,
                    _seconds(row["fit_seconds"]),
                ]
            )  # fmt: skip
    return table(head, rows)


def missing_list(judged: Judged) -> str:
    """Return one line for each reason why methods were not computed."""
    reasons: dict[str, list[str]] = {}
    for name, why in judged.not_computed:
        if why != "asked of the tables only":
            reasons.setdefault(why, []).append(name)
    if not reasons:
        return ""
    lines = [f"- {', '.join(names)}: {why}" for why, names in reasons.items()]
    return "Not computed:\n\n" + "\n".join(lines)


def cost_table(all_judged: Sequence[Judged]) -> str:
    """Return what the fits and predictions of each data set took, each method alone."""
    rows = []
    for judged in all_judged:
        fit = sum(row["fit_seconds"] for row in judged.rows)
        predict = sum(row["predict_seconds"] for row in judged.rows)
        n = len(judged.rows)
        sizes = [f"{len(judged.case.y):,}", str(n), f"{fit:.0f}", f"{predict:.0f}"]
        rows.append([judged.case.name, *sizes])
    return table(("data", "rows", "methods", "fit s", "predict s"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(entry: dict[str, Any]) -> str:
    if entry["low"] is None or entry["high"] is None:
        return ""
    return f"{entry['low']:.3f} to {entry['high']:.3f}"


def _chance(p: float | None) -> str:
    return "" if p is None else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
