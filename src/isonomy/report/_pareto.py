"""Utility against fairness: every method a point, and the front of those not dominated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, new_panel, plain_settings, write
from isonomy.report._document import Width
from isonomy.report._labels import place_labels
from isonomy.report._numbers import is_number, shorten
from isonomy.report.figures import SMALL, Estimate, Scale, axis_limits, axis_ticks, draw_marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MethodPoint", "both_fronts", "pareto_front", "trade_off_chart"]

_KEY_ROW = 22.0
_FAR = 22.0
"""A number this far from its point gets a line to it."""


@dataclass(frozen=True)
class MethodPoint:
    """One method: its gap (less is better), its accuracy (more is better), its name.

    ``needs_group`` tells whether a decision uses the group, given or guessed.
    """

    label: str
    gap: Estimate
    accuracy: Estimate
    needs_group: bool
    is_marked: bool = False


def pareto_front(
    points: Sequence[MethodPoint], among: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the points that no other beats, from the smallest gap to the largest.

    Parameters
    ----------
    points : sequence of MethodPoint
    among : sequence of int, optional
        Which of them compete; by default all.

    Returns
    -------
    tuple of int
        Point i is on the front unless some point has a gap no larger and an accuracy no
        smaller, and is better in one of the two. Points without both numbers are not.
        Estimates alone count: intervals of neighbours on the front may well overlap.
    """
    known = [
        i
        for i in (range(len(points)) if among is None else among)
        if is_number(points[i].gap.value) and is_number(points[i].accuracy.value)
    ]

    def place(i: int) -> tuple[float, float]:
        return float(points[i].gap.value or 0.0), float(points[i].accuracy.value or 0.0)

    def beats(j: int, i: int) -> bool:
        (gap, right), (own_gap, own_right) = place(j), place(i)
        return gap <= own_gap and right >= own_right and (gap < own_gap or right > own_right)

    best = [i for i in known if not any(beats(j, i) for j in known)]
    return tuple(sorted(best, key=lambda i: (*place(i), i)))


def trade_off_chart(points: Sequence[MethodPoint], width: Width = "wide") -> Figure:
    """Draw accuracy against the gap, with intervals, both fronts and a numbered key.

    Parameters
    ----------
    points : sequence of MethodPoint
        In the order of their numbers.
    width : {"wide", "narrow"}
        960 pixels with the key beside the plot, or 300 with the key below it.

    Returns
    -------
    Figure
        Made through Matplotlib's object API; nothing global is changed.

    Raises
    ------
    InvalidInputError
        If no point has both numbers.
    MissingExtraError
        If Matplotlib is not installed.
    """
    fronts = both_fronts(points)
    if not fronts[0]:
        raise InvalidInputError(
            "`points` passed to `trade_off_chart` must hold a method whose gap and accuracy are "
            f"both numbers, got {len(points)} without. Show the methods as a table instead."
        )
    key = _key(points, *fronts)
    wide = width == "wide"
    with plain_settings():
        left, top, span, height = (62.0, 34.0, 520.0, 400.0) if wide else (40.0, 34.0, 250.0, 250.0)
        key_top = 12.0 if wide else top + height + 62
        key_height = _KEY_ROW * len(key)
        plot_height = top + height + 58
        full = (
            (960.0, max(plot_height, key_top + key_height))
            if wide
            else (300.0, key_top + key_height)
        )
        figure = new_figure(*full)
        plot = new_panel(figure, left=left, top=top, width=span, height=height)
        _draw_plot(plot, points, fronts, span, height)
        place = (624.0, 336.0) if wide else (0.0, 300.0)
        panel = new_panel(figure, left=place[0], top=key_top, width=place[1], height=key_height)
        _draw_key(panel, points, key, place[1], key_height)
        return figure


def both_fronts(points: Sequence[MethodPoint]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the front of all methods, and of those that neither ask for a group nor guess it."""
    without = [i for i, p in enumerate(points) if not p.needs_group]
    return pareto_front(points), pareto_front(points, without)


def _key(
    points: Sequence[MethodPoint], everyone: tuple[int, ...], without: tuple[int, ...]
) -> list[str | int]:
    """Return the lines of the key: headings and numbers of methods."""
    lines: list[str | int] = ["On the front of all methods", *everyone]
    extra = [i for i in without if i not in everyone]
    if extra:
        lines += ["On the front without a group at prediction", *extra]
    rest = [i for i in range(len(points)) if i not in everyone and i not in extra]
    if rest:
        lines += ["Behind", *rest]
    return lines


def _draw_plot(
    axes: Axes,
    points: Sequence[MethodPoint],
    fronts: tuple[tuple[int, ...], tuple[int, ...]],
    span: float,
    height: float,
) -> None:
    gap = Scale("", include=(0.0,), bounds=(0.0, 100.0))
    right = Scale("", bounds=(0.0, 100.0))
    axes.set_xlim(*axis_limits(gap, [(p.gap,) for p in points]))
    axes.set_ylim(*axis_limits(right, [(p.accuracy,) for p in points]))
    _draw_grid(axes, span, height)
    if fronts[1] != fronts[0]:
        _draw_front(axes, points, fronts[1], colour="blind", dashes=(0, (2, 3)))
    _draw_front(axes, points, fronts[0], colour="ink", dashes="solid")
    for point in points:
        _draw_point(axes, point)
    _draw_numbers(axes, points, span, height)


def _draw_grid(axes: Axes, span: float, height: float) -> None:
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    below = (y1 - y0) / height
    line: dict[str, Any] = {"color": COLOURS["grid"], "linewidth": 1, "zorder": 0.5}
    for tick, text in axis_ticks(x0, x1, span):
        axes.plot([tick, tick], [y0, y1], **line)
        write(
            axes, tick, y0 - 14 * below, text, ha="center", fontsize=SMALL, color=COLOURS["muted"]
        )
    for tick, text in axis_ticks(y0, y1, height):
        axes.plot([x0, x1], [tick, tick], **line)
        x = x0 - 8 * (x1 - x0) / span
        write(axes, x, tick, text, ha="right", fontsize=SMALL, color=COLOURS["muted"])
    start = x0 - (38 if span < 400 else 58) * (x1 - x0) / span
    write(axes, start, y1 + 20 * below, "Accuracy (%), up is better", fontweight="bold")
    write(
        axes,
        start,
        y0 - 38 * below,
        "Typical gap between groups (points), left is better"
        if span > 400
        else "Typical gap (points), left is better",
        fontweight="bold",
    )


def _draw_front(
    axes: Axes,
    points: Sequence[MethodPoint],
    front: tuple[int, ...],
    *,
    colour: str,
    dashes: object,
) -> None:
    """Draw the border of what the front reaches: right of and below each of its points."""
    if not front:
        return
    (_, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    xs, ys = [float(points[front[0]].gap.value or 0.0)], [bottom]
    for i in front:
        x, y = float(points[i].gap.value or 0.0), float(points[i].accuracy.value or 0.0)
        xs += [x, x]
        ys += [ys[-1], y]
    axes.plot(
        [*xs, right],
        [*ys, ys[-1]],
        color=COLOURS[colour],
        linewidth=1.5,
        linestyle=dashes,
        zorder=2,
    )


def _draw_point(axes: Axes, point: MethodPoint) -> None:
    x, y = point.gap.value, point.accuracy.value
    if x is None or y is None:
        return
    colour = COLOURS["blind" if point.gap.mark == "none" else point.gap.mark]
    thin: dict[str, Any] = {"color": colour, "linewidth": 1.2, "alpha": 0.45, "zorder": 1.5}
    if point.gap.low is not None and point.gap.high is not None:
        axes.plot([point.gap.low, point.gap.high], [y, y], **thin)
    if point.accuracy.low is not None and point.accuracy.high is not None:
        axes.plot([x, x], [point.accuracy.low, point.accuracy.high], **thin)
    draw_marker(axes, x, y, point.gap.mark, larger=point.is_marked)


def _draw_numbers(axes: Axes, points: Sequence[MethodPoint], span: float, height: float) -> None:
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    drawn = [
        (i, float(p.gap.value), float(p.accuracy.value))
        for i, p in enumerate(points)
        if p.gap.value is not None and p.accuracy.value is not None
    ]
    at = [((x - x0) / (x1 - x0) * span, (y - y0) / (y1 - y0) * height) for _, x, y in drawn]
    sizes = [(8.0 * len(str(i + 1)) + 2, 14.0) for i, _, _ in drawn]
    corners = place_labels(at, sizes, (span, height))
    for (i, x, y), dot, size, corner in zip(drawn, at, sizes, corners, strict=True):
        middle = corner[0] + size[0] / 2, corner[1] + size[1] / 2
        end = middle[0] / span * (x1 - x0) + x0, middle[1] / height * (y1 - y0) + y0
        if math.dist(middle, dot) > _FAR:
            line: dict[str, Any] = {"color": COLOURS["muted"], "linewidth": 0.7, "zorder": 1.2}
            axes.plot([x, end[0]], [y, end[1]], **line)
        weight = "bold" if points[i].is_marked else "normal"
        halo = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        write(axes, *end, str(i + 1), ha="center", fontweight=weight, zorder=6, bbox=halo)


def _draw_key(
    axes: Axes, points: Sequence[MethodPoint], key: Sequence[str | int], span: float, height: float
) -> None:
    axes.set_xlim(0, span)
    axes.set_ylim(height, 0)
    for row, line in enumerate(key):
        y = (row + 0.5) * _KEY_ROW
        if isinstance(line, str):
            write(axes, 0, y, line, fontweight="bold")
            continue
        point = points[line]
        write(axes, 20, y, str(line + 1), ha="right")
        draw_marker(axes, 34, y, point.gap.mark, larger=False)
        missing = (
            "" if point.gap.value is not None and point.accuracy.value is not None else " (n/a)"
        )
        weight = "bold" if point.is_marked else "normal"
        write(axes, 48, y, shorten(point.label, 34) + missing, fontweight=weight)
