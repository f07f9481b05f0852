"""Simulated probes between perfect knowledge, none, and malice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

__all__ = ["Rumours"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Rumours:
    """For every row its true group, an uninformed guess, a wrong one, and a uniform number.

    One draw serves all levels of knowledge: what a row is told changes once along the
    curve and never back, so that neighbouring points differ by the probe and not by luck.
    """

    truth: Codes
    guess: Codes
    wrong: Codes
    luck: Floats
    prior: Floats

    @classmethod
    def draw(cls, truth: Codes, prior: Floats, random_state: int) -> Rumours:
        """Draw guesses from ``prior``, and wrong groups from ``prior`` among the others."""
        rng = check_random_state(random_state)
        n_groups = len(prior)
        guess = rng.choice(n_groups, size=len(truth), p=prior)
        wrong = np.empty_like(guess)
        for a in range(n_groups):
            others = np.where(np.arange(n_groups) == a, 0.0, prior)
            rows = truth == a
            wrong[rows] = rng.choice(n_groups, size=int(rows.sum()), p=others / others.sum())
        return cls(truth, guess, wrong, rng.uniform(size=len(truth)), prior)

    def told(self, knowledge: float) -> Codes:
        """Return the group that every row's probe hears of."""
        heard = self.truth if knowledge >= 0 else self.wrong
        return np.where(self.luck < abs(knowledge), heard, self.guess)

    def posterior(self, knowledge: float) -> Floats:
        """Return the posterior of a probe of that ``knowledge``, ``(n_samples, n_groups)``.

        With strength s = abs(knowledge), a probe hears the truth (a wrong group where
        knowledge is negative) with probability s and else a draw from the prior p, and
        believes ::

            P(a | told) = s [a = told] + (1 - s) p_a

        which is Bayes' rule, hence calibrated, for knowledge >= 0 (and true groups
        distributed as p); a probe with negative knowledge is as sure, and wrong.
        """
        strength = abs(knowledge)
        belief: Floats = strength * np.eye(len(self.prior))[self.told(knowledge)]
        belief += (1 - strength) * self.prior
        return belief
