"""Optimal transport between centred normals: the map, and the barycentre of several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.baselines._factor import Factor
from isonomy.distributions._linalg import rank_tolerance, symmetric_sqrt, symmetrize

__all__ = ["Barycentre", "bures_barycentre", "bures_map"]

Floats = NDArray[np.float64]

MAX_ITER = 500
"""Regular covariances need about 10 to 50 steps; singular ones approach ever more slowly."""

PATIENCE = 10
"""Steps without progress after which rounding is what is left."""


@dataclass(frozen=True)
class Barycentre:
    """The covariance S of the barycentre, and how far from 0 its equation is left.

    ``residual`` is the largest entry of ``(sum_a p_a W_a - I) S`` over that of S.
    """

    covariance: Floats
    residual: float
    n_iter: int
    converged: bool


def bures_map(source: Floats, target: Floats) -> Floats:
    """Return the symmetric W with ``W source W = target``, (d, d).

    Where ``source`` is singular, W acts on its range (orthogonal complement left as it
    is) and carries it to the part of ``target`` within that range.
    """
    factor = Factor.of(source)
    if factor.left_inverse is None:
        return _between(factor, target)
    basis, root = np.linalg.qr(factor.root)
    inner = Factor(root, np.linalg.pinv(root))
    moved = _between(inner, basis.T @ target @ basis)
    rest = np.eye(len(source)) - basis @ basis.T
    return symmetrize(basis @ moved @ basis.T + rest)


def _between(factor: Factor, target: Floats) -> Floats:
    """Return ``L^-T (L' target L)^{1/2} L^-1``."""
    middle = symmetric_sqrt(symmetrize(factor.root.T @ target @ factor.root))
    return symmetrize(factor.divide_transposed(factor.divide_transposed(middle).T))


def bures_barycentre(laws: Floats, weights: Floats) -> Barycentre:
    """Return the barycentre of centred normals under the Wasserstein distance.

    Parameters
    ----------
    laws : (n, d, d)
        Covariances.
    weights : (n,)
        At least 0, with sum 1.

    Notes
    -----
    Two: ``S = M S_0 M`` with ``M = p_0 I + p_1 W``. More: from ``sum_a p_a S_a``,
    ``S <- T S T`` with ``T = sum_a p_a W_a`` and W_a the map from S to S_a, until
    ``T S = S`` or rounding keeps it from coming nearer.
    """
    if len(laws) == 1:
        return Barycentre(laws[0], 0.0, 0, True)
    if len(laws) == 2:
        # a law of smaller rank cannot be carried to the other: the map starts at the larger
        ranks = [Factor.of(law).root.shape[1] for law in laws]
        one, other = (1, 0) if ranks[1] > ranks[0] else (0, 1)
        way = bures_map(laws[one], laws[other])
        half = weights[one] * np.eye(len(way)) + weights[other] * way
        centre = symmetrize(half @ laws[one] @ half)
        return _judged(centre, _residual(centre, _mean_map(centre, laws, weights)), n_iter=0)
    centre = np.asarray(np.einsum("a,aij->ij", weights, laws))
    best, least, since = centre, np.inf, 0
    n_iter = 0
    while n_iter < MAX_ITER:
        step = _mean_map(centre, laws, weights)
        residual = _residual(centre, step)
        since = 0 if residual < least else since + 1
        if since == 0:
            best, least = centre, residual
        if since == PATIENCE or least <= rank_tolerance([1.0], size=len(centre)):
            break
        centre = symmetrize(step @ centre @ step)
        n_iter += 1
    return _judged(best, least, n_iter=n_iter)


def _mean_map(centre: Floats, laws: Floats, weights: Floats) -> Floats:
    maps = np.array([bures_map(centre, law) for law in laws])
    mean: Floats = np.einsum("a,aij->ij", weights, maps)
    return mean


def _residual(centre: Floats, step: Floats) -> float:
    size = float(np.abs(centre).max())
    return float(np.abs(step @ centre - centre).max()) / size if size > 0 else 0.0


def _judged(centre: Floats, residual: float, *, n_iter: int) -> Barycentre:
    # half of the digits: the distance itself is then right to rounding
    return Barycentre(centre, residual, n_iter, residual <= np.sqrt(np.finfo(np.float64).eps))
