"""The figure of the study of risk: where it falls, where it rises, and the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np

from _case_studies.drawing import INK, bar, canvas, heading, note
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "draw"]

# grid, who moves, which cost, the words above the panel
_PANELS = (
    ("scale", "b moves", 0, "b moves, every error counts 1"),
    ("scale", "b moves", 1, "b moves, a miss counts 5"),
    ("scale", "both move", 0, "both move, every error counts 1"),
    ("prior", "b moves", 0, "b moves, unequal base rates"),
)


def draw(results: Results) -> Any:
    """Draw the change of the risk from D to D~, and the loss on the rows of D."""
    figure, axes = canvas(2, len(_PANELS), width=11.0, height=5.6)
    changes = [_values(results, *panel[:3], "ideal") for panel in _PANELS]
    losses = [_values(results, *panel[:3], "rows") for panel in _PANELS]
    most = max(np.abs(found[2]).max() for found in changes)
    top = max(found[2].max() for found in losses)
    for column, panel in enumerate(_PANELS):
        upper, lower = axes[0, column], axes[1, column]
        heading(upper, panel[3])
        mesh = _map(upper, *changes[column], cmap="PuOr_r", vmin=-most, vmax=most)
        _boundary(upper, *changes[column])
        loss = _map(lower, *losses[column], cmap="cividis", norm=_root(top))
        for axis, colour in ((upper, INK), (lower, "white")):
            _frame(axis, panel[0], results["match"], column, colour)
        lower.set_xlabel("separation of b (a: 2)")
    bar(figure, mesh, axes[0], "risk under D~ less risk under D")
    bar(figure, loss, axes[1], "on D: rule of D~ less best rule")
    return figure


def _values(results: Results, grid: str, moves: str, cost: int, kind: str) -> Any:
    """Return the places, the heights and the table of changes against the risk under D."""
    rows, name = results["grids"][grid], "scale" if grid == "scale" else "prior_b"
    places = sorted({row["separation"] for row in rows})
    heights = sorted({row[name] for row in rows})
    found = {
        (row[name], row["separation"]): row["after"][moves][kind][cost] - row["before"][cost]
        for row in rows
    }
    table = np.array([[found[height, place] for place in places] for height in heights])
    return places, np.log2(heights) if grid == "scale" else np.array(heights), table


def _map(axis: Any, places: Any, heights: Any, table: Any, **style: Any) -> Any:
    axis.grid(visible=False)
    return axis.pcolormesh(places, heights, table, shading="nearest", **style)


def _root(top: float) -> Any:
    """Return a scale by the square root: small losses are told apart from none."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0.0, vmax=top)


def _boundary(axis: Any, places: Any, heights: Any, table: Any) -> None:
    # rounding is no boundary: nothing is drawn round a patch that is 0 to the last place
    clean = np.where(np.abs(table) < 1e-12, 0.0, table)
    if clean.min() < 0 < clean.max():
        axis.contour(places, heights, clean, levels=[0.0], colors=INK, linewidths=1.6)
    sides = [(words, side) for words, side in _sides(clean) if side.mean() > 0.08]
    for words, side in sides:
        line, column = np.nonzero(side)
        x = (places[int(np.median(column))] - places[0]) / (places[-1] - places[0])
        y = (heights[int(np.median(line))] - heights[0]) / (heights[-1] - heights[0])
        x, y = (0.5, 0.85) if len(sides) == 1 else (min(max(x, 0.14), 0.86), y)
        note(axis, x, y, words, fontsize=9, ha="center", va="center", color=INK)


def _sides(table: Any) -> list[tuple[str, Any]]:
    return [("lower", table < 0), ("higher", table > 0)]


def _frame(axis: Any, grid: str, match: float, column: int, colour: str) -> None:
    axis.plot([match], [0.0 if grid == "scale" else 0.5], marker="+", color=colour, markersize=9)
    if grid == "scale":
        ticks = (0.5, 0.7, 1.0, 1.4, 2.0)
        axis.set_yticks(np.log2(ticks), [f"{tick:g}" for tick in ticks])
        axis.set_ylabel("sd of b's class 1 (a: 1)" if column == 0 else "")
    else:
        axis.set_ylabel("P(Y = 1 | b) (a: 0.5)")


FIGURES: dict[str, Draw] = {"risk": draw}
