"""Which data sets at which imbalance with which seeds."""

from __future__ import annotations

from dataclasses import dataclass

from _adapters.methods import BASE, METHODS, Method, Recipe

__all__ = ["ACCEPTANCE", "FULL", "SWEEP", "TUNED_ON", "Cell", "Run", "runs_of", "tuning_cells"]


@dataclass(frozen=True)
class Cell:
    """One training set: ``ratio`` 0 leaves the data as they are."""

    data: str
    ratio: float
    seed: int

    @property
    def name(self) -> str:
        """Return a name for files."""
        ratio = f"{self.ratio:g}" if self.ratio else "as-is"
        return f"{self.data}-{ratio}-{self.seed}"


@dataclass(frozen=True)
class Run:
    """One training of one method in one cell."""

    cell: Cell
    method: str
    recipe: Recipe


SEEDS = (0, 1, 2)
TUNED_ON = Cell("banking77", 10, 0)


def tuning_cells(method: Method) -> list[Cell]:
    """Return the cells on which a method's settings are tried: one for each of its seeds."""
    return [Cell(TUNED_ON.data, TUNED_ON.ratio, seed) for seed in range(method.tuning_seeds)]


ACCEPTANCE = tuple((data, ratio) for data in ("banking77", "trec") for ratio in (10, 50))
SWEEP = ("banking77", (2, 5, 10, 25, 50, 100))
FULL = (
    ("goemotions", 0), ("goemotions", 100), ("clinc150", 10), ("clinc150", 50), ("hwu64", 10),
    ("hwu64", 50), ("stackoverflow20", 10), ("stackoverflow20", 50), ("biographies", 0),
    ("digits", 10), ("digits", 50), ("omniglot", 10),
)  # fmt: skip
BUDGET = ("banking77", (10, 50))
BUDGETS = (BASE, "logit_adjusted", "equity", "start_and_finish", "finish_only")
LONGER = 3.6
"""A long budget of steps over the usual one: 900 over 250."""
SWEPT = (BASE, "logit_adjusted", "equity", "finish_only")


def runs_of(
    cells: list[Cell], methods: list[Method], recipes: dict[str, Recipe], images: frozenset[str]
) -> list[Run]:
    """Return what is to be trained, seed by seed so that an early stop leaves whole seeds.

    ``recipes`` holds the chosen recipe of each method; methods without one are left out, and so
    are those that read words where the data are images.
    """
    found = []
    for cell in sorted(cells, key=lambda c: c.seed):
        for method in methods:
            if method.derived or method.name not in recipes:
                continue
            if cell.data in images and not fits_images(method):
                continue
            own = Cell(cell.data, 0, 0) if method.once else cell
            run = Run(own, method.name, recipes[method.name])
            if run not in found:
                found.append(run)
    return found


def fits_images(method: Method) -> bool:
    """Whether a method has a meaning for a vision tower with a classification head."""
    return not method.once and method.recipe.trains in {"attention", "all", "layer_norms"}


def names_of(patterns: list[str]) -> list[str]:
    """Return the names of all methods that match, in the order of the tables."""
    from fnmatch import fnmatch

    return [name for name in METHODS if any(fnmatch(name, p) for p in patterns)]
