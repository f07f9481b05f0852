"""The figure of the study of incomes: densities before and after, and the map in money."""

from __future__ import annotations

from typing import Any

import numpy as np

from _case_studies.drawing import INK, MUTED, STYLES, canvas, heading, key, note
from _case_studies.incomes import REGIONS
from _case_studies.study import Draw, Results

__all__ = ["FIGURES", "draw"]

_INCOME = np.linspace(1_000, 80_000, 600)
_LOOKS = dict(zip(("defaulted", "late", "repaid"), STYLES.values(), strict=False))
_SIZES = {"2": "two outcomes", "3": "three outcomes"}


def draw(results: Results) -> Any:
    """Draw, for two and three outcomes, both regions' densities and the east's map."""
    cases = results["cases"]
    figure, axes = canvas(len(cases), 3, height=2.75 * len(cases) + 0.3, sharex=True)
    for line, (size, case) in enumerate(cases.items()):
        ideal = case["after"]["the east moves"]
        for column, region in enumerate(REGIONS):
            _densities(axes[line, column], case, ideal, column)
            heading(axes[line, column], f"{region}, {_SIZES[size]}")
        _map(axes[line, 2], ideal)
        axes[line, 0].set_ylabel("density by outcome")
    top = max(axis.get_ylim()[1] for axis in axes[:, :2].ravel())
    for axis in axes[:, :2].ravel():
        axis.set_ylim(0, top)
        axis.set_yticks([])
    for axis in axes[-1]:
        axis.set_xlabel("income, thousand euros a year")
    axes[-1, 0].plot([], [], color=INK, linewidth=1.7, label="D~, the nearest ideal law")
    axes[-1, 0].plot([], [], color=INK, linewidth=1.1, linestyle=":", label="D, as it is")
    key(figure, axes[-1, 0], 5)
    return figure


def _densities(axis: Any, case: Results, ideal: Results, region: int) -> None:
    for k, outcome in enumerate(case["outcomes"]):
        colour, mark = _LOOKS[outcome]["color"], _LOOKS[outcome]["marker"]
        for law, style in (
            (case, {"linestyle": ":", "linewidth": 1.1}),
            (ideal, {"linewidth": 1.7}),
        ):
            found = _density(law["log_medians"][k][region], law["log_sds"][k][region])
            axis.plot(_INCOME / 1000, found, color=colour, **style)
        peak = _density(ideal["log_medians"][k][region], ideal["log_sds"][k][region])
        top = int(np.argmax(peak))
        axis.plot(_INCOME[top] / 1000, peak[top], marker=mark, color=colour, markersize=5)
        axis.plot([], [], color=colour, marker=mark, linewidth=1.7, label=outcome)


def _density(log_median: float, log_sd: float) -> Any:
    z = (np.log(_INCOME) - log_median) / log_sd
    return np.exp(-0.5 * z**2) / (_INCOME * log_sd * np.sqrt(2 * np.pi))


def _map(axis: Any, ideal: Results) -> None:
    counted = np.exp(ideal["shift"]["east"] + ideal["power"]["east"] * np.log(_INCOME))
    axis.plot(_INCOME / 1000, _INCOME / 1000, color=MUTED, linestyle=":", linewidth=1.1)
    axis.plot(_INCOME / 1000, counted / 1000, color=INK, linewidth=1.7)
    axis.set_xlim(0, 80)
    axis.set_ylim(0, 80)
    axis.set_ylabel("counts as, thousand euros")
    heading(axis, "an income of the east counts as")
    note(axis, 0.62, 0.52, "as it is", rotation=38)


FIGURES: dict[str, Draw] = {"incomes": draw}
