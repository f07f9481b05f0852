"""Part of the way: maps of a strength between 0 and 1, and the law of rows moved by them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from isonomy._validation import check_real
from isonomy.distributions import AffineMap, JointDistribution
from isonomy.distributions._linalg import (
    cholesky,
    solve_cholesky,
    symmetric_inverse_sqrt,
    symmetric_sqrt,
    symmetrize,
)
from isonomy.errors import InvalidInputError, UnsupportedProgrammeError
from isonomy.ideal._cells import Array, center
from isonomy.ideal._protected.path import partial_kept_cells, partial_kept_map
from isonomy.ideal.nearest import IdealSolution

__all__ = ["partial_ideal", "partial_maps"]


def partial_maps(solution: IdealSolution, strength: float) -> dict[Hashable, AffineMap]:
    """Return every group's map, ``strength`` of the way, invertible all along.

    Parameters
    ----------
    solution : IdealSolution
    strength : float
        s in [0, 1].

    Returns
    -------
    {group: AffineMap}
        The identity at 0, ``solution.maps`` at 1.

    Raises
    ------
    InvalidInputError
        If ``strength`` is outside [0, 1], or a group's map mirrors space and its ideal cells
        have no direction without class information in which the mirror could be undone.

    Notes
    -----
    `AffineMap.partial` about the group's mean, in units of its total covariance, both under
    the fitted law: the path does not depend on the coordinates of the features. A map that
    mirrors space has no such path. Where classes share a covariance, and their means leave a
    direction free in which ideal cells are symmetric, a second mirror there leaves every
    ideal cell as it is: of those directions the one that moves rows least is taken.
    Protected columns stay put all along.
    Source: docs/theory.md 17.6.
    """
    _check_solution(solution, where="partial_maps")
    s = check_real("strength", strength, where="partial_maps", low=0.0, high=1.0)
    joint = solution.source
    found: dict[Hashable, AffineMap] = {}
    for a, group in enumerate(joint.groups):
        move = solution.maps[group]
        if s in (0.0, 1.0) or move.is_identity:
            found[group] = AffineMap.identity(joint.n_features) if s == 0.0 else move
            continue
        middle = joint.prior[:, a] @ joint.means[:, a] / joint.prior[:, a].sum()
        total = _total_covariance(joint, a)
        if solution.protected:
            found[group] = partial_kept_map(move, s, solution.protected, middle, total)
            continue
        if np.linalg.slogdet(move.matrix)[0] < 0:
            move = _without_mirror(solution, a)
        found[group] = move.partial(s, about=middle, covariance=total)
    return found


def partial_ideal(solution: IdealSolution, strength: float) -> JointDistribution:
    """Return the law ``strength`` of the way from the fitted to the ideal distribution.

    Parameters
    ----------
    solution : IdealSolution
    strength : float
        s in [0, 1].

    Returns
    -------
    JointDistribution
        The fitted law at 0, ``solution.distribution`` at 1.

    Raises
    ------
    InvalidInputError
        If ``strength`` is outside [0, 1].
    UnsupportedProgrammeError
        If ``solution`` is not that of a JointDistribution.

    Notes
    -----
    A row x of a cell goes to ``(1 - s) x + s T(x)``, with T the optimal transport of the cell
    onto the ideal one (where columns are protected: of the others given these, which stay)
    in units of the group's total covariance: symmetric and positive
    definite there, so that the map is invertible and keeps orientation all along (McCann's
    displacement interpolation). Priors are proportional to ``q^(1-s) q~^s`` within each group,
    P(A=a) as it is. It needs labels, as `repair` does. Maps of whole groups (`partial_maps`)
    do not: but no affine map of a group changes how well its own labels can be told apart, so
    along them `ideal_violation` stays and the difference that a head sees which does not know
    the group falls. Before s = 1 the law is not ideal. On the way the divergence of every cell
    to its ideal falls (docs/theory.md 17.7); `ideal_violation` need not: it rose somewhere on
    22 of 242 random paths, on 19 of them with three classes in one variable.

    Examples
    --------
    >>> from isonomy.distributions import Normal
    >>> from isonomy.ideal import ideal_violation, nearest_ideal
    >>> cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
    ...          (0, "b"): Normal(0.0, 1.0), (1, "b"): Normal(1.0, 1.0)}
    >>> solution = nearest_ideal(JointDistribution(cells, dict.fromkeys(cells, 0.25)), moves=["b"])
    >>> [round(ideal_violation(partial_ideal(solution, s)), 3) for s in (0.0, 0.5, 1.0)]
    [0.333, 0.181, 0.0]
    """
    _check_solution(solution, where="partial_ideal")
    s = check_real("strength", strength, where="partial_ideal", low=0.0, high=1.0)
    joint, ideal = solution.source, solution.distribution
    if s in (0.0, 1.0):
        return joint if s == 0.0 else ideal
    prior = partial_prior(np.asarray(joint.prior), np.asarray(ideal.prior), s)
    rest = joint.classes, joint.groups, joint.family, joint.shape
    if solution.protected:
        means, covs = partial_kept_cells(joint, ideal, s, solution.protected)
        return JointDistribution.from_arrays(means, covs, prior, *rest)
    means = (1.0 - s) * np.asarray(joint.means) + s * np.asarray(ideal.means)
    covs = np.empty_like(joint.covariances)
    for a in range(len(joint.groups)):
        lower = cholesky(_total_covariance(joint, a), what="A group's total covariance")
        here, there = (
            solve_cholesky(lower, np.swapaxes(solve_cholesky(lower, c), -1, -2))
            for c in (joint.covariances[:, a], ideal.covariances[:, a])
        )
        for y, (own, goal) in enumerate(zip(here, there, strict=True)):
            step = (1.0 - s) * np.eye(len(own)) + s * _transport(own, goal)
            covs[y, a] = symmetrize(lower @ step @ own @ step @ lower.T)
    return JointDistribution.from_arrays(means, covs, prior, *rest)


def _check_solution(solution: Any, *, where: str) -> None:
    if not isinstance(solution, IdealSolution):
        raise UnsupportedProgrammeError(
            f"`solution` passed to `{where}` must be the IdealSolution of a JointDistribution, got "
            f"{type(solution).__name__}."
        )


def _transport(own: Array, goal: Array) -> Array:
    """Return the symmetric A with ``A own A = goal`` (Knott and Smith 1984)."""
    root, inverse = symmetric_sqrt(own), symmetric_inverse_sqrt(own)
    found: Array = inverse @ symmetric_sqrt(root @ goal @ root) @ inverse
    return found


def _total_covariance(joint: JointDistribution, a: int) -> Array:
    q = np.asarray(joint.prior)[:, a] / joint.prior[:, a].sum()
    far = center(np.asarray(joint.means)[:, a], q)[1]
    within = np.einsum("y,yij->ij", q, joint.covariances[:, a])
    return np.asarray(within + (q[:, None] * far).T @ far, dtype=np.float64)


def partial_prior(fitted: Array, ideal: Array, strength: float) -> Array:
    """Return priors (K, G) proportional to ``q^(1-s) q~^s`` in each group, P(A=a) as fitted."""
    logs = (1.0 - strength) * np.log(fitted) + strength * np.log(ideal)
    weights = np.exp(logs - logs.max(axis=0))
    found: Array = weights / weights.sum(axis=0) * fitted.sum(axis=0)
    return found


def _without_mirror(solution: IdealSolution, a: int) -> AffineMap:
    """Return a map of positive determinant that equals the group's on its ideal cells."""
    ideal, group = solution.distribution, solution.source.groups[a]
    move = solution.maps[group]
    means, q = np.asarray(ideal.means)[:, a], np.asarray(ideal.prior)[:, a]
    lower = np.linalg.cholesky(ideal.covariances[0, a])
    middle, far = center(means, q)
    white = np.linalg.solve(lower, far.T)
    axes, sizes, _ = np.linalg.svd(white)
    rank = int((sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))).sum())
    free = axes[:, rank:]
    if not ideal.is_tied or free.shape[1] == 0:
        raise InvalidInputError(
            f"`strength` between 0 and 1 needs a map of group {group!r} that does not mirror "
            "space, and the nearest ideal distribution needs one that does. Use strength 0 or "
            '1, or map_family="symmetric", whose maps never do.'
        )
    inner = free.T @ lower.T @ move.matrix @ lower @ free
    u = free @ np.linalg.eigh(0.5 * (inner + inner.T))[1][:, :1]
    mirror = AffineMap.low_rank(
        -2.0 * lower @ u,
        np.linalg.solve(lower.T, u),
        2.0 * (lower @ u)[:, 0] * float(np.linalg.solve(lower.T, u)[:, 0] @ middle),
    )
    return move.compose(mirror)
