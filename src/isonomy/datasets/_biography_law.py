"""The law behind the biographies: priors, borrowed wording, style and noise of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.datasets._vocabulary import GENDERS, Occupation

__all__ = ["BiographyTruth", "biography_law"]

_BASE = 0.25
"""Share of phrases that come from another occupation in every cell, bias or not."""

_NEAR = 0.6
"""Part of those that come from a related occupation; the rest from any occupation."""

_PULL = 0.22
"""Share of phrases that a pull of strength 1 moves at ``bias=1``."""

_STYLE = 0.17
"""Communal words are .5 + this of a woman's style words at ``bias=1``, .5 - this of a man's."""

_NOISE = 0.4
"""Share of a noisy cell's biographies that are cut short at ``noise_bias=1``."""

_SHAPE = 6.0
"""The long tail is ``(1 + rank / shape)^-power``: this keeps 100:1 and the rarest at .3 %."""


@dataclass(frozen=True)
class BiographyTruth:
    """What the biographies were generated from.

    Attributes
    ----------
    occupations, genders : tuples of str
        Sorted; rows and columns of the arrays below.
    prior : (n_occupations, 2)
        ``P(occupation, gender)``; the counts are its rounding.
    pulled_to : {(occupation, gender): occupation}
        Whose phrases the wording of that cell leans on.
    pull : (n_occupations, 2)
        Share of the phrases borrowed there because of the gender: the planted bias.
    own_share : (n_occupations, 2)
        Expected share of phrases from the occupation's own vocabulary.
    direction : (n_occupations,)
        ``own_share`` of women minus that of men: negative where women's biographies
        read less like the occupation, so that a classifier finds fewer of them.
    communal : (2,)
        Share of communal (rather than agentic) style words, by gender.
    short : (n_occupations, 2)
        Share of biographies cut to one phrase and one empty sentence.
    """

    occupations: tuple[str, ...]
    genders: tuple[str, ...]
    prior: NDArray[np.float64]
    pulled_to: Mapping[tuple[str, str], str]
    pull: NDArray[np.float64]
    own_share: NDArray[np.float64]
    direction: NDArray[np.float64]
    communal: NDArray[np.float64]
    short: NDArray[np.float64]


def biography_law(
    occupations: Sequence[Occupation],
    *,
    bias: float,
    prior_bias: float,
    noise_bias: float,
    tail: float,
) -> tuple[BiographyTruth, NDArray[np.float64]]:
    """Return the truth and where phrases come from, ``source[y, a, y']``.

    Both follow the sorted names of the occupations; ``occupations`` are in order of
    frequency, most frequent first.
    """
    share = _long_tail(len(occupations), tail)
    by_name = sorted(range(len(occupations)), key=lambda i: occupations[i].name)
    ordered = [occupations[i] for i in by_name]
    names = tuple(o.name for o in ordered)
    source, pull = _sources(ordered, names, bias)
    own = np.einsum("yay->ya", source)
    short = np.array([[float(o.noisy_gender == g) for g in GENDERS] for o in ordered])
    truth = BiographyTruth(
        occupations=names,
        genders=GENDERS,
        prior=_prior(ordered, share[by_name], prior_bias),
        pulled_to={(o.name, g): target for o in ordered for g, (target, _) in o.pulls.items()},
        pull=pull,
        own_share=own.copy(),
        direction=own[:, GENDERS.index("woman")] - own[:, GENDERS.index("man")],
        communal=0.5 + min(_STYLE * bias, 0.5) * np.array([-1.0, 1.0]),
        short=short * min(_NOISE * noise_bias, 1.0),
    )
    return truth, source


def _long_tail(n: int, tail: float) -> NDArray[np.float64]:
    """Return shares of n classes, falling, whose first is ``tail`` times the last."""
    base = 1.0 + np.arange(n) / _SHAPE
    share = base ** -(np.log(tail) / np.log(base[-1]))
    return np.asarray(share / share.sum(), dtype=np.float64)


def _prior(
    ordered: Sequence[Occupation], share: NDArray[np.float64], prior_bias: float
) -> NDArray[np.float64]:
    women = np.array([o.share_of_women for o in ordered])
    overall = float(share @ women)
    women = np.clip(overall + prior_bias * (women - overall), 0.05, 0.95)
    prior: NDArray[np.float64] = share[:, None] * np.stack([1.0 - women, women], axis=1)
    return prior


def _sources(
    ordered: Sequence[Occupation], names: tuple[str, ...], bias: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = len(ordered)
    source = np.full((n, len(GENDERS), n), _BASE * (1.0 - _NEAR) / n)
    pull = np.zeros((n, len(GENDERS)))
    for y, occupation in enumerate(ordered):
        near = [names.index(target) for target, _ in occupation.pulls.values()]
        for other in near:  # both genders alike: this much confusion is nobody's bias
            source[y, :, other] += _BASE * _NEAR / len(near)
        for a, gender in enumerate(GENDERS):
            target, strength = occupation.pulls.get(gender, (occupation.name, 0.0))
            pull[y, a] = min(_PULL * bias * strength, 1.0 - _BASE)
            source[y, a, names.index(target)] += pull[y, a]
            source[y, a, y] += 1.0 - source[y, a].sum()
    return source, pull
