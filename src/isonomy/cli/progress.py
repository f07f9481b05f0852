"""Progress on stderr: a bar on a terminal, nothing in a pipe or with ``--quiet``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from isonomy.cli.exits import one_line

__all__ = ["Report", "show_progress"]

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many steps are done, and how many there are."""


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Report]:
    """Yield a callback for the library; the bar disappears when the work is done."""
    console = Console(file=sys.stderr, markup=False, emoji=False, highlight=False)
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,}/{task.total:,}", markup=False),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left:", markup=False),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal and not quiet
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("starting", total=1)

        def report(text: str, done: int, total: int) -> None:
            bar.update(task, description=one_line(text), completed=done, total=total)

        yield report
