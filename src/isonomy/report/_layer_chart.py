"""The curves of a model's layers as blocks of a page: the chart, and its numbers in a table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from isonomy.report._canvas import COLOURS, new_figure, plain_settings
from isonomy.report._document import Block, Chart, Fold, Table, Width
from isonomy.report._numbers import UNDEFINED, is_number, per_cent, points
from isonomy.report.figures import SMALL
from isonomy.report.layer_curves import (
    _draw_gap,
    _draw_probe,
    _draw_utility,
    _mark,
    _places,
    _position,
    _style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["layer_curves_blocks"]

_TITLES = ("Probes of the group", "Utility of the head", "TPR gap, corrected")
_PANEL, _TOP, _AXIS, _KEY = 210.0, 34.0, 64.0, 22.0
"""Heights in pixels: the curves, the title above, the axis below, one line of the key."""


def layer_curves_blocks(curves: Mapping[str, Any]) -> tuple[Block, ...]:
    """Return the chart of ``LayerCurves.to_dict()`` with its numbers folded below."""
    choice = curves.get("choice") or {}
    test = [p for p in curves["points"] if p["part"] == "test"]
    chosen = [p for p in test if choice and p["layer"] == choice.get("layer")]
    said = ""
    if chosen:
        accuracy, gap = _rate(chosen[0]["accuracy"]), _gap(chosen[0]["gap"])
        said = f" Chosen: {_name(chosen[0])}, accuracy {accuracy}%, gap {gap} points."
    rows = curves.get("n_rows") or {}
    caption = (
        "Left: how often a linear probe names the group from the state (dotted: by chance). "
        "Middle: how well a linear head names the class. Right: its typical gap between groups; "
        "dashed: on the texts that choose, where a gap counts only if it is smaller beyond its "
        f"noise. All are shares. Bands are 95% intervals, of {rows.get('test')} texts that neither "
        "fitted nor chose; the rest of this page judges on other texts."
    )
    return (
        Chart(
            "layers",
            "What every layer tells of group and class, and its gap",
            f"{len(test)} places along the model.{said} The table below holds all numbers.",
            partial(_draw, curves),
            caption,
        ),
        Fold(f"The numbers of all {len(test)} places", (_table(test),)),
    )


def _draw(curves: Mapping[str, Any], width: Width) -> Figure:
    wide = width == "wide"
    test = [p for p in curves["points"] if p["part"] == "test"]
    validation = [p for p in curves["points"] if p["part"] == "validation"]
    key = 4 * _KEY
    each = _TOP + _PANEL + _AXIS + key
    full_width, full_height = (960.0, each) if wide else (300.0, 3 * each)
    with plain_settings():
        figure = new_figure(full_width, full_height)
        for i, title in enumerate(_TITLES):
            left, top = (44.0 + 320.0 * i, _TOP) if wide else (44.0, _TOP + i * each)
            panel_width = 256.0 if wide else 244.0
            place = (
                left / full_width,
                1 - (top + _PANEL) / full_height,
                panel_width / full_width,
                _PANEL / full_height,
            )
            axes = figure.add_axes(place)
            _style(axes, test, title, "")
            if curves.get("choice"):
                _mark(axes, _places(test)[_position(test, curves["choice"]["layer"])])
            if i == 2:
                _draw_gap(axes, test, validation)
            else:
                (_draw_probe, _draw_utility)[i](axes, test)
            _key(axes, figure, left / full_width, 1 - (top + _PANEL + _AXIS) / full_height)
        _readable(figure)
        return figure


def _key(axes: Any, figure: Figure, left: float, top: float) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(left, top),
        bbox_transform=figure.transFigure,
        frameon=False,
        fontsize=SMALL,
        labelcolor=COLOURS["ink"],
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.35,
    )


def _readable(figure: Figure) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontsize(max(float(text.get_fontsize()), SMALL))


def _table(test: list[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            _name(p),
            _rate(p["accuracy"]),
            _rate(p["macro_f1"]),
            _gap(p["gap"]),
            _rate(p["probe_accuracy"]),
            _rate(p["probe_within"]),
        )
        for p in test
    )
    columns = (
        "Place",
        "Accuracy (%)",
        "Macro F1 (%)",
        "Typical gap (points)",
        "Probe names the group (%)",
        "Probe told the class (%)",
    )
    return Table("Measured on texts that neither fitted nor chose", columns, rows)


def _name(point: Mapping[str, Any]) -> str:
    layer = point["layer"]
    return "input of the head" if layer is None else f"block {layer}"


def _rate(entry: Mapping[str, Any]) -> str:
    value = entry.get("value")
    return per_cent(value) if is_number(value) else UNDEFINED


def _gap(entry: Mapping[str, Any]) -> str:
    value, low, high = (entry.get(k) for k in ("value", "low", "high"))
    if not is_number(value) or value is None:
        return UNDEFINED
    shown = points(max(0.0, value))
    if not is_number(low) or not is_number(high) or low is None or high is None:
        return shown
    return f"{shown} ({points(max(0.0, low))} to {points(max(0.0, high))})"
