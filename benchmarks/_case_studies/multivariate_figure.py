"""The figure of the study of many variables: price of symmetry, and seconds."""

from __future__ import annotations

from statistics import median
from typing import Any

from _case_studies.drawing import MUTED, STYLES, canvas, heading, key, note
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "MOST", "draw"]

MOST = 1_000.0
"""Larger ratios, of a divergence next to nothing, are drawn at the upper edge."""

_CLASSES = dict(zip((2, 3, 5), STYLES.values(), strict=False))
_TIMES = dict(
    zip(
        ("affine", "all groups", "symmetric", "general optimiser"),
        (STYLES["first"], STYLES["second"], STYLES["third"], STYLES["before"]),
        strict=True,
    )
)
_TITLES = {"tied": "one covariance a group", "free": "a covariance a cell"}


def draw(results: Results) -> Any:
    """Draw KL(symmetric) / KL(affine) and seconds against the number of variables."""
    figure, axes = canvas(2, 2, height=6.0, sharex=True, sharey="row")
    for column, kind in enumerate(_TITLES):
        rows = [row for row in results["rows"] if row["kind"] == kind]
        _ratios(axes[0, column], rows)
        _seconds(axes[1, column], rows)
        heading(axes[0, column], _TITLES[kind])
        axes[1, column].set_xlabel("variables")
    sizes = sorted({row["d"] for row in results["rows"]})
    axes[1, 0].set_xscale("log")
    axes[1, 0].set_xticks(sizes, [str(size) for size in sizes])
    axes[1, 0].minorticks_off()
    axes[0, 0].set_ylabel("KL symmetric / KL affine, up to 1,000")
    axes[1, 0].set_ylabel("seconds of one core, median")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(0.7, 1.3 * MOST)
    axes[0, 0].minorticks_off()
    axes[0, 0].yaxis.set_major_formatter(lambda value, place: f"{value:g}")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    key(figure, axes[1, 0], 4)
    return figure


def _affine(row: Results) -> float:
    return float(max(row["after"]["affine"]["kl"], 1e-12))


def _ratios(axis: Any, rows: list[Results]) -> None:
    axis.axhspan(2.0, 3.5, color="#f1f4f8")
    axis.axhline(1.0, color=MUTED, linewidth=1)
    note(axis, 0.99, 2.06, "2 to 3.5", ha="right", transform=axis.get_yaxis_transform())
    for n_classes, look in _CLASSES.items():
        own = [row for row in rows if row["n_classes"] == n_classes]
        if not own:
            continue
        shift = {2: 0.93, 3: 1.0, 5: 1.07}[n_classes]
        style = {"color": look["color"], "marker": look["marker"]}
        ratios = [min(MOST, row["after"]["symmetric"]["kl"] / _affine(row)) for row in own]
        places = [shift * row["d"] for row in own]
        axis.plot(
            places, ratios, linestyle="", markersize=4.5, label=f"{n_classes} classes", **style
        )


def _seconds(axis: Any, rows: list[Results]) -> None:
    sizes = sorted({row["d"] for row in rows})
    for name, look in _TIMES.items():
        found = []
        for size in sizes:
            own = [row for row in rows if row["d"] == size]
            times = [
                row["rival"] if name not in row["after"] else row["after"][name] for row in own
            ]
            found.append(max(1e-4, median(time["seconds"] for time in times)))
        axis.plot(sizes, found, markersize=4.5, linewidth=1.5, label=name, **look)
    axis.set_yscale("log")


FIGURES: dict[str, Draw] = {"multivariate": draw}
