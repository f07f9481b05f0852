"""Reliability of scores: one small panel a group, what scores said against what came true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, new_panel, plain_settings, write
from isonomy.report._document import Width
from isonomy.report._numbers import shorten
from isonomy.report.figures import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bin", "ReliabilityPanel", "reliability_chart"]

_TITLE, _BARS, _FOOT, _LEFT = 30.0, 34.0, 46.0, 40.0


@dataclass(frozen=True)
class Bin:
    """One bin of scores, in per cent: mean score, rate, its interval, number of rows.

    ``place`` counts the bins, withheld and empty ones too: only neighbours are joined.
    """

    score: float
    rate: float
    low: float
    high: float
    n: float
    place: int


@dataclass(frozen=True)
class ReliabilityPanel:
    """The bins of one group that may be shown, by growing score."""

    group: str
    bins: tuple[Bin, ...]


def reliability_chart(
    panels: Sequence[ReliabilityPanel], width: Width = "wide", *, axis: str = "Score (%)"
) -> Figure:
    """Draw the curve of every group with intervals, and below it how many rows each bin has.

    Parameters
    ----------
    panels : sequence of ReliabilityPanel
        Up to four abreast when wide, two when narrow. The curves of the other groups are
        repeated in grey in every panel, so that no colour has to tell groups apart.
    width : {"wide", "narrow"}
        960 or 300 pixels.
    axis : str
        What the scores are.

    Returns
    -------
    Figure
        Made through Matplotlib's object API; nothing global is changed.

    Raises
    ------
    InvalidInputError
        If no panel has a bin.
    MissingExtraError
        If Matplotlib is not installed.
    """
    if not any(panel.bins for panel in panels):
        raise InvalidInputError(
            "`panels` passed to `reliability_chart` must hold at least one bin, got "
            f"{len(panels)} panels without any. All bins may have been withheld."
        )
    full, most = (960.0, 4) if width == "wide" else (300.0, 2)
    columns = min(most, len(panels)) if width == "narrow" else min(most, max(len(panels), 3))
    step = full / columns
    side = step - _LEFT - (22 if width == "wide" else 4)
    block = _TITLE + side + _BARS + _FOOT
    with plain_settings():
        figure = new_figure(full, block * math.ceil(len(panels) / columns))
        for i, panel in enumerate(panels):
            left, top = (i % columns) * step + _LEFT, (i // columns) * block + _TITLE
            curve = new_panel(figure, left=left, top=top, width=side, height=side)
            others = [p for p in panels if p is not panel]
            _draw_curve(curve, panel, others, side, is_first=i % columns == 0)
            bars = new_panel(figure, left=left, top=top + side, width=side, height=_BARS)
            _draw_bars(bars, panel, side, axis if width == "wide" else "")
        return figure


def _draw_curve(
    axes: Axes,
    panel: ReliabilityPanel,
    others: Sequence[ReliabilityPanel],
    side: float,
    *,
    is_first: bool,
) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    pixel = 100 / side
    name = shorten(panel.group, max(8, int((side + 30) / 8.6)))
    write(axes, -28 * pixel if side < 150 else 0, 100 + 16 * pixel, name, fontweight="bold")
    for tick in (0, 50, 100):
        axes.plot([0, 100], [tick, tick], color=COLOURS["grid"], linewidth=1, zorder=0.5)
        axes.plot([tick, tick], [0, 100], color=COLOURS["grid"], linewidth=1, zorder=0.5)
        colour = COLOURS["muted"]
        write(axes, -6 * pixel, tick, str(tick), ha="right", fontsize=SMALL, color=colour)
    dashes: dict[str, Any] = {"linestyle": (0, (4, 3)), "linewidth": 1.1}
    axes.plot([0, 100], [0, 100], color=COLOURS["before"], zorder=1, **dashes)
    for other in others:
        thin: dict[str, Any] = {"color": COLOURS["rule"], "linewidth": 1, "zorder": 1.2}
        axes.plot(*_line(other.bins), marker="o", markersize=2, **thin)
    for b in panel.bins:
        thick: dict[str, Any] = {"linewidth": 2.2, "alpha": 0.6, "zorder": 2.5}
        axes.plot([b.score, b.score], [b.low, b.high], color=COLOURS["blind"], **thick)
    axes.plot(
        *_line(panel.bins),
        color=COLOURS["blind"],
        linewidth=1.2,
        marker="o",
        markersize=5.5,
        clip_on=False,
        zorder=3,
    )
    if not panel.bins:
        write(axes, 50, 62, "withheld", ha="center", color=COLOURS["muted"])


def _line(bins: Sequence[Bin]) -> tuple[list[float], list[float]]:
    """Return the curve, broken where a bin between two others is withheld or empty."""
    xs: list[float] = []
    ys: list[float] = []
    for before, b in zip((None, *bins), bins, strict=False):
        if before is not None and b.place != before.place + 1:
            xs.append(math.nan)
            ys.append(math.nan)
        xs.append(b.score)
        ys.append(b.rate)
    return xs, ys


def _draw_bars(axes: Axes, panel: ReliabilityPanel, side: float, axis: str) -> None:
    """Draw rows per bin downwards, the largest bin at full height, and the axis of scores."""
    axes.set_xlim(0, 100)
    axes.set_ylim(_BARS, 0)
    most = max((b.n for b in panel.bins), default=1.0)
    for b in panel.bins:
        height = max(1.0, (_BARS - 8) * b.n / most)
        bar: dict[str, Any] = {"color": COLOURS["rule"], "linewidth": 0, "zorder": 2}
        axes.bar([b.score], [height], width=6.5, bottom=3, **bar)
    for tick in (0, 50, 100):
        ha = "right" if tick == 100 else "center"
        x = 100 + 3 * 100 / side if tick == 100 else tick
        write(axes, x, _BARS + 10, str(tick), ha=ha, fontsize=SMALL, color=COLOURS["muted"])
    rows = -6 * 100 / side
    write(axes, rows, _BARS / 2, "rows", ha="right", fontsize=SMALL, color=COLOURS["muted"])
    if axis:
        write(axes, 0, _BARS + 28, axis, fontsize=SMALL, color=COLOURS["muted"])
