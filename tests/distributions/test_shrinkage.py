"""Shrinkage: scikit-learn's values, and freedom from the units of columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import OAS, LedoitWolf, empirical_covariance

from isonomy.distributions import CellMoments, JointDistribution
from isonomy.distributions.shrinkage import (
    blend,
    check_shrinkage,
    ledoit_wolf_intensity,
    oas_intensity,
    shrink,
)
from isonomy.errors import InvalidInputError, SingularCovarianceError
from reference.strategies import SEEDS, random_covariance


def standardised_rows(seed, n=30, d=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.array([1.0, 1e3, 1e-3, 5.0][:d])
    X -= X.mean(axis=0)
    return X, X.std(axis=0)


@given(seed=SEEDS, n=st.integers(2, 60))
def test_oas_equals_scikit_learn_on_standardised_rows(seed, n):
    X, scale = standardised_rows(seed, n)
    expected = OAS(assume_centered=True).fit(X / scale)
    S = empirical_covariance(X, assume_centered=True)
    assert oas_intensity(S / scale / scale[:, None], n) == pytest.approx(expected.shrinkage_)
    found = shrink(S, n, "oas") / scale / scale[:, None]
    assert found == pytest.approx(expected.covariance_, rel=1e-10, abs=1e-10)


def test_oas_intensity_known_answers():
    # S = diag(1, 3): a = 10/4, m = 2; rho = (2.5 + 4) / (11 (2.5 - 2)) > 1, then at n = 100
    assert oas_intensity(np.diag([1.0, 3.0]), 10) == 1.0
    assert oas_intensity(np.array([1.0, 3.0]), 100) == pytest.approx(6.5 / (101 * 0.5))
    assert oas_intensity(np.eye(1), 10) == 1.0  # one column: the target is the covariance
    assert oas_intensity(np.zeros((0, 0)), 10) == 0.0


@given(seed=SEEDS, n=st.integers(2, 60))
def test_ledoit_wolf_equals_scikit_learn_and_integer_weights_equal_repeated_rows(seed, n):
    X, scale = standardised_rows(seed, n)
    expected = LedoitWolf(assume_centered=True).fit(X / scale).shrinkage_
    assert ledoit_wolf_intensity(X / scale) == pytest.approx(expected)
    assert ledoit_wolf_intensity(X / scale, np.ones(n)) == pytest.approx(expected)
    w = np.random.default_rng(seed).integers(1, 4, size=n)
    again = ledoit_wolf_intensity(np.repeat(X / scale, w, axis=0))
    assert ledoit_wolf_intensity(X / scale, w.astype(float)) == pytest.approx(again)


def test_ledoit_wolf_of_one_column_shrinks_nothing():
    assert ledoit_wolf_intensity(np.ones((3, 1)), np.ones(3)) == 0.0


@given(seed=SEEDS, intensity=st.floats(0.0, 1.0))
def test_blend_runs_from_the_covariance_to_the_scaled_identity(seed, intensity):
    rng = np.random.default_rng(seed)
    S, scale = random_covariance(rng, 3), rng.uniform(0.5, 2.0, size=3)
    target = np.diag(scale**2) * np.mean(np.diag(S) / scale**2)
    expected = (1 - intensity) * S + intensity * target
    assert blend(S, intensity, scale) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert blend(np.diag(S), intensity, scale) == pytest.approx(np.diag(expected), rel=1e-12)


def test_constant_columns_keep_their_zeros():
    S = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    found = shrink(S, 5, "oas")
    assert (found[1] == 0).all()
    assert (found[:, 1] == 0).all()
    kept = np.ix_([0, 2], [0, 2])
    assert found[kept] == pytest.approx(shrink(S[kept], 5, "oas"))
    assert np.array_equal(shrink(np.zeros((2, 2)), 5, 0.5), np.zeros((2, 2)))


KINDS_AND_METHODS = [
    (covariance, shrinkage)
    for covariance in ("full", "tied", "diagonal")
    for shrinkage in ("oas", "ledoit-wolf", 0.3)
    if (covariance, shrinkage) != ("diagonal", "ledoit-wolf")  # refused: see its own test
]


@pytest.mark.parametrize(("covariance", "shrinkage"), KINDS_AND_METHODS)
@pytest.mark.parametrize("weighted", [False, True])
def test_changing_a_columns_unit_changes_that_unit_and_nothing_else(
    covariance, shrinkage, weighted
):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    y, a = np.arange(60) % 2, (np.arange(60) // 2) % 2
    units = np.array([1e-6, 1.0, 1e3, 25.4])
    options = dict(sensitive_features=a, covariance=covariance, shrinkage=shrinkage)
    options["sample_weight"] = rng.uniform(0.5, 2, size=60) if weighted else None
    plain = JointDistribution.fit(X, y, **options)
    other = JointDistribution.fit(X * units, y, **options)
    assert other.means / units == pytest.approx(plain.means, rel=1e-10)
    found = other.covariances / units / units[:, None]
    assert found == pytest.approx(plain.covariances, rel=1e-10, abs=1e-12)
    # and the shrinkage did something
    unshrunk = JointDistribution.fit(X, y, **options | {"shrinkage": None})
    assert np.abs(unshrunk.covariances - plain.covariances).max() > 1e-3


@pytest.mark.parametrize("shrinkage", ["oas", "ledoit-wolf", 0.1])
@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_a_cell_with_fewer_rows_than_features_fits_with_shrinkage(shrinkage, covariance):
    rng = np.random.default_rng(0)
    X, y, a = rng.normal(size=(20, 8)), np.arange(20) % 2, np.arange(20) // 10
    joint = JointDistribution.fit(
        X, y, sensitive_features=a, covariance=covariance, shrinkage=shrinkage
    )
    assert np.linalg.eigvalsh(joint.covariances).min() > 0.01
    assert joint.is_tied == (covariance == "tied")


def test_ledoit_wolf_fit_equals_scikit_learn_on_each_cell():
    rng = np.random.default_rng(1)
    X, y, a = rng.normal(size=(80, 3)), np.arange(80) % 2, np.arange(80) // 40
    X = X * [1.0, 10.0, 0.1]
    joint = JointDistribution.fit(X, y, sensitive_features=a, shrinkage="ledoit-wolf")
    within = CellMoments(3).update(X, y, sensitive_features=a).within_covariance()
    scale = np.sqrt(np.diag(within))
    for i, j in np.ndindex(2, 2):
        cell = X[(y == i) & (a == j)]
        expected = LedoitWolf(assume_centered=True).fit((cell - cell.mean(axis=0)) / scale)
        found = joint.covariances[i, j] / scale / scale[:, None]
        assert found == pytest.approx(expected.covariance_, rel=1e-10, abs=1e-12)


def test_oas_from_moments_equals_oas_from_rows():
    rng = np.random.default_rng(2)
    X, y, a = rng.normal(size=(40, 3)), np.arange(40) % 2, np.arange(40) // 20
    for kind in ("full", "tied", "diagonal"):
        moments = CellMoments(3, covariance=kind).update(X, y, sensitive_features=a)
        found = JointDistribution.from_moments(moments, shrinkage="oas")
        rows = JointDistribution.fit(X, y, sensitive_features=a, covariance=kind, shrinkage="oas")
        assert found == rows


def test_ledoit_wolf_needs_rows_and_correlations():
    moments = CellMoments(1).update(
        [[0.0], [1.0]] * 4, [0, 0, 0, 0, 1, 1, 1, 1], sensitive_features=[0, 0, 1, 1] * 2
    )
    with pytest.raises(InvalidInputError, match="needs the rows"):
        JointDistribution.from_moments(moments, shrinkage="ledoit-wolf")
    with pytest.raises(InvalidInputError, match="measures correlations"):
        JointDistribution.fit(
            [[0.0], [1.0]] * 4,
            [0, 0, 0, 0, 1, 1, 1, 1],
            sensitive_features=[0, 0, 1, 1] * 2,
            covariance="diagonal",
            shrinkage="ledoit-wolf",
        )


def test_one_row_cells_and_constant_columns_raise_whatever_the_shrinkage():
    rng = np.random.default_rng(3)
    X, y, a = rng.normal(size=(20, 2)), np.arange(20) % 2, np.arange(20) // 10
    with pytest.raises(SingularCovarianceError, match="x1 constant in every"):
        JointDistribution.fit(X * [1, 0], y, sensitive_features=a, shrinkage="oas")
    y[y == 1], y[0] = 0, 1
    y[10] = y[11] = 1
    with pytest.raises(SingularCovarianceError, match=r"label 1, group 0\), got 1 rows"):
        JointDistribution.fit(X, y, sensitive_features=a, shrinkage="oas")


@pytest.mark.parametrize("value", ["lw", -0.1, 1.5, True, np.nan])
def test_unknown_shrinkage_raises(value):
    with pytest.raises(InvalidInputError, match="`shrinkage` of `f`"):
        check_shrinkage(value, where="f")


def test_shrinkage_zero_is_none():
    assert check_shrinkage(0.0, where="f") is None
    assert check_shrinkage(None, where="f") is None
    S = np.eye(2)
    assert shrink(S, 3, None) is S
