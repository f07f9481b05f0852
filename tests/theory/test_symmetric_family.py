"""Symmetric maps between free covariances: docs/theory.md, section 11."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from isonomy.ideal import nearest_ideal
from reference.strategies import random_covariance
from reference.theory_normals import cost_of_map, joint_of, root, symmetric_objective

SEEDS = st.integers(0, 2**32 - 1)


def draw(rng, k, d, tied=False):
    """Reference cells, moving cells and weights."""

    def covariances():
        one = random_covariance(rng, d, condition=8.0)
        return np.array(
            [one if tied else random_covariance(rng, d, condition=8.0) for _ in range(k)]
        )

    reference = rng.normal(size=(k, d)), covariances()
    moving = rng.normal(size=(k, d)), covariances()
    return reference, moving, rng.dirichlet(np.full(k, 5.0))


def joint_law(reference, moving, weights):
    """Both groups equally likely, label independent of group."""
    means, covs = (np.stack([a, b], 1) for a, b in zip(reference, moving, strict=True))
    return joint_of(means, covs, np.outer(weights, [0.5, 0.5]))


def least_by_search(reference, moving, weights, c, direction):
    """The minimum by a general optimiser over T = LL' and m, cells and divergences literal."""
    d = reference[0].shape[1]
    rows, columns = np.tril_indices(d)
    inverse = np.linalg.inv(root(reference[1][c]))

    def value(x):
        lower = np.zeros((d, d))
        lower[rows, columns] = x[: len(rows)]
        matrix = (lower @ lower.T + 1e-10 * np.eye(d)) @ inverse
        offset = x[len(rows) :] - matrix @ reference[0][c]
        if direction == "information":
            return cost_of_map(matrix, offset, reference, moving, weights)
        back = np.linalg.inv(matrix)
        return cost_of_map(back, -back @ offset, moving, reference, weights)

    start = np.concatenate([np.eye(d)[rows, columns], moving[0].mean(axis=0)])
    return minimize(value, start, method="BFGS", options={"gtol": 1e-7}).fun


@given(SEEDS, st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=30)
def test_the_objective_is_the_divergence_of_the_pushed_cells(seed, k, d):
    rng = np.random.default_rng(seed)
    reference, moving, weights = draw(rng, k, d)
    c, differences = int(rng.integers(k)), []
    for _ in range(3):
        scale, middle = random_covariance(rng, d, condition=5.0), rng.normal(size=d)
        matrix = scale @ np.linalg.inv(root(reference[1][c]))
        offset = middle - matrix @ reference[0][c]
        whole = cost_of_map(matrix, offset, reference, moving, weights)
        differences.append(
            whole - symmetric_objective(scale, middle, reference, moving, weights, c)
        )
        # the class's covariance becomes T^2, its mean m
        assert np.allclose(matrix @ reference[1][c] @ matrix.T, scale @ scale)
    assert differences == pytest.approx([differences[0]] * 3, abs=1e-8)


@given(SEEDS, st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=30)
def test_the_objective_is_strictly_convex(seed, k, d):
    rng = np.random.default_rng(seed)
    reference, moving, weights = draw(rng, k, d)
    ends = [(random_covariance(rng, d, condition=30.0), rng.normal(size=d)) for _ in range(2)]
    values = [symmetric_objective(*e, reference, moving, weights, 0) for e in ends]
    for t in (0.1, 0.5, 0.9):
        middle = [(1 - t) * p + t * q for p, q in zip(*ends, strict=True)]
        between = symmetric_objective(*middle, reference, moving, weights, 0)
        assert between < (1 - t) * values[0] + t * values[1]


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_directions_have_one_minimum(seed, direction):
    rng = np.random.default_rng(seed)
    reference, moving, weights = draw(rng, 2, 2)
    found = nearest_ideal(
        joint_law(reference, moving, weights),
        moves=["b"],
        map_family="symmetric",
        reference_class=1,
        direction=direction,
    )
    best = 0.5 * least_by_search(reference, moving, weights, 1, direction)
    assert found.kl == pytest.approx(best, abs=1e-6)
    assert found.global_optimum


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=20)
def test_the_moment_objective_is_convex_in_the_inverse(seed, d):
    rng = np.random.default_rng(seed)
    reference, moving, weights = draw(rng, 3, d)
    lower = root(reference[1][0])

    def value(w, n):
        # rows of the mover go by C^1/2 (W x - n) + mu_c onto the reference's cells
        offset = reference[0][0] - lower @ n
        return cost_of_map(lower @ w, offset, moving, reference, weights)

    ends = [(random_covariance(rng, d, condition=30.0), rng.normal(size=d)) for _ in range(2)]
    for t in (0.1, 0.5, 0.9):
        between = value(*[(1 - t) * p + t * q for p, q in zip(*ends, strict=True)])
        assert between < (1 - t) * value(*ends[0]) + t * value(*ends[1])


def test_the_symmetric_optimum_depends_on_the_reference_class_and_pays_more():
    joint = joint_law(*draw(np.random.default_rng(1), 3, 2))
    paid = [
        nearest_ideal(joint, moves=["b"], map_family="symmetric", reference_class=c).kl
        for c in range(3)
    ]
    assert max(paid) - min(paid) > 1e-3
    assert nearest_ideal(joint, moves=["b"]).kl < min(paid)


@given(SEEDS)
@settings(max_examples=10)
def test_symmetric_maps_are_affine_maps(seed):
    # one covariance a group: the optimum over all affine maps is known, and not above
    joint = joint_law(*draw(np.random.default_rng(seed), 2, 2, tied=True))
    symmetric = nearest_ideal(joint, moves=["b"], map_family="symmetric").kl
    assert symmetric >= nearest_ideal(joint, moves=["b"]).kl - 1e-9
