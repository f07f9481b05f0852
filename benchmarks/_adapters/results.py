"""All metrics of every method in every cell, from what lies on disk."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _real_data.store import digest_of, remembered

from _adapters import derived
from _adapters.cells import Cell, Run, tuning_cells
from _adapters.derived import derive
from _adapters.judging import judge
from _adapters.methods import BASE, METHODS, Method, Recipe
from _adapters.running import Settings, cell_rows, place_of, tuned_score
from _adapters.store import Place, read_logits, read_run

__all__ = ["Results", "gather", "mean_and_spread"]

DERIVED_CODE = digest_of(inspect.getsource(derived))


@dataclass(frozen=True)
class Results:
    """``found[method][cell]``: the metrics and costs of one run; what is missing is not there."""

    cells: tuple[Cell, ...]
    found: dict[str, dict[Cell, dict[str, Any]]]
    recipes: dict[str, Recipe]
    tuning: dict[str, list[tuple[dict[str, Any], float]]]

    @property
    def methods(self) -> list[str]:
        """Return the methods that have a result, in the order of the tables."""
        return [name for name in METHODS if self.found.get(name)]

    def states(self) -> dict[str | None, int]:
        """Return how many records come from each state of the library; None is not known."""
        found: dict[str | None, int] = {}
        for name, own in self.found.items():
            if not METHODS[name].derived:  # the record of plain LoRA, counted there
                for value in own.values():
                    found[value.get("library")] = found.get(value.get("library"), 0) + 1
        return found

    @property
    def parts(self) -> list[tuple[str, float]]:
        """Return the data sets and ratios of which there are results."""
        known = [cell for cell in self.cells if any(cell in own for own in self.found.values())]
        return list(dict.fromkeys((cell.data, cell.ratio) for cell in known))

    def part(self, data: str, ratio: float) -> list[Cell]:
        """Return the cells of one data set and ratio."""
        return [cell for cell in self.cells if (cell.data, cell.ratio) == (data, ratio)]

    def values(self, method: str, metric: str, cells: Sequence[Cell]) -> list[float]:
        """Return a metric in the cells where it is known."""
        own = self.found.get(method, {})
        found = [own[cell].get(metric) for cell in cells if cell in own]
        return [float(v) for v in found if v is not None and np.isfinite(v)]

    def differences(
        self, method: str, other: str, metric: str, cells: Sequence[Cell] | None = None
    ) -> list[float]:
        """Return method minus other in every cell that both have."""
        cells = self.cells if cells is None else cells
        one, two = self.found.get(method, {}), self.found.get(other, {})
        both = [cell for cell in cells if cell in one and cell in two]
        pairs = [(one[cell].get(metric), two[cell].get(metric)) for cell in both]
        return [float(a - b) for a, b in pairs if a is not None and b is not None]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of a sample; NaN where undefined."""
    if not values:
        return float("nan"), float("nan")
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), spread


def gather(
    cells: Sequence[Cell], methods: Sequence[Method], recipes: dict[str, Recipe],
    settings: Settings,
) -> Results:  # fmt: skip
    """Read every result that is on disk."""
    found: dict[str, dict[Cell, dict[str, Any]]] = {}
    tuning: dict[str, list[tuple[dict[str, Any], float]]] = {}
    for method in methods:
        if method.derived:
            if BASE in recipes:
                found[method.name], tuning[method.name] = _derived(
                    method, cells, recipes[BASE], settings
                )
            continue
        tuning[method.name] = _tuned(method, settings)
        if method.name in recipes:
            own = {cell: _trained(method, cell, recipes[method.name], settings) for cell in cells}
            found[method.name] = {cell: value for cell, value in own.items() if value is not None}
    return Results(tuple(cells), found, recipes, tuning)


def _trained(
    method: Method, cell: Cell, recipe: Recipe, settings: Settings
) -> dict[str, Any] | None:
    own = Cell(cell.data, 0, 0) if method.once else cell
    place = place_of(Run(own, method.name, recipe), settings)
    record = read_run(place)
    if record is None:
        return None
    costs = {name: record.get(name) for name in _COSTS}
    if not method.once:
        return {**record["test"], **costs, "diverged": record.get("diverged")}
    # it saw no training rows: what is head and tail is that of the cell
    rows, run = cell_rows(cell, settings.folder), read_logits(place)
    return {**judge(run.test, run.y_test, rows.counts), **costs}


_COSTS = (
    "step_seconds", "start_seconds", "finish_seconds", "share", "trainable", "total", "perplexity",
    "layer", "n_test", "library",
)  # fmt: skip


def _tuned(method: Method, settings: Settings) -> list[tuple[dict[str, Any], float]]:
    """Return macro-F1 on the validation rows of the tuning cells, of each setting tried."""
    pairs = zip(method.settings, method.recipes(), strict=True)
    tried = [(dict(setting), tuned_score(method, recipe, settings)) for setting, recipe in pairs]
    return [(setting, score) for setting, score in tried if score is not None]


def _derived(
    method: Method, cells: Sequence[Cell], base: Recipe, settings: Settings
) -> tuple[dict[Cell, dict[str, Any]], list[tuple[dict[str, Any], float]]]:
    """Return a derived method's metrics, its setting chosen as those of the others are."""
    tried = []
    if len(method.settings) > 1:
        for setting in method.settings:
            moved = [
                _moved(method.name, cell, base, dict(setting), settings)
                for cell in tuning_cells(method)
            ]
            scores = [record["validation"]["macro_f1"] for record in moved if record is not None]
            if len(scores) == len(moved):
                tried.append((dict(setting), float(np.mean(scores))))
    best = max(tried, key=lambda pair: pair[1])[0] if tried else dict(method.settings[0])
    own = {cell: _moved(method.name, cell, base, best, settings) for cell in cells}
    found = {
        cell: {**record["test"], **record["costs"]}
        for cell, record in own.items()
        if record is not None
    }
    return found, tried


def _moved(
    name: str, cell: Cell, base: Recipe, setting: dict[str, Any], settings: Settings
) -> dict[str, Any] | None:
    place = place_of(Run(cell, BASE, base), settings)
    record = read_run(place)
    if record is None:
        return None
    costs = {part: record.get(part) for part in _COSTS}

    def compute() -> dict[str, Any]:
        run = derive(name, read_logits(place), setting)
        group = cell_rows(cell, settings.folder).test.group
        return {
            "validation": judge(run.val, run.y_val, run.counts),
            "test": judge(run.test, run.y_test, run.counts, group),
            "costs": costs,
        }

    key = {"base": place.key, "record": digest_of(record), "name": name, "setting": setting}
    return remembered(_derived_path(place, name, setting), key | {"code": DERIVED_CODE}, compute)


def _derived_path(place: Place, name: str, setting: dict[str, Any]) -> Any:
    stem = f"{place.record.stem}-{name}-{digest_of(setting)[:8]}.json"
    return place.record.parents[2] / "derived" / place.record.parent.name / stem
