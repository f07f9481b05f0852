"""Figures of the study of normals on a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _case_studies.drawing import STYLES, bar, canvas, heading, heat, key
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "draw_gaps", "draw_price"]

Row = dict[str, Any]

_LOOKS = dict(zip(("affirmative", "all groups", "symmetric"), STYLES.values(), strict=False))
# the symmetric map often pays what the affirmative one does: one mark shows behind the other
_SIZES = {"affirmative": 7, "all groups": 4.5, "symmetric": 3.5}
_ACROSS = "mean of b's class 1 less that of its class 0 (a: 2)"


def draw_price(results: Results) -> Any:
    """Draw what the programmes pay, and the risk before and after, by scale, equal priors."""
    rows = [r for r in results["rows"] if r["n_classes"] == 2 and r["prior_b"] == 0.5]
    scales = sorted({row["scale"] for row in rows})
    shown = [scales[0], 1.0, scales[-1]] if len(scales) > 2 else scales
    figure, axes = canvas(2, len(shown), height=5.4, sharex=True, sharey="row")
    for column, scale in enumerate(shown):
        own = [row for row in rows if row["scale"] == scale]
        _lines(axes[0, column], own, lambda found: found["kl"])
        _lines(axes[1, column], own, lambda found: found["risk"])
        style = {**STYLES["before"], "markersize": 3.5, "linewidth": 1.1}
        xs, before = [r["separation"] for r in own], [r["before"]["risk"] for r in own]
        axes[1, column].plot(xs, before, label="before, under D", **style)
        heading(axes[0, column], f"sd of b's class 1: {scale:g} (a: 1)")
        axes[1, column].set_xlabel(_ACROSS if column == len(shown) // 2 else "")
    axes[0, 0].set_ylabel("KL(D~ || D), nats")
    axes[1, 0].set_ylabel("share of wrong Bayes decisions")
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 0].set_ylim(bottom=0)
    key(figure, axes[1, 0], 4)
    return figure


def _lines(axis: Any, rows: list[Row], value: Callable[[Row], float]) -> None:
    for name in rows[0]["after"]:
        style = {**_LOOKS[name], "markersize": _SIZES[name], "linewidth": 1.5}
        xs = [row["separation"] for row in rows]
        axis.plot(xs, [value(row["after"][name]) for row in rows], label=f"{name}, D~", **style)


def draw_gaps(results: Results) -> Any:
    """Draw what is there to be closed, and the price of closing it, over the whole grid."""
    rows = [row for row in results["rows"] if row["n_classes"] == 2]
    priors = sorted({row["prior_b"] for row in rows}, reverse=True)
    kinds: list[tuple[str, Callable[[Row], float]]] = [
        ("mean DP gap before", lambda row: row["before"]["mean"]["dp"]),
        ("mean EO gap before", lambda row: row["before"]["mean"]["eo"]),
        ("KL, affirmative, nats", lambda row: row["after"]["affirmative"]["kl"]),
    ]
    figure, axes = canvas(len(kinds), len(priors), height=5.2, sharex=True, sharey=True)
    for line, (words, value) in enumerate(kinds):
        top = max(value(row) for row in rows)
        for column, prior in enumerate(priors):
            own = [row for row in rows if row["prior_b"] == prior]
            mesh = _cells(axes[line, column], own, value, top)
        bar(figure, mesh, axes[line], words)
    for column, prior in enumerate(priors):
        heading(axes[0, column], f"P(Y = 1 | b) = {prior:g} (a: 0.5)")
    axes[-1, len(priors) // 2].set_xlabel(_ACROSS)
    axes[len(kinds) // 2, 0].set_ylabel("standard deviation of b's class 1 (a: 1)")
    return figure


def _cells(axis: Any, rows: list[Row], value: Callable[[Row], float], top: float) -> Any:
    places = sorted({row["separation"] for row in rows})
    scales = sorted({row["scale"] for row in rows})
    found = {(row["scale"], row["separation"]): value(row) for row in rows}
    values = [[found[scale, place] for place in places] for scale in scales]
    return heat(axis, places, scales, values, cmap="cividis", vmin=0.0, vmax=top)


FIGURES: dict[str, Draw] = {"normals": draw_price, "normals-gaps": draw_gaps}
