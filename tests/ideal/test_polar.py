"""The orthogonal factor: by Newton's iteration, judged by singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.ideal._numerics import polar
from isonomy.ideal._numerics.polar import orthogonal_factor


def with_singular_values(values, seed):
    rng = np.random.default_rng(seed)
    d = len(values)
    left, right = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    return (left * values) @ right, left @ right


@pytest.mark.parametrize("d", [1, 5, 64, 65, 120])
@pytest.mark.parametrize("condition", [1.0, 10.0, 1e6])
def test_it_is_the_factor_that_the_matrix_was_built_from(d, condition):
    matrix, known = with_singular_values(np.geomspace(condition, 1.0, d), seed=d)
    found = orthogonal_factor(3.0 * matrix)
    # the factor itself is conditioned like the sum of the two smallest singular values
    assert np.abs(found - known).max() < 1e-14 * d * condition
    assert np.abs(found.T @ found - np.eye(d)).max() < 8 * d * np.finfo(float).eps


def test_no_rotation_scores_more():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((80, 80))
    best = np.trace(orthogonal_factor(matrix).T @ matrix)
    assert best == pytest.approx(np.linalg.svd(matrix, compute_uv=False).sum(), rel=1e-12)
    for size in (1e-3, 1e-1, 1.0):
        noise = rng.standard_normal((80, 80))
        turn = np.linalg.qr(np.eye(80) + size * (noise - noise.T))[0]
        assert np.trace((orthogonal_factor(matrix) @ turn).T @ matrix) < best


@pytest.mark.parametrize("d", [70, 100])
def test_a_singular_matrix_falls_back_to_the_decomposition(d):
    matrix, _ = with_singular_values(np.r_[np.ones(d - 3), np.zeros(3)], seed=1)
    matrix[:, 0] = 0.0  # exactly singular too: LU finds a pivot of 0
    found = orthogonal_factor(matrix)
    assert np.abs(found.T @ found - np.eye(d)).max() < 1e-13
    singular = np.linalg.svd(matrix, compute_uv=False)
    assert np.trace(found.T @ matrix) == pytest.approx(singular.sum(), rel=1e-12)


def test_the_iteration_is_what_large_matrices_get(monkeypatch):
    matrix, known = with_singular_values(np.linspace(0.5, 2.0, 90), seed=2)
    monkeypatch.setattr(polar.np.linalg, "svd", None)  # calling it would raise
    assert np.abs(orthogonal_factor(matrix) - known).max() < 1e-13


def test_steps_that_run_out_give_the_decision_to_the_decomposition(monkeypatch):
    matrix, known = with_singular_values(np.geomspace(1e8, 1.0, 90), seed=3)
    monkeypatch.setattr(polar, "_MAX_STEPS", 1)
    assert polar._newton(matrix) is None
    assert np.abs(orthogonal_factor(matrix) - known).max() < 1e-6
