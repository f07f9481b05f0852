"""Small PNG figures: utility against gap with the Pareto front, and the two studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _real_data.entries import BASE, CRITERIA
from _real_data.judging import Judged
from _real_data.markdown import label_of
from isonomy._atomic import atomic_path

__all__ = ["draw_case", "draw_curve", "draw_why", "pareto"]

COLOURS = {"untouched": "#222222", "rival": "#c96a1b", "isonomy": "#1f5fa8"}
MARKS = {"none": "s", "blind": "s", "given": "o", "inferred": "^"}
PANELS = {
    "rms_tpr_gap_precision": "rms TPR gap, precision weights, corrected",
    "demographic_parity_difference": "demographic parity difference",
    "equalized_odds_difference": "equalized odds difference",
}


def pareto(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Return the (gap, utility, name) that no other beats: smaller gap and larger utility."""
    front: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def draw_case(judged: Judged, path: Path) -> Path:
    """Draw accuracy against the gaps of one data set, and name what is on the front."""
    metrics = ["rms_tpr_gap_precision"] if judged.case.is_text else list(PANELS)[1:]
    figure, axes = _canvas(len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, judged.rows, metric)
    axes[0].set_ylabel("accuracy, out of fold")
    _legend(axes[-1])
    return _save(figure, path)


def _panel(axis: Any, rows: Sequence[dict[str, Any]], metric: str) -> None:
    """Draw the methods that were not asked for another criterion, two fronts, and a key."""
    asked = {criterion for criterion, gap in CRITERIA.items() if gap == metric}
    rows = [row for row in rows if row["criterion"] in {None, *asked}]
    floor = _floor(rows)
    named: list[tuple[float, float, str]] = []
    for needs_group, line in ((True, "-"), (False, "--")):
        points = []
        for row in (r for r in rows if (r["use"] == "given") is needs_group):
            x, y = _gap(row, metric), row["accuracy"]
            colour, mark = COLOURS[row["family"]], MARKS[row["use"]]
            filled = colour if needs_group else "white"
            axis.plot([x], [y], mark, color=colour, markerfacecolor=filled, markersize=5)
            points.append((x, y, row["name"]))
        front = pareto(points)
        xs, ys = [p[0] for p in front], [p[1] for p in front]
        axis.plot(xs, ys, line, color="#aaaaaa", lw=1, zorder=0)
        seen = [p for p in front if p[1] >= floor]
        named += [*seen, *(p for p in points if p[2] == BASE and p not in seen)]
    _cut(axis, rows, floor)
    for i, (x, y, _) in enumerate(named, start=1):
        axis.annotate(str(i), (x, y), fontsize=7, xytext=(3, 4), textcoords="offset points")
    key = [f"{i} {label_of(name)}" for i, (_, _, name) in enumerate(named, start=1)]
    half = (len(key) + 1) // 2
    for left, part in ((-0.1, key[:half]), (0.5, key[half:])):
        place = {"transform": axis.transAxes, "va": "top", "fontsize": 6}
        axis.text(left, -0.22, "\n".join(part), **place)
    axis.set_xlabel(PANELS[metric])
    axis.set_xlim(left=-0.03 * axis.get_xlim()[1])


def _floor(rows: Sequence[dict[str, Any]]) -> float:
    """Return the accuracy below which a method is not drawn: it would flatten the rest."""
    best = max(row["accuracy"] for row in rows)
    return next((row["accuracy"] for row in rows if row["name"] == BASE), best) - 0.05


def _cut(axis: Any, rows: Sequence[dict[str, Any]], floor: float) -> None:
    below = sum(row["accuracy"] < floor for row in rows)
    if below:
        best = max(row["accuracy"] for row in rows)
        axis.set_ylim(floor, best + 0.1 * (best - floor))
        place = {"transform": axis.transAxes, "ha": "right", "color": "#777777"}
        axis.text(0.98, 0.02, f"{below} more lose over 5 points", fontsize=7, **place)


def _gap(row: dict[str, Any], metric: str) -> float:
    gap = row["gap"][metric]
    return float(gap["value"] if gap["corrected"] is None else max(gap["corrected"], 0.0))


def _legend(axis: Any) -> None:
    for family, colour in COLOURS.items():
        axis.plot([], [], "o", color=colour, label=family)
    for use, mark in (("given", "o"), ("blind", "s"), ("inferred", "^")):
        filled = "#777777" if use == "given" else "white"
        axis.plot([], [], mark, color="#777777", markerfacecolor=filled, label=f"group {use}")
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def draw_curve(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw the corrected gap and the accuracy against the number of rows."""
    figure, axes = _canvas(2)
    for name in dict.fromkeys(row["name"] for row in rows):
        own = sorted((r for r in rows if r["name"] == name), key=lambda r: r["n_rows"])
        sizes = [row["n_rows"] for row in own]
        gaps = [row["gap"]["rms_tpr_gap_precision"]["corrected"] for row in own]
        axes[0].plot(sizes, gaps, "o-", ms=4, label=label_of(name))
        axes[1].plot(sizes, [row["accuracy"] for row in own], "o-", ms=4)
    axes[0].axhline(0, color="#999999", lw=0.8)
    axes[0].set_ylabel("rms TPR gap, precision, corrected")
    axes[1].set_ylabel("accuracy, out of fold")
    for axis in axes:
        axis.set_xlabel("rows (three quarters of them to fit on)")
        axis.set_xlim(left=0)
    axes[0].legend(fontsize=7, frameon=False)
    return _save(figure, path)


def draw_why(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw, for each map, the gap on fitted rows beside the gap on held-out rows."""
    figure, axes = _canvas(2, height=0.6 + 0.27 * len(rows))
    places = range(len(rows))
    words = {"gap": "rms TPR gap, corrected", "far": "distance of class means, corrected"}
    for axis, kind in zip(axes, words, strict=True):
        for part, colour in (("in", "#9db8d6"), ("out", "#1f5fa8")):
            offset = -0.2 if part == "in" else 0.2
            values = [row[f"{kind}_{part}"] for row in rows]
            label = "fitted rows" if part == "in" else "held-out rows"
            axis.barh([p + offset for p in places], values, 0.38, color=colour, label=label)
        axis.set_xlabel(words[kind])
        axis.invert_yaxis()
    axes[0].set_yticks(list(places), [row["variant"] for row in rows], fontsize=7)
    axes[1].set_yticks([])
    axes[0].legend(fontsize=7, frameon=False)
    return _save(figure, path)


def _canvas(n_panels: int, height: float = 3.6) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * n_panels + (1.4 if n_panels == 1 else 0), height), dpi=100)
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(1, n_panels, i + 1) for i in range(n_panels)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
        axis.xaxis.label.set_size(8)
        axis.yaxis.label.set_size(8)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    with atomic_path(path) as temporary:
        # no version or date in the file: same results, same bytes
        figure.savefig(
            temporary,
            format="png",
            metadata={"Software": None},
            bbox_inches="tight",
            pil_kwargs={"compress_level": 9},
        )
    return path
