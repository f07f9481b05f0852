"""Rates of the Bayes classifier that knows the group, for any cost matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh, solve_triangular
from scipy.special import ndtri
from scipy.stats import qmc

from isonomy._validation import check_random_state
from isonomy.distributions import CategoricalJoint, JointDistribution, MixedJoint
from isonomy.distributions._shape import Freedom
from isonomy.errors import InvalidInputError
from isonomy.ideal._categorical.criteria import categorical_confusion
from isonomy.ideal._cells import Array
from isonomy.ideal._decisions import confusion_on_line, decide_each
from isonomy.ideal._mixed.rates import mixed_confusion
from isonomy.ideal._student.rates import StudentCells, student_integrals, student_on_line
from isonomy.ideal._tied.closed_form import class_coordinates

__all__ = ["BayesRates", "bayes_rates", "rates_for_costs"]

_LOG2_POINTS = 12
_N_SCRAMBLES = 8
_LINE_ERROR = 1e-12
"""Boundaries found to the last place move a rate by a few eps; this is far above it."""


@dataclass(frozen=True, eq=False)
class BayesRates:
    """Rates of a Bayes classifier in every group.

    Attributes
    ----------
    risk : float
        Expected cost under the distribution.
    selection_rate : (n_predictions, n_groups) array
        P(predicted = k | group).
    confusion : (n_classes, n_predictions, n_groups) array
        P(predicted = k | true class, group).
    error : float
        Numerical error of the entries: about 1e-12 where boundaries were found exactly,
        the largest standard error of quasi-Monte-Carlo otherwise.
    """

    risk: float
    selection_rate: Array
    confusion: Array
    error: float

    @property
    def largest_gap(self) -> float:
        """Largest difference between two groups of a selection rate or confusion entry."""
        selected = self.selection_rate.max(axis=1) - self.selection_rate.min(axis=1)
        confused = self.confusion.max(axis=2) - self.confusion.min(axis=2)
        return float(max(selected.max(), confused.max()))


def bayes_rates(
    joint: JointDistribution | CategoricalJoint | MixedJoint,
    cost_matrix: ArrayLike | None = None,
    random_state: Any = None,
) -> BayesRates:
    """Return the rates of the classifier that minimises the expected cost, group known.

    Parameters
    ----------
    joint : JointDistribution
    cost_matrix : (n_classes, n_predictions), optional
        Cost of predicting the column where the row is true. Default: 0 on the diagonal, 1
        elsewhere.
    random_state : None, int or RandomState
        Seeds the scrambles of quasi-Monte-Carlo; None means 0. Not used where exact.

    Returns
    -------
    BayesRates

    Raises
    ------
    InvalidInputError
        If ``joint`` is no JointDistribution, or the costs have a wrong shape or are not finite.

    Notes
    -----
    The prediction is ``argmin_k sum_y C[y, k] P(Y = y | x, a)``, ties to the lowest class in
    every group. One variable, or two classes with tied covariances in any dimension: the
    problem lies on a line and the boundaries are found to the last place. Tied covariances
    with more classes: reduced exactly to min(K - 1, d) coordinates, and integrated by 8
    scrambled Sobol sequences of 4096 points, the same in all groups; otherwise the same
    in d coordinates. For LogNormal cells on log X, which changes no rate. StudentT cells:
    exact in one variable; with tied scales min(K - 1, d) coordinates and the length of what
    is left of x are integrated, otherwise d coordinates. A CategoricalJoint: exact, every
    combination of categories; a MixedJoint: one numeric problem for each of them (at most 500).

    Examples
    --------
    >>> from isonomy.distributions import Normal
    >>> cells = {(y, a): Normal(2.0 * y, 1.0) for y in (0, 1) for a in "ab"}
    >>> rates = bayes_rates(JointDistribution(cells, dict.fromkeys(cells, 0.25)))
    >>> round(rates.risk, 4), round(rates.largest_gap, 4)
    (0.1587, 0.0)
    """
    if not isinstance(joint, JointDistribution | CategoricalJoint | MixedJoint):
        raise InvalidInputError(
            f"`joint` passed to `bayes_rates` must be a JointDistribution, got "
            f"{type(joint).__name__}. Fit one with `JointDistribution.fit`."
        )
    cost = _check_cost(cost_matrix, len(joint.classes))
    if isinstance(joint, CategoricalJoint):
        return _pack_rates(joint.prior, cost, categorical_confusion(joint, [cost])[0], _LINE_ERROR)
    seeds = check_random_state(0 if random_state is None else random_state)
    seed = int(seeds.randint(2**31 - 1))
    if isinstance(joint, MixedJoint):

        def numeric(given: JointDistribution, costs: Sequence[Array]) -> tuple[list[Array], float]:
            found = rates_for_costs(given, costs, seed)
            return [r.confusion for r in found], max(r.error for r in found)

        confusions, error = mixed_confusion(joint, [cost], numeric)
        return _pack_rates(joint.prior, cost, confusions[0], error)
    return rates_for_costs(joint, [cost], seed)[0]


def _pack_rates(prior: Array, cost: Array, confusion: Array, error: float) -> BayesRates:
    return BayesRates(
        risk=float(np.einsum("ya,yk,yka->", prior, cost, confusion)),
        selection_rate=np.einsum("ya,yka->ka", prior / prior.sum(axis=0), confusion),
        confusion=confusion,
        error=error,
    )


def rates_for_costs(
    joint: JointDistribution, costs: Sequence[Array], seed: int = 0, log2_points: int = _LOG2_POINTS
) -> list[BayesRates]:
    """Return the rates for several checked cost matrices, with one integration for all."""
    prior = np.asarray(joint.prior)
    by_group = [_group_confusions(joint, a, costs, seed, log2_points) for a in range(len(prior.T))]
    rates = []
    for i, cost in enumerate(costs):
        confusion = np.stack([found[i][0] for found in by_group], axis=2)
        error = max(found[i][1] for found in by_group)
        rates.append(_pack_rates(prior, cost, confusion, error))
    return rates


def _group_confusions(
    joint: JointDistribution, group: int, costs: Sequence[Array], seed: int, log2_points: int
) -> list[tuple[Array, float]]:
    means, covs = _coordinates(joint, group)
    prior = np.asarray(joint.prior)[:, group]
    if isinstance(joint.shape, Freedom):
        cells = StudentCells(means, covs, joint.shape.df, prior, joint.n_features)
        if joint.n_features > 1:
            return student_integrals(cells, costs, seed, log2_points, _N_SCRAMBLES)
        return [student_on_line(cells, cost) for cost in costs]
    if means.shape[1] > 1:
        return _integrate(means, covs, prior, costs, seed, log2_points)
    sds = np.sqrt(covs[:, 0, 0])
    return [(confusion_on_line(means[:, 0], sds, prior, cost), _LINE_ERROR) for cost in costs]


def _check_cost(cost_matrix: ArrayLike | None, n_classes: int) -> Array:
    if cost_matrix is None:
        return 1.0 - np.eye(n_classes)
    cost = np.asarray(cost_matrix, dtype=np.float64)
    if cost.ndim != 2 or cost.shape[0] != n_classes or cost.shape[1] < 1:
        raise InvalidInputError(
            f"`cost_matrix` of `bayes_rates` must have one row a true class ({n_classes}) and one "
            f"column a prediction, got shape {cost.shape}."
        )
    if not np.isfinite(cost).all():
        raise InvalidInputError(
            "`cost_matrix` of `bayes_rates` must be finite, got NaN or infinite entries."
        )
    return cost


def _coordinates(joint: JointDistribution, group: int) -> tuple[Array, Array]:
    """Return means (K, r) and covariances (K, r, r) in which nothing of the classes is lost.

    The coordinates are the same for every affine image of the cells, so that groups of
    an ideal distribution get the very same integral.
    """
    means, covs = np.asarray(joint.means)[:, group], np.asarray(joint.covariances)[:, group]
    n_classes, d = means.shape
    if d == 1:
        return means, covs
    if joint.is_tied:
        points = class_coordinates(means, covs[0])
        return points, np.broadcast_to(np.eye(points.shape[1]), (n_classes, *[points.shape[1]] * 2))
    if n_classes == 2:
        values, vectors = eigh(covs[1], covs[0])
        far = vectors.T @ (means[1] - means[0])
        return np.stack([np.zeros(d), np.abs(far)]), np.stack([np.eye(d), np.diag(values)])
    lower = np.linalg.cholesky(covs[0])
    inverse = solve_triangular(lower, np.eye(d), lower=True)
    return (means - means[0]) @ inverse.T, inverse @ covs @ inverse.T


def _integrate(
    means: Array, covs: Array, prior: Array, costs: Sequence[Array], seed: int, log2_points: int
) -> list[tuple[Array, float]]:
    """Return P(predicted | true) and the largest standard error, by quasi-Monte-Carlo."""
    lowers: Array = np.asarray(np.linalg.cholesky(covs), dtype=np.float64)
    found = [np.zeros((_N_SCRAMBLES, *cost.shape)) for cost in costs]
    for s in range(_N_SCRAMBLES):
        unit = qmc.Sobol(means.shape[1], seed=seed + s).random_base2(log2_points)
        normal = ndtri(np.clip(unit, 1e-16, 1.0 - 1e-16))
        for y in range(len(means)):
            log_joint = _log_joint(means[y] + normal @ lowers[y].T, means, lowers, prior)
            for i, chosen in enumerate(decide_each(log_joint, costs)):
                found[i][s, y] = np.bincount(chosen, minlength=costs[i].shape[1]) / len(normal)
    return [
        (f.mean(axis=0), float((f.std(axis=0, ddof=1) / np.sqrt(_N_SCRAMBLES)).max()))
        for f in found
    ]


def _log_joint(x: Array, means: Array, lowers: Array, prior: Array) -> Array:
    """Return ln(prior * density), up to one constant a row, (n, K)."""
    if lowers.strides[0] == 0 or (lowers == np.eye(lowers.shape[1])).all():
        tied: Array = x @ means.T - 0.5 * (means**2).sum(axis=1) + np.log(prior)
        return tied
    log_joint = np.empty((len(x), len(means)))
    for z, lower in enumerate(lowers):
        white = solve_triangular(lower, (x - means[z]).T, lower=True)
        log_scale = np.log(prior[z]) - np.log(np.diagonal(lower)).sum()
        log_joint[:, z] = log_scale - 0.5 * (white**2).sum(axis=0)
    return log_joint
