"""The figure of the study of real tables: gaps on held-out rows, by what was done to rows."""

from __future__ import annotations

from typing import Any

from _case_studies.drawing import MUTED, STYLES, canvas, heading, key, note
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "draw"]

_LOOKS = dict(zip(("logistic regression", "gradient boosting"), STYLES.values(), strict=False))
_WAYS = ("as they are", "weights alone", "steered, normal", "steered, chosen family")


def draw(results: Results) -> Any:
    """Draw one panel a table: the EOdds gap above, the accuracy below."""
    tables = results["tables"]
    figure, axes = canvas(2, len(tables), width=2.1 * len(tables) + 1.9, height=4.6, sharey=True)
    most = max(row["eodds"][2] for found in tables.values() for row in found["rows"])
    for column, (name, found) in enumerate(tables.items()):
        heading(axes[0, column], name.replace("_", " "))
        for line, kind in enumerate(("eodds", "accuracy")):
            _panel(axes[line, column], found, kind)
        axes[0, column].set_xlim(0, 1.02 * most)
        if found["chosen"] == "normal":
            note(axes[0, column], 0.98, 0.04, "chosen: normal", ha="right", color=MUTED)
    middle = len(tables) // 2
    axes[0, middle].set_xlabel("EOdds gap on real held-out rows")
    axes[1, middle].set_xlabel("accuracy on the same rows")
    axes[0, 0].set_yticks(range(len(_WAYS)), _WAYS)
    axes[0, 0].invert_yaxis()
    key(figure, axes[0, 0], 2)
    return figure


def _panel(axis: Any, found: Results, kind: str) -> None:
    names = (*_WAYS[:3], f"steered, {found['chosen']}")
    for shift, (head, look) in zip((-0.14, 0.14), _LOOKS.items(), strict=True):
        own = {row["way"]: row[kind] for row in found["rows"] if row["head"] == head}
        ys = [place + shift for place in range(len(names))]
        value, low, high = (list(part) for part in zip(*(own[n] for n in names), strict=True))
        axis.hlines(ys, low, high, color=look["color"], linewidth=1.2)
        axis.plot(value, ys, look["marker"], color=look["color"], markersize=4.5, label=head)
    axis.locator_params(axis="x", nbins=4)


FIGURES: dict[str, Draw] = {"tables": draw}
