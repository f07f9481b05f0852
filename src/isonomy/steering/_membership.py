"""What a decision knows of a row's group: the group itself, or a guess of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["GuessedGroups", "KnownGroups", "Membership"]

Floats = NDArray[np.float64]


class Membership(Protocol):
    """Turn offsets (n_groups, n_classes) into shifts of the scores (n_samples, n_classes)."""

    def shift(self, offsets: Floats) -> Floats:
        """Return what is added to the score of every row and class."""

    def pull(self, slope: Floats) -> Floats:
        """Return the slope in the offsets from that in the shifted scores (the transpose)."""

    def centred(self, offsets: Floats) -> Floats:
        """Return the centred representative among offsets that decide alike."""


@dataclass(frozen=True)
class KnownGroups:
    """Every row has the group of its code; -1 is a group without offsets."""

    codes: NDArray[np.intp]
    n_groups: int

    def shift(self, offsets: Floats) -> Floats:
        """Return the offsets of the row's own group."""
        table = np.vstack([offsets, np.zeros(offsets.shape[1])])
        shifts: Floats = table[self.codes]
        return shifts

    def pull(self, slope: Floats) -> Floats:
        """Sum the slope over the rows of every group."""
        total: Floats = np.stack([slope[self.codes == a].sum(axis=0) for a in range(self.n_groups)])
        return total

    def centred(self, offsets: Floats) -> Floats:
        """Centre each group: one number added to all its classes changes no decision."""
        table: Floats = offsets - offsets.mean(axis=1, keepdims=True)
        return table


class GuessedGroups:
    """P(group | row, were its class k): one array (n, n_classes) a group.

    Given as (n, n_classes, n_groups); a middle axis of length 1 says the same whatever
    the class.
    """

    def __init__(self, posterior: Floats) -> None:
        # laid out by group: a sum over groups is then a few passes over whole arrays
        self.by_group = np.ascontiguousarray(np.moveaxis(posterior, 2, 0))

    def shift(self, offsets: Floats) -> Floats:
        """Return ``sum_a P(a | row, k) offsets[a, k]``."""
        total: Floats = self.by_group[0] * offsets[0]
        for posterior, own in zip(self.by_group[1:], offsets[1:], strict=True):
            total += posterior * own
        return total

    def pull(self, slope: Floats) -> Floats:
        """Return ``sum_i P(a | i, k) slope[i, k]``."""
        total: Floats = np.stack([(posterior * slope).sum(axis=0) for posterior in self.by_group])
        return total

    def centred(self, offsets: Floats) -> Floats:
        """Centre all together: guesses sum to 1, so one number moves every score alike."""
        table: Floats = offsets - offsets.mean()
        return table

    def of_rows(self, scores: Floats) -> Floats:
        """Return P(group | row), ``(n, n_groups)``: classes weighted by the scores' softmax."""
        weight = np.exp(scores - scores.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        total: Floats = np.stack(
            [(posterior * weight).sum(axis=1) for posterior in self.by_group], axis=1
        )
        return total
