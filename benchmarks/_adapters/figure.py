"""Two small PNG figures: tail against head accuracy, and the sweep over ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from _adapters.cells import Cell
from _adapters.methods import BASE, METHODS
from _adapters.results import Results, mean_and_spread
from isonomy._atomic import atomic_path

__all__ = ["draw_sweep", "draw_tails"]

COLOURS = {"none": "#777777", "rival": "#4477aa", "ablation": "#dd7755", "ours": "#bb1100"}
ACROSS = 4
"""Panels in a row."""
LINES = ("#4477aa", "#228833", "#66ccee", "#aa3377", "#bbbbbb")
"""Of rivals in the sweep; ours have their family's colour."""


def draw_tails(results: Results, path: Path) -> Path:
    """Draw mean tail accuracy against mean head accuracy, a panel a data set and ratio."""
    parts = results.parts
    figure, axes = _panels(len(parts))
    shown = [name for name in results.methods if METHODS[name].recipe.trains != "none"]
    number = {name: i for i, name in enumerate(shown, start=1)}
    for axis, (data, ratio) in zip(axes, parts, strict=True):
        cells = results.part(data, ratio)
        # ours last, so that they lie on top
        for name in sorted(shown, key=lambda n: list(COLOURS).index(METHODS[n].family)):
            head, tail = (
                100 * mean_and_spread(results.values(name, metric, cells))[0]
                for metric in ("head", "tail")
            )
            if head == head:
                colour = COLOURS[METHODS[name].family]
                axis.plot([head], [tail], "o", color=colour, markersize=9, alpha=0.9)
                axis.text(head, tail, str(number[name]), fontsize=5.5, color="white",
                          ha="center", va="center_baseline")  # fmt: skip
        _base_lines(axis, results, cells)
        axis.set_title(f"{data}, {ratio:g}:1" if ratio else f"{data}, as it is", fontsize=9)
        axis.set_xlabel("head accuracy, %", fontsize=8)
        axis.set_ylabel("tail accuracy, %", fontsize=8)
    last = axes[min(len(axes), ACROSS) - 1]
    for i, name in enumerate(shown):
        words, colour = f"{number[name]} {METHODS[name].label}", COLOURS[METHODS[name].family]
        place = {"va": "top", "transform": last.transAxes}
        last.text(1.05, 1.0 - 0.05 * i, words, fontsize=7, color=colour, **place)
    return _save(figure, path)


def _base_lines(axis: Any, results: Results, cells: Sequence[Cell]) -> None:
    """Mark plain LoRA: what is above and not left of it is better for both."""
    head, tail = (mean_and_spread(results.values(BASE, m, cells))[0] for m in ("head", "tail"))
    if head == head:
        axis.axvline(100 * head, color="#cccccc", lw=0.8, zorder=0)
        axis.axhline(100 * tail, color="#cccccc", lw=0.8, zorder=0)
    axis.tick_params(labelsize=7)


def draw_sweep(results: Results, path: Path) -> Path:
    """Draw head, tail, gap and macro-F1 against the ratio, a line a method."""
    ratios = sorted({cell.ratio for cell in results.cells})
    figure, axes = _panels(4)
    metrics = {"tail": "tail accuracy", "head": "head accuracy", "gap": "head - tail",
               "macro_f1": "macro-F1"}  # fmt: skip
    rivals = [name for name in results.methods if METHODS[name].family == "rival"]
    colours = {name: COLOURS[METHODS[name].family] for name in results.methods}
    colours |= dict(zip(rivals, LINES, strict=False))
    for axis, (metric, title) in zip(axes, metrics.items(), strict=True):
        for name, colour in colours.items():
            points = []
            for ratio in ratios:
                cells = [cell for cell in results.cells if cell.ratio == ratio]
                mean = mean_and_spread(results.values(name, metric, cells))[0]
                if mean == mean:
                    points.append((ratio, 100 * mean))
            axis.plot(*np.reshape(points, (-1, 2)).T, "o-", color=colour, markersize=3, lw=1.2,
                      label=METHODS[name].label)  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
        axis.minorticks_off()
        axis.set_title(f"{title}, %", fontsize=9)
        axis.set_xlabel("largest class / rarest class", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[-1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return _save(figure, path)


def _panels(n: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across, down = min(n, ACROSS), -(-n // ACROSS)
    figure = Figure(figsize=(3.2 * across, 3.2 * down), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes[n:]:
        axis.set_visible(False)
    return figure, axes[:n]


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    with atomic_path(path) as temporary:
        # no version or date in the file: same results, same bytes
        figure.savefig(
            temporary, format="png", metadata={"Software": None}, bbox_inches="tight",
            pil_kwargs={"compress_level": 9},
        )  # fmt: skip
    return path
