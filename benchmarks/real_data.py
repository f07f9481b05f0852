"""Every method on seven real data sets, out of fold: utility, gaps, intervals, seconds.

Run from the repository root, with the data in ``../shared/data`` (or ``--folder``, or the
environment variable ``ISONOMY_DATA``)::

    python benchmarks/real_data.py --jobs 2 --report
    python benchmarks/real_data.py --only compas,untouched,calibrated
    python benchmarks/real_data.py --learning-curve --why --report

Each (data set, method, fold) is one file under ``--work``: an interrupted run goes on where
it stopped, and a method whose code or settings changed is fitted again. Progress goes to
stderr, tables to stdout; ``--report`` writes docs/real-data.md, its figures and a section of
benchmarks/RESULTS.md from everything that is on disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from _real_data.cases import BIOGRAPHIES, TABLE_CASES
from _real_data.entries import CRITERIA, ENTRIES
from _real_data.judging import Judged, judge_case
from _real_data.learning import learning_cases, learning_entries
from _real_data.markdown import cost_table, criterion_table, main_table, missing_list
from _real_data.report import write_report
from _real_data.running import Tell, run_missing, telling
from _real_data.why import why_study

ROOT = Path(__file__).resolve().parents[1]
DATA = (*TABLE_CASES, BIOGRAPHIES)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = os.environ.get("ISONOMY_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--folder", default=shared, help="where the data lie")
    work = ROOT / ".benchmarks" / "real_data"
    parser.add_argument("--work", type=Path, default=work, help="where results are kept")
    parser.add_argument("--only", default="", help="data sets and methods, by comma; may hold *")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fresh", action="store_true", help="forget what --work holds")
    parser.add_argument("--n-boot", type=int, default=10_000, help="replicates of the audit")
    parser.add_argument("--learning-curve", action="store_true", help="gap against rows")
    parser.add_argument("--why", action="store_true", help="why second-moment maps fail")
    parser.add_argument("--report", action="store_true", help="write the pages and figures")
    parser.add_argument("--root", type=Path, default=ROOT, help="whose docs --report writes")
    parser.add_argument("--list", action="store_true", help="list data sets and methods")
    asked = parser.parse_args(arguments)
    asked.data, asked.entries = choose(asked.only, parser)
    return asked


def choose(only: str, parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Return the data sets and methods that ``--only`` names; all of a kind it is silent on."""
    data: set[str] = set()
    entries: set[str] = set()
    for pattern in filter(None, only.split(",")):
        found_data = {name for name in DATA if fnmatch(name, pattern)}
        found = {name for name in ENTRIES if fnmatch(name, pattern)}
        if not found_data and not found:
            parser.error(f"--only names {pattern!r}, which is no data set or method; see --list")
        data |= found_data
        entries |= found
    return (
        [name for name in DATA if name in data or not data],
        [name for name in ENTRIES if name in entries or not entries],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and print the tables."""
    asked = parse(arguments)
    if asked.list:
        print("data: " + ", ".join(DATA) + "\nmethods: " + ", ".join(ENTRIES))
        return 0
    if asked.fresh:
        forget(asked.work)
    start, cpu = time.perf_counter(), time.process_time()
    with telling() as tell:
        n_run = run(asked, tell)
    for judged in judge(asked):
        print_tables(judged)
    if asked.report:
        for path in write_report(asked.root, judge(asked, all_rows=True), asked):
            print(f"wrote {path}", file=sys.stderr)
    spent = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{n_run} fits in this run; {spent[0]:.0f} s on the clock, {spent[1]:.0f} s of CPU in "
        "this process",
        file=sys.stderr,
    )
    return 0


def forget(work: Path) -> None:
    """Delete what earlier runs left in ``work``, and nothing else that lies there."""
    for part in ("folds", "judged", "heads", "features", "why"):
        shutil.rmtree(work / part, ignore_errors=True)


def run(asked: argparse.Namespace, tell: Tell) -> int:
    """Fit what is missing, for the tables or for the studies."""
    shared = {"folder": asked.folder, "work": asked.work, "jobs": asked.jobs, "tell": tell}
    studies = asked.learning_curve or asked.why
    n_run = 0
    if asked.learning_curve:
        n_run += run_missing(learning_cases(), learning_entries(), **shared)
    if asked.why:
        n_run += why_study(asked.folder, asked.work, tell)
    if not studies or asked.only:
        n_run += run_missing(asked.data, asked.entries, **shared)
    return n_run


def judge(asked: argparse.Namespace, *, all_rows: bool = False) -> list[Judged]:
    """Return the tables; for a report, all methods of all data sets that have any result."""
    if not all_rows and (asked.learning_curve or asked.why) and not asked.only:
        return []
    settings = {"folder": asked.folder, "work": asked.work, "n_boot": asked.n_boot}
    data = [n for n in DATA if (asked.work / "folds" / n).is_dir()] if all_rows else asked.data
    return [judge_case(n, list(ENTRIES) if all_rows else asked.entries, **settings) for n in data]


def print_tables(judged: Judged) -> None:
    """Print one data set's tables to stdout."""
    print(f"\n## {judged.case.name}\n\n{main_table(judged)}")
    for criterion in CRITERIA:
        if any(row["criterion"] == criterion for row in judged.rows):
            print(f"\n{criterion}\n\n{criterion_table(judged, criterion)}")
    print(f"\n{missing_list(judged)}\n\n{cost_table([judged])}")


if __name__ == "__main__":
    raise SystemExit(main())
