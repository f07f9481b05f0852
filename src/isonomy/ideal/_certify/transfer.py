"""What steering with one map a group, without labels, leaves between the groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from isonomy.distributions import AffineMap
from isonomy.distributions._shape import Freedom
from isonomy.ideal._cells import Array, kl_of_cells, push_cells
from isonomy.ideal._decisions import decide
from isonomy.ideal._student.transfer import student_laws, student_transfer
from isonomy.ideal.nearest import IdealSolution

__all__ = ["Transfer", "total_variation_bound", "transfer"]

_LOG2_POINTS = 8
_N_SCRAMBLES = 4


def total_variation_bound(kl: Array) -> Array:
    """Return min(sqrt(KL / 2), sqrt(1 - exp(-KL))), at least the total variation distance.

    Pinsker's inequality, and Bretagnolle and Huber's, which wins beyond KL of about 1.6.
    """
    divergence = np.maximum(kl, 0.0)
    found: Array = np.minimum(np.sqrt(divergence / 2.0), np.sqrt(-np.expm1(-divergence)))
    return found


@dataclass(frozen=True, eq=False)
class Transfer:
    """Residual between steered cells and canonical cells; arrays (K, G), NaN where unknown.

    ``kl`` is the smaller of the two directions, ``bound`` what it allows in total
    variation, ``head_gap`` (K,) the largest difference between groups of the true-positive
    rate of one particular head: the Bayes rule of the canonical cells.
    """

    kl: Array
    bound: Array
    head_gap: Array

    @property
    def class_bound(self) -> Array:
        """Largest t_ya + t_ya' over pairs of groups, (K,): holds for ANY head."""
        if self.bound.shape[1] < 2:
            return np.zeros(len(self.bound))
        filled = np.where(np.isnan(self.bound), -np.inf, self.bound)
        two = np.sort(filled, axis=1)[:, -2:].sum(axis=1)
        return np.where(np.isfinite(two), two, np.nan)


def transfer(
    means: Array,
    covariances: Array,
    known: NDArray[np.bool_],
    solution: IdealSolution,
) -> Transfer:
    """Push cells by the stored maps and compare them with the canonical cells.

    Parameters
    ----------
    means : (K, G, d)
    covariances : (K or 1, G, d, d)
    known : (K, G) of bool
        Cells to judge; the others stay NaN.
    solution : IdealSolution
    """
    joint = solution.source
    goal_means = np.stack([solution.canonical[label].mean for label in joint.classes])
    goal_covs = np.stack([solution.canonical[label].covariance for label in joint.classes])
    if len(covariances) == 1 and all(np.array_equal(goal_covs[0], c) for c in goal_covs[1:]):
        goal_covs = goal_covs[:1]
    kl = np.full(known.shape, np.nan)
    recall = np.full(known.shape, np.nan)
    label_prior = np.asarray(solution.distribution.class_prior)
    for a, group in enumerate(joint.groups):
        move: AffineMap = solution.maps[group]
        rows = np.flatnonzero(known[:, a])
        if len(rows) == 0:
            continue
        covs = covariances[:, a] if len(covariances) == 1 else covariances[rows, a]
        pushed = push_cells(move.matrix, move.offset, means[rows, a], covs)
        if isinstance(joint.shape, Freedom):
            steered = student_laws(*pushed, joint.shape.df[rows])
            goals = student_laws(goal_means, goal_covs, joint.shape.df)
            kl[rows, a], recall[rows, a] = student_transfer(rows, steered, goals, label_prior)
            continue
        goal = goal_means[rows], goal_covs if len(goal_covs) == 1 else goal_covs[rows]
        kl[rows, a] = np.minimum(kl_of_cells(*pushed, *goal), kl_of_cells(*goal, *pushed))
        recall[rows, a] = _recall(rows, *pushed, goal_means, goal_covs, label_prior)
    gap = np.array([np.ptp(r[~np.isnan(r)]) if (~np.isnan(r)).any() else np.nan for r in recall])
    return Transfer(kl, total_variation_bound(kl), gap)


def _recall(
    rows: NDArray[np.intp],
    means: Array,
    covs: Array,
    goal_means: Array,
    goal_covs: Array,
    prior: Array,
) -> Array:
    """Return P(canonical Bayes rule predicts y | cell y) for the classes in ``rows``."""
    whiten = np.linalg.inv(np.linalg.cholesky(goal_covs[0]))
    centre = goal_means[0]
    if len(goal_covs) == 1:
        # only the span of the whitened class means matters to a linear rule
        basis = np.linalg.qr(((goal_means - centre) @ whiten.T)[1:].T)[0]
        whiten = basis.T @ whiten
    points = (goal_means - centre) @ whiten.T
    laws = whiten @ goal_covs @ whiten.T
    white_means = (means - centre) @ whiten.T
    lowers = np.linalg.cholesky(whiten @ covs @ whiten.T)
    normal = _normal_points(points.shape[1])
    cost = 1.0 - np.eye(len(points))
    found = np.empty(len(rows))
    for i, y in enumerate(rows):
        x = white_means[i] + normal @ lowers[min(i, len(lowers) - 1)].T
        found[i] = (decide(np.log(prior) + _log_densities(x, points, laws), cost) == y).mean()
    return found


def _log_densities(x: Array, points: Array, laws: Array) -> Array:
    """Return log densities (n, K) up to a constant a row; one law: the identity."""
    if len(laws) == 1:
        linear: Array = x @ points.T - 0.5 * (points**2).sum(axis=1)
        return linear
    log_scale = -0.5 * np.linalg.slogdet(laws)[1]
    found: Array = np.empty((len(x), len(points)))
    for y, (middle, law) in enumerate(zip(points, laws, strict=True)):
        white = np.linalg.solve(np.linalg.cholesky(law), (x - middle).T)
        found[:, y] = log_scale[y] - 0.5 * (white**2).sum(axis=0)
    return found


def _normal_points(d: int) -> Array:
    parts = [qmc.Sobol(d, seed=s).random_base2(_LOG2_POINTS) for s in range(_N_SCRAMBLES)]
    points: Array = ndtri(np.clip(np.concatenate(parts), 1e-16, 1.0 - 1e-16))
    return points
