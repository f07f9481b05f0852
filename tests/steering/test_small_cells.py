"""Cells with few rows take their means from the others, so that no row can be read back."""

import numpy as np
import pytest

from isonomy.distributions import CellMoments
from isonomy.steering import IdealSteerer
from isonomy.steering._small_cells import MIN_CELL, cell_means, cell_variances, small_cells


def rows_with(sizes, seed=0, d=3):
    """Rows of 3 labels and 2 groups with the given cell sizes and well separated cells."""
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(*np.shape(sizes), d))
    cells = [(y, a) for y in range(len(sizes)) for a in range(2) for _ in range(sizes[y][a])]
    y, group = np.array(cells).T
    return centres[y, group] + rng.normal(size=(len(y), d)), y, group


def test_large_cells_keep_their_own_means():
    X, y, group = rows_with([[50, 50], [50, MIN_CELL], [50, 40]])
    moments = CellMoments(3, covariance="tied").update(X, y, sensitive_features=group)
    assert not small_cells(moments).any()
    assert (cell_means(moments) == moments.means).all()


def test_a_small_cell_gets_its_class_and_the_average_shift_of_its_group():
    X, y, group = rows_with([[50, 30], [40, MIN_CELL - 1], [20, 60]])
    moments = CellMoments(3, covariance="tied").update(X, y, sensitive_features=group)

    def mean(label, a):
        return X[(y == label) & (group == a)].mean(axis=0)

    centres = {
        0: (50 * mean(0, 0) + 30 * mean(0, 1)) / 80,
        2: (20 * mean(2, 0) + 60 * mean(2, 1)) / 80,
    }
    shift = sum(n * (mean(label, 1) - centres[label]) for label, n in ((0, 30), (2, 60))) / 90
    assert cell_means(moments)[1, 1] == pytest.approx(mean(1, 0) + shift)
    assert cell_means(moments)[1, 0] == pytest.approx(mean(1, 0))


def test_variances_of_a_small_cell_are_pooled_over_its_group():
    X, y, group = rows_with([[50, 30], [40, 4], [20, 60]])
    moments = CellMoments(3, covariance="diagonal").update(X, y, sensitive_features=group)
    own = [X[(y == label) & (group == 1)].var(axis=0) for label in (0, 2)]
    assert cell_variances(moments)[1, 1] == pytest.approx((30 * own[0] + 60 * own[1]) / 90)
    assert cell_variances(moments)[0, 0] == pytest.approx(moments.covariances[0, 0])


@pytest.mark.parametrize("settings", [{}, {"subspace": "discriminant"}, {"covariance": "diagonal"}])
def test_the_rows_of_a_small_cell_hardly_shape_the_maps(settings):
    X, y, group = rows_with([[500, 300], [400, 1], [200, 600]])
    lone = np.flatnonzero((y == 1) & (group == 1))[0]
    moved = X.copy()
    moved[lone] += 5.0
    maps = [
        IdealSteerer(groups="given", **settings).fit(rows, y, sensitive_features=group).maps_[1]
        for rows in (X, moved)
    ]
    # it is one of 2,001 rows in the overall mean and scatter, and nowhere else
    assert maps[0].matrix == pytest.approx(maps[1].matrix, abs=0.02)
    assert maps[0].offset == pytest.approx(maps[1].offset, abs=0.05)


def test_a_group_of_small_cells_alone_still_gets_a_map():
    X, y, group = rows_with([[50, 5], [50, 5], [50, 5]])
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    assert np.isfinite(steerer.transform(X, sensitive_features=group)).all()


def test_a_group_of_small_cells_is_shifted_as_a_whole_when_it_has_rows_enough():
    X, y, group = rows_with([[50, 5], [50, 4], [50, 3]])
    moments = CellMoments(3, covariance="tied").update(X, y, sensitive_features=group)
    centres = moments.means[:, 0]  # the other group's cells are the only large ones
    shift = X[group == 1].mean(axis=0) - np.array([5, 4, 3]) @ centres / 12
    assert cell_means(moments)[:, 1] == pytest.approx(centres + shift)
    X, y, group = rows_with([[50, 3], [50, 3], [50, 3]])
    few = CellMoments(3, covariance="tied").update(X, y, sensitive_features=group)
    assert cell_means(few)[:, 1] == pytest.approx(few.means[:, 0])
