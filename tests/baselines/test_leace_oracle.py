"""The oracle form of LEACE: its regression, its package, and what it equals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.baselines import LEACE, MeanMatching, OracleLEACE
from reference.erasure import largest_mean_distance
from reference.rivals import oracle_rows


def shifted_groups(n_groups, *, n=400, d=5, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, size=n)
    groups[:n_groups] = np.arange(n_groups)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return X + 3.0 * rng.standard_normal((n_groups, d))[groups], groups


def upstream(X, groups, **options):
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("concept_erasure")
    z = torch.nn.functional.one_hot(torch.tensor(groups)).double()
    eraser = peer.OracleFitter.fit(torch.tensor(X), z, **options).eraser
    return eraser, eraser(torch.tensor(X), z).numpy()


@pytest.mark.parametrize("n_groups", [2, 4])
def test_rows_and_coefficients_equal_the_literal_regression(n_groups):
    X, groups = shifted_groups(n_groups)
    eraser = OracleLEACE()
    out = eraser.fit_transform(X, sensitive_features=groups)
    expected, coefficients = oracle_rows(X, groups.tolist(), labels=range(n_groups))
    np.testing.assert_allclose(out, expected, atol=1e-10)
    np.testing.assert_allclose(eraser.coef_, coefficients, atol=1e-10)


@pytest.mark.parametrize("n_groups", [2, 5])
def test_rows_and_coefficients_equal_the_published_package(n_groups):
    X, groups = shifted_groups(n_groups, n=2_000)
    theirs, rows = upstream(X, groups, svd_tol=1e-9)
    eraser = OracleLEACE()
    out = eraser.fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out, rows, atol=1e-11)
    np.testing.assert_allclose(eraser.coef_, theirs.coef.numpy(), atol=1e-11)
    np.testing.assert_allclose(eraser.group_shares_, theirs.mean_z.numpy(), atol=1e-14)


def test_a_tiny_group_is_erased():
    X, groups = shifted_groups(2, n=20_000)
    groups = (np.arange(20_000) < 40).astype(int)
    X[groups == 1] += 3.0
    before = largest_mean_distance(X, groups)
    out = OracleLEACE().fit_transform(X, sensitive_features=groups)
    assert largest_mean_distance(out, groups) < 1e-10 * before
    # the negative control: at its default absolute tolerance the peer leaves it whole
    assert largest_mean_distance(upstream(X, groups)[1], groups) > 0.9 * before


@given(seed=st.integers(0, 1_000), n_groups=st.integers(2, 4))
@settings(deadline=None, max_examples=20)
def test_rows_are_those_of_mean_matching_at_the_mean_of_all(seed, n_groups):
    X, groups = shifted_groups(n_groups, n=60, seed=seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2.0, size=60)
    given_weight = {"sensitive_features": groups, "sample_weight": weight}
    np.testing.assert_allclose(
        OracleLEACE().fit_transform(X, **given_weight),
        MeanMatching().fit_transform(X, **given_weight),
        atol=1e-12,
    )


def test_no_other_function_of_row_and_group_without_covariance_moves_rows_less():
    X, groups = shifted_groups(3)
    out = OracleLEACE().fit_transform(X, sensitive_features=groups)
    cost = ((out - X) ** 2).sum()
    assert largest_mean_distance(out, groups) < 1e-12
    rng = np.random.default_rng(1)
    for _ in range(100):
        noise = 0.1 * rng.standard_normal(X.shape)
        means = np.array([noise[groups == g].mean(axis=0) for g in range(3)])
        other = out + noise - means[groups] + 0.1 * rng.standard_normal(X.shape[1])
        assert largest_mean_distance(other, groups) < 1e-12
        assert ((other - X) ** 2).sum() > cost
    blind = LEACE().fit_transform(X, sensitive_features=groups)
    assert ((blind - X) ** 2).sum() > cost
