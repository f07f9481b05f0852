"""Group-blind erasure: remove, with least damage, what tells groups apart within classes.

One affine map for everybody, so no group is needed at deployment. It makes the groups'
class-conditional means agree; it leaves their covariances as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap
from isonomy.distributions._linalg import rank_tolerance
from isonomy.steering._coordinates import split_whitening, whitening

__all__ = ["BlindDirections", "blind_directions", "blind_map", "within_class_differences"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BlindDirections:
    """Directions that tell groups apart within classes, the most telling first.

    In whitened coordinates ``z = whiten' (x - mean)`` they are the orthonormal columns
    of ``directions`` (rank, n_directions); ``unwhiten`` leads back. ``strengths`` are
    their singular values.
    """

    mean: Floats
    whiten: Floats
    unwhiten: Floats
    directions: Floats
    strengths: Floats

    @property
    def n_directions(self) -> int:
        """Rank of the within-class differences."""
        return int(self.directions.shape[1])

    @property
    def n_dimensions(self) -> int:
        """Rank of the total covariance."""
        return int(self.whiten.shape[1])


def within_class_differences(counts: Floats, means: Floats, *, cell_shrinkage: float) -> Floats:
    """Return the weighted differences between groups within classes, stacked.

    Parameters
    ----------
    counts : (n_classes, n_groups)
        Weight of every cell; empty cells are allowed.
    means : (n_classes, n_groups, n_features)
    cell_shrinkage : float
        tau: with n the class's smallest cell, rho = n / (n + tau) of its own
        difference is kept, the rest comes from the average difference.

    Returns
    -------
    (n_classes * n_contrasts, n_features) array

    Notes
    -----
    Two groups: rows ``sqrt(q_y rho_y) [rho_y delta_y + (1 - rho_y) sum_k q_k delta_k]``
    with ``delta_y = mu_y0 - mu_y1`` and q_y = P(Y = y). More groups: each group's
    difference to the class mean, times the root of the group's share. Source: this
    project's theory, section 4.
    """
    means = np.where(counts[:, :, None] > 0, means, 0.0)
    q = counts.sum(axis=1) / counts.sum()
    smallest = counts.min(axis=1)
    rho = smallest / (smallest + cell_shrinkage) if cell_shrinkage else (smallest > 0) * 1.0
    if counts.shape[1] == 2:
        contrasts = means[:, :1] - means[:, 1:]
    else:
        total = counts.sum(axis=1, keepdims=True)
        share = counts / np.where(total > 0, total, 1.0)  # a class foreseen may have no rows
        centre = np.einsum("ya,yad->yd", share, means)
        group = counts.sum(axis=0) / counts.sum()
        contrasts = np.sqrt(group)[None, :, None] * (means - centre[:, None])
    contrasts = np.where((smallest > 0)[:, None, None], contrasts, 0.0)
    known = q * (smallest > 0)
    known = known / known.sum() if known.sum() else known
    average = np.einsum("y,yad->ad", known, contrasts)
    blended = rho[:, None, None] * contrasts + (1 - rho)[:, None, None] * average
    weighted: Floats = np.sqrt(q * rho)[:, None, None] * blended
    return weighted.reshape(-1, means.shape[2])


def blind_directions(
    mean: Floats, covariance: Floats, differences: Floats, protected: Sequence[int] = ()
) -> BlindDirections:
    """Whiten by the total covariance and order the difference directions.

    ``U`` holds the left singular vectors of ``covariance^{-1/2} differences'``. Columns at
    the positions ``protected`` stay: the directions are those of the others given these, so
    that groups differ afterwards by what the protected columns tell and by nothing else.
    """
    if protected:
        whiten, unwhiten, n_kept = split_whitening(covariance, mean, protected)
        rest = whiten[:, n_kept:].T @ differences.T
        inner, strengths, _ = np.linalg.svd(rest, full_matrices=False)
        rank = int((strengths > rank_tolerance(strengths)).sum())
        left = np.zeros((whiten.shape[1], rank))
        left[n_kept:] = inner[:, :rank]
        return BlindDirections(mean, whiten, unwhiten, left, strengths[:rank])
    whiten, unwhiten = whitening(covariance, mean)
    left, strengths, _ = np.linalg.svd(whiten.T @ differences.T, full_matrices=False)
    rank = int((strengths > rank_tolerance(strengths)).sum())
    return BlindDirections(mean, whiten, unwhiten, left[:, :rank], strengths[:rank])


def blind_map(found: BlindDirections, rank: int, strength: float = 1.0) -> AffineMap:
    """Return x -> mean + P (x - mean) with P = I - s S^{1/2} U U' S^{-1/2}, factored.

    s is the strength: 1 removes the directions, less leaves 1 - s of what lies along them.
    """
    u = found.directions[:, :rank]
    back, ahead = strength * (found.unwhiten @ u), found.whiten @ u
    return AffineMap.low_rank(-back, ahead, back @ (ahead.T @ found.mean))
