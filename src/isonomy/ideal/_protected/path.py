"""Part of the way where columns are protected: they stay put all along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isonomy.distributions import AffineMap, JointDistribution
from isonomy.distributions._linalg import cholesky, solve_cholesky, symmetric_sqrt, symmetrize
from isonomy.ideal._cells import Array
from isonomy.ideal._protected.split import Places, Split, split_cells

__all__ = ["partial_kept_cells", "partial_kept_map"]


def partial_kept_map(
    move: AffineMap, strength: float, protected: Sequence[int], middle: Array, total: Array
) -> AffineMap:
    """Return the map ``strength`` of the way, the identity in the protected columns.

    Parameters
    ----------
    move : AffineMap
        ``(u, w) -> (u, V w + B u + b)``, V of positive determinant.
    strength : float
        s in [0, 1].
    protected : positions of u
    middle (d,), total (d, d)
        Mean and total covariance of the group's rows.

    Notes
    -----
    With ``w = c + C u + r``, C the group's regression of w on u: r goes by `AffineMap.partial`
    of V in units of its covariance; the regression of the image, from C to ``V C + B``, and
    the image of the mean go straight. The determinant is that of V to the power s. Adding
    multiples of u to w changes nothing, as the path of r does not know of it.
    """
    kept, free = _places(protected, move.n_features)
    own = split_cells(middle[None], total, kept, free)
    rest = AffineMap(move.matrix[np.ix_(free, free)], np.zeros(len(free)))
    matrix, offset = np.eye(move.n_features), np.zeros(move.n_features)
    inner = rest.partial(strength, covariance=own.rest_cov).matrix
    matrix[np.ix_(free, free)] = inner
    image = move.matrix[np.ix_(free, free)] @ own.slope + move.matrix[np.ix_(free, kept)]
    slope = (1.0 - strength) * own.slope + strength * image
    matrix[np.ix_(free, kept)] = slope - inner @ own.slope
    goal = middle + strength * (move.matrix @ middle + move.offset - middle)
    offset[free] = (goal - matrix @ middle)[free]
    return AffineMap(matrix, offset)


def partial_kept_cells(
    fitted: JointDistribution, ideal: JointDistribution, strength: float, protected: Sequence[int]
) -> tuple[Array, Array]:
    """Return means (K, G, d) and covariances (G, d, d) of rows moved part of the way.

    A row (u, w) of a cell goes to ``(u, (1 - s) w + s [c~ + B~ u + T (w - c - B u)])`` with T
    the optimal transport between the covariances of w given u, in units of the fitted one.
    """
    kept, free = _places(protected, fitted.n_features)
    means = np.empty(fitted.means.shape)
    covs = np.empty(fitted.covariances.shape[1:])
    for a in range(len(fitted.groups)):
        here, there = (
            split_cells(np.asarray(law.means)[:, a], law.covariances[0, a], kept, free)
            for law in (fitted, ideal)
        )
        means[:, a], covs[a] = _between(here, there, strength).joined(kept, free)
    return means, covs


def _between(here: Split, there: Split, s: float) -> Split:
    lower = cholesky(here.rest_cov, what="The covariance of the columns that may move")
    goal = symmetrize(solve_cholesky(lower, solve_cholesky(lower, there.rest_cov).T))
    step = lower @ ((1.0 - s) * np.eye(len(lower)) + s * symmetric_sqrt(goal))
    return Split(
        here.kept,
        here.kept_cov,
        (1.0 - s) * here.slope + s * there.slope,
        (1.0 - s) * here.rest + s * there.rest,
        step @ step.T,
    )


def _places(protected: Sequence[int], d: int) -> tuple[Places, Places]:
    kept: Places = np.array(sorted(protected), dtype=np.intp)
    return kept, np.setdiff1d(np.arange(d, dtype=np.intp), kept)
