"""``plot_frontier``: what each budget of divergence buys, as a curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isonomy.errors import InvalidInputError
from isonomy.report._canvas import COLOURS, new_figure, plain_settings
from isonomy.report.layer_profile import numbers, style_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_frontier"]

_PANELS = (
    ("violation", "Divergence left to an ideal law", "nats", "given", "D"),
    (
        "bayes_gap",
        "Largest gap of a Bayes classifier",
        "share of people under that law",
        "before",
        "o",
    ),
    ("risk", "Errors of the best classifier", "share of people under that law", "inferred", "s"),
)


def plot_frontier(frontier: Any) -> Figure:
    """Return the frontier: what is left, the largest gap and the risk, against the price.

    Parameters
    ----------
    frontier : Frontier or dict
        What ``violation_frontier`` returned, or its ``to_dict()``.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels over the divergence paid, KL(D' || D) in nats: the divergence that is left
        to an ideal law, the largest difference between groups of any rate of the Bayes
        classifiers, and the errors of the best one. A dotted line marks what the nearest
        ideal law costs. Not registered with pyplot: save it with ``figure.savefig(path)``.

    Raises
    ------
    InvalidInputError
        If ``frontier`` is of another kind or has no points.
    MissingExtraError
        If Matplotlib is not installed.
    """
    result = frontier.to_dict() if hasattr(frontier, "to_dict") else frontier
    kind = result.get("kind") if isinstance(result, Mapping) else type(frontier).__name__
    if kind != "frontier" or not result.get("points"):
        raise InvalidInputError(
            "`frontier` passed to `plot_frontier` must be of kind 'frontier' with a point or "
            f"more, got {kind!r}. Pass what `violation_frontier` returned."
        )
    points = sorted(result["points"], key=lambda point: float(point["kl"]))
    paid = numbers([point["kl"] for point in points])
    with plain_settings():
        figure = new_figure(1180, 350)
        for (name, title, unit, colour, marker), left in zip(
            _PANELS, (0.06, 0.385, 0.71), strict=True
        ):
            axes = figure.add_axes((left, 0.17, 0.255, 0.72))
            style_panel(axes, title, "")
            axes.plot(
                paid,
                numbers([point[name] for point in points]),
                color=COLOURS[colour],
                marker=marker,
                markersize=5,
                linewidth=1.8,
                zorder=3,
            )
            axes.axvline(result["whole"], color=COLOURS["muted"], linewidth=1, dashes=(1, 2))
            highest = max(float(point[name]) for point in points)
            axes.set_ylim(0.0, 1.15 * highest if highest > 0.0 else 1.0)
            axes.locator_params(axis="x", nbins=5)
            axes.set_ylabel(unit, color=COLOURS["muted"], fontsize=12)
            axes.set_xlabel("paid: KL(D\u2032 || D), nats", color=COLOURS["muted"], fontsize=12)
        axes = figure.axes[0]
        axes.annotate(
            "nearest ideal law",
            (result["whole"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-6, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=11,
            color=COLOURS["muted"],
        )
        return figure
