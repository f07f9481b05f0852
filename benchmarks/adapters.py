"""Fine-tuning on long-tailed data: bias-aware adapters against their rivals at equal budget.

Run from the repository root, with the data sets in ``../shared/data`` (or ``--folder``, or the
environment variable ``ISONOMY_DATA``) and a model in ``../shared/models/small_llama`` (or
``--model``)::

    python benchmarks/adapters.py --workers 2 --report
    python benchmarks/adapters.py --only 'lora,equity,*_only' --data banking77 --seeds 1
    python benchmarks/adapters.py --study step_time
    python benchmarks/adapters.py --study sweep --seeds 1
    python benchmarks/adapters.py --study budget
    python benchmarks/adapters.py --full

Each method's settings are first tried on one cell (banking77 at 10:1, seed 0) and judged on its
balanced validation rows; the best is run on all cells. Every run is one file under ``--work``: an
interrupted benchmark goes on where it stopped, and a method whose recipe changed in
``_adapters/methods.py`` is trained again. ``--budget-minutes`` starts no run after that time.
Progress goes to stderr, tables to stdout; ``--report`` writes docs/adapters-measured.md, its
figures and a section of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _adapters  # noqa: F401  (threads are set before anything imports NumPy)
from _adapters.cells import ACCEPTANCE, BUDGETS, FULL, SEEDS, SWEEP, SWEPT, Cell, names_of, runs_of
from _adapters.methods import BASE, METHODS, Method, Recipe, named
from _real_data.running import telling

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python benchmarks/adapters.py --report"
STUDIES = ("main", "sweep", "budget", "step_time")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = ROOT.parent / "shared"
    data = os.environ.get("ISONOMY_DATA", str(shared / "data"))
    parser.add_argument("--folder", default=data, help="where the data sets lie")
    model = shared / "models" / "small_llama"
    parser.add_argument("--model", type=Path, default=model, help="a local model's folder")
    work = ROOT / ".benchmarks" / "adapters"
    parser.add_argument("--work", type=Path, default=work, help="where results are kept")
    parser.add_argument("--only", help="methods by comma; may hold * (all but the --full ones)")
    parser.add_argument("--data", help="data sets by comma")
    parser.add_argument("--ratios", help="ratios by comma; 0 is the data as they are")
    parser.add_argument("--seeds", type=int, help="how many (3; of --study budget 1)")
    parser.add_argument("--steps", type=int, help="steps of every method, to try things out")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--budget-minutes", type=float, help="start no run after that time")
    parser.add_argument("--study", default="main", choices=STUDIES)
    parser.add_argument("--full", action="store_true", help="all methods and data sets")
    parser.add_argument("--untuned", action="store_true", help="first settings, no tuning")
    parser.add_argument("--tune", action="store_true", help="try the settings and stop")
    parser.add_argument("--judge", action="store_true", help="train nothing, judge what is there")
    parser.add_argument("--report", action="store_true", help="write the page and the figures")
    parser.add_argument("--when", default=time.strftime("%d %B %Y"), help="date of the report")
    parser.add_argument("--root", type=Path, default=ROOT, help="whose docs --report writes")
    parser.add_argument("--list", action="store_true", help="list the methods")
    asked = parser.parse_args(arguments)
    asked.seeds = asked.seeds or (1 if asked.study == "budget" else len(SEEDS))
    asked.methods = asked_methods(asked, parser)
    asked.cells = asked_cells(asked)
    return asked


def asked_methods(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Method]:
    """Return the methods, those of the study unless others are named."""
    patterns = [part for part in (asked.only or "").split(",") if part]
    studies = {"sweep": SWEPT, "budget": BUDGETS}
    if not patterns and asked.study in studies:
        return named(list(studies[asked.study]))
    if not patterns:
        return [method for method in METHODS.values() if asked.full or not method.full]
    unknown = [pattern for pattern in patterns if not names_of([pattern])]
    if unknown:
        parser.error(f"--only names {unknown[0]!r}, which is none of {', '.join(METHODS)}")
    found = names_of(patterns)
    if any(METHODS[name].derived for name in found) and BASE not in found:
        found.insert(0, BASE)
    return named(found)


def asked_cells(asked: argparse.Namespace) -> list[Cell]:
    """Return the cells of a study."""
    parts = [*ACCEPTANCE, *(FULL if asked.full else ())]
    if asked.study == "sweep":
        parts = [(SWEEP[0], ratio) for ratio in SWEEP[1]]
    if asked.data:
        wanted = asked.data.split(",")
        known = [data for data, _ in (*ACCEPTANCE, *FULL)]
        parts = [part for part in parts if part[0] in wanted]
        missing = [name for name in wanted if name not in {data for data, _ in parts}]
        parts += [part for part in FULL if part[0] in missing]
        if set(wanted) - set(known):
            raise SystemExit(f"--data names {sorted(set(wanted) - set(known))}, none of {known}")
    if asked.ratios:
        ratios = [float(part) for part in asked.ratios.split(",")]
        parts = [(data, ratio) for data in dict.fromkeys(d for d, _ in parts) for ratio in ratios]
    return [Cell(data, ratio, seed) for seed in range(asked.seeds) for data, ratio in parts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the tables."""
    asked = parse(arguments)
    if asked.list:
        print("\n".join(f"{name}: {method.label}" for name, method in METHODS.items()))
        return 0
    from _adapters.data import model_path

    missing = model_path(asked.model)
    if missing is not None:
        print(f"nothing was run: {missing}", file=sys.stderr)
        return 0
    start = time.perf_counter()
    with telling() as tell:
        settings = _settings(asked)
        if asked.study == "step_time":
            return _step_time(settings, tell)
        methods = [shortened(method, asked.steps) for method in asked.methods]
        recipes, done, left = _tune(asked, methods, settings, tell)
        if not (asked.judge or asked.tune):
            more = _train(asked, methods, recipes, settings, tell)
            done, left = done + more[0], left + more[1]
    _show(asked, methods, recipes, settings)
    if asked.report and asked.study != "main":
        print("no page: --report alone writes it, this study in it", file=sys.stderr)
    spent = time.perf_counter() - start
    print(f"{done} runs, {left} left; {spent:.0f} s on the clock", file=sys.stderr)
    return 0


def _settings(asked: argparse.Namespace) -> Any:
    from _adapters.running import Settings

    minutes = asked.budget_minutes
    deadline = float("inf") if minutes is None else time.time() + 60 * minutes
    return Settings(
        asked.folder, str(asked.model), asked.work, asked.device, asked.threads, deadline
    )


def _tune(
    asked: argparse.Namespace, methods: list[Method], settings: Any, tell: Any
) -> tuple[dict[str, Recipe], int, int]:
    from _adapters.running import chosen_recipes, run_missing, tuning_runs

    done, left = 0, 0
    if not (asked.judge or asked.untuned):
        trained = [method for method in methods if not method.derived]
        done, left = run_missing(tuning_runs(trained), settings, workers=asked.workers, tell=tell)
    return chosen_recipes(methods, settings, first=asked.untuned), done, left


def _train(
    asked: argparse.Namespace, methods: list[Method], recipes: dict[str, Recipe], settings: Any,
    tell: Any,
) -> tuple[int, int]:  # fmt: skip
    from _adapters.budget import budget_cells, budget_runs
    from _adapters.images import IMAGE_SETS
    from _adapters.running import run_missing

    if asked.study == "budget":
        runs = budget_runs(budget_cells(asked.seeds), methods, recipes)
    else:
        runs = runs_of(asked.cells, methods, recipes, frozenset(IMAGE_SETS))
    return run_missing(runs, settings, workers=asked.workers, tell=tell)


def shortened(method: Method, steps: int | None) -> Method:
    """Return the method with other steps, where it trains at all."""
    from dataclasses import replace

    if steps is None or not method.recipe.steps:
        return method
    return replace(method, recipe=replace(method.recipe, steps=steps))


def _show(
    asked: argparse.Namespace, methods: list[Method], recipes: dict[str, Recipe], settings: Any
) -> None:
    from _adapters.budget import budget_parts
    from _adapters.report import print_results, write_report
    from _adapters.results import gather
    from _adapters.step_time import read_step_time

    if asked.study == "budget":
        print("\n\n".join(budget_parts(_budgets(asked, methods, recipes, settings))))
        return
    results = gather(asked.cells, methods, recipes, settings)
    timed = read_step_time(settings)
    print_results(results, timed)
    if not asked.report or asked.study != "main":
        return
    words = {"model": asked.model.name, "when": asked.when, "step_time": timed}
    words |= {
        "sweep": _study(asked, SWEPT, settings, _sweep), "command": COMMAND,
        "budgets": _study(asked, BUDGETS, settings, _budgets),
    }  # fmt: skip
    for path in write_report(asked.root, results, **words):
        print(f"wrote {path}", file=sys.stderr)


def _study(asked: argparse.Namespace, names: Sequence[str], settings: Any, read: Any) -> Any:
    """Return what is on disk of another study, with its own methods."""
    from _adapters.running import chosen_recipes

    methods = [shortened(method, asked.steps) for method in named(list(names))]
    recipes = chosen_recipes(methods, settings, first=asked.untuned)
    return read(asked, methods, recipes, settings)


def _sweep(asked: argparse.Namespace, methods: Any, recipes: Any, settings: Any) -> Any:
    from _adapters.results import gather

    cells = [Cell(SWEEP[0], ratio, seed) for seed in range(asked.seeds) for ratio in SWEEP[1]]
    return gather(cells, methods, recipes, settings)


def _budgets(asked: argparse.Namespace, methods: Any, recipes: Any, settings: Any) -> Any:
    from _adapters.budget import budget_cells, gather_budgets

    return gather_budgets(budget_cells(asked.seeds), methods, recipes, settings)


def _step_time(settings: Any, tell: Any) -> int:
    from _adapters.step_time import measure_step_time

    for line in measure_step_time(settings, tell):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
