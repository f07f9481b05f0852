"""Gaps of many rules at once, with persons resampled or their groups shuffled.

A *unit* is one fitted rule on its own test rows (a seed and a fold). All seeds judge the
same persons, so intervals and tests draw persons, once for all units. Two averages of
the mean square gap are followed:

- ``each``: the mean over units of the corrected mean square. It speaks of one fitted rule
  on rows that it has not seen.
- ``together``: folds of a seed are counted together first, then the mean over seeds is
  taken. It flatters a rule that was fitted to close a gap: what the fits of the folds leave
  has mean 0 over the folds by construction (see ``_real_data/judging.py``).

One seed's ``each`` is noisy: a fold holds a quarter of the rows, and the variance of a mean
of four squares is four times that of the square of a mean. Every further seed deals the
rows anew, and averages over more of the pairs of rows that one fold can hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Draws", "Persons", "Pooled", "mean_squares", "pooled_gap"]

Floats = NDArray[np.float64]
Weighting = Literal["equal", "precision"]
BLOCK = 250
"""Replicates drawn at once: bounds the memory."""


@dataclass(frozen=True)
class Persons:
    """Who is judged where: class and group codes ``(n,)``, and ``member (n, n_units)``.

    ``member[i, u]`` says whether person i is a test row of unit u; ``seed_of`` is the seed of
    every unit. Two groups.
    """

    y: NDArray[np.intp]
    group: NDArray[np.intp]
    member: NDArray[np.bool_]
    seed_of: NDArray[np.intp]


@dataclass(frozen=True)
class Pooled:
    """A gap averaged over units or seeds: signed root, 95 % interval, permutation p.

    ``by_part`` are the corrected mean squares of the units or seeds.
    """

    corrected: float
    low: float
    high: float
    p_value: float
    by_part: tuple[float, ...]


def mean_squares(
    n: Floats, right: Floats, *, corrected: bool, weighting: Weighting = "precision"
) -> Floats:
    """Return the (corrected) mean square gap over classes of ``(..., n_classes, 2)`` counts.

    Classes with fewer than two rows in a group are left out; NaN where none is left.
    """
    usable = (n >= 2).all(axis=-1)
    rate = right / np.maximum(n, 1)
    square = (rate[..., 0] - rate[..., 1]) ** 2
    if corrected:
        square = square - (rate * (1 - rate) / np.maximum(n - 1, 1)).sum(axis=-1)
    if weighting == "precision":
        weight = np.where(usable, n.prod(axis=-1) / np.maximum(n.sum(axis=-1), 1), 0.0)
    else:
        weight = usable.astype(np.float64)
    total = weight.sum(axis=-1)
    summed = (weight * square).sum(axis=-1)
    return np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)


class Draws:
    """Persons resampled within (class, group) cells, and groups shuffled within classes.

    Drawn once, and used for every method: 2 bytes a person and replicate.
    """

    def __init__(self, persons: Persons, n_boot: int, random_state: int = 0) -> None:
        rng = np.random.default_rng(random_state)
        self.persons, self.n_boot = persons, n_boot
        self.rows = [np.flatnonzero(persons.y == k) for k in range(int(persons.y.max()) + 1)]
        self.cells = [[own[persons.group[own] == a] for a in (0, 1)] for own in self.rows]
        self.times = [[_resampled(len(c), n_boot, rng) for c in pair] for pair in self.cells]
        self.dealt = [
            rng.permuted(np.tile(persons.group[own].astype(np.uint8), (n_boot, 1)), axis=1)
            for own in self.rows
        ]


def _resampled(size: int, n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return how often each of ``size`` persons is drawn, ``(n, size)``."""
    if size == 0:
        return np.zeros((n, 0), np.uint8)
    drawn = rng.integers(size, size=(n, size)) + size * np.arange(n)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * size).reshape(n, size).astype(np.uint8)


class _Counter:
    """Counts rows and right decisions by (class, group) in every unit."""

    def __init__(self, draws: Draws, right: NDArray[np.bool_]) -> None:
        self.draws = draws
        member = draws.persons.member
        # rows in the unit, and rows decided rightly there: one product counts both
        self.marks = np.hstack([member, member & right]).astype(np.float32)

    def observed(self) -> tuple[Floats, Floats]:
        """Return counts ``(n_units, n_classes, 2)`` of rows and of right decisions."""
        counts = [[self.marks[c].sum(axis=0) for c in pair] for pair in self.draws.cells]
        return _split(np.array(counts))

    def resampled(self, block: slice) -> tuple[Floats, Floats]:
        """Return counts ``(n, n_units, n_classes, 2)`` over resampled persons."""
        pairs = zip(self.draws.times, self.draws.cells, strict=True)
        counts = [
            np.stack([self._sum(t[block], c) for t, c in zip(*pair, strict=True)], 1)
            for pair in pairs
        ]
        return _split(np.stack(counts, axis=1))

    def shuffled(self, block: slice) -> tuple[Floats, Floats]:
        """Return such counts with groups dealt anew within each class."""
        counts = []
        for dealt, own in zip(self.draws.dealt, self.draws.rows, strict=True):
            second = self._sum(dealt[block], own)
            counts.append(np.stack([self.marks[own].sum(axis=0) - second, second], axis=1))
        return _split(np.stack(counts, axis=1))

    def _sum(self, weights: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return weights.astype(np.float32) @ self.marks[rows]


def _split(counts: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return ``(..., n_units, n_classes, 2)`` rows and right ones of ``(..., classes, 2, 2 u)``."""
    moved = np.moveaxis(counts.astype(np.float64), -1, -3)
    n_units = moved.shape[-3] // 2
    return moved[..., :n_units, :, :], moved[..., n_units:, :, :]


def pooled_gap(
    draws: Draws, right: NDArray[np.bool_], weighting: Weighting = "precision"
) -> dict[str, Pooled]:
    """Return ``{"each", "together"}`` of one method; ``right`` is ``(n, n_units)``.

    The interval is ``[T - (q.975 - P), T - (q.025 - P)]`` with T the corrected statistic, P the
    plain one and q the quantiles of the corrected one over resampled persons, cut at 0 and
    rooted. p is the share of shuffles of groups within classes with a T as large.
    """
    counter, seeds = _Counter(draws, right), draws.persons.seed_of
    plain = _statistics(*counter.observed(), seeds, corrected=False, weighting=weighting)
    value = _statistics(*counter.observed(), seeds, corrected=True, weighting=weighting)
    drawn: dict[str, tuple[list[Floats], list[Floats]]] = {name: ([], []) for name in value}
    for start in range(0, draws.n_boot, BLOCK):
        block = slice(start, min(start + BLOCK, draws.n_boot))
        for place, count in enumerate((counter.resampled, counter.shuffled)):
            found = _statistics(*count(block), seeds, corrected=True, weighting=weighting)
            for name, values in found.items():
                drawn[name][place].append(np.nanmean(values, axis=-1))
    return {
        name: _summary(value[name], plain[name], *(np.concatenate(d) for d in drawn[name]))
        for name in value
    }


def _statistics(
    n: Floats, right: Floats, seeds: NDArray[np.intp], *, corrected: bool, weighting: Weighting
) -> dict[str, Floats]:
    """Return the mean squares ``(..., n_units)`` and ``(..., n_seeds)``."""
    each = mean_squares(n, right, corrected=corrected, weighting=weighting)
    summed = [
        [counts[..., seeds == seed, :, :].sum(axis=-3) for seed in np.unique(seeds)]
        for counts in (n, right)
    ]
    parts = (np.stack(part, axis=-3) for part in summed)
    together = mean_squares(*parts, corrected=corrected, weighting=weighting)
    return {"each": each, "together": together}


def _summary(value: Floats, plain: Floats, boot: Floats, shuffles: Floats) -> Pooled:
    T, P = float(np.nanmean(value)), float(np.nanmean(plain))
    low, high = (T - (np.quantile(boot, q) - P) for q in (0.975, 0.025))
    p = (1 + int((shuffles >= T - 1e-12).sum())) / (1 + len(shuffles))
    root = [float(np.sqrt(max(edge, 0.0))) for edge in (low, high)]
    signed = float(np.sign(T) * np.sqrt(abs(T)))
    return Pooled(signed, *root, p, tuple(value.tolist()))
