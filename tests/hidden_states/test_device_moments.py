"""Moments summed on a device are those of NumPy, of any batches in any order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._device_moments import DeviceMoments, accumulation_device
from reference.moments import cell_moments, tied_covariance

CLASSES, GROUPS = ("no", "yes", "zero"), ("b", "a")


def rows_of(seed, n=30, d=3):
    rng = np.random.default_rng(seed)
    X = 10 * rng.normal(size=d) + rng.normal(size=(n, d))
    return X, rng.integers(0, len(CLASSES), n), rng.integers(0, len(GROUPS), n)


def filled(X, y, a, covariance, size=7, classes=CLASSES, groups=GROUPS):
    made = DeviceMoments(X.shape[1], classes, groups, covariance, "cpu")
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        made.update(torch.from_numpy(X[part]), y[part], a[part])
    return made


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_moments_are_those_of_exact_sums_in_every_cell(covariance):
    X, y, a = rows_of(0)
    labels, groups = np.array(CLASSES)[y], np.array(GROUPS)[a]
    moments = filled(X, y, a, covariance).to_cell_moments()
    assert moments.classes == tuple(sorted(CLASSES)) and moments.groups == ("a", "b")
    for (label, group), (weight, n, mean, cov) in cell_moments(X, labels, groups).items():
        i, j = moments.classes.index(label), moments.groups.index(group)
        assert moments.counts[i, j] == weight and moments.n_rows[i, j] == n
        np.testing.assert_allclose(moments.means[i, j], mean, rtol=1e-13)
        if covariance == "full":
            np.testing.assert_allclose(moments.covariances[i, j], cov, rtol=1e-11, atol=1e-12)
    if covariance == "tied":
        for j, group in enumerate(moments.groups):
            expected = tied_covariance(X, labels, groups, group)
            np.testing.assert_allclose(moments.covariances[j], expected, rtol=1e-11, atol=1e-12)


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 40),
    covariance=st.sampled_from(["tied", "full"]),
)
@settings(max_examples=25, deadline=None)
def test_batches_and_order_change_nothing_beyond_rounding(seed, size, covariance):
    X, y, a = rows_of(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    one = filled(X, y, a, covariance, size=len(X)).to_cell_moments()
    other = filled(X[order], y[order], a[order], covariance, size=size).to_cell_moments()
    np.testing.assert_array_equal(one.n_rows, other.n_rows)
    np.testing.assert_allclose(one.means, other.means, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(one.covariances, other.covariances, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_they_merge_with_cell_moments_of_other_rows(covariance):
    X, y, a = rows_of(1, n=60)
    host = CellMoments(3, covariance=covariance)
    names = np.array(CLASSES)[y], np.array(GROUPS)[a]
    host.update(X[:30], names[0][:30], sensitive_features=names[1][:30])
    both = host.merge(filled(X[30:], y[30:], a[30:], covariance).to_cell_moments())
    whole = CellMoments(3, covariance=covariance).update(X, names[0], sensitive_features=names[1])
    np.testing.assert_allclose(both.means, whole.means, rtol=1e-12)
    np.testing.assert_allclose(both.covariances, whole.covariances, rtol=1e-10, atol=1e-12)


def test_labels_that_appear_later_get_their_own_cells():
    X, y, a = rows_of(2)
    grown = DeviceMoments(3, (), (), "full", "cpu")
    order = np.argsort(y, kind="stable")  # "no" first, "zero" last
    for i in order:
        grown.grow([CLASSES[y[i]]], [GROUPS[a[i]]])
        codes = grown.classes.index(CLASSES[y[i]]), grown.groups.index(GROUPS[a[i]])
        grown.update(torch.from_numpy(X[i : i + 1]), [codes[0]], [codes[1]])
    expected = filled(X, y, a, "full").to_cell_moments()
    np.testing.assert_allclose(grown.to_cell_moments().means, expected.means, rtol=1e-12)
    np.testing.assert_allclose(
        grown.to_cell_moments().covariances, expected.covariances, rtol=1e-10, atol=1e-12
    )


def test_low_precision_rows_are_cast_up_before_any_sum():
    # 1000 rows of 0.1 beside one of 1000: a float16 sum stops growing at 2048 * eps
    X = torch.full((2000, 1), 0.1, dtype=torch.float16)
    X[0] = 1000.0
    made = DeviceMoments(1, ["y"], ["a"], "tied", "cpu")
    for part in X.split(100):
        made.update(part, np.zeros(len(part), int), np.zeros(len(part), int))
    exact = X.to(torch.float64).mean().item()
    assert made.to_cell_moments().means.item() == pytest.approx(exact, rel=1e-14)


def test_a_constant_column_far_from_zero_has_exactly_no_scatter():
    X = np.full((12, 2), 1e8 + 1 / 3)
    X[:, 1] = np.arange(12)
    made = filled(X, np.arange(12) % 3, np.arange(12) % 2, "full", size=5).to_cell_moments()
    assert (made.covariances[made.n_rows > 0][:, 0, :] == 0).all()


def test_a_state_goes_on_to_the_bit():
    X, y, a = rows_of(3, n=40)
    whole = filled(X, y, a, "tied", size=8)
    half = filled(X[:16], y[:16], a[:16], "tied", size=8)
    other = DeviceMoments(3, CLASSES, GROUPS, "tied", "cpu")
    other.load_state(half.state())
    for start in range(16, 40, 8):
        part = slice(start, start + 8)
        other.update(torch.from_numpy(X[part]), y[part], a[part])
    for name, value in whole.state().items():
        np.testing.assert_array_equal(other.state()[name], value)


def test_a_state_is_a_copy():
    X, y, a = rows_of(4)
    made = filled(X, y, a, "tied")
    state = {name: value.copy() for name, value in made.state().items()}
    kept = made.state()
    made.update(torch.from_numpy(X), y, a)
    for name, value in state.items():
        np.testing.assert_array_equal(kept[name], value)


def test_apple_devices_sum_on_the_host():
    assert accumulation_device(torch.device("mps")) == torch.device("cpu")
    assert accumulation_device(torch.device("cuda:1")) == torch.device("cuda:1")


def test_no_rows_change_nothing():
    made = DeviceMoments(2, ["y"], ["a"])
    made.update(torch.empty((0, 2)), [], [])
    assert made.to_cell_moments().counts.sum() == 0


@pytest.mark.parametrize(
    ("hidden", "y", "a", "match"),
    [
        (torch.zeros(2, 4), [0, 0], [0, 0], r"shape \(n, 3\), got \(2, 4\)"),
        (torch.zeros(2, 3), [0], [0, 0], r"`y_codes` .* shape \(2,\), got \(1,\)"),
        (torch.zeros(2, 3), [0, 0], [0, 2], r"`group_codes` .* 0 to 1, got 0 to 2"),
        (torch.zeros(2, 3), [0, -1], [0, 0], r"`y_codes` .* 0 to 2, got -1 to 0"),
    ],
)
def test_wrong_batches_are_refused(hidden, y, a, match):
    with pytest.raises(InvalidInputError, match=match):
        DeviceMoments(3, CLASSES, GROUPS).update(hidden, y, a)


def test_a_state_of_another_shape_is_refused():
    state = DeviceMoments(3, CLASSES, GROUPS).state()
    with pytest.raises(InvalidInputError, match=r"`state\['mean'\]`"):
        DeviceMoments(4, CLASSES, GROUPS).load_state(state)
