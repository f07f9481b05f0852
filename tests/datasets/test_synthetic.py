"""make_biased_normals: rows that follow their truth, and a truth that bias=0 makes ideal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError
from isonomy.ideal import is_ideal

KINDS = ["tied", "full", "diagonal"]


def gram_violation(truth):
    """Largest difference between groups of whitened Gram matrices, for tied covariances."""
    grams = []
    for a in range(len(truth.groups)):
        differences = truth.means[:, a] - truth.means[0, a]
        grams.append(differences @ np.linalg.solve(truth.covariances[0, a], differences.T))
    return max(np.abs(g - grams[0]).max() for g in grams)


def dependence(truth):
    prior = truth.prior
    return np.abs(prior - prior.sum(axis=1, keepdims=True) * prior.sum(axis=0)).max()


def test_shapes_labels_and_groups():
    X, y, groups, truth = make_biased_normals(
        3_000, n_features=3, n_classes=4, n_groups=3, random_state=0
    )
    assert X.shape == (3_000, 3)
    assert set(y.tolist()) == {0, 1, 2, 3}
    assert set(groups.tolist()) == {"a", "b", "c"}
    assert truth.classes == (0, 1, 2, 3) and truth.groups == ("a", "b", "c")
    assert truth.means.shape == (4, 3, 3)


@pytest.mark.parametrize("covariance", KINDS)
def test_same_seed_same_rows_and_truth_free_of_the_number_of_rows(covariance):
    one, two = (make_biased_normals(200, covariance=covariance, random_state=3) for _ in range(2))
    for left, right in zip(one[:3], two[:3], strict=True):
        np.testing.assert_array_equal(left, right)
    longer = make_biased_normals(500, covariance=covariance, random_state=3)[3]
    np.testing.assert_array_equal(one[3].means, longer.means)
    np.testing.assert_array_equal(one[3].prior, longer.prior)
    other = make_biased_normals(200, covariance=covariance, random_state=4)[0]
    assert np.abs(one[0] - other).max() > 0.1


@pytest.mark.parametrize("covariance", KINDS)
def test_rows_follow_the_truth(covariance):
    X, y, groups, truth = make_biased_normals(60_000, covariance=covariance, random_state=0)
    for i, label in enumerate(truth.classes):
        for a, group in enumerate(truth.groups):
            rows = X[(y == label) & (groups == group)]
            p, n = truth.prior[i, a], len(rows)
            assert abs(n / len(X) - p) < 5 * np.sqrt(p * (1 - p) / len(X))
            spread = np.sqrt(np.diagonal(truth.covariances[i, a]))
            # five standard errors of a mean; of a covariance about sqrt(2 / n) times its scale
            assert (np.abs(rows.mean(axis=0) - truth.means[i, a]) < 5 * spread / np.sqrt(n)).all()
            error = np.abs(np.cov(rows.T, bias=True) - truth.covariances[i, a])
            assert (error < 5 * np.sqrt(2 / n) * np.outer(spread, spread)).all()


@given(
    seed=st.integers(0, 10_000),
    n_features=st.integers(1, 5),
    n_classes=st.integers(1, 4),
    n_groups=st.integers(1, 4),
)
@settings(deadline=None, max_examples=40)
def test_bias_zero_is_ideal_by_the_gram_matrices_and_priors(seed, n_features, n_classes, n_groups):
    truth = make_biased_normals(
        10,
        n_features=n_features,
        n_classes=n_classes,
        n_groups=n_groups,
        bias=0.0,
        random_state=seed,
    )[3]
    assert gram_violation(truth) < 1e-9
    assert dependence(truth) < 1e-12


@pytest.mark.parametrize("covariance", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_bias_zero_is_ideal_and_bias_one_is_not(covariance, seed):
    ideal = make_biased_normals(10, bias=0.0, covariance=covariance, random_state=seed)[3]
    biased = make_biased_normals(10, bias=1.0, covariance=covariance, random_state=seed)[3]
    assert is_ideal(ideal)
    assert not is_ideal(biased)


def test_an_ideal_truth_still_differs_between_groups_unless_the_shift_is_zero():
    shifted = make_biased_normals(10, bias=0.0, random_state=0)[3]
    assert np.abs(shifted.means[:, 0] - shifted.means[:, 1]).max() > 0.1
    assert np.abs(shifted.covariances[:, 0] - shifted.covariances[:, 1]).max() > 0.1
    same = make_biased_normals(10, bias=0.0, group_shift=0.0, random_state=0)[3]
    np.testing.assert_allclose(same.means[:, 0], same.means[:, 1])
    np.testing.assert_allclose(same.covariances[:, 0], same.covariances[:, 1])


def test_kinds_of_covariance():
    tied = make_biased_normals(10, n_classes=3, random_state=0)[3]
    assert tied.is_tied
    assert (
        np.abs(tied.covariances[0, 0] - np.diag(np.diagonal(tied.covariances[0, 0]))).max() > 0.01
    )
    full = make_biased_normals(10, n_classes=3, covariance="full", random_state=0)[3]
    assert not full.is_tied
    diagonal = make_biased_normals(10, n_classes=3, covariance="diagonal", random_state=0)[3]
    assert not diagonal.is_tied
    assert np.count_nonzero(diagonal.covariances - diagonal.covariances * np.eye(4)) == 0


@pytest.mark.parametrize("separation", [1.0, 4.0])
def test_separation_is_the_typical_distance_of_class_means(separation):
    truth = make_biased_normals(10, n_classes=2, bias=0.0, separation=separation, random_state=0)[3]
    difference = truth.means[1, 0] - truth.means[0, 0]
    distance = np.sqrt(difference @ np.linalg.solve(truth.covariances[0, 0], difference))
    assert distance == pytest.approx(separation)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "`n_samples` of `make_biased_normals` must be a whole number"),
        ({"n_features": 0}, "`n_features` of `make_biased_normals`"),
        ({"n_classes": True}, "`n_classes` of `make_biased_normals`"),
        ({"n_groups": 27}, "must be at most 26, got 27"),
        ({"bias": -1.0}, r"`bias` of `make_biased_normals` must lie in \[0, 10\]"),
        ({"separation": np.nan}, "`separation` of `make_biased_normals` must lie in"),
        ({"covariance": "spherical"}, "`covariance` of `make_biased_normals` must be one of"),
    ],
)
def test_wrong_parameters_raise(parameters, message):
    with pytest.raises(InvalidInputError, match=message):
        make_biased_normals(**parameters)
