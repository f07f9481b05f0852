"""Difference of means: the projection, the translation, and what it shares with LEACE."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.baselines import LEACE, DifferenceOfMeans
from isonomy.errors import InvalidInputError
from reference.erasure import largest_mean_distance


def shifted_groups(n_groups=2, *, n=500, d=6, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, size=n)
    groups[:n_groups] = np.arange(n_groups)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return X + 3.0 * rng.standard_normal((n_groups, d))[groups], groups


def test_two_groups_are_projected_along_the_unit_difference():
    X, groups = shifted_groups()
    eraser = DifferenceOfMeans()
    out = eraser.fit_transform(X, sensitive_features=groups)
    r = X[groups == 1].mean(axis=0) - X[groups == 0].mean(axis=0)
    r /= np.linalg.norm(r)
    expected = np.array([x - r * (r @ (x - X.mean(axis=0))) for x in X])
    np.testing.assert_allclose(out, expected, atol=1e-12)
    np.testing.assert_allclose(np.abs(eraser.directions_[:, 0]), np.abs(r), atol=1e-12)


@given(seed=st.integers(0, 1_000), n_groups=st.integers(2, 4))
@settings(deadline=None, max_examples=20)
def test_means_agree_afterwards_and_rows_are_those_of_orthogonal_leace(seed, n_groups):
    X, groups = shifted_groups(n_groups, seed=seed, n=100)
    eraser = DifferenceOfMeans()
    out = eraser.fit_transform(X, sensitive_features=groups)
    assert eraser.rank_ == n_groups - 1
    assert largest_mean_distance(out, groups) < 1e-10 * largest_mean_distance(X, groups)
    leace = LEACE(method="orth").fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, leace, atol=1e-9)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0, -0.5])
def test_strength_scales_what_is_left_of_the_difference(strength):
    X, groups = shifted_groups(3)
    out = DifferenceOfMeans(strength=strength).fit_transform(X, sensitive_features=groups)
    left = abs(1.0 - strength) * largest_mean_distance(X, groups)
    assert largest_mean_distance(out, groups) == pytest.approx(left, abs=1e-9)
    if strength == 0.0:
        np.testing.assert_array_equal(out, X)


@pytest.mark.parametrize("strength", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("toward", [0, 2])
def test_adding_translates_every_row_alike_towards_one_group(strength, toward):
    X, groups = shifted_groups(3)
    steered = DifferenceOfMeans(action="add", strength=strength, toward=toward)
    out = steered.fit_transform(X, sensitive_features=groups)
    own = groups == toward
    vector = X[own].mean(axis=0) - X[~own].mean(axis=0)
    np.testing.assert_allclose(steered.vector_, vector, atol=1e-12)
    np.testing.assert_allclose(out, X + strength * vector, atol=1e-12)
    assert largest_mean_distance(out, groups) == pytest.approx(largest_mean_distance(X, groups))


def test_groups_on_one_line_span_one_direction():
    rng = np.random.default_rng(0)
    base, step = rng.standard_normal((200, 5)), np.array([2.0, 1.0, 0.0, 0.0, 0.0])
    X = np.vstack([base, base + step, base + 2 * step, base])
    groups = np.repeat(["a", "b", "c", "d"], 200)
    eraser = DifferenceOfMeans().fit(X, sensitive_features=groups)
    assert eraser.rank_ == 1
    assert largest_mean_distance(eraser.transform(X), groups) < 1e-12


def test_a_group_at_the_mean_of_all_gives_no_direction_of_its_own():
    # its difference is rounding, and made to unit length it would be a direction of noise
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 6))
    # nearly on one line: the second of their directions is shorter than a unit of noise
    moves = [[3.0, 0, 0, 0, 0, 0], [3.0, 0.3, 0, 0, 0, 0], [-6.0, -0.3, 0, 0, 0, 0], [0] * 6]
    X = np.vstack([base[rng.permutation(300)] + move for move in moves]) + 0.1
    groups = np.repeat([0, 1, 2, 3], 300)
    for method in (DifferenceOfMeans(), LEACE(method="orth")):
        method.fit(X, sensitive_features=groups)
        assert method.rank_ == 2
        assert largest_mean_distance(method.transform(X), groups) < 1e-12


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_one_unit_for_all_columns_changes_nothing(unit):
    X, groups = shifted_groups(3)
    out = DifferenceOfMeans().fit_transform(unit * X, sensitive_features=groups) / unit
    expected = DifferenceOfMeans().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, expected, atol=1e-9)


def test_groups_with_equal_means_leave_the_rows_alone():
    X = np.random.default_rng(0).standard_normal((100, 3))
    both, groups = np.vstack([X, X]), np.repeat([0, 1], 100)
    eraser = DifferenceOfMeans().fit(both, sensitive_features=groups)
    assert eraser.rank_ == 0
    np.testing.assert_array_equal(eraser.transform(both), both)


def test_wrong_parameters_raise():
    X, groups = shifted_groups()

    def fit(**settings):
        DifferenceOfMeans(**settings).fit(X, sensitive_features=groups)

    with pytest.raises(InvalidInputError, match="`action` of `DifferenceOfMeans` must be one of"):
        fit(action="subtract")
    with pytest.raises(InvalidInputError, match=r"`toward` .* must name a group \(0, 1\)"):
        fit(action="add")
    with pytest.raises(InvalidInputError, match=r"`toward` .* one of the groups \(0, 1\).*'z'"):
        fit(action="add", toward="z")
    with pytest.raises(InvalidInputError, match="`strength` .* must be a number, got 'much'"):
        fit(strength="much")
    with pytest.raises(InvalidInputError, match="would erase all 1 dimension"):
        DifferenceOfMeans().fit(X[:, :1], sensitive_features=groups)
