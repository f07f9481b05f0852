"""Read the phrases and the planted stereotypes of the biographies from package data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["GENDERS", "Occupation", "Sentences", "read_vocabulary"]

GENDERS = ("man", "woman")
"""The groups of the biographies, sorted; columns of every (label, group) array."""

_FILE = "biography_words.json"


@dataclass(frozen=True)
class Occupation:
    """One occupation: its phrases, and which gender's wording leans on which other one.

    ``pulls[gender]`` is (name of the other occupation, strength in [0, 1]).
    """

    name: str
    share_of_women: float
    pulls: Mapping[str, tuple[str, float]]
    noisy_gender: str | None
    duties: tuple[str, ...]
    tools: tuple[str, ...]
    degrees: tuple[str, ...]
    employers: tuple[str, ...]
    awards: tuple[str, ...]


@dataclass(frozen=True)
class Sentences:
    """Sentence patterns that all occupations share, with the words of the two styles."""

    subjects: tuple[str, ...]
    openings: tuple[str, ...]
    middles: tuple[str, ...]
    degrees: tuple[str, ...]
    awards: tuple[str, ...]
    hobbies: tuple[str, ...]
    generic: tuple[str, ...]
    adjectives: tuple[tuple[str, ...], tuple[str, ...]]
    hobbies_by_style: tuple[tuple[str, ...], tuple[str, ...]]


@cache
def read_vocabulary() -> tuple[tuple[Occupation, ...], Sentences]:
    """Return the occupations, most frequent first, and the shared sentence patterns."""
    text = resources.files("isonomy.datasets").joinpath(_FILE).read_text(encoding="utf-8")
    data = json.loads(text)
    return tuple(_occupation(o) for o in data["occupations"]), _sentences(data["sentences"])


def _occupation(data: dict[str, Any]) -> Occupation:
    lists = ("duties", "tools", "degrees", "employers", "awards")
    return Occupation(
        name=data["name"],
        share_of_women=data["share_of_women"],
        pulls={g: (p["occupation"], p["strength"]) for g, p in data["pulls"].items()},
        noisy_gender=data["noisy_gender"],
        **{key: tuple(data[key]) for key in lists},
    )


def _sentences(data: dict[str, Any]) -> Sentences:
    shared: Any = {k: tuple(v) for k, v in data.items()}
    styles = ("adjectives", "hobbies_by_style")
    for key in styles:
        shared[key] = (tuple(data[key]["agentic"]), tuple(data[key]["communal"]))
    return Sentences(**shared)
