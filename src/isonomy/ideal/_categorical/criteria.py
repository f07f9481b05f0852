"""Is a law of categorical columns ideal, and what does its Bayes rule do: by enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CategoricalJoint
from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal._cells import Array
from isonomy.ideal._priors import label_dependence

__all__ = [
    "categorical_confusion",
    "categorical_rounding",
    "categorical_violation",
    "product_table",
]

_MOST_COMPARED = 2_000
"""Combinations up to which laws of the posterior are compared, pair by pair."""

_MOST_ENUMERATED = 200_000

_TIE = 1e-12
"""Expected costs nearer than this, relative to the largest, are a tie in every group."""


def product_table(joint: CategoricalJoint) -> Array:
    """Return the probabilities of all combinations of categories, (K, G, product of the m).

    Raises
    ------
    UnsupportedProgrammeError
        If there are more than 200,000.
    """
    n = _n_combinations(joint)
    if n > _MOST_ENUMERATED:
        raise UnsupportedProgrammeError(
            f"`joint` must have at most {_MOST_ENUMERATED} combinations of categories for this to "
            f"be enumerated, got {n:.3g}. Pool rare categories, or leave columns out."
        )

    def beside(one: Array, other: Array) -> Array:
        return (one[..., :, None] * other[..., None, :]).reshape(*one.shape[:2], -1)

    return reduce(beside, joint.tables)


def categorical_violation(joint: CategoricalJoint) -> float:
    """Return 0 iff the law of the posterior vector is the same in every group, else more.

    Notes
    -----
    With atoms ``eta(x, a) = (P(Y=y | x, a))_y`` of mass P_ya(x): the largest over classes y
    and pairs of groups of the energy distance ``2 E|S - T| - E|S - S'| - E|T - T'|`` between
    the laws of eta given (y, a) and given (y, a'), which is 0 iff they agree (Szekely and
    Rizzo 2013), and of the dependence of label and group. Ideal iff all are 0 (theory.md 2).
    Beyond 2,000 combinations of categories: the sum over columns of the largest total
    variation between the groups' own cells, 0 of which proves that the law is ideal.
    """
    worst = label_dependence(joint.prior)
    pairs = list(combinations(range(len(joint.groups)), 2))
    if _n_combinations(joint) > _MOST_COMPARED:
        apart = [
            sum(float(np.abs(t[:, a] - t[:, b]).sum(axis=1).max()) / 2.0 for t in joint.tables)
            for a, b in pairs
        ]
        return max([worst, *apart])
    table = product_table(joint)
    for a, b in pairs:
        first, second = (_posterior(table[:, g], joint.prior[:, g]) for g in (a, b))
        worst = max(worst, _energy(first, table[:, a], second, table[:, b]))
    return worst


def _n_combinations(joint: CategoricalJoint) -> float:
    return float(np.prod([float(len(names)) for names in joint.categories]))


def _posterior(table: Array, prior: Array) -> Array:
    """Return P(y | x) for the categories x, (m, K); zeros where x has no mass."""
    joint = (table * prior[:, None]).T
    total = joint.sum(axis=1, keepdims=True)
    posterior: Array = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
    return posterior


def _energy(first: Array, p: Array, second: Array, q: Array) -> float:
    """Return the largest energy distance over classes; masses p, q (K, m) at the atoms."""
    atoms = np.concatenate([first, second])
    far = np.sqrt(np.maximum(((atoms[:, None] - atoms[None]) ** 2).sum(axis=2), 0.0))
    masses = np.concatenate([p, -q], axis=1)
    # distances are conditionally negative definite: -masses' far masses is the energy
    energies = -np.einsum("ki,ij,kj->k", masses, far, masses, optimize=True)
    return float(max(energies.max(), 0.0))


def categorical_rounding(joint: CategoricalJoint) -> float:
    """Return what rounding can cause in `categorical_violation`, at most 1e-6."""
    size = sum(len(names) for names in joint.categories) + len(joint.classes)
    return float(min(1000.0 * size * np.finfo(np.float64).eps, 1e-6))


def categorical_confusion(joint: CategoricalJoint, costs: Sequence[Array]) -> list[Array]:
    """Return P(predicted | true class, group), (K, n_predictions, G), for each cost matrix.

    Notes
    -----
    Exact: every combination of categories is decided by ``argmin_k sum_y C[y, k] eta_y``;
    costs within 1e-12 of the least, relative to the largest cost, tie, and ties go to the
    lowest class, one rule of the posterior for all groups.
    """
    table = product_table(joint)
    found = [np.zeros((*cost.shape, len(joint.groups))) for cost in costs]
    for a in range(len(joint.groups)):
        posterior = _posterior(table[:, a], joint.prior[:, a])
        for cost, confusion in zip(costs, found, strict=True):
            chosen = decide_with_ties(posterior, cost)
            for y in range(len(joint.classes)):
                confusion[y, :, a] = np.bincount(
                    chosen, weights=table[y, a], minlength=cost.shape[1]
                )
    return found


def decide_with_ties(posterior: Array, cost: Array) -> NDArray[np.intp]:
    """Return the lowest of the predictions whose expected cost is least, to rounding."""
    expected = posterior @ cost
    least = expected.min(axis=1, keepdims=True) + _TIE * np.abs(cost).max(initial=0.0)
    chosen: NDArray[np.intp] = (expected <= least).argmax(axis=1)
    return chosen
