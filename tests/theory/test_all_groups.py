"""All groups move, one covariance a group: docs/theory.md, section 10."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.ideal import nearest_ideal
from isonomy.ideal._tied.closed_form import best_affine_map
from reference.ideal import random_joint, two_class_profile
from reference.strategies import random_covariance, random_matrix
from reference.theory_normals import (
    best_gain,
    cost_of_map,
    joint_of,
    tied_value_of_gram,
    tied_value_of_weights,
)

SEEDS = st.integers(0, 2**32 - 1)


def centred_matrix(rng, label, scale):
    """A positive definite K x K matrix on the vectors orthogonal to sqrt(label), below I."""
    k = len(label)
    projection = np.eye(k) - np.outer(np.sqrt(label), np.sqrt(label))
    points = projection @ rng.normal(size=(k, k)) * scale
    gram = points @ points.T
    return gram @ np.linalg.inv(np.eye(k) + gram)


def test_the_gain_is_convex_in_the_squared_alignment():
    s = np.geomspace(1e-6, 1e4, 4001)
    values = np.array([best_gain(x) for x in s])
    slopes = np.diff(values) / np.diff(s)
    assert (np.diff(slopes) > 0).all()
    expected = -0.25 * (1 + np.sqrt(1 + 4 / s))
    assert (slopes > expected[:-1]).all()
    assert (slopes < expected[1:]).all()


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
@settings(max_examples=25)
def test_the_objective_is_convex_in_the_canonical_weights(seed, k, n_groups):
    rng = np.random.default_rng(seed)
    targets = 2 * rng.normal(size=(n_groups, k, k - 1))
    share, label = rng.dirichlet(np.full(n_groups, 4.0)), rng.dirichlet(np.full(k, 4.0))
    ends = [centred_matrix(rng, label, scale) for scale in (0.3, 3.0)]
    values = [tied_value_of_weights(w, targets, share, label) for w in ends]
    for t in (0.2, 0.5, 0.8):
        middle = tied_value_of_weights((1 - t) * ends[0] + t * ends[1], targets, share, label)
        assert middle <= (1 - t) * values[0] + t * values[1] + 1e-12


@given(SEEDS, st.integers(2, 4))
@settings(max_examples=12)
def test_the_nearest_ideal_is_the_minimum_of_the_convex_programme(seed, k):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, k, 2, k)
    label, share = joint.class_prior, joint.prior.sum(axis=0)
    found = nearest_ideal(joint)
    assert found.global_optimum
    roots = [np.linalg.cholesky(joint.covariances[0, a]) for a in (0, 1)]
    targets = [np.linalg.solve(r, joint.means[:, a].T).T for a, r in enumerate(roots)]
    # the canonical points of the solution, whitened by their own covariance
    canonical = list(found.canonical.values())
    points = np.linalg.solve(
        np.linalg.cholesky(canonical[0].covariance), np.array([c.mean for c in canonical]).T
    ).T
    a = np.sqrt(label)[:, None] * (points - label @ points)
    w = a @ a.T @ np.linalg.inv(np.eye(k) + a @ a.T)
    prior_kl = (found.distribution.prior * np.log(found.distribution.prior / joint.prior)).sum()
    best = tied_value_of_weights(w, targets, share, label)
    assert found.kl - prior_kl == pytest.approx(best, abs=1e-7)
    for _ in range(10):
        other = centred_matrix(rng, label, np.exp(rng.normal()))
        assert tied_value_of_weights(other, targets, share, label) >= best - 1e-9
        step = 0.98 * w + 0.02 * other
        assert tied_value_of_weights(step, targets, share, label) >= best - 1e-9


@given(SEEDS, st.integers(2, 3))
@settings(max_examples=15)
def test_one_covariance_for_all_canonical_cells_is_best(seed, d):
    # information: given maps and weights pi_y rho_a, the best canonical covariance is the
    # inverse of sum rho_a V_a' S_a^-1 V_a, which does not depend on the class
    rng = np.random.default_rng(seed)
    maps, covs = (
        [random_matrix(rng, d) for _ in range(2)],
        [random_covariance(rng, d) for _ in range(2)],
    )
    share = rng.dirichlet([4.0, 4.0])
    best = np.linalg.inv(
        sum(r * v.T @ np.linalg.inv(c) @ v for r, v, c in zip(share, maps, covs, strict=True))
    )
    zero = np.zeros((1, d))

    def value(canonical):
        return sum(
            cost_of_map(v, zero[0], (zero, canonical[None]), (zero, c[None]), [r])
            for r, v, c in zip(share, maps, covs, strict=True)
        )

    for _ in range(10):
        bend = np.eye(d) + 0.1 * rng.normal(size=(d, d))
        assert value(bend @ best @ bend.T) >= value(best)


@given(SEEDS, st.integers(1, 4), st.integers(2, 4))
@settings(max_examples=15)
def test_two_classes_are_a_problem_in_one_distance(seed, d, n_groups):
    rng = np.random.default_rng(seed)
    means = 2 * rng.normal(size=(2, n_groups, d))
    covs = np.stack([random_covariance(rng, d, condition=5.0) for _ in range(n_groups)])
    label, share = rng.dirichlet([3.0, 3.0]), rng.dirichlet(np.full(n_groups, 4.0))
    joint = joint_of(means, np.broadcast_to(covs, (2, n_groups, d, d)), np.outer(label, share))
    far = means[1] - means[0]
    distances = np.sqrt(np.einsum("ai,ai->a", far, np.linalg.solve(covs, far[..., None])[..., 0]))
    found = nearest_ideal(joint)
    grid = np.linspace(0.0, 1.5 * distances.max(), 2001)
    values = [two_class_profile(delta, distances, share, *label) for delta in grid]
    assert found.kl == pytest.approx(min(values), abs=1e-5)
    assert found.kl <= min(values) + 1e-12
    # one minimum: falling before, rising after
    turns = np.diff(np.sign(np.diff(values)))
    assert (turns != 0).sum() <= 1


def test_the_profile_is_what_the_best_maps_pay():
    rng = np.random.default_rng(5)
    label, share, delta = np.array([0.3, 0.7]), np.array([0.4, 0.6]), 1.3
    distances = np.array([0.5, 2.5])
    canonical = np.zeros((2, 3))
    canonical[1, 0] = delta
    total = 0.0
    for distance, rho in zip(distances, share, strict=True):
        cov = random_covariance(rng, 3, condition=5.0)
        toward = np.linalg.cholesky(cov) @ np.linalg.qr(rng.normal(size=(3, 3)))[0][:, 0]
        target = np.stack([np.ones(3), 1.0 + distance * toward])
        found = best_affine_map(canonical, np.eye(3), target, cov, label)
        cells = (canonical, np.array([np.eye(3)] * 2)), (target, np.array([cov] * 2))
        total += rho * cost_of_map(*found, *cells, label)
    assert two_class_profile(delta, distances, share, *label) == pytest.approx(total, abs=1e-10)


@given(SEEDS, st.integers(2, 4))
@settings(max_examples=12)
def test_the_moment_programme_is_convex_in_the_gram_matrix(seed, k):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, k, 2, k)
    roots = [np.linalg.cholesky(joint.covariances[0, a]) for a in (0, 1)]
    sources = [np.linalg.solve(r, joint.means[:, a].T).T for a, r in enumerate(roots)]
    ends = [random_gram(rng, k, scale) for scale in (0.3, 3.0)]
    values = [tied_value_of_gram(x, sources, joint.prior) for x in ends]
    middle = tied_value_of_gram(0.5 * (ends[0] + ends[1]), sources, joint.prior)
    assert middle <= 0.5 * sum(values) + 1e-12
    # the nearest ideal is its minimum
    found = nearest_ideal(joint, direction="moment")
    assert found.global_optimum
    canonical = list(found.canonical.values())
    points = np.linalg.solve(
        np.linalg.cholesky(canonical[0].covariance), np.array([c.mean for c in canonical]).T
    ).T
    x = points @ points.T
    best = tied_value_of_gram(x, sources, joint.prior)
    prior_kl = (joint.prior * np.log(joint.prior / found.distribution.prior)).sum()
    assert found.kl - prior_kl == pytest.approx(best, abs=1e-7)
    for _ in range(10):
        step = 0.98 * x + 0.02 * random_gram(rng, k, 1.0)
        assert tied_value_of_gram(step, sources, joint.prior) >= best - 1e-9


def random_gram(rng, k, scale):
    points = scale * rng.normal(size=(k, k))
    return points @ points.T
