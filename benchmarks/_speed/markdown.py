"""Tables of the measured seconds, and the marked section of RESULTS.md that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["replace_section", "seconds", "table"]


def seconds(value: float) -> str:
    """Return seconds with three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def replace_section(path: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks of section ``name``; at the end of a file without them."""
    start, stop = f"<!-- speed, {name}: start -->", f"<!-- speed, {name}: stop -->"
    whole = path.read_text(encoding="utf-8")
    section = f"{start}\n{text.strip()}\n{stop}"
    if start in whole and stop in whole:
        before, rest = whole.split(start, 1)
        after = rest.split(stop, 1)[1]
        path.write_text(f"{before}{section}{after}", encoding="utf-8")
        return
    path.write_text(f"{whole.rstrip()}\n\n{section}\n", encoding="utf-8")
