"""``plot_layer_profile``: how unequal labels stand, and how well they are told, at every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, plain_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_layer_profile"]

_MAX_TICKS = 9
_MAX_LABELS = 14
"""More lines of text than that cannot be read in one panel."""

_TITLES = (
    ("Propensity", "lower is more even"),
    ("Discriminability", "higher tells labels better"),
    ("Labels at the last layer", "mean logit"),
)


def plot_layer_profile(profile: Any, *, chosen: int | None = None) -> Figure:
    """Return propensity and discriminability by layer, and every label's logits at the last.

    Parameters
    ----------
    profile : LayerProfile or dict
        What ``layer_profile`` returned, or its ``to_dict()``.
    chosen : int, optional
        A layer to mark, such as ``choose_layer(...).layer``.

    Returns
    -------
    matplotlib.figure.Figure
        Left the standard deviation over labels of their mean logit on texts that do not carry
        them. Middle the mean over labels of how far the logit rises on texts that do, with
        the least and the greatest of all labels as a band. Right, for every label (of more
        than 14 the 14 that are told worst), its mean logit with and without it at the last
        layer. Not registered with pyplot: save it with ``figure.savefig(path)``.

    Raises
    ------
    InvalidInputError
        If ``profile`` is of another kind or empty, or ``chosen`` is none of its layers.
    MissingExtraError
        If Matplotlib is not installed.
    """
    result = read_profile(profile, chosen)
    with plain_settings():
        figure = new_figure(1180, 430)
        panels = [figure.add_axes((left, 0.24, width, 0.64)) for left, width in
                  ((0.05, 0.25), (0.36, 0.25), (0.76, 0.22))]  # fmt: skip
        for axes, (title, hint) in zip(panels, _TITLES, strict=True):
            style_panel(axes, title, hint)
        draw_propensity(panels[0], result, chosen)
        draw_discriminability(panels[1], result, chosen)
        draw_labels(panels[2], result)
        for axes in panels:
            _legend(figure, axes)
        return figure


def read_profile(profile: Any, chosen: int | None) -> Mapping[str, Any]:
    """Return a profile as its dictionary, checked.

    Raises
    ------
    InvalidInputError
        If it is of another kind or empty, or ``chosen`` is none of its layers.
    """
    result = profile.to_dict() if hasattr(profile, "to_dict") else profile
    kind = result.get("kind") if isinstance(result, Mapping) else type(profile).__name__
    if not isinstance(result, Mapping) or kind != "layer_profile" or not result.get("layers"):
        raise InvalidInputError(
            "`profile` passed to `plot_layer_profile` must be of kind 'layer_profile' with a layer "
            f"or more, got {kind!r}. Pass what `layer_profile` returned."
        )
    if chosen is not None and chosen not in result["layers"]:
        raise InvalidInputError(
            f"`chosen` of `plot_layer_profile` must be one of the layers {result['layers']}, got "
            f"{chosen!r}."
        )
    return result


def draw_propensity(axes: Axes, result: Mapping[str, Any], chosen: int | None) -> None:
    """Draw std_k h_n by layer."""
    layers = _layer_axis(axes, result)
    axes.plot(layers, numbers(result["propensity"]), label="std over labels", **_line("blind", "o"))
    axes.set_ylim(bottom=0)
    _mark(axes, chosen)


def draw_discriminability(axes: Axes, result: Mapping[str, Any], chosen: int | None) -> None:
    """Draw the mean of h_c - h_n by layer, with its least and greatest label as a band."""
    layers = _layer_axis(axes, result)
    rise = numbers(result["label_mean"]) - numbers(result["rest_mean"])
    low, high = _extremes(rise)
    axes.axhline(0.0, color=COLOURS["rule"], linewidth=1)
    axes.fill_between(
        layers,
        low,
        high,
        color=COLOURS["given"],
        alpha=0.16,
        linewidth=0,
        label="least to most of a label",
    )
    if len(layers) == 1:  # a band needs two layers
        axes.plot(layers * 2, [low[0], high[0]], color=COLOURS["given"], alpha=0.5, linewidth=3)
    mean = numbers(result["discriminability_mean"])
    axes.plot(layers, mean, label="mean over labels", **_line("given", "D"))
    _mark(axes, chosen)


def draw_labels(axes: Axes, result: Mapping[str, Any]) -> None:
    """Draw h_n (hollow) and h_c (full) of each label at the last layer, one line a label."""
    shown = worst_told(result)
    with_label, without = (numbers(result[k])[-1][shown] for k in ("label_mean", "rest_mean"))
    places = np.arange(len(shown))[::-1]
    axes.hlines(places, without, with_label, color=COLOURS["rule"], linewidth=2.5, zorder=1)
    axes.plot(
        without, places, "o", markersize=6, markerfacecolor=COLOURS["paper"],
        markeredgecolor=COLOURS["before"], markeredgewidth=1.6, label="texts without it",
    )  # fmt: skip
    axes.plot(
        with_label, places, "D", markersize=5, color=COLOURS["inferred"], label="texts with it"
    )
    names = [_short(result["classes"][i]) for i in shown]
    axes.set_yticks(places, names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=COLOURS["grid"], linewidth=1)


def worst_told(result: Mapping[str, Any]) -> list[int]:
    """Return the labels to show: all, or the 14 that rise least at the last layer; worst first."""
    rise = (numbers(result["label_mean"]) - numbers(result["rest_mean"]))[-1]
    order = np.argsort(np.where(np.isnan(rise), np.inf, rise), kind="stable")
    found: list[int] = order[:_MAX_LABELS].tolist()
    return found


def numbers(values: Any) -> NDArray[np.float64]:
    """Return numbers of a result dictionary, None as NaN."""
    return np.array(values, dtype=object).astype(np.float64)


def style_panel(axes: Axes, title: str, hint: str) -> None:
    """Give a panel its title and the look of all."""
    axes.set_facecolor("none")
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=COLOURS["ink"])
    axes.set_title(hint, loc="right", fontsize=11, color=COLOURS["muted"])
    axes.tick_params(colors=COLOURS["muted"], labelsize=12, length=0)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(COLOURS["rule"])


def _layer_axis(axes: Axes, result: Mapping[str, Any]) -> list[int]:
    layers: list[int] = list(result["layers"])
    step = -(-len(layers) // _MAX_TICKS)
    last = len(layers) - 1
    shown = [i for i in range(len(layers)) if i % step == 0 and last - i >= step] + [last]
    axes.set_xticks([layers[i] for i in shown], [str(layers[i]) for i in shown])
    margin = max(0.3, 0.03 * (layers[-1] - layers[0]))
    axes.set_xlim(layers[0] - margin, layers[-1] + margin)
    axes.margins(y=0.14)  # room for the word "chosen"
    axes.set_xlabel("layer (block, from 0)", color=COLOURS["muted"], fontsize=12)
    return layers


def _line(colour: str, marker: str) -> dict[str, Any]:
    return {
        "color": COLOURS[colour],
        "marker": marker,
        "markersize": 5,
        "linewidth": 1.8,
        "zorder": 3,
    }


def _extremes(rise: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = [row[~np.isnan(row)] for row in rise]
    low = np.array([row.min() if len(row) else np.nan for row in known])
    high = np.array([row.max() if len(row) else np.nan for row in known])
    return low, high


def _mark(axes: Axes, chosen: int | None) -> None:
    if chosen is None:
        return
    axes.axvline(chosen, color=COLOURS["ink"], linewidth=1, dashes=(2, 2), zorder=1)
    on_right = chosen > sum(axes.get_xlim()) / 2  # where the word would leave the panel
    axes.annotate(
        "chosen",
        (chosen, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if on_right else 4, -4),
        textcoords="offset points",
        ha="right" if on_right else "left",
        va="top",
        fontsize=11,
        color=COLOURS["ink"],
    )


def _short(name: str, longest: int = 18) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}\u2026"


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    box = axes.get_position()
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(box.x0 - 0.01, 0.12),
        ncols=2,
        frameon=False,
        fontsize=11,
        handlelength=1.8,
        columnspacing=1.2,
    )
