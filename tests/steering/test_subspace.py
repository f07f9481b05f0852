"""subspace="auto": whole rows where they are many, class directions where they are few."""

import numpy as np
import pytest

from isonomy.distributions import CellMoments
from isonomy.steering import IdealSteerer
from isonomy.steering._subspace import ROWS_PER_NUMBER, subspace_by_count


def rows(n_of_the_smallest, d=4, n_classes=2, seed=0):
    """Rows of two groups, 300 of the first, labels in turn."""
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], [300, n_of_the_smallest])
    y = np.arange(len(group)) % n_classes
    X = rng.normal(size=(len(group), d)) + np.eye(n_classes, d)[y]
    X[:, -1] += group
    return X, y, group


def chosen(X, y, group, covariance="tied"):
    moments = CellMoments(X.shape[1], covariance=covariance)
    return subspace_by_count(moments.update(X, y, sensitive_features=group))


def test_whole_rows_move_from_10_rows_of_the_smallest_group_a_number():
    enough = ROWS_PER_NUMBER * 4 * 7 // 2
    assert enough == 140
    assert chosen(*rows(enough)) == "full"
    assert chosen(*rows(enough - 1)) == "discriminant"


def test_nothing_smaller_is_left_to_choose():
    assert chosen(*rows(30), covariance="diagonal") == "full"
    assert chosen(*rows(30, d=2, n_classes=3)) == "full"


def test_small_cells_alone_have_no_class_directions():
    X, y, group = rows(12)
    few = np.r_[:12, 300:312]  # 6 rows a cell: every class takes the mean of all rows
    X, y, group = X[few], y[few], group[few]
    automatic = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    whole = IdealSteerer(groups="given", subspace="full").fit(X, y, sensitive_features=group)
    assert automatic.subspace_ == "full"
    moved = automatic.transform(X, sensitive_features=group)
    np.testing.assert_array_equal(moved, whole.transform(X, sensitive_features=group))


@pytest.mark.parametrize("n", [30, 200])
def test_the_subspace_is_told_for_chunks_and_by_a_file(tmp_path, n):
    X, y, group = rows(n)
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    chunked = IdealSteerer(groups="given").partial_fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    expected = "discriminant" if n == 30 else "full"
    assert steerer.subspace_ == chunked.subspace_ == loaded.subspace_ == expected


def test_no_subspace_is_told_where_none_is_used():
    X, y, group = rows(50)
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    steerer.set_params(groups="blind", rank=1).fit(X, y, sensitive_features=group)
    assert steerer.subspace_ is None
    one = IdealSteerer(groups="given", missing_groups="single").fit(X, y)
    assert one.subspace_ is None
