"""Whether what is gained at a short budget of steps is there at a long one.

The settings are those that are best at the short budget, for every method alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from _real_data.markdown import table

from _adapters.cells import BUDGET, LONGER, Cell, Run
from _adapters.methods import BASE, METHODS, Method, Recipe
from _adapters.results import Results, gather, mean_and_spread
from _adapters.running import Settings

__all__ = ["Budgets", "budget_cells", "budget_parts", "budget_runs", "gather_budgets"]

SHOWN = ("macro_f1", "head", "tail", "gap")
HEADS = ("macro-F1", "head", "tail", "head - tail")


@dataclass(frozen=True)
class Budgets:
    """The results at each number of steps, the shortest first."""

    short: Results
    long: Results
    steps: tuple[int, int]


def budget_cells(seeds: int) -> list[Cell]:
    """Return the cells of the study."""
    return [Cell(BUDGET[0], ratio, seed) for seed in range(seeds) for ratio in BUDGET[1]]


def budget_runs(
    cells: Sequence[Cell], methods: Sequence[Method], recipes: dict[str, Recipe]
) -> list[Run]:
    """Return both budgets of every method, cell by cell."""
    return [
        Run(cell, method.name, recipe)
        for cell in cells
        for method in methods
        if method.name in recipes and not method.derived
        for recipe in (recipes[method.name], lengthened(recipes[method.name]))
    ]


def lengthened(recipe: Recipe) -> Recipe:
    """Return the recipe with the long budget; one that trains nothing as it is."""
    return replace(recipe, steps=round(recipe.steps * LONGER))


def gather_budgets(
    cells: Sequence[Cell], methods: Sequence[Method], recipes: dict[str, Recipe], settings: Settings
) -> Budgets | None:
    """Read what is on disk; None where nothing is at the long budget."""
    longer = {name: lengthened(recipe) for name, recipe in recipes.items()}
    short = gather(cells, methods, recipes, settings)
    long = gather(cells, methods, longer, settings)
    if not long.methods:
        return None
    steps = max(recipe.steps for recipe in recipes.values())
    return Budgets(short, long, (steps, round(steps * LONGER)))


def budget_table(budgets: Budgets, data: str, ratio: float) -> str:
    """Return each method's metrics at both budgets in one data set and ratio."""
    lines = []
    for name in budgets.long.methods:
        for steps, results in zip(budgets.steps, (budgets.short, budgets.long), strict=True):
            cells = results.part(data, ratio)
            means = [mean_and_spread(results.values(name, m, cells))[0] for m in SHOWN]
            ahead = 100 * mean_and_spread(results.differences(name, BASE, "macro_f1", cells))[0]
            if not math.isnan(means[0]):
                lead = "" if name == BASE or math.isnan(ahead) else f"{ahead:+.1f}"
                numbers = [f"{value:.3f}" for value in means]
                lines.append([METHODS[name].label, str(steps), *numbers, lead])
    return table(["method", "steps", *HEADS, "macro-F1, points ahead of plain LoRA"], lines)


def verdicts(budgets: Budgets) -> list[str]:
    """Say of every method whether its lead over plain LoRA is there at the long budget."""
    found = []
    for name in budgets.long.methods:
        said = []
        for metric, words in (("macro_f1", "macro-F1"), ("tail", "tail"), ("head", "head")):
            pair = [_lead(results, name, metric) for results in (budgets.short, budgets.long)]
            if not any(math.isnan(value) for value in pair):
                said.append(f"{words} {pair[0]:+.1f}, then {pair[1]:+.1f}{_word(*pair)}")
        if said and name != BASE:
            found.append(f"{METHODS[name].label}: {'; '.join(said)}.")
    return found


def _lead(results: Results, name: str, metric: str) -> float:
    return 100 * mean_and_spread(results.differences(name, BASE, metric))[0]


def _word(short: float, long: float) -> str:
    """Return a judgement of a lead; differences below half a point are none."""
    if short < 0.5:
        return ""
    if long < 0.5:
        return " (gone)"
    return " (persists)" if long >= 0.8 * short else " (shrinks)"


def budget_parts(budgets: Budgets | None) -> list[str]:
    """Return the parts of the page."""
    if budgets is None:
        return []
    short, long = budgets.steps
    cells = {(cell.data, cell.ratio): 0 for cell in budgets.long.cells}
    parts = [
        "### A longer budget",
        f"The chosen settings at {short} and at {long} steps. Points ahead of plain LoRA in the "
        f"mean over cells, at {short} steps and then at {long}; *persists* says that at least "
        "four fifths of a lead of half a point or more are left, *gone* that less than half a "
        "point is.",
        "\n".join(f"- {line}" for line in verdicts(budgets)),
    ]
    for data, ratio in cells:
        parts += [f"#### {data} at {ratio:g}:1", budget_table(budgets, data, ratio)]
    return parts
