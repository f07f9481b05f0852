"""MeanMatching: one mean for all groups, and what that leaves visible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures

from isonomy.baselines import MeanMatching
from reference.erasure import largest_mean_distance


def three_groups(seed=0, n=300):
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2])
    groups[:3] = ["a", "b", "c"]
    scale = {"a": 1.0, "b": 2.0, "c": 0.5}
    shift = {"a": 0.0, "b": 1.0, "c": -2.0}
    X = np.array([shift[g] + scale[g] * rng.standard_normal(3) for g in groups])
    return X, groups


@given(seed=st.integers(0, 500))
@settings(deadline=None, max_examples=25)
def test_all_groups_get_the_overall_mean_and_keep_their_covariance(seed):
    X, groups = three_groups(seed)
    out = MeanMatching().fit_transform(X, sensitive_features=groups)
    for g in "abc":
        rows = groups == g
        np.testing.assert_allclose(out[rows].mean(axis=0), X.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(out[rows] - out[rows][0], X[rows] - X[rows][0], atol=1e-12)


def test_the_reference_group_stays_and_the_others_take_its_mean():
    X, groups = three_groups()
    out = MeanMatching(reference="b").fit_transform(X, sensitive_features=groups)
    np.testing.assert_array_equal(out[groups == "b"], X[groups == "b"])
    assert largest_mean_distance(out, groups) < 1e-12


def test_means_come_from_fit_not_from_the_rows_to_be_moved():
    method = MeanMatching(reference="a")
    method.fit([[0.0], [2.0], [10.0]], sensitive_features=["a", "a", "b"])
    assert method.transform([[11.0]], sensitive_features=["b"])[0, 0] == pytest.approx(2.0)


def test_strangers_verdict_linear_probe_is_lost_and_quadratic_probe_is_not():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 2_000)
    X = rng.standard_normal((4_000, 2)) * np.where(groups == 1, 2.5, 1.0)[:, None]
    X += groups[:, None]
    out = MeanMatching().fit_transform(X, sensitive_features=groups)

    def probe(rows):
        return LogisticRegression(max_iter=2_000).fit(rows, groups).score(rows, groups)

    assert probe(X) > 0.6
    assert probe(out) < 0.53
    assert probe(PolynomialFeatures(2).fit_transform(out)) > 0.7
