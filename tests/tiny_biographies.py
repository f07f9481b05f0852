"""Short texts of many lengths with labels and groups, and pictures, for tiny models."""

from __future__ import annotations

from typing import Any

import numpy as np

_WORDS = (
    "she",
    "he",
    "works",
    "as",
    "a",
    "nurse",
    "in",
    "the",
    "hospital",
    "and",
    "cares",
    "for",
    "children",
    "software",
    "engineer",
    "writes",
    "code",
    "robots",
    "law",
    "patients",
    "every",
    "day",
    "professor",
    "teaches",
    "mathematics",
    "at",
    "the",
    "university",
)

LABELS = ("nurse", "engineer", "professor")
GROUPS = ("M", "F")


def biographies(n: int = 40, *, seed: int = 0, longest: int = 14) -> dict[str, list[Any]]:
    """Return columns ``bio``, ``job`` and ``gender`` of ``n`` rows; lengths vary."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(_WORDS, rng.integers(1, longest))) for _ in range(n)]
    jobs, genders = rng.integers(0, len(LABELS), n), rng.integers(0, len(GROUPS), n)
    return {
        "bio": texts,
        "job": [LABELS[i] for i in jobs],
        "gender": [GROUPS[i] for i in genders],
    }


def pictures(n: int = 40, *, seed: int = 0) -> dict[str, list[Any]]:
    """Return the same with a picture of 16 x 16 points in place of every text."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 255, (16, 16, 3), dtype=np.uint8) for _ in range(n)]
    return {**biographies(n, seed=seed), "bio": drawn}
