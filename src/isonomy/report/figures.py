"""The charts: utility beside fairness, gaps class by class, rates.

Every chart is a stack of rows, one per method, class or rate, with a dot and its
interval on a shared scale. "wide" stands beside text on a screen or on paper; "narrow"
is for a telephone, with labels above the rows instead of beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, new_panel, plain_settings, write
from isonomy.report._document import Width
from isonomy.report._numbers import is_number, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "SMALL",
    "ChartRow",
    "Estimate",
    "Mark",
    "Scale",
    "axis_limits",
    "axis_ticks",
    "draw_marker",
    "estimate_chart",
]

Mark = Literal["before", "none", "blind", "given", "inferred"]

_MARKERS = {"before": "o", "none": "o", "blind": "o", "given": "D", "inferred": "s"}
SMALL = 12.5
"""The smallest type: charts are shown at their own size or larger, so 12 pixels at least."""

_HEAD, _LINE = 29.0, 17.0
_QUIET: dict[str, Any] = {"fontsize": SMALL, "color": COLOURS["muted"]}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval (any of them may be None) and how it is marked."""

    value: float | None
    low: float | None = None
    high: float | None = None
    mark: Mark = "blind"
    text: str = ""


@dataclass(frozen=True)
class ChartRow:
    """One line of a chart: a label, a remark below it, estimates for each scale."""

    label: str
    remark: str
    estimates: tuple[tuple[Estimate, ...], ...]
    is_bold: bool = False
    is_marked: bool = False


@dataclass(frozen=True)
class Scale:
    """One horizontal axis: its title, what its ends mean, and values to hold inside."""

    title: str
    hint: str = ""
    include: tuple[float, ...] = ()
    bounds: tuple[float, float] = (-math.inf, math.inf)
    is_signed: bool = False
    reference: float | None = None


def estimate_chart(
    rows: Sequence[ChartRow], scales: Sequence[Scale], width: Width = "wide"
) -> Figure:
    """Draw rows of estimates with intervals on one or more scales.

    Parameters
    ----------
    rows : sequence of ChartRow
        From top to bottom; each with one tuple of estimates for every scale.
    scales : sequence of Scale
        Side by side when wide, one below the other when narrow.
    width : {"wide", "narrow"}
        960 or 300 pixels.

    Returns
    -------
    Figure
        Made through Matplotlib's object API; nothing global is changed.

    Raises
    ------
    InvalidInputError
        If there are no rows or scales, or a row lacks estimates for a scale.
    MissingExtraError
        If Matplotlib is not installed.
    """
    if not rows or not scales or any(len(row.estimates) != len(scales) for row in rows):
        raise InvalidInputError(
            "`rows` passed to `estimate_chart` must be at least one row, with one tuple of "
            f"estimates for each of the {len(scales)} scales, got {len(rows)} rows with "
            f"{sorted({len(row.estimates) for row in rows})}."
        )
    with plain_settings():
        return (_wide if width == "wide" else _narrow)(rows, scales)


def _wide(rows: Sequence[ChartRow], scales: Sequence[Scale]) -> Figure:
    has_remarks = any(row.remark for row in rows)
    row_height, full, value_width = 42.0 if has_remarks else 27.0, 960.0, 84.0
    label_width = 268.0 if has_remarks else _label_width(rows)
    has_values = any(e.text for row in rows for es in row.estimates for e in es)
    share = (full - label_width) / len(scales)
    height, top = row_height * len(rows), _top_of(scales, share - 12)
    figure = new_figure(full, top + height + 34)
    back = _new_rows(figure, 0, top, full, height, len(rows))
    back.set_xlim(0, full)
    for i, row in enumerate(rows):
        if row.is_marked:
            _band(back, i)
        if i:
            back.plot([0, full], [i - 0.5] * 2, color=COLOURS["grid"], linewidth=0.7, zorder=0.5)
        weight = "bold" if row.is_bold or row.is_marked else "normal"
        y = i - (9 / row_height if row.remark else 0)
        write(back, 14, y, shorten(row.label, 34), fontweight=weight)
        if row.remark:
            note = shorten(row.remark, 42)
            write(back, 14, y + 17 / row_height, note, fontsize=SMALL, color=COLOURS["muted"])
    for j, scale in enumerate(scales):
        left, span = label_width + j * share, share - (value_width if has_values else 30)
        panel = _new_rows(figure, left, top, span, height, len(rows))
        _draw_scale(panel, scale, [row.estimates[j] for row in rows], row_height, span, share - 12)
        for i, row in enumerate(rows):
            _write_value(panel, i, row.estimates[j], bold=row.is_marked or row.is_bold)
    return figure


def _head_lines(scale: Scale, room: float) -> list[tuple[str, bool]]:
    """Return the lines above an axis, as many as ``room`` pixels ask for: title, then hint."""
    title = wrap(scale.title, max(12, int(room / 8.2)))[:2]
    hint = wrap(scale.hint, max(12, int(room / 6.9)))[:2]
    return [(line, True) for line in title] + [(line, False) for line in hint]


def _top_of(scales: Sequence[Scale], room: float) -> float:
    """Return the pixels above the rows that the largest head takes, ticks included."""
    most = max(len(_head_lines(scale, room)) for scale in scales)
    return _HEAD + _LINE * (most - 1) + 14


def _label_width(rows: Sequence[ChartRow]) -> float:
    longest = max((len(shorten(row.label, 34)) for row in rows), default=0)
    return min(268.0, max(110.0, 46 + 7.4 * longest))


def _narrow(rows: Sequence[ChartRow], scales: Sequence[Scale]) -> Figure:
    crowded = any(len(estimates) > 1 for row in rows for estimates in row.estimates)
    row_height, full, margin = 48.0 if crowded else 42.0, 300.0, 8.0
    height = row_height * len(rows)
    space = _top_of(scales, full - margin)
    block = space + height + 44
    figure = new_figure(full, block * len(scales))
    for j, scale in enumerate(scales):
        top = space + j * block
        back = _new_rows(figure, 0, top, full, height, len(rows))
        back.set_xlim(0, full)
        for i, row in enumerate(rows):
            if row.is_marked:
                _band(back, i)
            weight = "bold" if row.is_bold or row.is_marked else "normal"
            values = [e.text for e in row.estimates[j] if e.text]
            label = shorten(row.label, 22 if values else 34)
            write(back, margin, i - 0.27, label, fontweight=weight)
            if values:
                write(back, full - margin, i - 0.27, values[-1], ha="right", fontweight=weight)
        panel = _new_rows(figure, margin, top, full - 2 * margin, height, len(rows))
        estimates = [row.estimates[j] for row in rows]
        room = full - margin
        _draw_scale(panel, scale, estimates, row_height, full - 2 * margin, room, below_label=True)
    return figure


def _new_rows(
    figure: Figure, left: float, top: float, width: float, height: float, n_rows: int
) -> Axes:
    axes = new_panel(figure, left=left, top=top, width=width, height=height)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_xlim(0, 1)
    return axes


def _band(axes: Axes, i: int) -> None:
    axes.axhspan(i - 0.48, i + 0.48, color=COLOURS["band"], linewidth=0, zorder=0)


def _write_value(axes: Axes, i: int, estimates: tuple[Estimate, ...], *, bold: bool) -> None:
    texts = [e.text for e in estimates if e.text]
    if texts:
        low, high = axes.get_xlim()
        x = high + (high - low) * 0.035
        write(axes, x, i, texts[-1], fontweight="bold" if bold else "normal")


def _draw_scale(
    axes: Axes,
    scale: Scale,
    rows: Sequence[tuple[Estimate, ...]],
    row_height: float,
    span: float,
    room: float,
    *,
    below_label: bool = False,
) -> None:
    low, high = axis_limits(scale, rows)
    axes.set_xlim(low, high)
    last = len(rows) - 0.5
    shift = 0.2 if below_label else 0.0
    for tick, text in axis_ticks(low, high, span, signed=scale.is_signed):
        _vertical(axes, tick, len(rows), below_label, color=COLOURS["grid"], linewidth=1, zorder=1)
        for y, offset in ((-0.5, -10 / row_height), (last, 13 / row_height)):
            write(axes, tick, y + offset, text, ha="center", fontsize=SMALL, color=COLOURS["muted"])
    for k, (line, is_title) in enumerate(reversed(_head_lines(scale, room))):
        style: dict[str, Any] = {"fontweight": "bold"} if is_title else _QUIET
        write(axes, low, -0.5 - (_HEAD + _LINE * k) / row_height, line, **style)
    if scale.reference is not None and low <= scale.reference <= high:
        dashes = {"linestyle": (0, (4, 3)), "linewidth": 1.2, "zorder": 2}
        _vertical(axes, scale.reference, len(rows), below_label, color=COLOURS["before"], **dashes)
    for i, estimates in enumerate(rows):
        spread = 6.0 / row_height
        for k, estimate in enumerate(estimates):
            offset = (k - (len(estimates) - 1) / 2) * 2 * spread
            _draw_estimate(axes, i + shift + offset, estimate)


def _vertical(axes: Axes, x: float, n_rows: int, below_label: bool, **style: Any) -> None:
    """Draw a line over all rows; in pieces where it would cross the labels."""
    if not below_label:
        axes.plot([x, x], [-0.5, n_rows - 0.5], **style)
        return
    pieces = [y for i in range(n_rows) for y in (i - 0.04, i + 0.44, math.nan)]
    axes.plot([x] * len(pieces), pieces, **style)


def _draw_estimate(axes: Axes, y: float, estimate: Estimate) -> None:
    left, right = axes.get_xlim()
    colour = COLOURS["blind" if estimate.mark == "none" else estimate.mark]
    is_before = estimate.mark == "before"
    if is_number(estimate.low) and is_number(estimate.high):
        assert estimate.low is not None and estimate.high is not None
        ends = [min(max(estimate.low, left), right), min(max(estimate.high, left), right)]
        width = 1.6 if is_before else 2.4
        axes.plot(ends, [y, y], color=colour, linewidth=width, zorder=3, alpha=0.75)
    if is_number(estimate.value):
        assert estimate.value is not None
        draw_marker(axes, min(max(estimate.value, left), right), y, estimate.mark)


def draw_marker(axes: Axes, x: float, y: float, mark: Mark, *, larger: bool = False) -> None:
    """Draw the marker of one way to use groups; its shape tells it without its colour."""
    colour = COLOURS["blind" if mark == "none" else mark]
    size = 6.5 if mark in {"given", "inferred"} else 7.5
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker=_MARKERS[mark],
        markersize=size + 3 if larger else size,
        markerfacecolor=COLOURS["paper"] if mark == "before" else colour,
        markeredgecolor=colour,
        markeredgewidth=1.8,
        clip_on=False,
        zorder=4,
    )


def axis_limits(scale: Scale, rows: Sequence[tuple[Estimate, ...]]) -> tuple[float, float]:
    """Return the ends of an axis: all values and intervals within bounds, a small margin."""
    numbers = list(scale.include)
    for estimates in rows:
        for e in estimates:
            numbers += [x for x in (e.value, e.low, e.high) if is_number(x) and x is not None]
    numbers = [min(max(x, scale.bounds[0]), scale.bounds[1]) for x in numbers]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 1, high + 1
    margin = 0.04 * (high - low)
    return (
        low if low in scale.bounds or low in scale.include else low - margin,
        high if high in scale.bounds else high + margin,
    )


def axis_ticks(
    low: float, high: float, span: float, *, signed: bool = False
) -> list[tuple[float, str]]:
    """Return round numbers between two ends, as many as ``span`` pixels hold, with texts."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=max(3, min(7, int(span // 62))), steps=[1, 2, 2.5, 5, 10])
    slack = 1e-9 * (high - low)
    values = [float(t) for t in locator.tick_values(low, high)]
    return [(t, _tick_text(t, signed=signed)) for t in values if low - slack <= t <= high + slack]


def _tick_text(value: float, *, signed: bool) -> str:
    text = f"{abs(round(value, 6)):g}"
    if text == "0":
        return text
    if value < 0:
        return "\N{MINUS SIGN}" + text
    return "+" + text if signed else text
