"""Group-blind erasure against its literal form, its laws, and its optimality."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy import errors
from isonomy.distributions import CellMoments
from isonomy.steering import IdealSteerer
from isonomy.steering._blind import blind_directions, blind_map, within_class_differences
from reference import blind as oracle


def two_groups(seed, n=400, d=5, n_classes=3, n_groups=2):
    rng = np.random.default_rng(seed)
    y, group = rng.integers(0, n_classes, n), rng.integers(0, n_groups, n)
    y[: n_classes * n_groups] = np.repeat(np.arange(n_classes), n_groups)
    group[: n_classes * n_groups] = np.tile(np.arange(n_groups), n_classes)
    centres = rng.normal(size=(n_classes, n_groups, d))
    X = centres[y, group] + rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)))
    return X, y, group


def class_gaps(X, y, group):
    """Largest distance between groups' means within a class."""
    gaps = []
    for label in np.unique(y):
        means = [X[(y == label) & (group == a)].mean(axis=0) for a in np.unique(group)]
        gaps += [np.abs(m - means[0]).max() for m in means[1:]]
    return max(gaps)


@given(seed=st.integers(0, 10_000), rank=st.integers(1, 3), tau=st.sampled_from([0.0, 3.0, 30.0]))
@settings(max_examples=25, deadline=None)
def test_the_map_is_the_literal_one(seed, rank, tau):
    X, y, group = two_groups(seed)
    steerer = IdealSteerer(rank=rank, cell_shrinkage=tau).fit(X, y, sensitive_features=group)
    expected = oracle.erase(X, oracle.difference_rows(X, y, group, tau), rank)
    assert steerer.transform(X) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_full_rank_makes_all_class_conditional_means_coincide(n_groups):
    X, y, group = two_groups(0, d=9, n_groups=n_groups)
    assert class_gaps(X, y, group) > 1
    full = IdealSteerer(rank=8, cell_shrinkage=0).fit(X, y, sensitive_features=group)
    assert full.rank_ == 3 * (n_groups - 1)
    assert class_gaps(full.transform(X), y, group) < 1e-10
    less = IdealSteerer(rank=1, cell_shrinkage=0).fit(X, y, sensitive_features=group)
    assert class_gaps(less.transform(X), y, group) > 0.1


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_other_affine_erasure_moves_rows_less(seed):
    X, y, group = two_groups(seed, d=6)
    moments = CellMoments(6, covariance="tied").update(X, y, sensitive_features=group)
    rows = within_class_differences(moments.counts, moments.means, cell_shrinkage=0.0)
    found = blind_directions(moments.total_mean(), moments.total_covariance(), rows)
    best = blind_map(found, found.n_directions)
    damage = ((best.apply(X) - X) ** 2).sum()
    rng = np.random.default_rng(seed)
    for size in (0.01, 0.1, 1.0):
        # every map x -> best(x) + N (best(x) - mean) also erases: the null space stays null
        other = best.matrix + size * rng.normal(size=(6, 6)) @ best.matrix
        moved = X.mean(axis=0) + (X - X.mean(axis=0)) @ other.T
        assert class_gaps(moved, y, group) < 1e-8
        assert ((moved - X) ** 2).sum() >= damage * (1 - 1e-12)


def test_the_offset_keeps_the_overall_mean():
    X, y, group = two_groups(1)
    moved = IdealSteerer(rank=2).fit_transform(X + 50.0, y, sensitive_features=group)
    assert moved.mean(axis=0) == pytest.approx((X + 50.0).mean(axis=0))


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_an_affine_change_of_features_changes_nothing_else(seed):
    X, y, group = two_groups(seed)
    matrix = np.random.default_rng(seed).normal(size=(5, 5)) + 3 * np.eye(5)
    plain = IdealSteerer(rank=2).fit_transform(X, y, sensitive_features=group)
    changed = IdealSteerer(rank=2).fit_transform(X @ matrix.T, y, sensitive_features=group)
    assert changed == pytest.approx(plain @ matrix.T, abs=1e-7)


def test_rare_cells_lend_from_the_other_classes():
    counts = np.array([[500.0, 500.0], [500.0, 1.0]])
    means = np.zeros((2, 2, 2))
    means[0, 0] = [1.0, 0.0]
    means[1, 0] = [0.0, 9.0]
    rows = within_class_differences(counts, means, cell_shrinkage=10.0)
    weak = within_class_differences(counts, means, cell_shrinkage=0.0)
    assert abs(rows[1, 1] / rows[0, 0]) < abs(weak[1, 1] / weak[0, 0]) / 5


def test_an_empty_cell_counts_for_nothing():
    X, y, group = two_groups(2, n_classes=3)
    keep = ~((y == 2) & (group == 1))
    steerer = IdealSteerer(rank=5).fit(X[keep], y[keep], sensitive_features=group[keep])
    assert steerer.rank_ == 2
    assert np.isfinite(steerer.transform(X)).all()


def test_nothing_left_is_an_error():
    X, y, group = two_groups(3, d=2)
    with pytest.raises(errors.InvalidInputError, match="nothing would be left"):
        IdealSteerer(rank=2).fit(X, y, sensitive_features=group)


def test_one_map_serves_every_group_and_asks_for_none():
    X, y, group = two_groups(4)
    steerer = IdealSteerer(rank=2).fit(X, y, sensitive_features=group)
    assert steerer.maps_[0] is steerer.maps_[1]
    assert steerer.transform(X) == pytest.approx(steerer.transform(X, sensitive_features=group))
