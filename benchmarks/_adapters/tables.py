"""The tables of the results page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from _real_data.markdown import table

from _adapters.cells import Cell
from _adapters.judging import SHOWN
from _adapters.methods import BASE, METHODS, RIVALS_AT_F1
from _adapters.results import Results, mean_and_spread

__all__ = ["cost_table", "difference_table", "main_table", "rival_table", "tuning_table"]

HEADS = {
    "accuracy": "accuracy", "macro_f1": "macro-F1", "head": "head", "medium": "medium",
    "tail": "tail", "gap": "head - tail", "cobias": "COBias", "rsd": "RSD",
    "bias_score": "BiasScore", "rms_tpr_gap": "rms TPR gap",
}  # fmt: skip
PAIRED = ("accuracy", "macro_f1", "head", "medium", "tail", "gap", "cobias")


def main_table(results: Results, cells: Sequence[Cell]) -> str:
    """Return every method's metrics over the seeds of one data set and ratio."""
    shown = list(SHOWN)
    if any(results.values(m, "rms_tpr_gap", cells) for m in results.methods):
        shown.append("rms_tpr_gap")
    lines = []
    for name in results.methods:
        n = len([c for c in cells if c in results.found[name]])
        if n:
            numbers = [spread(results.values(name, metric, cells), 3) for metric in shown]
            lines.append([METHODS[name].label, str(n), *numbers])
    return table(["method", "seeds", *(HEADS[m] for m in shown)], lines)


def difference_table(
    results: Results, cells: Sequence[Cell] | None = None, *, other: str = BASE
) -> str:
    """Return paired differences to plain LoRA in points: mean ± standard deviation over cells."""
    lines = []
    for name in results.methods:
        if name == other:
            continue
        n = len(results.differences(name, other, "accuracy", cells))
        if n:
            pairs = [results.differences(name, other, metric, cells) for metric in PAIRED]
            numbers = [spread([100 * v for v in values], 1, sign=True) for values in pairs]
            lines.append([METHODS[name].label, str(n), *numbers])
    return table(["method", "cells", *(HEADS[m] for m in PAIRED)], lines)


def rival_table(results: Results, ours: Sequence[str]) -> str:
    """Return our macro-F1 less that of the methods made for long tails, cell by cell paired."""
    lines = []
    for rival in (BASE, *RIVALS_AT_F1):
        pairs = [results.differences(name, rival, "macro_f1") for name in ours]
        if any(pairs):
            numbers = [
                f"{spread([100 * v for v in p], 1, sign=True)}; ahead in "
                f"{sum(v > 0 for v in p)} of {len(p)}"
                for p in pairs
            ]
            lines.append([METHODS[rival].label, *numbers])
    return table(["macro-F1, points ahead of", *(METHODS[name].label for name in ours)], lines)


def cost_table(results: Results) -> str:
    """Return what each method trains and takes, and what it does to the language model."""
    head = (
        "method", "trainable %", "s a step", "start, s", "finish, s", "perplexity", "propensity",
        "discriminability", "its std", "its min",
    )  # fmt: skip
    metrics = (
        "step_seconds", "start_seconds", "finish_seconds", "perplexity", "propensity",
        "discriminability",
        "discriminability_std", "discriminability_min",
    )  # fmt: skip
    lines = []
    for name in results.methods:
        share = mean_and_spread(results.values(name, "share", results.cells))[0]
        numbers = [mean_and_spread(results.values(name, m, results.cells))[0] for m in metrics]
        digits = (3, 2, 2, 1, 2, 2, 2, 2)
        cells = [number(v, d) for v, d in zip(numbers, digits, strict=True)]
        lines.append([METHODS[name].label, number(100 * share, 2), *cells])
    return table(head, lines)


def tuning_table(results: Results) -> str:
    """Return the settings tried of each method, the best of them marked."""
    lines = []
    for name, tried in results.tuning.items():
        if len(tried) > 1:
            best = max(score for _, score in tried)
            said = [f"{_words(s)}: {'**' if v == best else ''}{v:.3f}" for s, v in tried]
            marked = [line + ("**" if "**" in line else "") for line in said]
            seeds = METHODS[name].tuning_seeds
            lines.append([METHODS[name].label, str(seeds), "; ".join(marked)])
    return table(
        ["method", "seeds", "macro-F1 on balanced validation rows, Banking77 at 10:1"], lines
    )


def _words(setting: object) -> str:
    if isinstance(setting, dict):
        return ", ".join(
            _words(v) if k == "loss" else f"{k} {_words(v)}" for k, v in setting.items()
        )
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def spread(values: Sequence[float], digits: int, *, sign: bool = False) -> str:
    """Return "mean ± standard deviation"; empty where there is nothing."""
    mean, deviation = mean_and_spread(values)
    if math.isnan(mean):
        return ""
    first = f"{mean + 0.0:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    return first if math.isnan(deviation) else f"{first} ± {deviation:.{digits}f}"


def number(value: float, digits: int) -> str:
    """Return a number; empty where it is undefined."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"
