"""A few curves over steps, each named at its end, at both widths of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isonomy.report._canvas import COLOURS, new_figure, plain_settings
from isonomy.report._document import Width
from isonomy.report.figures import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "curve_chart"]

_STYLES = (("blind", "-", "o"), ("before", "--", "s"), ("given", "-.", "D"))
"""Colour, line and marker: a curve is told without its colour too."""

_PANEL, _BELOW, _KEY = 210.0, 52.0, 20.0


@dataclass(frozen=True)
class Curve:
    """A named line through (step, value) points."""

    name: str
    points: tuple[tuple[float, float], ...]


def curve_chart(curves: Sequence[Curve], across: str, unit: str, width: Width = "wide") -> Figure:
    """Draw curves on one pair of axes.

    Parameters
    ----------
    curves : sequence of Curve
        At most three are told apart.
    across, unit : str
        What the axes show.
    width : {"wide", "narrow"}
        960 or 300 pixels.

    Returns
    -------
    Figure
    """
    full = 960.0 if width == "wide" else 300.0
    key = _KEY * (1 if width == "wide" else len(curves)) if len(curves) > 1 else 0.0
    height = 14.0 + _PANEL + _BELOW + key
    with plain_settings():
        figure = new_figure(full, height)
        left, right = 58.0, 16.0
        place = (
            left / full,
            (_BELOW + key) / height,
            (full - left - right) / full,
            _PANEL / height,
        )
        axes = figure.add_axes(place)
        _frame(axes, across, unit)
        for curve, (colour, line, marker) in zip(curves, _STYLES, strict=False):
            _draw(axes, curve, COLOURS[colour], line, marker)
        if len(curves) > 1:
            _write_key(
                figure, axes, left / full, key / height, 1 if width != "wide" else len(curves)
            )
        return figure


def _frame(axes: Axes, across: str, unit: str) -> None:
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(COLOURS["rule"])
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=COLOURS["muted"], labelsize=SMALL, length=0)
    axes.locator_params(axis="both", nbins=5)
    axes.set_xlabel(across, color=COLOURS["muted"], fontsize=SMALL)
    axes.set_ylabel(unit, color=COLOURS["muted"], fontsize=SMALL)


def _draw(axes: Axes, curve: Curve, colour: str, line: str, marker: str) -> None:
    few = len(curve.points) <= 25
    style: dict[str, Any] = {"marker": marker, "markersize": 4.5} if few else {}
    axes.plot(
        [x for x, _ in curve.points],
        [y for _, y in curve.points],
        color=colour,
        linestyle=line,
        linewidth=1.8,
        label=curve.name,
        **style,
    )


def _write_key(figure: Figure, axes: Axes, left: float, top: float, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(left, top),
        bbox_transform=figure.transFigure,
        ncols=columns,
        frameon=False,
        fontsize=SMALL,
        labelcolor=COLOURS["ink"],
        borderpad=0,
        borderaxespad=0,
    )
