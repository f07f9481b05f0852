"""Arrays that every solver passes on: the cells, what was solved, and KL between cells.

All arrays are float64 with the class first: ``means`` (K, G, d), ``covariances``
(K, G, d, d). A tied problem keeps one covariance a group, (1, G, d, d); arrays with a
first axis of length 1 broadcast over the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

__all__ = ["Array", "CellArrays", "Direction", "Solved", "center", "kl_of_cells", "push_cells"]

Array = NDArray[np.float64]
Direction = Literal["information", "moment"]


@dataclass(frozen=True, eq=False)
class CellArrays:
    """Means (K, G, d), covariances (K or 1, G, d, d) and priors (K, G) of all cells.

    ``lowers`` are the covariances' factors, where they are known.
    """

    means: Array
    covariances: Array
    prior: Array
    lowers: Array | None = None


@dataclass(frozen=True, eq=False)
class Solved:
    """What a solver returns: the ideal cells and the map of every group's rows.

    ``matrices`` (G, d, d) and ``offsets`` (G, d) carry a group's ideal cells onto the
    reference's ideal cells. ``state`` is what a search can be started from again; ``paid``
    the divergences (K, G) of the cells, where the solver knows them.
    """

    means: Array
    covariances: Array
    matrices: Array
    offsets: Array
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    state: Any = None
    paid: Array | None = None


def center(means: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weighted mean (d,) of rows ``means`` (K, d) and the centred rows."""
    middle: Array = weights @ means / weights.sum()
    return middle, means - middle


def push_cells(matrix: Array, offset: Array, means: Array, covs: Array) -> tuple[Array, Array]:
    """Return means (K, d) and covariances (K or 1, d, d) of the cells under an affine map."""
    pushed = matrix @ covs @ matrix.T
    return means @ matrix.T + offset, 0.5 * (pushed + np.swapaxes(pushed, -1, -2))


def kl_of_cells(means_p: Array, covs_p: Array, means_q: Array, covs_q: Array) -> Array:
    """Return KL(P_y || Q_y) in nats for every class y, (K,).

    Means are (K, d); covariances are (K, d, d), or (1, d, d) where all classes share one.
    With T the lower triangular ``L_Q^-1 L_P``, the divergence of the covariances is half of
    ``sum_i (t_ii^2 - 1 - ln t_ii^2) + sum_{i>j} t_ij^2``: the trace and the logarithm of the
    determinant of TT', in terms of at least 0, so that nothing cancels where P and Q are close.
    """
    n_covs = max(len(covs_p), len(covs_q))
    spread = np.empty(n_covs)
    far = np.empty(len(means_p))
    for i in range(n_covs):
        lower = np.linalg.cholesky(covs_q[min(i, len(covs_q) - 1)])
        half = solve_triangular(
            lower, np.linalg.cholesky(covs_p[min(i, len(covs_p) - 1)]), lower=True
        )
        diagonal = np.diagonal(half)
        excess = (diagonal - 1.0) * (diagonal + 1.0)
        below = np.tril(half, -1).ravel()
        spread[i] = 0.5 * ((excess - np.log1p(excess)).sum() + below @ below)
        rows = slice(None) if n_covs == 1 else slice(i, i + 1)
        white = solve_triangular(lower, (means_p - means_q)[rows].T, lower=True)
        far[rows] = 0.5 * (white**2).sum(axis=0)
    return far + spread
