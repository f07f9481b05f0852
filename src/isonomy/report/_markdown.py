"""A page as Markdown (GitHub's dialect): the same words and tables, without figures."""

from __future__ import annotations

import html
import re
from functools import singledispatch

from isonomy.report._document import (
    Block,
    Bullets,
    Chart,
    Code,
    Fold,
    Notice,
    Page,
    Paragraph,
    Section,
    Table,
    Tiles,
)

__all__ = ["write_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$!])")
_BLOCK_START = re.compile(r"^([-+>=]|\d+[.)])")


def write_markdown(page: Page) -> str:
    """Return ``page`` as Markdown that needs no extra to be written."""
    parts = [f"# {_text(page.title)}"]
    if page.question:
        parts.append(f"*{_text(page.question)}*")
    parts.append("\n".join(f"- **{_text(k)}:** {_text(v)}" for k, v in page.facts))
    parts += [_section(section) for section in page.sections]
    parts.append(f"---\n\n{_text(page.footer)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _text(value: str) -> str:
    """Escape what Markdown or HTML would read as markup."""
    escaped = _SPECIAL.sub(r"\\\1", html.escape(value, quote=False))
    # "http://..." becomes a link without brackets, so the colon is written as an entity
    escaped = escaped.replace("://", "&#58;//").replace("www.", "www&#46;")
    return _BLOCK_START.sub(r"\\\1", escaped) if not escaped[:1].isdigit() else escaped


def _section(section: Section) -> str:
    blocks = [_block(block) for block in section.blocks]
    return "\n\n".join([f"## {_text(section.title)}", *blocks])


@singledispatch
def _block(block: Block) -> str:
    raise TypeError(f"Markdown has no form for {type(block).__name__}")


@_block.register
def _(block: Paragraph) -> str:
    return _text(block.text)


@_block.register
def _(block: Bullets) -> str:
    return "\n".join(
        "- "
        + " ".join(part for part in (f"**{_text(head)}**" if head else "", _text(text)) if part)
        for head, text in block.items
    )


@_block.register
def _(block: Tiles) -> str:
    has_before = any(tile.before is not None for tile in block.tiles)
    columns = ("", "Before", "After", "") if has_before else ("", "Value", "")
    rows = tuple(
        (t.label, *((t.before or "",) if has_before else ()), t.after, t.remark)
        for t in block.tiles
    )
    return _table(columns, rows)


@_block.register
def _(block: Table) -> str:
    rows = [list(row) for row in block.rows]
    for i, row in enumerate(rows):
        if block.tone(i) != "plain":
            row[0] += f" ({block.tone(i)})"
    text = tuple(tuple(row) for row in rows)
    return f"**{_text(block.caption)}**\n\n{_table(block.columns, text, block.text_columns)}"


@_block.register
def _(block: Chart) -> str:
    return f"*Figure: {_text(block.title)}.* {_text(block.description)}"


@_block.register
def _(block: Notice) -> str:
    return f"> **{_text(block.title)}.** {_text(block.text)}"


@_block.register
def _(block: Code) -> str:
    longest = max((len(run) for line in block.lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{_text(block.caption)}:\n\n{fence}\n" + "\n".join(block.lines) + f"\n{fence}"


@_block.register
def _(block: Fold) -> str:
    inner = [_block(b) for b in block.blocks]
    return "\n\n".join([f"### {_text(block.summary)}", *inner])


def _table(
    columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], text: tuple[int, ...] = ()
) -> str:
    head = "| " + " | ".join(_text(c) for c in columns) + " |"
    rule = (
        "|" + "|".join(":--" if j == 0 or j in text else "--:" for j in range(len(columns))) + "|"
    )
    body = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    return "\n".join([head, rule, *body])
