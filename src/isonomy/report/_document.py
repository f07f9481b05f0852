"""The parts of a page, free of any output format.

``_comparison_page`` and ``_audit_page`` turn a result into a :class:`Page`; ``_html``
and ``_markdown`` each write the same page, so the two can never say different things.
All strings here are plain text: whoever writes them out escapes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Block",
    "Bullets",
    "Chart",
    "Code",
    "Fold",
    "Notice",
    "Page",
    "Paragraph",
    "Section",
    "Table",
    "Tile",
    "Tiles",
    "Width",
]

Width = Literal["wide", "narrow"]
Tone = Literal["plain", "before", "after"]


@dataclass(frozen=True)
class Paragraph:
    """One paragraph; ``lead`` sets it larger, ``small`` as a note."""

    text: str
    style: Literal["body", "lead", "small"] = "body"
    kind: str = "paragraph"


@dataclass(frozen=True)
class Bullets:
    """An unordered list of sentences, each with an optional bold head."""

    items: tuple[tuple[str, str], ...]
    kind: str = "bullets"


@dataclass(frozen=True)
class Tile:
    """One figure of merit: a label, before, after and a remark in words."""

    label: str
    before: str | None
    after: str
    remark: str


@dataclass(frozen=True)
class Tiles:
    """The few numbers that a reader should not have to look for."""

    tiles: tuple[Tile, ...]
    kind: str = "tiles"


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row; ``tones`` marks rows before and after."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[Tone, ...] = ()
    text_columns: tuple[int, ...] = ()
    kind: str = "table"

    def tone(self, i: int) -> Tone:
        """Return the tone of row ``i``."""
        return self.tones[i] if self.tones else "plain"


@dataclass(frozen=True)
class Chart:
    """A figure, drawn only when a format shows figures."""

    name: str
    title: str
    description: str
    draw: Callable[[Width], Figure]
    caption: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    kind: str = "chart"


@dataclass(frozen=True)
class Notice:
    """A boxed remark that must not be overlooked."""

    title: str
    text: str
    kind: str = "notice"


@dataclass(frozen=True)
class Code:
    """Lines to be typed, verbatim."""

    caption: str
    lines: tuple[str, ...]
    kind: str = "code"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a summary line; ``choice`` folds of one name open one at a time."""

    summary: str
    blocks: tuple[Block, ...]
    is_open: bool = False
    choice: str = ""
    kind: str = "fold"


Block = Paragraph | Bullets | Tiles | Table | Chart | Notice | Code | Fold


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; ``name`` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report."""

    kicker: str
    title: str
    question: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    footer: str
    front_matter: tuple[tuple[str, str], ...] = field(default=())
