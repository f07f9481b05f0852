"""The rows: texts with labels and groups, the folds of each seed, and what is hashed."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from isonomy.datasets import load_biographies

__all__ = [
    "N_FOLDS", "TUNED_SHARE", "Settings", "Texts", "cells_of", "fingerprint_of", "load_texts",
    "split_for_tuning", "split_in_folds",
]  # fmt: skip

N_FOLDS = 4
TUNED_SHARE = 0.5
"""Share of the rows on which a network is fine-tuned; heads and judges see the others only."""


@dataclass(frozen=True)
class Settings:
    """What a run needs to know; all of it but ``work`` and ``threads`` is hashed where used."""

    folder: str
    model: str
    work: Path
    size: int | None = None
    epochs: int = 2
    max_tokens: int = 128
    threads: int = 1


@dataclass(frozen=True)
class Texts:
    """``text``, ``y`` and ``groups``, ``(n,)`` each, of str."""

    text: NDArray[Any]
    y: NDArray[Any]
    groups: NDArray[Any]
    fingerprint: str


@lru_cache(maxsize=4)
def load_texts(folder: str, size: int | None = None) -> Texts:
    """Read the biographies; with ``size``, a sample stratified by (label, group) cell."""
    data = load_biographies(folder)
    parts = (data.text, data.occupation.astype(str), data.gender.astype(str))
    if size is not None and size < len(parts[0]):
        kept = _part(cells_of(parts[1], parts[2]), size, seed=0)
        parts = tuple(part[kept] for part in parts)
    return Texts(*parts, fingerprint_of(*parts))


def cells_of(y: NDArray[Any], groups: NDArray[Any]) -> NDArray[Any]:
    """Return the (label, group) cell of every row, as a word."""
    return np.char.add(np.char.add(y.astype(str), " "), groups.astype(str))


def split_in_folds(
    y: NDArray[Any], groups: NDArray[Any], seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the (train, test) rows of four folds, dealt anew by every seed, cell by cell."""
    cells = cells_of(y, groups)
    splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # the rarest cells have fewer rows than there are folds; they are spread as they can
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(cells, cells))


def split_for_tuning(texts: Texts, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows that a network is fine-tuned on, and the rows that it never sees.

    Hidden states of rows that a network was fine-tuned on tell their labels almost without
    fail; a head or a steerer fitted on them would learn a law that new rows do not follow.
    """
    cells = cells_of(texts.y, texts.groups)
    seen = _part(cells, round(TUNED_SHARE * len(cells)), seed=seed)
    return seen, np.setdiff1d(np.arange(len(cells)), seen)


def _part(cells: NDArray[Any], size: int, seed: int) -> NDArray[np.intp]:
    """Return ``size`` sorted rows that keep the mixture of cells; rows of lone cells last."""
    names, codes, counts = np.unique(cells, return_inverse=True, return_counts=True)
    codes = np.where(counts[codes] > 1, codes, len(names))
    if (codes == len(names)).sum() == 1:  # a stratum of one cannot be split: join the largest
        codes[codes == len(names)] = counts.argmax()
    splitter = StratifiedShuffleSplit(1, train_size=size, random_state=seed)
    return np.sort(next(splitter.split(codes, codes))[0])


def fingerprint_of(*arrays: NDArray[Any]) -> str:
    """Return a short hash of arrays of numbers or words."""
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        state.update(f"{array.shape}".encode())
        plain = array.dtype.kind in "biuf"
        state.update(array.tobytes() if plain else "\0".join(map(str, array)).encode())
    return state.hexdigest()
