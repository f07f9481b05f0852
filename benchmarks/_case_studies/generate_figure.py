"""The figure of the study of generated rows: gaps and accuracy by source, with intervals."""

from __future__ import annotations

from typing import Any

from _case_studies.drawing import STYLES, canvas, heading, key
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "draw"]

_LOOKS = dict(zip(("logistic regression", "gradient boosting"), STYLES.values(), strict=False))
_KINDS = {"eodds": "EOdds gap on real held-out rows", "accuracy": "accuracy on the same rows"}


def draw(results: Results) -> Any:
    """Draw one row of panels for gaps and one for accuracies; a column a table."""
    tables = results["tables"]
    figure, axes = canvas(2, len(tables), width=3.2 * len(tables) + 1.6, height=6.6, sharey=True)
    most = max(row["real"]["eodds"][2] for found in tables.values() for row in found["rows"])
    for column, (name, found) in enumerate(tables.items()):
        for line, (kind, words) in enumerate(_KINDS.items()):
            axis = axes[line, column]
            labels = _panel(axis, found["rows"], kind)
            axis.set_xlabel(words if column == len(tables) // 2 else "")
            if line == 0:
                heading(axis, name.replace("_", " "))
                axis.set_xlim(0, 1.02 * most)
    axes[0, 0].set_yticks(range(len(labels)), labels)
    axes[0, 0].invert_yaxis()
    key(figure, axes[0, 0], 2)
    return figure


def _panel(axis: Any, rows: list[Results], kind: str) -> list[str]:
    places = list(dict.fromkeys((row["aware"], row["source"]) for row in rows))
    for shift, (head, look) in zip((-0.17, 0.17), _LOOKS.items(), strict=True):
        own = {(r["aware"], r["source"]): r["real"][kind] for r in rows if r["head"] == head}
        ys = [place + shift for place in range(len(places))]
        value, low, high = (list(part) for part in zip(*(own[p] for p in places), strict=True))
        axis.hlines(ys, low, high, color=look["color"], linewidth=1.2)
        axis.plot(value, ys, look["marker"], color=look["color"], markersize=4.5, label=head)
    n_aware = sum(aware for aware, _ in places)
    axis.axhline(n_aware - 0.5, color="#c3c9d1", linewidth=1)
    return [f"{'a head per group' if aware else 'one head'}: {name}" for aware, name in places]


FIGURES: dict[str, Draw] = {"generate": draw}
