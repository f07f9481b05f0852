"""The head from class means: against the model written out, its limits, and its calibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from isonomy.adapters._start._class_means import class_means_head
from isonomy.errors import InvalidInputError, SingularCovarianceError
from reference.tail_start import two_covariance_scores

K, D = 4, 5


def normals(seed, n, d=D, k=K, spread=1.5, offset=0.0, noise=None):
    """Rows of k normal classes with one covariance; ``n`` rows each, or a number a class.

    The covariance is a random one, or ``noise`` times the identity.
    """
    rng = np.random.default_rng(seed)
    sizes = np.broadcast_to(n, k)
    root = rng.normal(size=(d, d)) if noise is None else np.sqrt(noise) * np.eye(d)
    means = spread * rng.normal(size=(k, d)) + offset
    y = np.repeat(np.arange(k), sizes)
    return means[y] + rng.normal(size=(len(y), d)) @ root.T, y, means, root @ root.T


def balanced_within(X, y):
    """The mean over classes of their covariances, divisor n - 1."""
    return np.mean([np.cov(X[y == k].T) for k in np.unique(y)], axis=0)


@given(seed=st.integers(0, 200))
def test_scores_are_those_of_the_model_written_out(seed):
    X, y, *_ = normals(seed, [9, 4, 3, 6])
    head = class_means_head(X, y, K, shrinkage=None, scale=1.0)
    expected = two_covariance_scores(X, y, K, balanced_within(X, y), X)
    assert np.allclose(head.scores(X), expected, atol=1e-8 * (1 + np.abs(expected).max()))


def test_with_many_rows_it_is_the_linear_discriminant():
    X, y, *_ = normals(0, 40_000, d=3)
    head = class_means_head(X, y, K, shrinkage=None, scale=1.0)
    means = np.array([X[y == k].mean(axis=0) for k in range(K)])
    W = np.linalg.solve(balanced_within(X, y), means.T).T
    plain = X @ W.T - 0.5 * (means * W).sum(axis=1)
    # scores matter up to a constant a row; what is left shrinks with 1 / n
    difference = head.scores(X) - plain
    difference -= difference.mean(axis=1, keepdims=True)
    assert np.abs(difference).max() < 1e-2


def test_classes_of_few_rows_are_not_thrown_out_by_their_noise():
    right = []
    for seed in range(5):
        X, y, means, _ = normals(seed, [90] * 10 + [2] * 10, d=40, k=20, spread=0.8, noise=1.0)
        rng = np.random.default_rng(900 + seed)
        truth = np.repeat(np.arange(10, 20), 100)
        fresh = means[truth] + rng.normal(size=(len(truth), 40))
        own = np.array([X[y == k].mean(axis=0) for k in range(20)])
        W = np.linalg.solve(balanced_within(X, y), own.T).T
        plain = fresh @ W.T - 0.5 * (own * W).sum(axis=1)
        ours = class_means_head(X, y, 20, shrinkage=None, scale=1.0).scores(fresh)
        right.append([(s.argmax(axis=1) == truth).mean() for s in (ours, plain)])
    # the plain one takes half of the noise in a mean, d / (2 n) = 10, off the class's scores
    ours, plain = np.mean(right, axis=0)
    assert ours > plain + 0.05


@given(seed=st.integers(0, 100))
def test_shifting_and_stretching_the_features_changes_no_score(seed):
    X, y, *_ = normals(seed, [9, 4, 3, 6])
    rng = np.random.default_rng(seed)
    units, offset = 10.0 ** rng.uniform(-3, 3, D), rng.normal(size=D)
    one = class_means_head(X, y, K, scale=1.0)
    two = class_means_head(X * units + offset * units, y, K, scale=1.0)
    assert np.allclose(one.scores(X), two.scores(X * units + offset * units), atol=1e-6)


def test_the_order_of_the_rows_does_not_matter_at_a_given_scale():
    X, y, *_ = normals(3, [9, 4, 3, 6])
    order = np.random.default_rng(0).permutation(len(y))
    one = class_means_head(X, y, K, scale=1.0)
    two = class_means_head(X[order], y[order], K, scale=1.0)
    assert np.allclose(one.weight, two.weight) and np.allclose(one.bias, two.bias)


def test_without_a_bias_the_constant_is_folded_where_rows_lie_far_from_zero():
    X, y, *_ = normals(1, 60, d=40, offset=10.0, spread=0.3, noise=1.0)
    with_bias = class_means_head(X, y, K)
    without = class_means_head(X, y, K, bias=False)
    assert not without.bias.any() and with_bias.constant_residual == 0
    assert without.constant_residual < 0.2
    fresh, truth, *_ = normals(1, 500, d=40, offset=10.0, spread=0.3, noise=1.0)
    right = [(h.scores(fresh).argmax(axis=1) == truth).mean() for h in (with_bias, without)]
    # without a bias one direction of 40, that of the offset, cannot be told from the constant
    assert right[1] > right[0] - 0.05 > 0.5


def test_without_a_bias_and_an_offset_the_residual_says_so():
    X, y, *_ = normals(1, 60, d=12, spread=0.05)
    X -= X.mean(axis=0)
    assert class_means_head(X, y, K, bias=False).constant_residual > 0.9


def test_the_scale_is_near_the_best_one_on_new_rows():
    X, y, means, S = normals(5, 12, d=30, k=8, spread=0.7)
    head = class_means_head(X, y, 8)
    rng = np.random.default_rng(7)
    truth = np.repeat(np.arange(8), 400)
    fresh = means[truth] + rng.normal(size=(len(truth), 30)) @ np.linalg.cholesky(S).T

    def loss(factor):
        z = log_softmax(factor / head.scale * head.scores(fresh), axis=1)
        return -z[np.arange(len(truth)), truth].mean()

    grid = np.geomspace(0.01, 10, 200)
    best = min(map(loss, grid))
    # folds see four fifths of the rows, so that the factor is a little too careful
    assert loss(head.scale) < best + 0.05
    assert loss(1.0) > best + 0.2
    assert head.held_out_loss == pytest.approx(loss(head.scale), abs=0.25)


def test_a_class_without_rows_scores_like_the_average_class():
    X, y, *_ = normals(2, [9, 9, 0, 9])
    head = class_means_head(X, y, K)
    assert head.n_rows.tolist() == [9, 9, 0, 9]
    assert not head.weight[2].any() and head.bias[2] == 0


def test_one_row_a_class_gives_a_head_that_places_them():
    X = np.array([[0.0, 5.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 6.0]])
    head = class_means_head(X, [0, 1, 2], 3)
    assert np.isnan(head.held_out_loss) and head.scale == 1.0
    assert np.isfinite(head.weight).all()


def test_a_prior_is_added_as_logarithms():
    X, y, *_ = normals(2, 9)
    plain = class_means_head(X, y, K, scale=0.5)
    shares = np.array([8, 4, 2, 2])
    tilted = class_means_head(X, y, K, scale=0.5, prior=shares)
    assert np.allclose(tilted.scores(X) - plain.scores(X), np.log(shares / 16))


def test_tensors_of_any_dtype_are_read():
    X, y, *_ = normals(2, 9)
    one = class_means_head(torch.tensor(X).bfloat16(), torch.tensor(y), K)
    two = class_means_head(torch.tensor(X).bfloat16().double().numpy(), y, K)
    assert np.array_equal(one.weight, two.weight)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"labels": [0, 1, 9, 3]}, r"`labels` .* must be codes 0 to 3"),
        ({"labels": [1, 1, 1, 1]}, "rows of at least two classes, got 1"),
        ({"labels": [0, 1]}, r"must have shapes \(n, d\) and \(n,\)"),
        ({"labels": [0.5, 1, 2, 3]}, "must be codes"),
        ({"features": np.full((4, 2), np.nan)}, "must be finite, got NaN or infinity in row 0"),
        ({"n_classes": 1}, "`n_classes` .* at least 2"),
        ({"scale": -1.0}, "`scale`"),
        ({"prior": [1, 2]}, "`prior` .* must be 4 positive numbers"),
        ({"prior": [1, 1, 1, 1], "bias": False}, "`prior` .* needs a head with a bias"),
        ({"shrinkage": "ledoit"}, "`shrinkage`"),
    ],
)
def test_wrong_input_is_refused(change, match):
    given = {"features": np.eye(4)[:, :2], "labels": [0, 1, 2, 3], "n_classes": 4, **change}
    with pytest.raises(InvalidInputError, match=match):
        class_means_head(**given)


def test_a_singular_covariance_without_shrinkage_is_refused():
    X, y, *_ = normals(0, 3, d=30)
    with pytest.raises(SingularCovarianceError, match="add shrinkage"):
        class_means_head(X, y, K, shrinkage=None)


def test_classes_that_never_overlap_do_not_ask_for_scores_without_bound() -> None:
    # n rows all told apart: no surer than Laplace's 1 / (n + 2), so that odds stay near n
    y = np.repeat([0, 1, 2], 10)
    X = np.eye(3)[y]
    scores = class_means_head(X, y, 3).scores(X)
    own = scores[np.arange(30), y]
    lead = own - np.where(np.eye(3, dtype=bool)[y], -np.inf, scores).max(axis=1)
    assert (lead > 0).all() and lead.max() < 2 * np.log(3 * 32)
