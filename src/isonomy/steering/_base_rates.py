"""One number that says how far the groups' base rates are taken out of the scores.

Gaps in true positive rates lean, class by class, the way the class's base rates do: where
a class is common in a group its rows are found more often. Offsets for every class are
learnt from few rows each; this lean is one number, learnt from all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.steering._membership import GuessedGroups, KnownGroups, Membership

__all__ = ["GRID", "BaseRates", "choose_strength"]

Floats = NDArray[np.float64]

GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5)
"""Strengths tried; with guessed groups the rates of generated and real rows turned before 1.5."""


@dataclass(frozen=True)
class BaseRates:
    """``log_lift[a, k] = ln(P(k | a) / P(k))``, of rows counted with their weights."""

    log_lift: Floats

    @classmethod
    def of(
        cls,
        y: NDArray[np.intp],
        groups: NDArray[np.intp],
        weight: Floats,
        *,
        n_classes: int,
        n_groups: int,
        prior_rows: float,
    ) -> BaseRates:
        """Count; every group is given ``prior_rows`` more rows with the classes' common rates."""
        counts = np.bincount(groups * n_classes + y, weights=weight, minlength=n_groups * n_classes)
        counts = counts.reshape(n_groups, n_classes)
        common = counts.sum(axis=0) / counts.sum()
        # a class or a group without weight says nothing: its lift is 1
        held = counts + prior_rows * common
        total = held.sum(axis=1, keepdims=True)
        share = np.divide(held, total, out=np.zeros_like(held), where=total > 0)
        known = (share > 0) & (common > 0)
        lift = np.where(known, share, 1.0) / np.where(known, common, 1.0)
        return cls(np.log(lift))

    def shift(self, scores: Floats, membership: Membership, strength: float) -> Floats:
        """Return what is added to the log-scores (n, K) of every row.

        Of a known group a ``-strength log_lift[a, k]``, of an unknown one 0; of a guessed
        one ``ln sum_a P(a | row) exp(-strength log_lift[a, k])``.
        """
        if isinstance(membership, KnownGroups):
            return membership.shift(-strength * self.log_lift)
        assert isinstance(membership, GuessedGroups)
        factors = np.exp(-strength * self.log_lift)
        shift: Floats = np.log(membership.of_rows(scores) @ factors)
        return shift


def choose_strength(
    spread: Callable[[float], tuple[float, float]], *, floor: float | None
) -> float:
    """Return the strength of `GRID` with the smallest spread of rates.

    ``spread(strength)`` gives (spread, accuracy); strengths whose accuracy is under
    ``floor`` are passed over. Ties go to the smallest.
    """
    best = (np.inf, 0.0)
    for strength in GRID:
        value, accuracy = spread(strength)
        if strength == 0 or floor is None or accuracy >= floor:
            best = min(best, (value, strength))
    return best[1]
