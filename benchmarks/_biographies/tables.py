"""The tables of the results page."""

from __future__ import annotations

import math

from _real_data.markdown import table

from _biographies.judging import Judged, Row
from _biographies.resampling import Pooled

__all__ = ["USES", "gap_table", "missing_lines", "seed_table", "states_table"]

USES = {"none": "no", "blind": "no", "given": "yes", "inferred": "guessed"}


def gap_table(judged: Judged) -> str:
    """Return accuracy and gaps of every method, means over the seeds."""
    head = (
        "method", "group at prediction", "accuracy", "points lost", "macro-F1", "rms TPR gap",
        "corrected", "precision: gap", "together: corrected", "interval", "p",
        "each rule: corrected", "interval", "p",
    )  # fmt: skip
    return table(head, [_gap_row(row) for row in judged.rows])


def _gap_row(row: Row) -> list[str]:
    return [
        row.label,
        USES[row.use],
        _spread(row, "accuracy"),
        f"{100 * row.loss + 0.0:+.2f} ± {196 * row.loss_error:.2f}",
        _number(row.mean("macro_f1")),
        _number(row.mean("equal")),
        _number(row.mean("equal_corrected")),
        _number(row.mean("plain")),
        *_pooled(row.together),
        *_pooled(row.each),
    ]


def states_table(judged: Judged) -> str:
    """Return what steered states still tell of the group, and the seconds of a fold."""
    head = (
        "method", "probe", "chance", "probe within classes", "chance", "same-group neighbours",
        "chance", "fit s", "predict s",
    )  # fmt: skip
    lines = []
    for row in judged.rows:
        s = row.states
        parts = ("probe", "probe_chance", "within", "within_chance", "neighbours")
        numbers = [f"{s[part]:.3f}" for part in (*parts, "neighbours_chance")]
        lines.append(
            [row.label, *numbers, _seconds(row.fit_seconds), _seconds(row.predict_seconds)]
        )
    return table(head, lines)


def seed_table(judged: Judged) -> str:
    """Return each seed alone: folds together (corrected, upper bound, p), and each rule."""
    head = ["method", *(f"seed {seed}" for seed in judged.seeds)]
    lines = []
    for row in judged.rows:
        cells = [
            f"{seed.corrected:.3f}, {seed.high:.3f}, p {_chance(seed.p_value)}; each {each:.3f}"
            for seed, each in zip(row.seeds, row.each_by_seed, strict=True)
        ]
        lines.append([row.label, *cells])
    return table(head, lines)


def missing_lines(judged: Judged) -> str:
    """Return one line for each method that was not computed."""
    if not judged.missing:
        return ""
    lines = [f"- {name}: {why}" for name, why in judged.missing]
    return "Not computed:\n\n" + "\n".join(lines)


def _pooled(gap: Pooled) -> list[str]:
    return [_number(gap.corrected), f"{gap.low:.3f} to {gap.high:.3f}", _chance(gap.p_value)]


def _spread(row: Row, field: str) -> str:
    spread = row.spread(field)
    ending = "" if math.isnan(spread) else f" ± {spread:.4f}"
    return _number(row.mean(field)) + ending


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _chance(p: float) -> str:
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
