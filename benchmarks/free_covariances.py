"""Programmes with one covariance a cell: seconds beside BFGS and cvxpy, as Markdown tables.

Run from the repository root (cvxpy must be installed for the second table)::

    python benchmarks/free_covariances.py                     # minutes
    python benchmarks/free_covariances.py --only affine --repeats 3

Every call is timed in turn within each round, so that other work on the machine falls on
all alike. Ratios are theirs / ours: above 1, ours is quicker. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from _speed.free import affine_study, large_free_study, symmetric_study
from _speed.machine import describe_machine
from threadpoolctl import threadpool_limits

STUDIES = ("affine", "symmetric", "large")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--starts", type=int, default=16, help="starts of BFGS")
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS, small programmes")
    parser.add_argument("--large-threads", type=int, default=2, help="threads, large programme")
    parser.add_argument("--classes", type=int, default=28, help="classes of the large programme")
    parser.add_argument("--features", type=int, default=256, help="features of the large one")
    parser.add_argument("--large-starts", type=int, default=3, help="starts of L-BFGS there")
    parser.add_argument("--large-steps", type=int, default=400, help="steps of each of them")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    asked = parse(arguments)
    with threadpool_limits(asked.threads):
        if "affine" in asked.only:
            print(affine_study(asked.repeats, asked.starts), end="\n\n", flush=True)
        if "symmetric" in asked.only:
            print(symmetric_study(asked.repeats), end="\n\n", flush=True)
    if "large" in asked.only:
        with threadpool_limits(asked.large_threads):
            sizes = asked.classes, asked.features, asked.large_starts, asked.large_steps
            print(large_free_study(*sizes), end="\n\n", flush=True)
    print(describe_machine(asked.threads))


if __name__ == "__main__":
    main()
