"""What steering leaves between groups whose cells are Student-t laws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2, qmc

from isonomy.distributions.student_t import StudentT
from isonomy.ideal._cells import Array
from isonomy.ideal._decisions import decide

__all__ = ["student_laws", "student_transfer"]

_LOG2_POINTS = 8
_N_SCRAMBLES = 4


def student_laws(means: Array, scales: Array, df: Array) -> list[StudentT]:
    """Return the laws of cells with locations (K, d), scales (K or 1, d, d) and df (K,)."""
    return [
        StudentT(means[y], scales[min(y, len(scales) - 1)], float(df[y])) for y in range(len(means))
    ]


def student_transfer(
    rows: NDArray[np.intp], steered: list[StudentT], goals: list[StudentT], prior: Array
) -> tuple[Array, Array]:
    """Return for the labels ``rows`` the smaller divergence and the head's true-positive rate.

    ``steered`` are the laws of the steered cells of these labels, ``goals`` the canonical
    laws of all labels; the head is their Bayes rule.
    """
    kl, recall = np.empty(len(rows)), np.empty(len(rows))
    cost = 1.0 - np.eye(len(goals))
    uniform = _points(goals[0].n_features + 1)
    normal = ndtri(uniform[:, :-1])
    for i, y in enumerate(rows):
        law, goal = steered[i], goals[y]
        kl[i] = min(law.kl_divergence(goal), goal.kl_divergence(law))
        stretch = np.sqrt(law.df / chi2.ppf(uniform[:, -1], law.df))
        x = law.mean + (normal @ law._lower.T) * stretch[:, None]
        logs = np.stack([g.log_density(x) for g in goals], axis=1) + np.log(prior)
        recall[i] = (decide(logs, cost) == y).mean()
    return kl, recall


def _points(d: int) -> Array:
    parts = [qmc.Sobol(d, seed=s).random_base2(_LOG2_POINTS) for s in range(_N_SCRAMBLES)]
    points: Array = np.clip(np.concatenate(parts), 1e-16, 1.0 - 1e-16)
    return points
