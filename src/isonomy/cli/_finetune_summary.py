"""What ``isonomy finetune`` prints: a plan, or what was trained and how it was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isonomy.cli.exits import complain
from isonomy.cli.printing import format_interval, format_number, print_lines, print_rows

__all__ = ["print_finetuned", "print_plan"]

_THIRDS = {"head": "common", "medium": "middle", "tail": "rare"}
_MOST_CLASSES = 40


def print_plan(plan: Mapping[str, Any], *, folder: Path | None) -> None:
    """Print checks, class counts, cost, and what would be written."""
    data, cost, training = plan["data"], plan["cost"], plan["training"]
    print_lines([_data_line(data)])
    _print_checks(data)
    _print_classes(data)
    share = training["trainable"]
    memory = cost["memory"]
    where = folder or "DIR (-o)"
    print_lines(
        [
            f"Model: {plan['model']['base_model']} ({plan['model']['architecture']}, "
            f"{plan['model']['dtype']}), deciding by {plan['model']['head_words']}.",
            f"Trains: {_share(share)}. {training['sentence']}",
            f"Steps: {cost['steps']} of {cost['rows_a_step']} rows ({cost['epochs']:.3g} times "
            f"through the rows), {cost['tokens_a_step']} tokens a step with padding, learning rate "
            f"{training['learning_rate']:g}.",
            f"Time: about {_duration(cost['seconds'])} on {cost['device']} "
            f"({cost['seconds_a_step']:.3g} s a step, from {cost['timed_steps']} timed; "
            f"{_duration(cost['seconds_judging'])} of it to judge).",
            f"Memory: {_megabytes(memory['weights_mb'])} weights, "
            f"{_megabytes(memory['gradients_and_moments_mb'])} gradients and moments; peak of the "
            f"timed steps {_megabytes(memory['device_peak_mb'] or memory['peak_mb'])}.",
            f"Would be written: {where}: the adapter with its tokenizer, README.md (model card), "
            "index.html, report.json. Nothing was written.",
        ]
    )


def print_finetuned(result: Mapping[str, Any], *, folder: Path) -> None:
    """Print the figures before and after, what was written, and the cost."""
    data, training, cost = result["data"], result["training"], result["cost"]
    print_lines([_data_line(data)])
    _print_checks(data)
    print_lines([f"{training['sentence']} {training['description']}".strip()])
    judged = result["judgements"]
    header = ("", "accuracy", "macro F1", *_THIRDS.values(), "common - rare", "95% interval")
    title = f"Share found, judged on {data['n_test']} rows kept apart"
    print_rows(title, header, [_figures(j) for j in judged])
    stopped = training.get("stopped")
    verified = result["adapter"]["verified"]
    print_lines(
        [
            *([f"Stopped early, {stopped}."] if stopped else []),
            *(f"Not computed: {row['what']} ({row['why']})" for row in result["not_computed"]),
            *_groups_line(judged[-1]),
            f"Trained: {_share(training['trainable'])}.",
            f"Read back from disk with {result['adapter']['library']}: {verified['n_same']} of "
            f"{verified['n']} decisions as before writing.",
            f"Written: {folder}: {', '.join(f['name'] for f in result['files'])}",
            _cost_line(cost),
        ]
    )


def _print_checks(data: Mapping[str, Any]) -> None:
    for check in data["checks"]:
        if check["level"] == "warning":
            complain(f"warning: {check['sentence']}")
    print_lines([c["sentence"] for c in data["checks"] if c["level"] != "warning"])


def _print_classes(data: Mapping[str, Any]) -> None:
    table = data["class_table"]
    shown = table if len(table) <= _MOST_CLASSES else [*table[:20], *table[-20:]]
    rows = [
        (
            row["class"],
            _THIRDS[row["third"]],
            *(str(row[key]) for key in ("n_train", "n_validation", "n_test")),
        )
        for row in shown
    ]
    left_out = len(table) - len(shown)
    more = f"; {left_out} between are not shown" if left_out else ""
    title = f"{len(table)} classes, {data['ratio']:.3g} to 1 from first to last{more}"
    print_rows(title, ("class", "third", "train", "watch", "judge"), rows)


def _data_line(data: Mapping[str, Any]) -> str:
    return (
        f"Data: {data['name']}, {data['n_train']} rows to train, {data['n_validation']} to watch, "
        f"{data['n_test']} to judge ({data['split']})."
    )


def _figures(judged: Mapping[str, Any]) -> Sequence[str]:
    thirds = {t["group"]: t["value"] for t in judged["class_groups"]}
    gap = next(m for m in judged["measures"] if m["metric"] == "head_tail_gap")
    return (
        judged["label"],
        format_number(judged["accuracy"]["value"]),
        format_number(judged["macro_f1"]["value"]),
        *(format_number(thirds.get(name)) for name in _THIRDS),
        format_number(gap["value"]),
        format_interval(gap["low"], gap["high"]),
    )


def _groups_line(judged: Mapping[str, Any]) -> list[str]:
    audit = judged["audit"]
    return [f"Groups: {audit['decision']['sentence']}"] if audit else []


def _share(trainable: Mapping[str, Any]) -> str:
    head = f", {trainable['head']:,} of them a head" if trainable["head"] else ""
    return (
        f"{trainable['trainable']:,} of {trainable['total']:,} weights "
        f"({100 * trainable['share']:.3g}%{head})"
    )


def _cost_line(cost: Mapping[str, Any]) -> str:
    memory = cost["device_memory_mb"] or cost["peak_memory_mb"]
    peak = "" if memory is None else f", peak memory {_megabytes(memory)}"
    return (
        f"Cost: {cost['total_seconds']:.1f} s, {cost['steps']} steps of "
        f"{cost['seconds_a_step']:.3g} s{peak}, on {cost['device']}."
    )


def _megabytes(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f} MB" if value >= 1 else f"{value:.2g} MB"


def _duration(seconds: float) -> str:
    """Return seconds as a person says them.

    Examples
    --------
    >>> _duration(7.2), _duration(150), _duration(9000)
    ('7 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "less than 1 s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
