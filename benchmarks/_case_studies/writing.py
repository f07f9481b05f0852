"""Write a study's page and figures, and the index that gathers every page's short reading."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from _case_studies.drawing import save
from _case_studies.study import Results, Study
from isonomy._atomic import write_text_atomic

__all__ = ["IN_SHORT", "index_text", "write_index", "write_study"]

IN_SHORT = "## In short"

_HEAD = """# Case studies

What the nearest ideal distribution costs, what it changes and what it does not, worked through on
laws that are known exactly and on real rows. Every page is written by one command, figures and
tables included, from scratch:

```
python benchmarks/case_studies.py all
```

({names}, instead of `all`, for one of them; `--quick` for a coarse run in seconds.)

Three words before reading. A law is *ideal* if minimising any cost gives equal outcomes to all
groups. *D* is the law as it is, or as fitted; *D~* is the nearest ideal law to it. *Nats* measure
how far D~ is from D: 0 is no move at all, and .1 nats is a change that about 30 rows drawn from
D~ would on average give away at odds of twenty to one. More words are in the
[glossary](../glossary.md), the proofs on the [page of theory](../theory.md).

## What they say together

- **On the ideal law equality is exact and asks for no sacrifice.** Who minimises a cost there, any
  cost, treats the groups alike. What it costs is the way from D to D~: nothing where groups differ
  only in a place and a spread that all their classes share, much where they differ in how well
  their classes can be told apart, or in base rates.
- **The ideal law is another world.** Better or worse decisions *there* say nothing about the rows
  *here*: on the rows as they are no rule beats the best rule for them.
- **Three things keep exactness from real rows**: the family does not fit; one map a group cannot
  put every class in its place; base rates stay what they are. The studies measure each of them.
- **Who moves is a choice.** Moving one group alone gives it the other's ease or difficulty; moving
  all is never dearer, and meets in between.
- **Which maps are allowed matters more than how they are found.** Symmetric maps can cost many
  times what affine maps cost, above all with few classes and many variables.
- **Steering real rows often closes most of a gap, not always.** On some tables weights alone do as
  well, on some a gap grew. Look at held-out rows before believing any page.
"""


def write_study(root: Path, study: Study, results: Results) -> list[Path]:
    """Write figures and page under ``root``; return the files written."""
    images = root / "docs" / "images"
    written = [
        save(draw(results), images / f"case-{name}.png") for name, draw in study.figures.items()
    ]
    page = root / "docs" / "case_studies" / f"{study.name}.md"
    text = study.page(results).rstrip("\n") + "\n"
    return [*written, write_text_atomic(page, text)]


def write_index(root: Path, studies: Sequence[Study]) -> Path:
    """Write the index from the pages that lie on disk."""
    folder = root / "docs" / "case_studies"
    pages = {
        study.name: (folder / f"{study.name}.md").read_text(encoding="utf-8")
        for study in studies
        if (folder / f"{study.name}.md").exists()
    }
    return write_text_atomic(folder / "index.md", index_text(studies, pages))


def index_text(studies: Sequence[Study], pages: dict[str, str]) -> str:
    """Return the index: of every page its title and what it says in short."""
    parts = [_HEAD.format(names=", ".join(f"`{study.name}`" for study in studies))]
    for study in studies:
        if study.name in pages:
            parts.append(f"## [{study.title}]({study.name}.md)\n\n{_short(pages[study.name])}\n")
    return "\n".join(parts)


def _short(page: str) -> str:
    """Return what a page says in short, and its first figure."""
    found = re.search(rf"^{re.escape(IN_SHORT)}\n(.*?)(?=^## |^!\[|\Z)", page, re.M | re.S)
    figure = re.search(r"^!\[.*$", page, re.M)
    parts = [found[1].strip() if found else "", figure[0] if figure else ""]
    return "\n\n".join(part for part in parts if part)
