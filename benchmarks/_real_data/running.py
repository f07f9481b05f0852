"""Run what is missing, in any number of processes, and tell how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.utils.parallel import Parallel, delayed

from _real_data.cases import N_FOLDS, fold_rows, load_case
from _real_data.entries import ENTRIES
from _real_data.fitting import Task, Unavailable, is_stored, run_task

__all__ = ["Tell", "run_missing", "telling"]

Tell = Callable[[str, int, int], None]
"""Called with a line, the number of steps done, and how many there are."""


def run_missing(
    data: Sequence[str],
    entries: Sequence[str],
    *,
    folder: str,
    work: Path,
    jobs: int,
    tell: Tell,
) -> int:
    """Fit every (data set, method, fold) whose result is not on disk; return how many."""
    tasks = [task for name in data for task in _missing(name, entries, folder, work)]
    for name in dict.fromkeys(task.data for task in tasks):
        case = load_case(name, folder)
        for fold in range(N_FOLDS) if case.is_text else ():
            tell(f"{name}: features of fold {fold}", 0, len(tasks))
            fold_rows(case, fold, work)  # once, before several processes ask for them
    for done, told in enumerate(_run(tasks, jobs), start=1):
        tell(_line(told), done, len(tasks))
    return len(tasks)


def _missing(name: str, entries: Sequence[str], folder: str, work: Path) -> Iterator[Task]:
    case = load_case(name, folder)
    for fold in range(N_FOLDS):
        for entry in entries:
            try:
                if not is_stored(case, ENTRIES[entry], fold, work):
                    yield Task(name, fold, entry, folder, str(work))
            except Unavailable:
                continue  # the tables say why


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1:
        return map(run_task, tasks)
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    return iter(pool(delayed(run_task)(task) for task in tasks))


def _line(told: dict[str, Any]) -> str:
    ending = f": {told['why']}" if told["why"] else f", {told['seconds']:.1f} s"
    return f"{told['data']}, {told['entry']}, fold {told['fold']}{ending}"


@contextmanager
def telling(stream: Any = None) -> Iterator[Tell]:
    """Yield a function that shows progress on stderr: a bar in a terminal, else lines."""
    stream = sys.stderr if stream is None else stream
    bar = _rich_bar(stream)
    if bar is None:
        start = time.perf_counter()

        def say(text: str, done: int, total: int) -> None:
            print(f"[{done}/{total}, {time.perf_counter() - start:.0f} s] {text}", file=stream)

        yield say
        return
    with bar:
        step = bar.add_task("", total=None)
        yield lambda text, done, total: bar.update(
            step, description=text[:70], completed=done, total=total
        )


def _rich_bar(stream: Any) -> Any:
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        return None
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=stream))
