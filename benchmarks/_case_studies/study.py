"""What every case study is: something to compute, a page to write, figures to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Asked", "Draw", "Results", "Study", "Tell"]

Results = dict[str, Any]
"""What a study found, as JSON can hold it; page and figures are made from this alone."""

Tell = Callable[[str, int, int], None]
"""Called with a line, the number of steps done, and how many there are."""

Draw = Callable[[Results], Any]
"""Makes a Matplotlib figure from results."""


@dataclass(frozen=True)
class Asked:
    """How a study is to be run."""

    quick: bool
    seed: int
    folder: Path


@dataclass(frozen=True)
class Study:
    """One case study.

    ``figures`` maps the name of an image (without ``case-`` and ending) to what draws it.
    """

    name: str
    title: str
    compute: Callable[[Asked, Tell], Results]
    page: Callable[[Results], str]
    figures: Mapping[str, Draw]
