"""Compose one biography of two to four sentences from phrases and sentence patterns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isonomy.datasets._biography_law import BiographyTruth
from isonomy.datasets._vocabulary import Occupation, Sentences

__all__ = ["compose_biographies"]

_N_DRAWS = 24
"""Uniform numbers a biography uses: 8 about the whole, and 4 for each of 4 sentences."""

_KINDS = ("middles", "degrees", "awards", "hobbies", "generic")
_KIND_EDGES = np.cumsum([0.45, 0.12, 0.10, 0.15])
"""Chances of each kind of sentence after the first; "generic" has the rest."""

_PRONOUNS = {"man": ("he",), "woman": ("she",)}


def compose_biographies(
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    *,
    occupations: Sequence[Occupation],
    sentences: Sentences,
    truth: BiographyTruth,
    source: NDArray[np.float64],
    pronouns: bool,
    rng: np.random.RandomState,
) -> list[str]:
    """Return one text for every (occupation, gender) pair of codes.

    ``occupations`` are sorted by name, like the first axis of ``source[y, a, y']``, the
    chance that a phrase of cell (y, a) comes from occupation y'.
    """
    draws = rng.random_sample((len(y_codes), _N_DRAWS))
    cumulative = np.cumsum(source, axis=2)
    writer = _Writer(occupations, sentences)
    texts = []
    for y, a, u in zip(y_codes.tolist(), group_codes.tolist(), draws, strict=True):
        subjects = _PRONOUNS[truth.genders[a]] if pronouns else sentences.subjects
        borrowed = np.searchsorted(cumulative[y, a], u[:4] * 0.999999, side="right").tolist()
        style = int(u[4] < truth.communal[a])
        short = bool(u[5] < truth.short[y, a])
        texts.append(writer.write(borrowed, style, short, subjects, u[6:].tolist()))
    return texts


class _Writer:
    def __init__(self, occupations: Sequence[Occupation], sentences: Sentences) -> None:
        self._occupations = occupations
        self._sentences = sentences

    def write(
        self, borrowed: list[int], style: int, short: bool, subjects: Sequence[str], u: list[float]
    ) -> str:
        """Return the text whose i-th sentence takes its phrases from ``borrowed[i]``."""
        who = _pick(subjects, u[0])
        n_sentences = 2 if short else 2 + int(3 * u[1])
        parts: list[str] = []
        said: set[str] = set()
        for i in range(n_sentences):
            v = u[2 + 4 * i : 6 + 4 * i]
            kind = _KINDS[int(np.searchsorted(_KIND_EDGES, v[0]))]
            if i == 0 or short:
                kind = "generic" if i else "openings"
            parts.append(self._sentence(kind, borrowed[i], style, who, said, v[1:]))
        return " ".join(parts)

    def _sentence(
        self, kind: str, origin: int, style: int, who: str, said: set[str], u: list[float]
    ) -> str:
        words, shared = self._occupations[origin], self._sentences
        patterns = [p for p in getattr(shared, kind) if p not in said]
        duties = [d for d in words.duties if d not in said]
        pattern, duty = _pick(patterns, u[0]), _pick(duties, u[1])
        said.update((pattern, duty))  # nobody says the same thing twice
        return pattern.format(
            who=who,
            Who=who[0].upper() + who[1:],
            duty=duty,
            tool=_pick(words.tools, u[2]),
            degree=_pick(words.degrees, u[1]),
            employer=_pick(words.employers, u[2]),
            award=_pick(words.awards, u[1]),
            adjective=_pick(shared.adjectives[style], u[2]),
            hobby=_pick(shared.hobbies_by_style[style], u[1]),
            years=3 + int(27 * u[2]),
        )


def _pick(options: Sequence[str], u: float) -> str:
    return options[int(u * len(options))]
