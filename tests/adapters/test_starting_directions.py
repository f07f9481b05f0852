"""The tail's directions: against the literal formula, and no other subspace does better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from isonomy.adapters._start._directions import (
    leading_right_vectors,
    orthonormal_rows,
    principal_rows,
    tail_matrix,
    tail_rows,
)
from isonomy.adapters._start._whitening import regularised, whitening_of
from isonomy.errors import SingularCovarianceError
from reference.tail_start import captured_ratio, tail_subspace

D, K = 6, 9


def problem(seed):
    """Class means, a within-class covariance of very uneven units, counts, and the tail."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-2, 2, D)
    means = rng.normal(size=(K, D)) * units + 5 * units
    root = rng.normal(size=(D, 2 * D)) * units[:, None]
    counts = rng.integers(1, 200, K).astype(float)
    return means, root @ root.T / (2 * D), counts, counts < np.median(counts)


def whitened(means, S):
    return whitening_of(S, np.zeros(D), means.mean(axis=0), 100, None)


def solved(means, S, counts, tail, r):
    M = tail_matrix(means, np.ones(K), counts, tail)
    return M, tail_rows(M, whitened(means, S), r)


def angle_to(rows, columns):
    """Sine of the largest angle between two subspaces."""
    p, q = np.linalg.qr(rows.T)[0], np.linalg.qr(columns)[0]
    return np.sqrt(max(0.0, 1 - np.linalg.svd(p.T @ q, compute_uv=False).min() ** 2))


@given(seed=st.integers(0, 500), r=st.integers(1, 4))
def test_the_rows_span_what_the_formula_spans(seed, r):
    means, S, counts, tail = problem(seed)
    columns, values = tail_subspace(means, S, counts, tail, r)
    if r < len(values) and values[r] > 0.99 * values[r - 1]:
        return  # two directions of equal weight: either is right
    _, found = solved(means, S, counts, tail, r)
    scale = np.sqrt(np.diag(S))  # angles in units of the inputs
    # sqrt(eps) is what rounding makes of an angle of 0 by way of its cosine
    assert angle_to(found.rows * scale, columns * scale[:, None]) < 1e-6
    assert found.captured == pytest.approx((values[:r] ** 2).sum() / (values**2).sum())


@given(seed=st.integers(0, 500))
def test_they_are_generalised_eigenvectors(seed):
    means, S, counts, tail = problem(seed)
    M, found = solved(means, S, counts, tail, 3)
    for row in found.rows:
        left, right = M.T @ (M @ row), S @ row
        ratio = (row @ left) / (row @ right)
        assert np.allclose(left, ratio * right, rtol=1e-6, atol=1e-9 * np.abs(right).max() * ratio)


@pytest.mark.parametrize("seed", range(3))
def test_no_subspace_has_a_larger_ratio(seed):
    means, S, counts, tail = problem(seed)
    r = 2
    M, found = solved(means, S, counts, tail, r)
    best = captured_ratio(found.rows, M, S)
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(np.diag(S))
    for _ in range(200):
        assert captured_ratio(rng.normal(size=(r, D)) * scale, M, S) < best
        near = found.rows + 0.1 * rng.normal(size=(r, D)) * scale * np.abs(found.rows).max()
        assert captured_ratio(near, M, S) < best

    def loss(a):
        return -captured_ratio(a.reshape(r, D) * scale, M, S) / best

    tried = [minimize(loss, rng.normal(size=r * D), method="BFGS").fun for _ in range(3)]
    # a general optimiser arrives where we are, and no further than its own tolerance
    assert min(tried) == pytest.approx(-1.0, abs=1e-6)


def test_rare_classes_weigh_by_one_over_their_rows():
    means = np.diag([1.0, 1.0, 1.0, 1.0])
    M = tail_matrix(means, np.ones(4), np.array([100, 100, 2, 6.0]), np.array([0, 0, 1, 1], bool))
    centre = means.mean(axis=0)
    assert np.allclose(M, [0.75 * (means[2] - centre), 0.25 * (means[3] - centre)])


def test_a_class_without_rows_moves_neither_the_centre_nor_the_tail():
    means = np.vstack([np.eye(3), np.zeros((1, 3))])
    n_rows, tail = np.array([2, 2, 2, 0.0]), np.array([0, 0, 1, 1], bool)
    M = tail_matrix(means, n_rows, np.array([9, 9, 3, 1.0]), tail)
    assert np.allclose(M, [means[2] - means[:3].mean(axis=0)])


def test_reading_differs_from_where_the_means_lie():
    # two inputs share their noise: the discriminant reads their difference
    S = np.array([[1.0, 0.9], [0.9, 1.0]])
    means = np.array([[0.0, 0.0], [1.0, 0.0]])
    M = tail_matrix(means, np.ones(2), np.ones(2), np.array([False, True]))
    row = tail_rows(M, whitening_of(S, np.zeros(2), np.zeros(2), 9, None), 1).rows[0]
    assert row[1] / row[0] == pytest.approx(-0.9)


def test_principal_rows_are_orthogonal_to_what_is_taken_and_lead():
    rng = np.random.default_rng(0)
    C = np.diag([9.0, 5.0, 2.0, 1.0])
    taken = orthonormal_rows(np.array([[1.0, 0.1, 0.0, 0.0]]))
    found = principal_rows(C, taken, 2)
    assert np.allclose(found @ taken.T, 0, atol=1e-12)
    assert np.allclose(found @ found.T, np.eye(2), atol=1e-12)
    kept = np.trace(found @ C @ found.T)
    for _ in range(100):
        other = rng.normal(size=(2, 4))
        other -= other @ taken.T @ taken
        other = np.linalg.qr(other.T)[0].T
        assert np.trace(other @ C @ other.T) <= kept + 1e-12


def test_principal_rows_stop_where_the_inputs_do():
    taken = np.eye(4)[:1]
    assert principal_rows(np.diag([1.0, 1.0, 0.0, 0.0]), taken, 3).shape == (1, 4)
    assert principal_rows(np.eye(2), np.eye(2), 3).shape == (0, 2)


@given(seed=st.integers(0, 200), k=st.integers(1, 5))
def test_orthonormal_rows_keep_every_leading_span_and_forget_signs(seed, k):
    rows = np.random.default_rng(seed).normal(size=(k, D))
    basis = orthonormal_rows(rows)
    assert np.allclose(basis @ basis.T, np.eye(k), atol=1e-12)
    assert (basis[np.arange(k), np.abs(basis).argmax(axis=1)] > 0).all()
    for j in range(1, k + 1):
        assert np.linalg.matrix_rank(np.vstack([rows[:j], basis[:j]]), tol=1e-9) == j
    assert np.allclose(orthonormal_rows(-3.0 * rows), basis, atol=1e-12)


def test_vectors_of_singular_value_zero_are_left_out():
    matrix = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 1.0, 0.0])
    vectors, share = leading_right_vectors(matrix, 3)
    assert vectors.shape == (1, 4) and share == pytest.approx(1.0)
    vectors, share = leading_right_vectors(np.zeros((2, 4)), 3)
    assert vectors.shape == (0, 4) and np.isnan(share)


def test_a_column_that_never_varies_is_not_read():
    S = np.diag([1.0, 0.0, 2.0])
    white = whitening_of(S, np.array([0.5, 0.0, 0.1]), np.array([3.0, 7.0, 0.0]), 50, "oas")
    assert white.live.tolist() == [True, False, True]
    assert np.all(white.functional(np.eye(2))[:, 1] == 0)


def test_a_perfect_separator_gets_a_bounded_weight():
    found = regularised(np.diag([1.0, 0.0]), np.array([1.5, 4.0]), 50, None)
    assert np.allclose(np.diag(found), [1.0, 4e-4])


def test_without_two_rows_in_a_class_the_total_variance_stands_in():
    assert np.allclose(
        regularised(np.zeros((2, 2)), np.array([2.0, 3.0]), 0, "oas"), np.diag([2, 3])
    )


def test_a_singular_covariance_needs_shrinkage():
    S = np.ones((2, 2))
    with pytest.raises(SingularCovarianceError, match="Drop some of them, or add shrinkage"):
        whitening_of(S, np.zeros(2), np.zeros(2), 5, None)
    assert whitening_of(S, np.zeros(2), np.zeros(2), 5, 0.1).lower.shape == (2, 2)
