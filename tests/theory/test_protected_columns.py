"""Columns that must not move, and moving part of the way: docs/theory.md, section 17."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm

from isonomy.ideal import is_ideal
from reference.strategies import random_covariance, random_matrix
from reference.theory_families import split_gram
from reference.theory_normals import gram, joint_of

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 4), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=30)
def test_the_gram_matrix_splits_into_the_kept_and_the_rest(seed, k, n_kept, n_rest):
    rng = np.random.default_rng(seed)
    d = n_kept + n_rest
    means, cov = rng.normal(size=(k, d)), random_covariance(rng, d, condition=10.0)
    kept, rest = split_gram(means, cov, n_kept)
    assert np.allclose(kept + rest, gram(means, cov))
    assert np.linalg.eigvalsh(rest)[0] > -1e-10
    # maps that keep the first coordinates leave the kept part as it is
    move = np.eye(d)
    move[n_kept:, :n_kept] = rng.normal(size=(n_rest, n_kept))
    move[n_kept:, n_kept:] = random_matrix(rng, n_rest)
    moved = split_gram(means @ move.T, move @ cov @ move.T, n_kept)
    assert np.allclose(moved[0], kept)
    assert np.allclose(moved[1], rest)


@given(SEEDS, st.integers(2, 3))
@settings(max_examples=20)
def test_a_common_gram_matrix_is_reached_exactly_where_it_covers_what_is_kept(seed, k):
    rng = np.random.default_rng(seed)
    n_kept, n_rest = 1, k - 1
    d = n_kept + n_rest
    means = rng.normal(size=(k, 2, d))
    covs = np.stack([random_covariance(rng, d, condition=10.0) for _ in range(2)])
    kept = [split_gram(means[:, a], covs[a], n_kept)[0] for a in (0, 1)]
    # a goal above both: the rest makes up the difference in each group
    goal = kept[0] + kept[1] + np.pad(0.5 * np.eye(k - 1), ((1, 0), (1, 0)))
    new_means = means.copy()
    for a in (0, 1):
        values, vectors = np.linalg.eigh((goal - kept[a])[1:, 1:])
        points = vectors * np.sqrt(values)  # (K - 1, K - 1): whitened rest of the classes
        lower = np.linalg.cholesky(
            covs[a][1:, 1:] - np.outer(covs[a][1:, 0], covs[a][0, 1:]) / covs[a][0, 0]
        )
        slope = covs[a][0, 1:] / covs[a][0, 0]
        far = means[1:, a, :1] - means[:1, a, :1]
        new_means[1:, a, 1:] = new_means[0, a, 1:] + far * slope + points @ lower.T
    assert np.allclose(new_means[:, :, 0], means[:, :, 0])
    joint = joint_of(new_means, np.broadcast_to(covs, (k, 2, d, d)), np.full((k, 2), 0.5 / k))
    assert is_ideal(joint, 1e-8)
    assert np.allclose(gram(new_means[:, 0], covs[0]), goal)


def test_a_group_that_stays_may_be_out_of_reach():
    # group a tells the classes apart by 1; what is kept in group b tells them apart by 2
    means = np.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [2.0, 0.5]]])
    whole = gram(means[:, 0], np.eye(2))
    kept, _ = split_gram(means[:, 1], np.eye(2), 1)
    assert np.linalg.eigvalsh(whole - kept)[0] < 0  # no rest, which is never negative, can do it
    rng = np.random.default_rng(0)
    for _ in range(20):
        move = np.eye(2)
        move[1] = rng.normal(size=2)
        moved = gram(means[:, 1] @ move.T, move @ move.T)
        assert moved[1, 1] >= kept[1, 1] - 1e-12 > whole[1, 1]


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=30)
def test_the_polar_path_never_meets_a_singular_map(seed, d):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, d)
    if np.linalg.det(matrix) < 0:
        matrix[0] *= -1
    left, sizes, right = np.linalg.svd(matrix)
    turn, stretch = left @ right, (right.T * sizes) @ right
    if np.linalg.eigvals(turn).real.min() < -0.999:
        return  # a half turn has more than one shortest way
    generator = np.real(logm(turn))
    for s in (0.0, 0.25, 0.5, 0.75, 1.0):
        values, vectors = np.linalg.eigh(stretch)
        step = expm(s * generator) @ (vectors * values**s) @ vectors.T
        assert np.linalg.det(step) == pytest.approx(np.linalg.det(matrix) ** s)
        if s == 0.0:
            assert np.allclose(step, np.eye(d))
        if s == 1.0:
            assert np.allclose(step, matrix, atol=1e-8)


def test_the_straight_path_is_singular_exactly_at_negative_eigenvalues():
    half_turn = -np.eye(2)
    assert np.linalg.det(0.5 * np.eye(2) + 0.5 * half_turn) == 0.0
    rng = np.random.default_rng(1)
    for _ in range(30):
        matrix = rng.normal(size=(3, 3))
        eigenvalues = np.linalg.eigvals(matrix)
        real = eigenvalues[abs(eigenvalues.imag) < 1e-12].real
        crossings = [1 / (1 - x) for x in real if x < 0]
        grid = np.linspace(0, 1, 2001)
        dets = [np.linalg.det((1 - s) * np.eye(3) + s * matrix) for s in grid]
        changes = np.flatnonzero(np.diff(np.sign(dets)) != 0)
        found = sorted(grid[changes])
        assert len(found) == len(crossings)
        assert np.allclose(found, sorted(crossings), atol=1e-3)
