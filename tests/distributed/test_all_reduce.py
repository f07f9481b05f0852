"""The moments of all processes together are those of all rows, on every process alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributed._all_reduce import all_reduce_moments
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from reference.in_threads import run_together
from reference.moments import cell_moments, tied_covariance


def moments_of(X, y, a, covariance):
    return CellMoments(X.shape[1], covariance=covariance).update(X, y, sensitive_features=a)


def reduced(parts):
    return run_together(all_reduce_moments, parts)


def assert_equal_moments(left, right, *, scale=1.0):
    assert (left.classes, left.groups, left.covariance) == (
        right.classes,
        right.groups,
        right.covariance,
    )
    np.testing.assert_array_equal(left.n_rows, right.n_rows)
    np.testing.assert_array_equal(left.counts, right.counts)
    # 1e-12: some hundred roundings of 2e-16 each, relative to the size of the rows
    np.testing.assert_allclose(left.means, right.means, rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(left.covariances, right.covariances, rtol=1e-9, atol=1e-12)


@st.composite
def partitions(draw):
    """Rows, their cells, and the process of each; some processes may get none."""
    seed = draw(st.integers(0, 2**32 - 1))
    n, n_processes = draw(st.integers(1, 60)), draw(st.integers(1, 5))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1.0, 100.0, 1e-3] + 3.0
    y = rng.integers(0, draw(st.integers(1, 4)), n)
    a = np.array(["north", "south", "west"])[rng.integers(0, draw(st.integers(1, 3)), n)]
    owner = rng.integers(0, draw(st.integers(1, n_processes)), n)
    return X, y, a, [np.flatnonzero(owner == p) for p in range(n_processes)]


@given(case=partitions(), covariance=st.sampled_from(["tied", "full", "diagonal"]))
def test_any_partition_over_processes_gives_the_moments_of_all_rows(case, covariance):
    X, y, a, parts = case
    whole = moments_of(X, y, a, covariance)
    mine = [{4: moments_of(X[i], y[i], a[i], covariance)} if len(i) else {} for i in parts]
    for found in reduced(mine):
        assert list(found) == [4]
        assert_equal_moments(found[4], whole)


def test_every_process_has_the_same_bits():
    rng = np.random.default_rng(0)
    parts = [
        {layer: moments_of(rng.normal(size=(n, 5)), rng.integers(0, 3, n), ["g"] * n, "tied")
         for layer in (None, 0)}
        for n in (40, 1, 17)
    ]  # fmt: skip
    first, *others = reduced(parts)
    for other in others:
        for layer in (None, 0):
            mine, theirs = first[layer].to_arrays(), other[layer].to_arrays()
            assert mine[1] == theirs[1]
            for name in mine[0]:
                assert mine[0][name].tobytes() == theirs[0][name].tobytes()


def test_the_sum_agrees_with_loops_over_rows():
    rng = np.random.default_rng(1)
    X, y, a = rng.normal(size=(30, 2)), rng.integers(0, 2, 30), rng.integers(0, 2, 30)
    parts = [np.arange(0, 7), np.arange(7, 30)]
    full, _ = reduced([{0: moments_of(X[i], y[i], a[i], "full")} for i in parts])
    tied, _ = reduced([{0: moments_of(X[i], y[i], a[i], "tied")} for i in parts])
    for (label, group), (weight, n, mean, covariance) in cell_moments(X, y, a).items():
        assert full[0].counts[label, group] == weight == n
        np.testing.assert_allclose(full[0].means[label, group], mean, rtol=1e-12)
        np.testing.assert_allclose(full[0].covariances[label, group], covariance, rtol=1e-10)
    for group in (0, 1):
        expected = tied_covariance(X, y, a, group)
        np.testing.assert_allclose(tied[0].covariances[group], expected, rtol=1e-10)


def test_labels_that_other_processes_never_saw_are_united():
    one = moments_of(np.ones((2, 1)), ["no", "no"], ["old", "young"], "tied")
    two = moments_of(np.full((1, 1), 3.0), ["maybe"], ["old"], "tied")
    found, _, _ = reduced([{0: one}, {}, {0: two}])
    assert found[0].classes == ("maybe", "no") and found[0].groups == ("old", "young")
    np.testing.assert_array_equal(found[0].counts, [[1, 0], [1, 1]])
    np.testing.assert_array_equal(found[0].means[..., 0], [[3, np.nan], [1, 1]])


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_a_large_common_offset_does_not_cost_the_digits_of_the_scatter(covariance):
    """Sums of w m m' would: at an offset of 1e8 their last place is 1, the variance."""
    rng = np.random.default_rng(2)
    X, y, a = rng.normal(size=(900, 3)), np.zeros(900), np.zeros(900)
    parts = np.split(np.arange(900), [100, 500])
    exact = moments_of(X, y, a, covariance).covariances
    near, *_ = reduced([{0: moments_of(X[i] + 1e8, y[i], a[i], covariance)} for i in parts])
    # the rows themselves are rounded to 1.5e-8 where they lie near 1e8
    np.testing.assert_allclose(near[0].covariances, exact, atol=1e-8)


@pytest.mark.parametrize("covariance", ["tied", "full", "diagonal"])
def test_a_constant_column_has_the_scatter_zero_exactly(covariance):
    X = np.full((9, 2), 0.3)  # (1 * 0.3 + 3 * 0.3 + 5 * 0.3) / 9 is not 0.3, by rounding
    X[:, 1] = np.arange(9)
    parts = np.split(np.arange(9), [1, 4])
    mine = [{0: moments_of(X[i], np.zeros(len(i)), ["g"] * len(i), covariance)} for i in parts]
    scatter = reduced(mine)[0][0].to_arrays()[0]["scatter"].reshape(2, -1)
    assert scatter[0, 0] == 0.0 and scatter[1, -1] > 0.0


def test_processes_with_different_models_all_raise():
    narrow = moments_of(np.ones((2, 1)), [0, 1], [0, 0], "tied")
    wide = moments_of(np.ones((2, 2)), [0, 1], [0, 0], "tied")
    with pytest.raises(InvalidInputError, match="1 features, tied, 2 features, tied"):
        reduced([{0: narrow}, {0: wide}])
