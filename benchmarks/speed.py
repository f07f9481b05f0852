"""Speed beside the peers: rows moved, replicates drawn, programmes solved; and the floor.

Run from the repository root::

    python benchmarks/speed.py                      # 768 and 2048 features; minutes
    python benchmarks/speed.py --features 768 --only rows --repeats 5
    python benchmarks/speed.py --write              # also into benchmarks/RESULTS.md

Every call is timed in turn within each round, so that other work on the machine falls on
all alike; wall and CPU seconds (all threads of the process) are medians of the rounds.
Ratios are theirs / ours: above 1, ours is quicker. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _speed.machine import describe_machine
from _speed.markdown import replace_section
from _speed.studies import bootstrap_study, large_study, nearest_study, rows_study
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
STUDIES = ("rows", "bootstrap", "nearest", "large")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features", type=int, nargs="+", default=[768, 2048])
    parser.add_argument("--rows", type=int, default=20_000, help="rows to fit and transform")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and torch")
    parser.add_argument("--large", type=int, default=4096, help="dimensions of the large study")
    parser.add_argument("--starts", type=int, default=16, help="starts of BFGS")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--write", action="store_true", help="replace the section of RESULTS.md")
    parser.add_argument("--results", type=Path, default=RESULTS, help="what --write changes")
    return parser.parse_args(arguments)


def studies(asked: argparse.Namespace) -> dict[str, Callable[[], str]]:
    """Return what was asked for, by the name of its section."""
    found: dict[str, Callable[[], str]] = {}
    if "rows" in asked.only:
        for d in asked.features:
            found[f"{d} features"] = partial(rows_study, asked.rows, d, asked.repeats)
    if "bootstrap" in asked.only:
        found["bootstrap"] = partial(bootstrap_study, 100_000, asked.repeats)
    if "nearest" in asked.only:
        found["nearest"] = partial(nearest_study, asked.repeats, asked.starts)
    if "large" in asked.only:
        found["large"] = partial(large_study, asked.large, asked.repeats)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write if asked."""
    import torch

    asked = parse(arguments)
    torch.set_num_threads(asked.threads)
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = shlex.join(["python", "benchmarks/speed.py", *given])
    with warnings.catch_warnings(), threadpool_limits(asked.threads):
        warnings.simplefilter("ignore")  # POT announces back ends it cannot find
        for name, study in studies(asked).items():
            body = study()
            text = (
                f"{body}\n\n`{command}`, {describe_machine(asked.threads)} Ratios: theirs / ours."
            )
            print(f"{text}\n", flush=True)
            if asked.write:
                replace_section(asked.results, name, text)


if __name__ == "__main__":
    main()
