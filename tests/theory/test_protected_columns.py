"""Columns that must not move, and moving part of the way: docs/theory.md, section 17."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, logm

from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal import is_ideal, nearest_ideal
from reference.protected import normal_kl
from reference.strategies import random_covariance, random_matrix
from reference.theory_families import kept_value, split_gram
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


def a_split(rng, k, n_kept, n_rest):
    """Cells of u and of the rest: means and covariance of each."""
    return (
        rng.normal(size=(k, n_kept)),
        random_covariance(rng, n_kept, condition=5.0),
        rng.normal(size=(k, n_rest)),
        random_covariance(rng, n_rest, condition=5.0),
    )


def lean_of(split, q):
    root = np.sqrt(q)[:, None]
    m = root * (split[0] - q @ split[0])
    return np.linalg.inv(np.eye(len(q)) + m @ np.linalg.solve(split[1], m.T))


@given(SEEDS, st.integers(2, 4), st.integers(1, 2), st.integers(1, 3))
@settings(max_examples=20)
def test_the_columns_that_move_lean_on_those_that_stay_by_a_ridge_regression(seed, k, p, f):
    rng = np.random.default_rng(seed)
    u, s_u, rest, s_w = split = a_split(rng, k, p, f)
    q = rng.dirichlet(np.full(k, 4.0))
    points, v = rng.normal(size=(k, f)), random_matrix(rng, f)
    own = np.block([[s_u, np.zeros((p, f))], [np.zeros((f, p)), s_w]])

    def paid(slope, offset):
        across = slope @ s_u
        spread = np.block([[s_u, across.T], [across, across @ slope.T + v @ v.T]])
        means = np.hstack([u, points @ v.T + u @ slope.T + offset])
        goals = np.hstack([u, rest])
        return sum(q[y] * normal_kl(means[y], spread, goals[y], own) for y in range(k))

    left, far = rest - points @ v.T, u - q @ u
    ridge = np.linalg.inv(s_u + (q[:, None] * far).T @ far)
    slope = (left - q @ left).T @ (q[:, None] * far) @ ridge
    offset = q @ left - slope @ (q @ u)
    least = paid(slope, offset)
    # what is left of the class means is A times them, in rows times sqrt(q)
    rows = np.sqrt(q)[:, None] * (left - q @ left)
    inner = np.linalg.inv(s_w)
    logs = np.linalg.slogdet(s_w)[1] - np.linalg.slogdet(v @ v.T)[1]
    part = 0.5 * (np.trace(inner @ v @ v.T) - f + logs)
    assert least == pytest.approx(
        part + 0.5 * np.trace(inner @ rows.T @ lean_of(split, q) @ rows), rel=1e-8
    )
    for _ in range(5):
        other = slope + rng.normal(size=slope.shape), offset + rng.normal(size=f)
        assert paid(*other) > least


@given(SEEDS, st.integers(2, 4), st.booleans())
@settings(max_examples=20)
def test_what_a_group_pays_is_convex_in_the_common_gram_matrix(seed, k, inward):
    rng = np.random.default_rng(seed)
    f = k - 1
    split = a_split(rng, k, 2, f)
    q = rng.dirichlet(np.full(k, 4.0))
    kept = np.linalg.inv(lean_of(split, q)) - np.eye(k)
    basis = np.linalg.qr(np.column_stack([np.sqrt(q), np.eye(k)[:, 1:]]))[0][:, 1:]

    def value(x):
        """x: the common X on the centred vectors, at least that of u."""
        half = np.linalg.cholesky(x - basis.T @ kept @ basis)
        points = (basis @ half) / np.sqrt(q)[:, None]
        return kept_value(split, points, q, inward=inward)

    wide = [np.eye(f) + random_covariance(rng, f, condition=50.0) for _ in range(2)]
    ends = [basis.T @ kept @ basis + rng.uniform(0.01, 1.0) * w for w in wide]
    eye = np.eye(f)
    if inward:  # convex in X itself
        middle = 0.5 * (ends[0] + ends[1])
    else:  # convex in T = I - (I + X)^-1
        inverse = 0.5 * sum(np.linalg.inv(eye + x) for x in ends)
        middle = np.linalg.inv(inverse) - eye
    assert value(middle) <= 0.5 * (value(ends[0]) + value(ends[1])) + 1e-10
    if inward:
        return
    # the formula of the page
    for x in ends:
        a = basis.T @ lean_of(split, q) @ basis
        rows = basis.T @ (np.sqrt(q)[:, None] * (split[2] - q @ split[2]))
        white = np.linalg.solve(np.linalg.cholesky(split[3]), rows.T).T
        h = np.sqrt(np.maximum(np.linalg.eigvalsh(
            white.T @ (a - np.linalg.inv(eye + x)) @ white), 0.0))  # fmt: skip
        v = 0.5 * (h + np.sqrt(h * h + 4.0))
        expected = (0.5 * v * v - v * h - np.log(v) - 0.5).sum()
        expected += 0.5 * np.linalg.slogdet(eye + x)[1] + 0.5 * np.linalg.slogdet(a)[1]
        expected += 0.5 * np.trace(white.T @ a @ white)
        assert value(x) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@given(SEEDS, st.integers(2, 3), st.integers(0, 1))
@settings(max_examples=10)
def test_one_head_that_ignores_the_group_serves_all(seed, k, more):
    rng = np.random.default_rng(seed)
    d = k + more
    covs = np.stack([random_covariance(rng, d, condition=10.0) for _ in range(2)])
    prior = rng.dirichlet(np.full(2 * k, 5.0)).reshape(k, 2)
    joint = joint_of(rng.normal(size=(k, 2, d)), np.broadcast_to(covs, (k, 2, d, d)), prior)
    solution = nearest_ideal(joint, protected=[0])
    ideal = solution.distribution
    frame = ideal.groups.index(solution.reference)
    means, cov = np.asarray(ideal.means), ideal.covariances[0]
    head = np.linalg.solve(cov[frame], (means[1:, frame] - means[0, frame]).T).T
    laws = []
    for a, group in enumerate(ideal.groups):
        move = solution.maps[group]
        assert np.array_equal(move.matrix[0], np.eye(d)[0])
        scores = (means[:, a] @ move.matrix.T + move.offset) @ head.T
        spread = head @ move.matrix @ cov[a] @ move.matrix.T @ head.T
        laws.append((scores, spread))
    for mine, theirs in zip(*laws, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert np.allclose(ideal.prior / ideal.group_prior, (ideal.prior / ideal.group_prior)[:, :1])


def test_with_fewer_columns_an_ideal_law_may_exist_that_no_map_of_rows_serves():
    # three classes, one column kept and one free: both groups have the Gram matrix I
    means = np.array([[[0, 0], [0, 0]], [[1, 0], [0, 1]], [[0, 1], [1, 0]]], dtype=float)
    joint = joint_of(means, np.broadcast_to(np.eye(2), (3, 2, 2, 2)), np.full((3, 2), 1 / 6))
    assert is_ideal(joint, 1e-8)
    # log-ratios of group 0 are (u, z), of group 1 (z', u), less 1/2: u = z is not all rows
    rows = np.array([[0.3, -1.2], [0.7, 2.0]])
    goal = rows - 0.5
    for free in np.linspace(-5, 5, 101):
        ratios = np.column_stack([np.full(2, free), rows[:, 0]]) - 0.5
        assert np.abs(ratios - goal).max(axis=1).min() > 0.5
    with pytest.raises(UnsupportedProgrammeError, match="2 columns free"):
        nearest_ideal(joint, protected=[0])


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=20)
def test_the_divergence_to_the_ideal_cell_is_convex_and_falls_on_straight_ways_of_rows(seed, d):
    rng = np.random.default_rng(seed)
    mean, goal = 2.0 * rng.normal(size=(2, d))
    cov, change = random_covariance(rng, d, condition=20.0), random_matrix(rng, d)
    stretch = random_covariance(rng, d, condition=20.0)
    matrix = np.linalg.solve(change, stretch @ change)  # symmetric, positive, in other units
    end = matrix @ cov @ matrix.T
    values = []
    for s in np.linspace(0.0, 1.0, 21):
        step = (1 - s) * np.eye(d) + s * matrix
        values.append(normal_kl((1 - s) * mean + s * goal, step @ cov @ step.T, goal, end))
    assert values[-1] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(values) < 1e-12).all()
    assert (np.diff(values, 2) > -1e-9 * values[0]).all()
