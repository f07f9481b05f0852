"""Print results on stdout: a table for a terminal, plain aligned text for a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from isonomy.cli.exits import one_line

__all__ = ["format_interval", "format_number", "print_json", "print_lines", "print_rows"]

NOT_COMPUTED = "-"


def format_number(value: float | None, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` decimals, or a dash where it is undefined."""
    if value is None or value != value:
        return NOT_COMPUTED
    return f"{value:.{digits}f}"


def format_interval(low: float | None, high: float | None) -> str:
    """Return an interval as ``[low, high]``, or a dash."""
    if low is None or high is None:
        return NOT_COMPUTED
    return f"[{format_number(low)}, {format_number(high)}]"


def print_json(result: Any) -> None:
    """Print ``result`` as JSON: keys in their own order, undefined numbers as null."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(result, indent=2, ensure_ascii=ascii_only, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def print_lines(lines: Sequence[str]) -> None:
    """Print each text on a line of its own, control characters escaped."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip(" ")))
        sys.stdout.write(f"{indent}{one_line(line)}\n")


def print_rows(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are right-aligned."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    if console.is_terminal:
        console.print(_rich_table(title, header, cells))
        return
    widths = [max(len(row[j]) for row in [list(header), *cells]) for j in range(len(header))]
    sys.stdout.write(f"{one_line(title)}\n")
    for row in [list(header), *cells]:
        padded = [
            cell.ljust(w) if j == 0 else cell.rjust(w)
            for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        sys.stdout.write("  " + "  ".join(padded).rstrip() + "\n")


def _rich_table(title: str, header: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    # Text objects, never strings: a column named "[bold]" stays what it is
    table = Table(title=Text(one_line(title)), title_justify="left", box=SIMPLE_HEAD)
    for j, name in enumerate(header):
        table.add_column(Text(name), justify="left" if j == 0 else "right")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table
