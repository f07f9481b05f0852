"""``plot_probe_cost``: gap and accuracy as the probe that infers groups gets worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, plain_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_probe_cost"]

_WAYS = {
    "soft": ("soft: mean of the maps", "blind", "o", 0.0),
    "hard": ("hard: most probable group", "given", "D", 0.018),
    "gated": ("gated: hard where sure", "inferred", "s", -0.018),
}
"""Label, colour, marker, and a small shift that keeps intervals apart."""

_HOLLOW: dict[str, Any] = {
    "markerfacecolor": COLOURS["paper"],
    "markeredgecolor": COLOURS["before"],
    "markeredgewidth": 2,
}

_TICKS = (1.0, 0.5, 0.0, -0.5, -1.0)
_WORDS = {1.0: "knows all", 0.0: "knows nothing", -1.0: "always wrong"}

Points = Sequence[Mapping[str, Any]]


def plot_probe_cost(result: Mapping[str, Any]) -> Figure:
    """Return the curve of what a wrong probe costs, as a figure of two panels.

    Parameters
    ----------
    result : dict
        What ``ProbeCost.to_dict()`` returned.

    Returns
    -------
    matplotlib.figure.Figure
        Left the corrected precision-weighted rms TPR gap with its interval, right the
        accuracy, against the knowledge of the simulated probe; the fitted probe (hollow)
        stands where a simulated one names as many groups rightly. Not registered with
        pyplot: save it with ``figure.savefig(path)``.

    Raises
    ------
    InvalidInputError
        If ``result`` is of another kind.
    MissingExtraError
        If Matplotlib is not installed.
    """
    if result.get("kind") != "probe_cost":
        raise InvalidInputError(
            "`result` passed to `plot_probe_cost` must be of kind 'probe_cost', got "
            f"{result.get('kind')!r}. Pass `probe_cost_curve(...).to_dict()`."
        )
    with plain_settings():
        figure = new_figure(1000, 430)
        left = figure.add_axes((0.06, 0.23, 0.39, 0.66))
        right = figure.add_axes((0.56, 0.23, 0.39, 0.66))
        _draw(left, result, "corrected", "rms TPR gap, corrected", "smaller is better")
        _draw(right, result, "accuracy", "Accuracy", "larger is better")
        own: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 10}
        left.plot([], [], label="hollow: the fitted probe", **own, **_HOLLOW)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="lower center", ncols=len(labels), frameon=False, fontsize=12
        )
        return figure


def _draw(axes: Axes, result: Mapping[str, Any], field: str, title: str, hint: str) -> None:
    points: Points = result["points"]
    _style(axes, title, hint)
    for point in points:
        if point["probe"] == "none" and point[field] is not None:
            axes.axhline(
                point[field],
                color=COLOURS["before"],
                dashes=(4, 3),
                linewidth=1.3,
                label="untouched",
            )
    for way, (label, colour, marker, shift) in _WAYS.items():
        ours = [p for p in points if p["inference"] == way and p[field] is not None]
        simulated = [p for p in ours if p["probe"] == "simulated"]
        if not simulated:
            continue
        x = [p["knowledge"] + shift for p in simulated]
        style: dict[str, Any] = {
            "color": COLOURS[colour],
            "marker": marker,
            "linewidth": 1.8,
        }
        axes.plot(x, [p[field] for p in simulated], label=label, zorder=3, markersize=6, **style)
        if field == "corrected":
            _intervals(axes, x, simulated, COLOURS[colour])
        for point in (p for p in ours if p["probe"] == "fitted"):
            place = _equivalent_knowledge(point["probe_accuracy"], simulated) + shift
            hollow: dict[str, Any] = {
                "markerfacecolor": COLOURS["paper"],
                "markeredgewidth": 2,
                "markersize": 10,
            }
            axes.plot([place], [point[field]], zorder=4, **{**style, **hollow})


def _intervals(axes: Axes, x: Sequence[float], points: Points, colour: str) -> None:
    for place, point in zip(x, points, strict=True):
        if point["low"] is not None and point["high"] is not None:
            ends = [point["low"], point["high"]]
            axes.plot([place, place], ends, color=colour, linewidth=1, alpha=0.5, zorder=2)


def _equivalent_knowledge(accuracy: float, simulated: Points) -> float:
    """Return the knowledge >= 0 at which a simulated probe is right as often."""
    known = [p for p in simulated if p["knowledge"] >= 0] or list(simulated)
    pairs = sorted((p["probe_accuracy"], p["knowledge"]) for p in known)
    return float(np.interp(accuracy, [a for a, _ in pairs], [k for _, k in pairs]))


def _style(axes: Axes, title: str, hint: str) -> None:
    axes.set_facecolor("none")
    axes.set_xlim(1.06, -1.06)  # worse probes to the right
    axes.set_xticks(
        _TICKS, [f"{t:g}\n{_WORDS.get(t, '')}".replace("-", "\N{MINUS SIGN}") for t in _TICKS]
    )
    axes.set_xlabel("knowledge of the probe", color=COLOURS["muted"], fontsize=12)
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=COLOURS["ink"])
    axes.set_title(hint, loc="right", fontsize=12, color=COLOURS["muted"])
    axes.tick_params(colors=COLOURS["muted"], labelsize=12, length=0)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=1)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(COLOURS["rule"])
