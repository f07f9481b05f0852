"""Two small PNG figures: tail against head accuracy, and the sweep over ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _adapters.cells import Cell
from _adapters.methods import BASE, METHODS
from _adapters.results import Results, mean_and_spread
from isonomy._atomic import atomic_path

__all__ = ["draw_sweep", "draw_tails"]

COLOURS = {"none": "#999999", "rival": "#4477aa", "ours": "#cc3311", "ablation": "#ee9977"}
LINES = ("#4477aa", "#228833", "#66ccee", "#aa3377", "#cc3311", "#ee9977", "#bbbbbb")


def draw_tails(results: Results, path: Path) -> Path:
    """Draw mean tail accuracy against mean head accuracy, a panel a data set and ratio."""
    parts = list(dict.fromkeys((cell.data, cell.ratio) for cell in results.cells))
    figure, axes = _panels(len(parts))
    shown = [name for name in results.methods if METHODS[name].recipe.trains != "none"]
    for axis, (data, ratio) in zip(axes, parts, strict=False):
        cells = results.part(data, ratio)
        for i, name in enumerate(shown, start=1):
            head, tail = (
                mean_and_spread(results.values(name, metric, cells))[0]
                for metric in ("head", "tail")
            )
            colour = COLOURS[METHODS[name].family]
            axis.plot([100 * head], [100 * tail], "o", color=colour, markersize=5)
            side = ((3, 3), (-9, 3), (3, -9), (-9, -9))[i % 4]
            axis.annotate(
                str(i), (100 * head, 100 * tail), fontsize=7, xytext=side,
                textcoords="offset points",
            )  # fmt: skip
        _base_lines(axis, results, cells)
        axis.set_title(f"{data}, {ratio:g}:1" if ratio else f"{data}, as it is", fontsize=9)
        axis.set_xlabel("head accuracy, %", fontsize=8)
    axes[0].set_ylabel("tail accuracy, %", fontsize=8)
    key = "\n".join(f"{i} {METHODS[name].label}" for i, name in enumerate(shown, start=1))
    axes[-1].text(1.05, 1.0, key, transform=axes[-1].transAxes, va="top", fontsize=7)
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
    for axis, (metric, title) in zip(axes, metrics.items(), strict=True):
        for name, colour in zip(results.methods, LINES, strict=False):
            points = []
            for ratio in ratios:
                cells = [cell for cell in results.cells if cell.ratio == ratio]
                mean = mean_and_spread(results.values(name, metric, cells))[0]
                if mean == mean:
                    points.append((ratio, 100 * mean))
            axis.plot(*zip(*points, strict=True), "o-", color=colour, markersize=3, lw=1.2,
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

    figure = Figure(figsize=(3.2 * n, 3.2), dpi=120)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n, squeeze=False)[0]


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    with atomic_path(path) as temporary:
        # no version or date in the file: same results, same bytes
        figure.savefig(
            temporary, format="png", metadata={"Software": None}, bbox_inches="tight",
            pil_kwargs={"compress_level": 9},
        )  # fmt: skip
    return path
