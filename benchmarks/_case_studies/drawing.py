"""The look of the case studies' figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isonomy._atomic import atomic_path
from isonomy.report._canvas import COLOURS, plain_settings

__all__ = [
    "INK",
    "MUTED",
    "STYLES",
    "bar",
    "bare",
    "canvas",
    "heading",
    "heat",
    "key",
    "note",
    "save",
]

INK, MUTED = COLOURS["ink"], COLOURS["muted"]

STYLES: dict[str, dict[str, Any]] = {
    "first": {"color": COLOURS["blind"], "linestyle": "-", "marker": "o"},
    "second": {"color": COLOURS["given"], "linestyle": "--", "marker": "s"},
    "third": {"color": COLOURS["inferred"], "linestyle": ":", "marker": "^"},
    "before": {"color": COLOURS["ink"], "linestyle": "-", "marker": "D"},
}
"""Told apart by colour, by line and by marker: any one of them is enough."""

_DOTS = 130


def canvas(rows: int, columns: int, *, width: float = 9.2, height: float, **shared: Any) -> Any:
    """Return a figure and its (rows, columns) axes; nothing of Matplotlib changes outside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with plain_settings():
        figure = Figure(figsize=(width, height), dpi=_DOTS, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **shared)
        for axis in axes.ravel():
            bare(axis)
    return figure, axes


def bare(axis: Any) -> None:
    """Take from an axis what carries no information."""
    axis.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(COLOURS["rule"])
    axis.grid(color=COLOURS["grid"], linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(colors=MUTED, labelsize=8, length=0)
    for label in (axis.xaxis.label, axis.yaxis.label):
        label.set_size(8.5)
        label.set_color(MUTED)


def key(figure: Any, axis: Any, columns: int) -> None:
    """Write one key for all panels below them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5
    )


def heading(axis: Any, text: str) -> None:
    """Write what a panel shows above it."""
    axis.set_title(text, fontsize=9, color=INK)


def note(axis: Any, x: float, y: float, text: str, **style: Any) -> None:
    """Write a few words inside a panel, in shares of its width and height."""
    fixed = {"transform": axis.transAxes, "fontsize": 8, "color": MUTED}
    axis.text(x, y, text, **{**fixed, **style})


def heat(axis: Any, columns: list[float], rows: list[float], values: Any, **style: Any) -> Any:
    """Draw a table of values as cells, rows from below upwards; return it for a colour bar."""
    axis.grid(visible=False)
    mesh = axis.pcolormesh(range(len(columns) + 1), range(len(rows) + 1), values, **style)
    step = max(1, -(-len(columns) // 7))
    places = range(0, len(columns), step)
    axis.set_xticks([i + 0.5 for i in places], [f"{columns[i]:g}" for i in places])
    axis.set_yticks([i + 0.5 for i in range(len(rows))], [f"{row:g}" for row in rows])
    return mesh


def bar(figure: Any, mesh: Any, axes: Any, words: str) -> Any:
    """Add the colour bar of a row of panels."""
    found = figure.colorbar(mesh, ax=list(axes), pad=0.01, aspect=14)
    found.outline.set_visible(False)
    found.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    found.set_label(words, fontsize=8.5, color=MUTED)
    return found


def save(figure: Any, path: Path) -> Path:
    """Write a PNG: the same figure gives the same bytes."""
    with plain_settings(), atomic_path(path) as temporary:
        figure.savefig(
            temporary,
            format="png",
            metadata={"Software": None},
            bbox_inches="tight",
            pad_inches=0.08,
            pil_kwargs={"compress_level": 9},
        )
    return path
