"""The profile of a model's layers as blocks of a page: the chart, and its numbers in tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isonomy.report._canvas import COLOURS, new_figure, plain_settings
from isonomy.report._document import Block, Chart, Fold, Table, Width
from isonomy.report._numbers import UNDEFINED
from isonomy.report.figures import SMALL
from isonomy.report.layer_profile import (
    draw_discriminability,
    draw_labels,
    draw_propensity,
    numbers,
    read_profile,
    style_panel,
    worst_told,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["layer_profile_blocks"]

_TITLES = ("Propensity", "Discriminability", "At the last layer")
_TOP, _AXIS, _KEY = 34.0, 64.0, 48.0
"""Heights in pixels: the title above the curves, the axis below, the key below that."""


def layer_profile_blocks(
    profile: Mapping[str, Any], choice: Mapping[str, Any] | None = None
) -> tuple[Block, ...]:
    """Return the chart of ``LayerProfile.to_dict()`` with its numbers folded below.

    ``choice`` is ``LayerChoice.to_dict()``: its layer is marked and its sentence written.
    """
    chosen = None if choice is None else int(choice["layer"])
    result = read_profile(profile, chosen)
    n_labels, shown = len(result["classes"]), len(worst_told(result))
    some = "" if shown == n_labels else f" (the {shown} of {n_labels} that are told worst)"
    said = "" if choice is None else f" {choice['sentence']}"
    caption = (
        "What the model would answer if it stopped after each layer. Left: how unequal the labels' "
        "mean logits are on texts that do not carry them (standard deviation over labels). Middle: "
        "how far a label's mean logit rises on texts that carry it; the band goes from the label "
        f"that rises least to the one that rises most. Right: each label{some} at the last layer. "
        f"Measured on {result['n_rows']} texts; means, without intervals."
    )
    return (
        Chart(
            "layer-profile",
            "How labels stand, and how well they are told, at every layer",
            f"{len(result['layers'])} layers, {n_labels} labels.{said} The tables below hold all "
            "numbers.",
            partial(_draw, result, chosen),
            caption,
        ),
        Fold(
            f"The numbers of all {len(result['layers'])} layers and {n_labels} labels",
            (_layer_table(result), _label_table(result)),
        ),
    )


def _draw(result: Mapping[str, Any], chosen: int | None, width: Width) -> Figure:
    wide = width == "wide"
    panel = max(210.0, 17.0 * len(worst_told(result)))
    each = _TOP + panel + _AXIS + _KEY
    full_width, full_height = (960.0, each) if wide else (300.0, 3 * each)
    with plain_settings():
        figure = new_figure(full_width, full_height)
        for i, title in enumerate(_TITLES):
            # the labels' names stand on the left of the third panel
            left, wide_as = (44.0 + 292.0 * i, 236.0) if i < 2 else (44.0 + 292.0 * 2 + 110, 206.0)
            top = _TOP
            if not wide:
                left, top = (44.0 if i < 2 else 146.0), _TOP + i * each
                wide_as = 244.0 if i < 2 else 142.0
            place = (
                left / full_width,
                1 - (top + panel) / full_height,
                wide_as / full_width,
                panel / full_height,
            )
            axes = figure.add_axes(place)
            style_panel(axes, title, "")
            _fill(i, axes, result, chosen)
            _key(axes, figure, left / full_width, 1 - (top + panel + _AXIS) / full_height)
        _readable(figure)
        return figure


def _fill(panel: int, axes: Axes, result: Mapping[str, Any], chosen: int | None) -> None:
    if panel == 0:
        draw_propensity(axes, result, chosen)
    elif panel == 1:
        draw_discriminability(axes, result, chosen)
    else:
        draw_labels(axes, result)


def _key(axes: Axes, figure: Figure, left: float, top: float) -> None:
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


def _layer_table(result: Mapping[str, Any]) -> Table:
    names = (
        "propensity",
        "discriminability_mean",
        "discriminability_std",
        "discriminability_min",
    )
    columns = [[_number(v) for v in numbers(result[name])] for name in names]
    rows = tuple(
        (f"block {layer}", *cells) for layer, *cells in zip(result["layers"], *columns, strict=True)
    )
    heads = ("Layer", "Propensity", "Discriminability, mean", "Std", "Least")
    return Table("In units of a logit", heads, rows)


def _label_table(result: Mapping[str, Any]) -> Table:
    with_label, without = (numbers(result[k])[-1] for k in ("label_mean", "rest_mean"))
    rows = tuple(
        (name, str(n), _number(c), _number(h), _number(c - h))
        for name, n, c, h in zip(result["classes"], result["n"], with_label, without, strict=True)
    )
    heads = ("Label", "Texts", "Mean logit with it", "Without it", "Difference")
    return Table("Every label at the last layer", heads, rows)


def _number(value: float) -> str:
    return UNDEFINED if np.isnan(value) else f"{value:.2f}"
