"""How many directions to erase: the fewest that held-out rows cannot tell from the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from sklearn.utils.parallel import Parallel, delayed

from isonomy._cross_fit import cell_splits
from isonomy.distributions import CellMoments
from isonomy.groups import cell_factors
from isonomy.steering._blind import (
    BlindDirections,
    blind_directions,
    within_class_differences,
)
from isonomy.steering._held_out import N_FOLDS, CodedRows, mean_square_gap

__all__ = ["RankCurve", "candidate_ranks", "choose_rank", "directions_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankCurve:
    """Held-out gap and accuracy of a linear head after erasing each number of directions.

    ``mean_square_gap`` is the noise-corrected, precision-weighted mean square of the
    TPR gaps (may be negative), ``standard_error`` its standard error were the gap 0.
    """

    ranks: NDArray[np.intp]
    mean_square_gap: Floats
    standard_error: float
    accuracy: Floats
    chosen: int


def candidate_ranks(n_directions: int, n_dimensions: int) -> NDArray[np.intp]:
    """Return 0, 1, 2, 3, 4, 6, 8, 12, 16, ... up to what leaves one dimension at least."""
    top = min(n_directions, n_dimensions - 1)
    grid = [0, 1, 2, 3, 4]
    step = 6
    while step < top:
        grid += [step, step * 4 // 3]
        step *= 2
    return np.unique([r for r in [*grid, top] if r <= top]).astype(np.intp)


def choose_rank(
    rows: CodedRows,
    *,
    cell_shrinkage: float,
    accuracy_tolerance: float,
    n_jobs: int | None,
    random_state: Any,
    protected: Sequence[int] = (),
) -> RankCurve:
    """Cross-validate the number of erased directions with a linear discriminant head.

    Each fold fits moments, directions and a reweighed discriminant on its training
    part. The smallest rank whose corrected gap is within one standard error of the
    best is chosen, among those that lose at most ``accuracy_tolerance``.
    """
    whole = directions_of(rows.moments(), cell_shrinkage, protected)
    ranks = candidate_ranks(whole.n_directions, whole.n_dimensions)
    if len(ranks) == 1:
        return RankCurve(ranks, np.zeros(1), 0.0, np.full(1, np.nan), int(ranks[0]))
    splits = cell_splits(N_FOLDS, rows.cells, random_state=random_state, where="IdealSteerer.fit")
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_held_out_hits)(rows.take(train), rows.take(test), cell_shrinkage, ranks, protected)
        for train, test in splits
    )
    hits = np.zeros((len(ranks), len(rows.y)), dtype=bool)
    for (_, test), part in zip(splits, parts, strict=True):
        hits[:, test] = part
    return _decide(ranks, hits, rows, accuracy_tolerance)


def directions_of(
    moments: CellMoments, cell_shrinkage: float, protected: Sequence[int] = ()
) -> BlindDirections:
    """Return the erasable directions of some moments, none of them along protected columns."""
    differences = within_class_differences(
        moments.counts, moments.means, cell_shrinkage=cell_shrinkage
    )
    total = moments.total_mean(), moments.total_covariance()
    return blind_directions(*total, differences, protected)


def _held_out_hits(
    train: CodedRows,
    test: CodedRows,
    cell_shrinkage: float,
    ranks: NDArray[np.intp],
    protected: Sequence[int],
) -> NDArray[np.bool_]:
    moments = train.moments()
    found = directions_of(moments, cell_shrinkage, protected)
    z = (test.values.astype(np.float64) - found.mean) @ found.whiten
    hits = np.zeros((len(ranks), len(test.y)), dtype=bool)
    for i, rank in enumerate(ranks):
        u = found.directions[:, : min(int(rank), found.n_directions)]
        weights, bias = _discriminant(moments, found, u)
        scores = (z - (z @ u) @ u.T) @ weights + bias
        hits[i] = scores.argmax(axis=1) == test.y
    return hits


def _discriminant(moments: CellMoments, found: BlindDirections, u: Floats) -> tuple[Floats, Floats]:
    """Fit a reweighed linear discriminant on the erased, whitened coordinates."""
    law = moments.counts * cell_factors(moments.counts)
    prior = law.sum(axis=1)
    centred = (np.nan_to_num(moments.means) - found.mean) @ found.whiten
    centred -= (centred @ u) @ u.T
    share = law / np.where(prior > 0, prior, 1.0)[:, None]
    class_means = np.einsum("ya,yar->yr", share, centred)
    within = found.whiten.T @ moments.within_covariance() @ found.whiten
    keep = np.eye(len(within)) - u @ u.T
    # The erased directions are constant: a unit ridge there makes the matrix invertible.
    matrix = keep @ within @ keep + u @ u.T + RIDGE * np.eye(len(within))
    weights = cho_solve(cho_factor(matrix), class_means.T)
    bias = np.log(np.clip(prior / prior.sum(), TINY, None)) - 0.5 * np.einsum(
        "yr,ry->y", class_means, weights
    )
    return weights, bias


RIDGE = 1e-6
"""Against a within-class covariance that is singular in whitened coordinates (whose unit is 1)."""

TINY = 1e-300
"""Keeps the logarithm finite for a class without rows in the training part."""


def _decide(
    ranks: NDArray[np.intp],
    hits: NDArray[np.bool_],
    rows: CodedRows,
    accuracy_tolerance: float,
) -> RankCurve:
    weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
    accuracy = (hits * weight).sum(axis=1) / weight.sum()
    found = [mean_square_gap(h, rows) for h in hits]
    gap = np.array([f[0] for f in found])
    error = float(found[0][1])
    allowed = np.flatnonzero(accuracy >= accuracy[0] - accuracy_tolerance)
    best = gap[allowed].min()
    chosen = allowed[np.flatnonzero(gap[allowed] <= best + error)[0]]
    return RankCurve(ranks, gap, error, accuracy, int(ranks[chosen]))
