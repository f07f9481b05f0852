"""Per-group class offsets: least loss of log-likelihood under a penalty on rate gaps.

The decision for a row of group ``a`` with class scores ``s`` is the argmax of
``s + b_a``; where the group is only guessed, of ``s_k + sum_a P(a | row, k) b_ak``. Rates
are smoothed by a softmax at a falling temperature, so that the objective has a gradient;
ties of the argmax go to the first class.

With many classes a spread of rates up to what sampling alone would show is not penalised:
pressing the training rows' gaps below their own noise fits that noise and costs accuracy.
Two classes have one offset a group for thousands of rows: there gaps are pressed to 0, and
the last descent counts errors in place of the log-likelihood. With many classes that last
descent fits the accuracy of the rows at hand: on the biographies it cost .1 to .7 points
more on new rows than it seemed to, so that no price could be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from isonomy.steering._membership import Membership

__all__ = [
    "BY_ACCURACY",
    "BY_LIKELIHOOD",
    "OffsetFit",
    "OffsetProblem",
    "RateTerm",
    "Stage",
    "solve_offsets",
    "spread_and_accuracy",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """The softmax temperature of the rates, and what counts against them.

    ``utility`` is "likelihood", the mean log-loss, or "accuracy", the mean error of
    decisions smoothed at the same temperature.
    """

    temperature: float
    utility: Literal["likelihood", "accuracy"]


BY_LIKELIHOOD = (Stage(1.0, "likelihood"), Stage(0.3, "likelihood"))
BY_ACCURACY = (*BY_LIKELIHOOD, Stage(0.1, "accuracy"))
"""Descents, each started where the last one ended."""


@dataclass(frozen=True)
class RateTerm:
    """One rate that the groups should share: P(predicted = ``predicted`` | ``rows``).

    ``cell_weight`` (n_samples,) holds each row's share of its own group's rate (0
    outside the term), ``group_weight`` (n_groups,) how much each group counts in the
    common rate, and ``importance`` the term's share of the penalty.
    """

    predicted: int
    cell_weight: Floats
    group_weight: Floats
    importance: float


@dataclass(frozen=True)
class OffsetProblem:
    """Scores (n, K), labels, groups, row weights and the rates to be made equal.

    ``groups`` are the true ones, whose rates are compared; ``membership`` is what the
    decision knows of them. Gaps below ``noise_share`` of what sampling shows are free.
    ``ridge`` / 2 times the squared centred offsets is added: where groups are guessed, the
    offsets of a rare one could else grow without bound.
    """

    scores: Floats
    y: NDArray[np.intp]
    groups: NDArray[np.intp]
    weight: Floats
    n_groups: int
    terms: Sequence[RateTerm]
    membership: Membership
    noise_share: float = 1.0
    ridge: float = 0.0


def spread_and_accuracy(problem: OffsetProblem) -> tuple[float, float]:
    """Return (weighted spread of the rates over groups, accuracy) of the scores' decisions."""
    packed = _Packed.of(problem)
    decisions = np.zeros_like(problem.scores)
    decisions[np.arange(len(problem.y)), problem.scores.argmax(axis=1)] = 1.0
    rates, share = packed.rates(decisions), packed.group_weight
    deviation = rates - (share * rates).sum(axis=1, keepdims=True)
    spread = float(packed.importance @ (share * deviation**2).sum(axis=1))
    return spread, packed.accuracy(packed.nothing().offsets)


@dataclass(frozen=True)
class OffsetFit:
    """Offsets (n_groups, n_classes), what the solver says of them, and the penalty reached."""

    offsets: Floats
    converged: bool
    n_iter: int
    objective: float
    penalty: float


def solve_offsets(
    problem: OffsetProblem,
    *,
    penalty: float,
    stages: Sequence[Stage],
    max_iter: int,
    floor: float | None = None,
) -> OffsetFit:
    """Minimise loss plus penalty by L-BFGS, each stage started from the last.

    With ``floor`` the penalty climbs to ``penalty`` by doubling, each step started from the
    one before, until the decisions' weighted accuracy falls under it; two halvings then
    close in on the limit. Without a penalty there is nothing to shift for.
    """
    packed = _Packed.of(problem)
    if penalty == 0:
        return packed.nothing()
    if floor is None:
        return _descend(packed, packed.nothing(), penalty, stages, max_iter)

    def climb(start: OffsetFit, step: float) -> OffsetFit | None:
        left = stages[-1:] if start.n_iter else stages  # annealed once, later steps start near
        found = _descend(packed, start, step, left, max_iter)
        return found if packed.accuracy(found.offsets) >= floor else None

    best = packed.nothing()
    for step in penalty * 2.0 ** np.arange(-N_DOUBLINGS, 1):
        found = climb(best, float(step))
        if found is None:
            return _close_in(climb, best, float(step))
        best = found
    return best


N_DOUBLINGS = 12
"""The first step under an accuracy tolerance is 1/4096 of the full penalty."""


def _close_in(
    climb: Callable[[OffsetFit, float], OffsetFit | None], best: OffsetFit, above: float
) -> OffsetFit:
    """Halve twice, in logarithms, the way from the step that held to the one that did not."""
    for _ in range(2 if best.n_iter else 0):
        middle = float(np.sqrt(best.penalty * above))
        found = climb(best, middle)
        if found is None:
            above = middle
        else:
            best = found
    return best


def _descend(
    packed: _Packed,
    start: OffsetFit,
    penalty: float,
    stages: Sequence[Stage],
    max_iter: int,
) -> OffsetFit:
    offsets = start.offsets.reshape(-1)
    converged, n_iter, value = True, start.n_iter, np.inf
    for stage in stages:
        found: Any = minimize(
            packed.objective,
            offsets,
            args=(penalty, stage),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": 1e-10, "gtol": 1e-7},
        )
        offsets, value = found.x, float(found.fun)
        converged, n_iter = bool(found.success), n_iter + int(found.nit)
    table = packed.problem.membership.centred(offsets.reshape(start.offsets.shape))
    return OffsetFit(table, converged, n_iter, value, penalty)


@dataclass(frozen=True)
class _Packed:
    """The problem as sparse sums: every term's rows, laid end to end.

    ``noise`` (n_terms,) is the spread that equal true rates would show by chance.
    """

    problem: OffsetProblem
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    row_weight: Floats
    slots: NDArray[np.intp]
    group_weight: Floats
    importance: Floats
    noise: Floats

    @classmethod
    def of(cls, problem: OffsetProblem) -> _Packed:
        n_groups = problem.n_groups
        rows, columns, weights, slots = [], [], [], []
        for t, term in enumerate(problem.terms):
            inside = np.flatnonzero(term.cell_weight)
            rows.append(inside)
            columns.append(np.full(len(inside), term.predicted, dtype=np.intp))
            weights.append(term.cell_weight[inside])
            slots.append(t * n_groups + problem.groups[inside])
        group_weight = np.stack([t.group_weight for t in problem.terms])
        return cls(
            problem,
            np.concatenate(rows),
            np.concatenate(columns),
            np.concatenate(weights),
            np.concatenate(slots),
            group_weight,
            np.array([t.importance for t in problem.terms]),
            problem.noise_share * np.array([_chance_spread(problem, t) for t in problem.terms]),
        )

    def nothing(self) -> OffsetFit:
        """Return offsets of 0: the decisions as they are."""
        shape = (self.problem.n_groups, self.problem.scores.shape[1])
        return OffsetFit(np.zeros(shape), True, 0, np.inf, 0.0)

    def accuracy(self, offsets: Floats) -> float:
        """Return the weighted share of rows that the offsets decide right."""
        p = self.problem
        right = (p.scores + p.membership.shift(offsets)).argmax(axis=1) == p.y
        return float(p.weight @ right / p.weight.sum())

    def rates(self, decisions: Floats) -> Floats:
        """Return the rate of every term in every group, ``(n_terms, n_groups)``."""
        shape = self.group_weight.shape
        picked = self.row_weight * decisions[self.rows, self.columns]
        total = np.bincount(self.slots, weights=picked, minlength=shape[0] * shape[1])
        return np.asarray(total, dtype=np.float64).reshape(shape)

    def objective(self, flat: Floats, penalty: float, stage: Stage) -> tuple[float, Floats]:
        """Return loss + penalty and its gradient in the flattened offsets."""
        p = self.problem
        shifted = p.scores + p.membership.shift(flat.reshape(p.n_groups, -1))
        decisions = _softmax(shifted, stage.temperature)
        rates, share = self.rates(decisions), self.group_weight
        deviation = rates - (share * rates).sum(axis=1, keepdims=True)
        excess, steepness = _above((share * deviation**2).sum(axis=1), self.noise)
        # d gap / d rate: the deviations' weighted sum is 0, so the common rate's part drops out
        to_rate = 2 * (self.importance * steepness)[:, None] * share * deviation
        to_decision = np.zeros_like(decisions)
        # no two terms of one criterion share a (row, class): assignment is addition
        to_decision[self.rows, self.columns] = (
            penalty * to_rate.reshape(-1)[self.slots] * self.row_weight
        )
        held = p.ridge * (flat - flat.mean())
        value = penalty * float(self.importance @ excess) + 0.5 * float(held @ flat)
        if stage.utility == "accuracy":
            rows, weight = np.arange(len(p.y)), p.weight / p.weight.sum()
            value += 1.0 - float(weight @ decisions[rows, p.y])
            to_decision[rows, p.y] -= weight
        inner = (to_decision * decisions).sum(axis=1, keepdims=True)
        to_decision -= inner
        slope = np.multiply(to_decision, decisions, out=to_decision)
        slope /= stage.temperature
        if stage.utility == "likelihood":
            loss, steep = _log_loss(shifted, p.y, p.weight)
            value += loss
            slope += steep
        return value, p.membership.pull(slope).reshape(-1) + held


def _above(spread: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Return a smooth max(spread - noise, 0) and its slope; rounded over a quarter of the noise."""
    x = spread - noise
    root = np.sqrt(x**2 + (ROUNDING * noise) ** 2)
    return (x + root) / 2, (1 + x / np.maximum(root, TINY)) / 2


TINY = 1e-300
"""Against 0 / 0 where neither a spread nor noise is left."""


ROUNDING = 0.25


def _chance_spread(problem: OffsetProblem, term: RateTerm) -> float:
    """Return E sum_a share_a (r_a - r)^2 for equal true rates, from the unshifted decisions.

    ``r_a`` has variance ``r (1 - r) / n_a``; half a row is added to either outcome, so
    that a cell decided all one way does not count as known exactly.
    """
    inside = term.cell_weight > 0
    groups, weight = problem.groups[inside], problem.weight[inside]
    hits = weight * (problem.scores[inside].argmax(axis=1) == term.predicted)
    n = np.bincount(groups, weights=weight, minlength=problem.n_groups)
    right = np.bincount(groups, weights=hits, minlength=problem.n_groups)
    rate = (right + 0.5) / (n + 1)
    share = term.group_weight
    variance = np.where(n > 0, rate * (1 - rate) / np.maximum(n, 1e-12), 0.0)
    return float((share * (1 - share) * variance).sum())


def _softmax(scores: Floats, temperature: float) -> Floats:
    """Return the softmax of ``scores / temperature`` along the classes."""
    out: Floats = scores - scores.max(axis=1, keepdims=True)
    if temperature != 1:
        out /= temperature
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out


def _log_loss(shifted: Floats, y: NDArray[np.intp], weight: Floats) -> tuple[float, Floats]:
    """Return the weighted mean negative log-likelihood and its slope in the scores."""
    rows, share = np.arange(len(y)), weight / weight.sum()
    top = shifted.max(axis=1, keepdims=True)
    slope: Floats = np.exp(shifted - top)
    total = slope.sum(axis=1, keepdims=True)
    own = shifted[rows, y] - top[:, 0] - np.log(total[:, 0])
    slope *= share[:, None] / total
    slope[rows, y] -= share
    return float(-(share @ own)), slope
