"""LEACE: erasure, least change, and the traps measured in its peer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from isonomy.baselines import LEACE
from isonomy.errors import InvalidInputError
from reference.erasure import largest_mean_distance, leace_rows


def shifted_groups(n_groups, *, n=2_000, d=6, seed=0, shares=None):
    rng = np.random.default_rng(seed)
    groups = rng.choice(n_groups, size=n, p=shares)
    groups[:n_groups] = np.arange(n_groups)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return X + 3.0 * rng.standard_normal((n_groups, d))[groups], groups


def small_group(share, *, n=20_000, d=5, seed=0):
    rng = np.random.default_rng(seed)
    groups = (np.arange(n) < share * n).astype(int)
    X = rng.standard_normal((n, d))
    X[groups == 1, 0] += 3.0
    return X, groups


def upstream(X, groups, *, one_hot, **options):
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("concept_erasure")
    z = torch.tensor(groups)
    z = torch.nn.functional.one_hot(z).double() if one_hot else z
    return peer.LeaceFitter.fit(torch.tensor(X), z, **options).eraser(torch.tensor(X)).numpy()


def test_rows_equal_the_literal_formula():
    X, groups = shifted_groups(3, n=150, d=4)
    out = LEACE().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, leace_rows(X, groups.tolist()), atol=1e-10)


def test_rows_equal_the_published_package_where_that_works():
    X, groups = shifted_groups(3)
    theirs = upstream(X, groups, one_hot=True, shrinkage=False, svd_tol=1e-9)
    out = LEACE().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, theirs, atol=1e-9)


def test_integer_labels_of_five_groups_are_names_and_are_erased():
    X, groups = shifted_groups(5)
    before = largest_mean_distance(X, groups)
    ours = LEACE().fit(X, sensitive_features=groups)
    after = largest_mean_distance(ours.transform(X), groups)
    assert before > 5.0
    assert after < 1e-10 * before
    assert ours.rank_ == 4
    # the negative control: the peer takes the integers for one number
    assert largest_mean_distance(upstream(X, groups, one_hot=False), groups) > 0.2 * before


@pytest.mark.parametrize("share", [0.002, 0.0002])
def test_the_gap_of_a_tiny_group_is_erased(share):
    X, groups = small_group(share)
    before = largest_mean_distance(X, groups)
    assert before > 2.5
    out = LEACE().fit_transform(X, sensitive_features=groups)
    assert largest_mean_distance(out, groups) < 1e-10 * before
    # the negative control: at its default absolute tolerance the peer leaves it whole
    theirs = upstream(X, groups, one_hot=True)
    assert largest_mean_distance(theirs, groups) > 0.9 * before


@pytest.mark.parametrize("method", ["leace", "orth"])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_one_unit_for_all_columns_changes_nothing(method, scale):
    X, groups = small_group(0.002)
    out = LEACE(method=method).fit_transform(scale * X, sensitive_features=groups) / scale
    expected = LEACE(method=method).fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, expected, atol=1e-9)
    assert largest_mean_distance(out, groups) < 1e-9


@given(exponents=st.lists(st.integers(-8, 8), min_size=6, max_size=6), seed=st.integers(0, 50))
@settings(deadline=None, max_examples=25)
def test_a_unit_per_column_changes_nothing_but_the_unit(exponents, seed):
    X, groups = shifted_groups(3, n=200, seed=seed)
    units = 10.0 ** np.array(exponents)
    out = LEACE().fit_transform(X * units, sensitive_features=groups) / units
    expected = LEACE().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)


@given(seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=20)
def test_erasing_twice_equals_erasing_once(seed):
    X, groups = shifted_groups(3, n=200, seed=seed)
    eraser = LEACE().fit(X, sensitive_features=groups)
    once = eraser.transform(X)
    np.testing.assert_allclose(eraser.transform(once), once, atol=1e-8)


def test_no_other_erasing_map_moves_rows_less():
    X, groups = shifted_groups(2, n=400, d=4)
    cost = ((LEACE().fit_transform(X, sensitive_features=groups) - X) ** 2).sum()
    rng = np.random.default_rng(1)
    mean = X.mean(axis=0)
    direction = X[groups == 1].mean(axis=0) - X[groups == 0].mean(axis=0)
    for _ in range(200):
        reader = rng.standard_normal(4)
        oblique = np.outer(direction, reader) / (reader @ direction)  # erases along `direction`
        other = X - (X - mean) @ oblique.T
        assert largest_mean_distance(other, groups) < 1e-8
        assert ((other - X) ** 2).sum() > cost * (1 - 1e-12)
    orthogonal = LEACE(method="orth").fit_transform(X, sensitive_features=groups)
    assert ((orthogonal - X) ** 2).sum() > 1.01 * cost


def test_orthogonal_method_projects_orthogonally():
    X, groups = shifted_groups(3)
    eraser = LEACE(method="orth").fit(X, sensitive_features=groups)
    matrix = eraser.map_.matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-12)
    assert largest_mean_distance(eraser.transform(X), groups) < 1e-9


@pytest.mark.parametrize("shrinkage", ["oas", 0.5, 1.0])
def test_shrinkage_changes_the_cost_but_not_the_erasure(shrinkage):
    X, groups = shifted_groups(3, n=60, d=20)
    out = LEACE(shrinkage=shrinkage).fit_transform(X, sensitive_features=groups)
    assert largest_mean_distance(out, groups) < 1e-9


def test_float32_rows_far_from_zero_are_erased():
    X, groups = small_group(0.01)
    far = (X + 1_000.0).astype(np.float32)
    out = LEACE().fit_transform(far, sensitive_features=groups).astype(np.float64)
    # float32 at 1000 has steps of 6e-5; the mean of 200 rounded rows errs by far less
    assert largest_mean_distance(out, groups) < 2e-5


def test_the_mean_of_all_rows_stays():
    X, groups = shifted_groups(3)
    out = LEACE().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out.mean(axis=0), X.mean(axis=0), atol=1e-10)


def test_groups_with_equal_means_leave_the_rows_alone():
    X = np.random.default_rng(0).standard_normal((100, 3))
    both, groups = np.vstack([X, X]), np.repeat([0, 1], 100)
    eraser = LEACE().fit(both, sensitive_features=groups)
    assert eraser.rank_ == 0
    np.testing.assert_array_equal(eraser.transform(both), both)


def test_the_group_is_not_asked_for_at_transform():
    X, groups = shifted_groups(3)
    eraser = LEACE().fit(X, sensitive_features=groups)
    out = eraser.transform(X)
    np.testing.assert_array_equal(out, eraser.transform(X, sensitive_features=groups[::-1]))


def test_erasing_every_dimension_raises():
    X, groups = shifted_groups(5, d=3)
    with pytest.raises(InvalidInputError, match="would erase all 3 dimension"):
        LEACE().fit(X, sensitive_features=groups)


def test_strangers_verdict_a_linear_probe_finds_the_group_before_and_not_after():
    X, groups = shifted_groups(3, n=4_000)
    eraser = LEACE().fit(X, sensitive_features=groups)

    def probe(rows):
        return LogisticRegression(max_iter=2_000).fit(rows, groups).score(rows, groups)

    share = np.bincount(groups).max() / len(groups)
    assert probe(X) > share + 0.3
    # the best linear probe on rows without any linear trace of the group is the constant
    assert probe(eraser.transform(X)) < share + 0.01


@pytest.mark.parametrize("method", ["ortho", None])
def test_unknown_method_raises(method):
    X, groups = shifted_groups(2)
    with pytest.raises(InvalidInputError, match="`method` of `LEACE` must be one of"):
        LEACE(method=method).fit(X, sensitive_features=groups)
