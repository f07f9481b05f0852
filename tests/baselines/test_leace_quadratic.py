"""The quadratic form of LEACE: the barycentre, its package, and the least movement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures

from isonomy.baselines import MiMiC, OracleLEACE, QuadraticLEACE
from isonomy.errors import InvalidInputError
from reference.erasure import weighted_moments
from reference.rivals import barycentre_error, wasserstein_squared


def scaled_groups(n_groups, *, n=600, d=4, seed=0, even=False):
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % n_groups
    if not even:
        groups = np.concatenate([np.arange(n_groups), rng.choice(n_groups, n - n_groups)])
        groups[n // 2 :] = 0
    X = np.empty((n, d))
    for g in range(n_groups):
        rows = groups == g
        spread = rng.standard_normal((d, d)) + np.eye(d)
        X[rows] = rng.standard_normal((rows.sum(), d)) @ spread + 3.0 * rng.standard_normal(d)
    return X, groups


def laws_of(X, groups):
    return [weighted_moments(X[groups == g]) for g in np.unique(groups)]


def upstream(X, groups):
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("concept_erasure")
    shape = (X.shape[1], int(groups.max()) + 1)
    fitter = peer.QuadraticFitter(*shape, dtype=torch.float64, shrinkage=False)
    fitter.update(torch.tensor(X), torch.tensor(groups))
    return fitter.eraser(torch.tensor(X), torch.tensor(groups)).numpy()


# the package's closed form for two groups is exact; its iteration for more stops when the
# distance no longer changes in its last digit, where the covariance has half of its digits
@pytest.mark.parametrize(("n_groups", "tolerance"), [(2, 1e-9), (3, 1e-5), (5, 1e-5)])
def test_rows_equal_the_published_package_for_groups_of_one_size(n_groups, tolerance):
    X, groups = scaled_groups(n_groups, even=True)
    ours = QuadraticLEACE().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(ours, upstream(X, groups), atol=tolerance)


def test_groups_of_two_sizes_part_from_the_package_only_by_its_mean_and_divisor():
    X, groups = scaled_groups(2)
    ours = QuadraticLEACE()
    out = ours.fit_transform(X, sensitive_features=groups)
    means = np.array([mean for mean, _ in laws_of(X, groups)])
    shift = ours.mean_ - means.mean(axis=0)  # theirs is the plain mean of the groups' means
    assert np.abs(shift).max() > 0.3
    # divisors n and n - 1 differ by one part in 150, the smaller group's rows
    np.testing.assert_allclose(out - shift, upstream(X, groups), atol=0.05)


@given(seed=st.integers(0, 1_000), n_groups=st.integers(2, 4))
@settings(deadline=None, max_examples=15)
def test_the_centre_solves_the_equation_of_the_barycentre(seed, n_groups):
    X, groups = scaled_groups(n_groups, seed=seed, n=200, d=3)
    method = QuadraticLEACE().fit(X, sensitive_features=groups)
    shares = np.bincount(groups) / len(groups)
    laws = [covariance for _, covariance in laws_of(X, groups)]
    error = barycentre_error(method.covariance_, laws, shares)
    assert np.abs(error).max() < 1e-7 * np.abs(method.covariance_).max()
    assert method.converged_ and method.residual_ < 1e-8
    np.testing.assert_allclose(method.mean_, X.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_no_other_centre_is_nearer_to_the_groups(n_groups):
    X, groups = scaled_groups(n_groups)
    centre = QuadraticLEACE().fit(X, sensitive_features=groups).covariance_
    shares = np.bincount(groups) / len(groups)
    laws = [covariance for _, covariance in laws_of(X, groups)]

    def cost(candidate):
        return sum(p * wasserstein_squared(candidate, s) for p, s in zip(shares, laws, strict=True))

    least = cost(centre)
    rng = np.random.default_rng(3)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            step = np.eye(4) + size * rng.standard_normal((4, 4))
            assert cost(step @ centre @ step.T) > least


@given(seed=st.integers(0, 1_000), n_groups=st.integers(2, 4))
@settings(deadline=None, max_examples=15)
def test_moments_of_all_groups_agree_after_the_map(seed, n_groups):
    X, groups = scaled_groups(n_groups, seed=seed, n=200)
    method = QuadraticLEACE()
    out = method.fit_transform(X, sensitive_features=groups)
    for mean, covariance in laws_of(out, groups):
        np.testing.assert_allclose(mean, method.mean_, atol=1e-8)
        size = np.trace(method.covariance_)
        np.testing.assert_allclose(covariance, method.covariance_, atol=1e-8 * size)


def test_rows_move_less_than_to_the_pooled_covariance():
    X, groups = scaled_groups(3)
    cost = {}
    for method in (OracleLEACE(), QuadraticLEACE(), MiMiC()):
        out = method.fit_transform(X, sensitive_features=groups)
        cost[type(method).__name__] = ((out - X) ** 2).sum()
    # the barycentre is the best place to meet; equal means alone ask for less
    assert cost["OracleLEACE"] < cost["QuadraticLEACE"] < cost["MiMiC"]


def test_equal_weighting_forgets_the_sizes_of_the_groups():
    X, groups = scaled_groups(2)
    often = np.where(groups == 1, 7.0, 1.0)
    plain = QuadraticLEACE(weighting="equal").fit(X, sensitive_features=groups)
    weighted = QuadraticLEACE(weighting="equal").fit(
        X, sensitive_features=groups, sample_weight=often
    )
    np.testing.assert_allclose(plain.covariance_, weighted.covariance_, atol=1e-9)
    shares = QuadraticLEACE().fit(X, sensitive_features=groups, sample_weight=often)
    assert np.abs(shares.covariance_ - plain.covariance_).max() > 0.01


def test_commuting_covariances_have_a_known_barycentre():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((300, 2))
    base = (base - base.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T))).T
    X = np.vstack([base * [1.0, 3.0], base * [3.0, 1.0], base * [5.0, 2.0]])
    groups = np.repeat([0, 1, 2], 300)
    centre = QuadraticLEACE().fit(X, sensitive_features=groups).covariance_
    # diagonal covariances: the deviations of the barycentre are the means of the deviations
    np.testing.assert_allclose(centre, np.diag([3.0**2, 2.0**2]) * 299 / 300, atol=1e-10)


def test_strangers_verdict_a_quadratic_probe_finds_the_group_before_and_not_after():
    X, groups = scaled_groups(2, n=4_000, d=3)
    method = QuadraticLEACE().fit(X, sensitive_features=groups)

    def probe(rows):
        squares = PolynomialFeatures(2).fit_transform((rows - rows.mean(0)) / rows.std(0))
        return LogisticRegression(max_iter=5_000).fit(squares, groups).score(squares, groups)

    share = np.bincount(groups).max() / len(groups)
    linear = OracleLEACE().fit_transform(X, sensitive_features=groups)
    assert probe(X) > share + 0.1
    assert probe(linear) > share + 0.02
    assert probe(method.transform(X, sensitive_features=groups)) < share + 0.005


def test_too_few_rows_for_the_columns_are_said_not_to_have_converged():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, size=30)
    X = rng.standard_normal((30, 40)) + groups[:, None]
    method = QuadraticLEACE().fit(X, sensitive_features=groups)
    assert not method.converged_ and method.residual_ > 1e-8
    regular = QuadraticLEACE(shrinkage=0.3).fit(X, sensitive_features=groups)
    assert regular.converged_


def test_unknown_weighting_raises():
    X, groups = scaled_groups(2)
    with pytest.raises(InvalidInputError, match="`weighting` of `QuadraticLEACE` must be one"):
        QuadraticLEACE(weighting="n").fit(X, sensitive_features=groups)


def test_names_of_groups_do_not_matter_where_one_covariance_is_singular():
    X, groups = scaled_groups(2, d=3)
    X[groups == 0, 2] = X[groups == 0, 0]  # this group varies in two dimensions alone
    one = QuadraticLEACE().fit(X, sensitive_features=groups)
    two = QuadraticLEACE().fit(X, sensitive_features=1 - groups)
    np.testing.assert_allclose(one.covariance_, two.covariance_, atol=1e-10)
    laws = [covariance for _, covariance in laws_of(X, groups)]
    error = barycentre_error(one.covariance_, laws, np.bincount(groups) / len(groups))
    assert np.abs(error).max() < 1e-6 * np.abs(one.covariance_).max()
