"""The nearest ideal of tables of probabilities: closed forms, and a search over relabellings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial

import numpy as np
from scipy.special import softmax

from isonomy.distributions.categorical import finite_kl
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal._cells import Array, Direction
from isonomy.ideal._priors import Priors, label_dependence, simple_prior

__all__ = ["SolvedTables", "solve_tables", "total_divergence"]

_STAYERS_TOLERANCE = 1e-6
_MOST_RELABELLINGS = 10_000


@dataclass(frozen=True, eq=False)
class SolvedTables:
    """Common laws (K, m) by table, what each cell pays (K, G), priors and relabellings.

    ``relabelling[a][z]`` is the category of group a that plays the part of category z of
    the common law.
    """

    common: tuple[Array, ...]
    paid: Array
    prior: Array
    relabelling: tuple[tuple[int, ...], ...] | None
    history: tuple[float, ...]

    @property
    def n_tried(self) -> int:
        """How many relabellings were compared; 1 without a search."""
        return len(self.history)


def solve_tables(
    tables: Sequence[Array],
    prior: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    priors: Priors,
    matching: str = "identity",
) -> SolvedTables:
    """Return the nearest laws that do not depend on the group, given the class.

    Notes
    -----
    All move, weights w_a = P~(a | y): ``sum_a w_a KL(P || P_a) = KL(P || G / Z) - ln Z``
    with ``G = prod_a P_a^{w_a}`` and Z its sum, so G / Z is the optimum (information);
    ``sum_a w_a KL(P_a || P) = sum_a w_a KL(P_a || M) + KL(M || P)`` with M the mixture, so
    M is (moment; P of several independent columns: the product of the columns' mixtures).
    Neither depends on P~(y), so that the joint optimum over P~(y) too is
    ``softmax_y(-sum_a r_a [KL_ya + ln(r_a / q_ya)])``, r_a = P(A=a), strictly convex.
    """
    _check_stayers(tables, prior, movers, reference)
    if matching == "identity":
        found = _solve_aligned(tables, prior, movers, reference, direction, priors)
        total = total_divergence(found[2], prior, found[1], direction)
        return SolvedTables(*found, None, (total,))
    return _search(tables, prior, movers, reference, direction, priors)


def _solve_aligned(
    tables: Sequence[Array],
    prior: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    priors: Priors,
) -> tuple[tuple[Array, ...], Array, Array]:
    ideal_prior = simple_prior(prior, priors, reference)
    weights = ideal_prior if direction == "information" else prior
    share = weights / weights.sum(axis=1, keepdims=True)
    all_move = len(movers) == prior.shape[1]
    common = tuple(
        _common(table, share, direction) if all_move else table[:, reference] for table in tables
    )
    paid = np.zeros(prior.shape)
    for table, law in zip(tables, common, strict=True):
        one = law[:, None]
        paid += finite_kl(one, table) if direction == "information" else finite_kl(table, one)
    if priors == "joint" and direction == "information":
        ideal_prior = _joint_prior(prior, paid)
    return common, paid, ideal_prior


def _common(table: Array, share: Array, direction: Direction) -> Array:
    if direction == "moment":
        mixed: Array = np.einsum("ya,yax->yx", share, table)
        mixed /= mixed.sum(axis=1, keepdims=True)
        return mixed
    with np.errstate(divide="ignore"):  # ln 0 = -inf: what one group lacks is given up
        logs = (share[:, :, None] * np.log(table)).sum(axis=1)
    top = logs.max(axis=1)
    if np.isneginf(top).any():
        raise InvalidInputError(
            "`joint` passed to `nearest_ideal` must have, for every label, a category that no "
            "group gives probability 0, got none: every divergence is infinite. Fit it with "
            "smoothing above 0, or use direction='moment'."
        )
    tilted = np.exp(logs - top[:, None])
    law: Array = tilted / tilted.sum(axis=1, keepdims=True)
    return law


def _joint_prior(prior: Array, paid: Array) -> Array:
    group = prior.sum(axis=0)
    cost = (paid + np.log(group / prior)) @ group
    if np.isinf(cost).all():
        return np.outer(prior.sum(axis=1), group)
    # a label that costs infinity keeps the least weight that is still a distribution
    finite = np.where(np.isinf(cost), cost[np.isfinite(cost)].max() + 700.0, cost)
    label = np.maximum(softmax(-finite), np.finfo(np.float64).tiny)
    return np.outer(label / label.sum(), group)


def total_divergence(ideal: Array, fitted: Array, paid: Array, direction: Direction) -> float:
    """Return the divergence in nats, priors included."""
    first, second = (ideal, fitted) if direction == "information" else (fitted, ideal)
    return float(finite_kl(first.ravel(), second.ravel())) + float((first * paid).sum())


def _search(
    tables: Sequence[Array],
    prior: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    priors: Priors,
) -> SolvedTables:
    """Compare all relabellings of the groups that move; the reference keeps its names."""
    (table,) = _one_table(tables)
    m = table.shape[2]
    free = [a for a in movers if a != reference]
    n = factorial(m) ** len(free) if m <= 12 else _MOST_RELABELLINGS + 1
    if n > _MOST_RELABELLINGS:
        raise UnsupportedProgrammeError(
            f"`matching` of `nearest_categorical` may be 'permutation' only up to "
            f"{_MOST_RELABELLINGS} relabellings, got {m} categories and {len(free)} groups to "
            "relabel. Pool categories, or use matching='identity'."
        )
    identity = tuple(range(m))
    best: SolvedTables | None = None
    history: list[float] = []
    for chosen in product(permutations(identity), repeat=len(free)):
        names = [identity] * prior.shape[1]
        for a, relabelled in zip(free, chosen, strict=True):
            names[a] = relabelled
        aligned = np.stack([table[:, a, list(names[a])] for a in range(len(names))], axis=1)
        parts = _solve_aligned([aligned], prior, movers, reference, direction, priors)
        total = total_divergence(parts[2], prior, parts[1], direction)
        # only a gain beyond rounding: ties keep the names
        if best is None or total < history[-1] - 1e-12 * (1.0 + abs(history[-1])):
            best = SolvedTables(*parts, tuple(names), ())
            history.append(total)
        else:
            history.append(history[-1])
    assert best is not None
    return SolvedTables(best.common, best.paid, best.prior, best.relabelling, tuple(history))


def _one_table(tables: Sequence[Array]) -> Sequence[Array]:
    if len(tables) != 1:
        raise UnsupportedProgrammeError(
            "`matching` of `nearest_categorical` may be 'permutation' only for one column or one "
            f"joint alphabet, got {len(tables)} independent columns."
        )
    return tables


def _check_stayers(
    tables: Sequence[Array], prior: Array, movers: Sequence[int], reference: int
) -> None:
    for a in range(prior.shape[1]):
        if a == reference or a in movers:
            continue
        miss = max(float(np.abs(t[:, a] - t[:, reference]).sum(axis=1).max()) / 2 for t in tables)
        gap = label_dependence(prior[:, [a, reference]])
        if max(miss, gap) > _STAYERS_TOLERANCE:
            raise NotIdealError(
                "Groups that stay in `nearest_ideal` must have equal categorical laws in every "
                f"class and equal P(label | group), but one differs by {miss:.3g} (total "
                f"variation) and {gap:.3g}. Let all groups but one move."
            )
