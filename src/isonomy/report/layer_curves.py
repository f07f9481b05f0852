"""``plot_layer_curves``: what every layer tells of the group and of the label, and its gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, plain_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_layer_curves"]

Points = Sequence[Mapping[str, Any]]

_MAX_TICKS = 9


def plot_layer_curves(curves: Any) -> Figure:
    """Return probe accuracy, utility and gap by layer, as a figure of three panels.

    Parameters
    ----------
    curves : LayerCurves or dict
        What ``layer_curves`` returned, or its ``to_dict()``.

    Returns
    -------
    matplotlib.figure.Figure
        The test rows' numbers with their 95 % intervals as bands; dashed, the gap on the
        validation rows, which choose: the layer marked "chosen" is that of
        ``LayerCurves.best()``, for which a gap counts where it is smaller beyond its noise.
        Not registered with pyplot: save it with ``figure.savefig(path)``.

    Raises
    ------
    InvalidInputError
        If ``curves`` is of another kind or empty.
    MissingExtraError
        If Matplotlib is not installed.
    """
    result = _read(curves)
    points: Points = [p for p in result["points"] if p["part"] == "test"]
    chosen = result.get("choice")
    with plain_settings():
        figure = new_figure(1180, 430)
        panels = [figure.add_axes((left, 0.27, 0.26, 0.58)) for left in (0.05, 0.385, 0.72)]
        titles = (
            ("Probe of the group", "lower leaks less"),
            ("Utility of a linear head", "higher is better"),
            ("rms TPR gap, corrected", "smaller is better"),
        )
        for axes, (title, hint) in zip(panels, titles, strict=True):
            _style(axes, points, title, hint)
            if chosen is not None:
                _mark(axes, _places(points)[_position(points, chosen["layer"])])
        _draw_probe(panels[0], points)
        _draw_utility(panels[1], points)
        _draw_gap(panels[2], points, [p for p in result["points"] if p["part"] == "validation"])
        _legends(figure, panels)
        return figure


def _read(curves: Any) -> Mapping[str, Any]:
    result = curves.to_dict() if hasattr(curves, "to_dict") else curves
    kind = result.get("kind") if isinstance(result, Mapping) else type(curves).__name__
    if not isinstance(result, Mapping) or kind != "layer_curves" or not result["points"]:
        raise InvalidInputError(
            "`curves` passed to `plot_layer_curves` must be of kind 'layer_curves' with a point "
            f"or more, got {kind!r}. Pass what `layer_curves` returned."
        )
    return result


def _draw_probe(axes: Axes, points: Points) -> None:
    _curve(axes, points, "probe_accuracy", "probe", "before", "o")
    _constant(axes, points, "probe_chance", "largest group", "before")
    _curve(axes, points, "probe_within", "probe told the class", "inferred", "s")
    _constant(axes, points, "probe_within_chance", "largest group of the class", "inferred")


def _draw_utility(axes: Axes, points: Points) -> None:
    _curve(axes, points, "accuracy", "accuracy", "blind", "o")
    _curve(axes, points, "macro_f1", "macro-F1", "inferred", "s")


def _draw_gap(axes: Axes, points: Points, validation: Points) -> None:
    axes.axhline(0.0, color=COLOURS["rule"], linewidth=1)
    _curve(axes, points, "gap", "test rows", "given", "D")
    axes.plot(
        _places(validation),
        _values(validation, "gap", "value"),
        color=COLOURS["before"],
        dashes=(4, 3),
        linewidth=1.3,
        label="validation rows (choose)",
    )


def _curve(axes: Axes, points: Points, field: str, label: str, colour: str, marker: str) -> None:
    x, shade = _places(points), COLOURS[colour]
    low, high = _values(points, field, "low"), _values(points, field, "high")
    axes.fill_between(x, low, high, color=shade, alpha=0.16, linewidth=0)
    if len(points) == 1:  # a band needs two layers
        axes.plot([x[0], x[0]], [low[0], high[0]], color=shade, alpha=0.5, linewidth=3)
    axes.plot(
        x,
        _values(points, field, "value"),
        color=shade,
        marker=marker,
        markersize=5,
        linewidth=1.8,
        label=label,
        zorder=3,
    )


def _constant(axes: Axes, points: Points, field: str, label: str, colour: str) -> None:
    y = [np.nan if p[field] is None else p[field] for p in points]
    x = _places(points)
    if len(x) == 1:
        x, y = np.array([x[0] - 0.4, x[0] + 0.4]), [y[0], y[0]]
    axes.plot(x, y, color=COLOURS[colour], dashes=(1, 2), linewidth=1.4, label=label)


def _values(points: Points, field: str, part: str) -> list[float]:
    found = [p[field][part] for p in points]
    return [np.nan if v is None else float(v) for v in found]


def _places(points: Points) -> Any:
    """Return where the layers stand: their numbers, the head's input behind the last."""
    numbers = [p["layer"] for p in points if p["layer"] is not None]
    behind = max(numbers, default=-1) + 1
    return np.array([behind if p["layer"] is None else p["layer"] for p in points], dtype=float)


def _position(points: Points, layer: int | None) -> int:
    return [p["layer"] for p in points].index(layer)


def _mark(axes: Axes, place: float) -> None:
    axes.axvline(place, color=COLOURS["ink"], linewidth=1, dashes=(2, 2), zorder=1)
    on_right = place > sum(axes.get_xlim()) / 2  # where the word would leave the panel
    axes.annotate(
        "chosen",
        (place, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if on_right else 4, -4),
        textcoords="offset points",
        ha="right" if on_right else "left",
        fontsize=11,
        va="top",
        color=COLOURS["ink"],
    )


def _legends(figure: Figure, panels: Sequence[Axes]) -> None:
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        box = axes.get_position()
        figure.legend(
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=(box.x0 - 0.01, 0.15),
            ncols=2,
            frameon=False,
            fontsize=11,
            handlelength=1.8,
            columnspacing=1.2,
        )


def _style(axes: Axes, points: Points, title: str, hint: str) -> None:
    axes.set_facecolor("none")
    places = _places(points)
    names = ["head\ninput" if p["layer"] is None else f"{p['layer']}" for p in points]
    step = -(-len(places) // _MAX_TICKS)
    last = len(places) - 1
    shown = [i for i in range(len(places)) if i % step == 0 and last - i >= step] + [last]
    axes.set_xticks([places[i] for i in shown], [names[i] for i in shown])
    margin = max(0.3, 0.03 * (places.max() - places.min()))
    axes.set_xlim(places.min() - margin, places.max() + margin)
    axes.set_xlabel("layer (block, from 0)", color=COLOURS["muted"], fontsize=12)
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=COLOURS["ink"])
    axes.set_title(hint, loc="right", fontsize=11, color=COLOURS["muted"])
    axes.tick_params(colors=COLOURS["muted"], labelsize=12, length=0)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(COLOURS["rule"])
