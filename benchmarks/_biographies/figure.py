"""One small PNG: accuracy against the corrected gap of one fitted rule, a panel a kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _real_data.figures import COLOURS, MARKS, pareto

from _biographies.judging import Judged, Row
from isonomy._atomic import atomic_path

__all__ = ["TITLES", "draw_gaps"]

TITLES = {
    "frozen": "frozen, mean over tokens",
    "finetuned": "fine-tuned, mean over tokens",
    "tfidf": "TF-IDF",
    "frozen_last": "frozen, last token",
    "finetuned_last": "fine-tuned, last token",
}
DEEPEST = 0.05


def draw_gaps(all_judged: Sequence[Judged], path: Path) -> Path:
    """Draw points lost against gap; what no other of its kind beats is named by a number."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(all_judged), 4.6), dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(all_judged), squeeze=False)[0]
    for axis, judged in zip(axes, all_judged, strict=True):
        _panel(axis, judged)
    axes[0].set_ylabel("points of accuracy lost", fontsize=8)
    for family, colour in COLOURS.items():
        axes[-1].plot([], [], "o", color=colour, label=family)
    for use, words in (("given", "group given"), ("blind", "blind"), ("inferred", "guessed")):
        filled = "#777777" if use == "given" else "white"
        axes[-1].plot([], [], MARKS[use], color="#777777", markerfacecolor=filled, label=words)
    axes[-1].legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    with atomic_path(path) as temporary:
        # no version or date in the file: same results, same bytes
        figure.savefig(
            temporary, format="png", metadata={"Software": None}, bbox_inches="tight",
            pil_kwargs={"compress_level": 9},
        )  # fmt: skip
    return path


def _panel(axis: Any, judged: Judged) -> None:
    shown = [row for row in judged.rows if row.loss < DEEPEST]
    named: list[tuple[float, float, str]] = []
    for needs_group, line in ((True, "-"), (False, "--")):
        points = []
        for row in (r for r in shown if (r.use == "given") is needs_group):
            x, loss = max(row.each.corrected, 0.0), 100 * row.loss
            filled = COLOURS[row.family] if needs_group else "white"
            axis.plot(
                [x], [loss], MARKS[row.use], color=COLOURS[row.family], markerfacecolor=filled,
                markersize=5,
            )  # fmt: skip
            points.append((x, -loss, row.label))
        front = pareto(points)
        axis.plot([p[0] for p in front], [-p[1] for p in front], line, color="#aaaaaa", lw=1)
        named += front
    for i, (x, gain, _) in enumerate(named, start=1):
        # neighbours' numbers take turns in four places around their points
        side = ((3, 4), (-8, 4), (3, -9), (-8, -9))[i % 4]
        axis.annotate(str(i), (x, -gain), fontsize=7, xytext=side, textcoords="offset points")
    key = "\n".join(f"{i} {label}" for i, (_, _, label) in enumerate(named, start=1))
    axis.text(0.0, -0.2, key, transform=axis.transAxes, va="top", fontsize=6)
    _frame(axis, judged, shown)


def _frame(axis: Any, judged: Judged, shown: Sequence[Row]) -> None:
    hidden = len(judged.rows) - len(shown)
    title = TITLES[judged.kind]
    axis.set_title(title if not hidden else f"{title} ({hidden} lose more)", fontsize=8)
    axis.set_xlabel("rms TPR gap of one rule, precision, corrected", fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7)
    axis.set_xlim(left=-0.003)
    axis.yaxis.set_inverted(True)
