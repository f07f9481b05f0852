"""The best affine map between tied families: docs/theory.md, section 9."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from isonomy.ideal import nearest_ideal
from isonomy.ideal._tied.closed_form import best_affine_map
from reference.ideal import random_joint
from reference.strategies import random_covariance
from reference.theory_normals import cost_of_map, root

SEEDS = st.integers(0, 2**32 - 1)


class Instance:
    """Source and target cells with one covariance each, and the pieces of the proof."""

    def __init__(self, rng, k, d):
        self.k, self.d = k, d
        self.source, self.target = rng.normal(size=(2, k, d)) * 1.5
        self.sigma, self.s = (random_covariance(rng, d, condition=8.0) for _ in range(2))
        self.q = rng.dirichlet(np.full(k, 5.0))
        one, nought = self.source - self.q @ self.source, self.target - self.q @ self.target
        self.m0 = nought
        self.g = self.sigma + one.T @ (self.q[:, None] * one)
        self.root_g, self.root_s = root(self.g), root(self.s)
        cross = one.T @ (self.q[:, None] * nought)
        h = np.linalg.inv(self.root_g) @ cross @ np.linalg.inv(self.root_s)
        self.u, self.h, wt = np.linalg.svd(h)
        self.w = wt.T
        self.rank = min(k - 1, d)
        self.h[self.rank :] = 0.0
        self.v = (self.h + np.sqrt(self.h**2 + 4)) / 2

    def map(self, inner):
        """The affine map whose whitened matrix is ``inner``, with the best offset."""
        matrix = self.root_s @ inner @ np.linalg.inv(self.root_g)
        return matrix, self.q @ self.target - matrix @ (self.q @ self.source)

    def cost(self, matrix, offset):
        """The objective, term by term."""
        cells = [
            (m, np.array([c] * self.k))
            for m, c in ((self.source, self.sigma), (self.target, self.s))
        ]
        return cost_of_map(matrix, offset, *cells, self.q)

    def turned(self, rotation):
        """The optimum with the null block turned by ``rotation``."""
        r = self.rank
        inner = self.w[:, :r] * self.v[:r] @ self.u[:, :r].T
        return self.map(inner + self.w[:, r:] @ rotation @ self.u[:, r:].T)


@given(SEEDS, st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=30)
def test_the_best_map_pays_what_the_closed_form_says(seed, k, d):
    rng = np.random.default_rng(seed)
    one = Instance(rng, k, d)
    found = best_affine_map(one.source, one.sigma, one.target, one.s, one.q)
    gains = (0.5 * one.v**2 - one.v * one.h - np.log(one.v)).sum()
    far = one.m0 @ np.linalg.inv(one.root_s)
    value = gains - d / 2 + 0.5 * np.log(np.linalg.det(one.g) / np.linalg.det(one.sigma))
    value += 0.5 * one.q @ (far**2).sum(axis=1)
    assert one.cost(*found) == pytest.approx(value, abs=1e-9)
    for _ in range(10):
        inner = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.exp(0.5 * rng.normal(size=d))
        assert one.cost(*one.map(inner)) >= value - 1e-12
        near = found[0] + 0.01 * rng.normal(size=(d, d)), found[1] + 0.01 * rng.normal(size=d)
        assert one.cost(*near) > value


def test_no_general_optimiser_does_better():
    rng = np.random.default_rng(2)
    one = Instance(rng, 3, 2)
    found = one.cost(*best_affine_map(one.source, one.sigma, one.target, one.s, one.q))

    def value(x):
        matrix = x[:4].reshape(2, 2)
        return one.cost(matrix, x[4:]) if abs(np.linalg.det(matrix)) > 1e-9 else 1e6

    runs = [minimize(value, rng.normal(size=6), method="L-BFGS-B").fun for _ in range(8)]
    assert min(runs) == pytest.approx(found, abs=1e-6)
    assert min(runs) >= found - 1e-9


@given(SEEDS, st.integers(2, 4), st.integers(2, 4))
@settings(max_examples=25)
def test_the_map_is_unique_exactly_where_h_is_invertible(seed, k, d):
    rng = np.random.default_rng(seed)
    one = Instance(rng, k, d)
    found = best_affine_map(one.source, one.sigma, one.target, one.s, one.q)
    best, free = one.cost(*found), d - one.rank
    if free:
        turn = np.linalg.qr(rng.normal(size=(free, free)))[0]
        other = one.turned(turn)
        assert one.cost(*other) == pytest.approx(best, abs=1e-9)
        opposite = one.turned(-turn)
        assert abs(opposite[0] - other[0]).max() > 1e-3
        assert one.cost(*opposite) == pytest.approx(best, abs=1e-9)
    elif one.h.min() > 0.05:
        for i in range(d):
            flipped = np.where(np.arange(d) == i, -1.0, 1.0)
            inner = one.w * (flipped * one.v) @ one.u.T
            assert one.cost(*one.map(inner)) - best == pytest.approx(2 * one.v[i] * one.h[i])
        assert np.allclose(found[0], one.map(one.w * one.v @ one.u.T)[0], atol=1e-7)


@given(SEEDS, st.integers(2, 3), st.integers(3, 5))
@settings(max_examples=20)
def test_the_polar_rotation_moves_rows_least_both_ways(seed, k, d):
    rng = np.random.default_rng(seed)
    one = Instance(rng, k, d)
    found = best_affine_map(one.source, one.sigma, one.target, one.s, one.q)
    target_total = one.s + one.m0.T @ (one.q[:, None] * one.m0)

    def movement(matrix, total):
        change = matrix - np.eye(d)
        return np.trace(change @ total @ change.T)

    forth, back = movement(found[0], one.g), movement(np.linalg.inv(found[0]), target_total)
    free = d - one.rank
    for _ in range(10):
        turn = np.linalg.qr(rng.normal(size=(free, free)))[0]
        matrix = one.turned(turn)[0]
        assert movement(matrix, one.g) >= forth - 1e-9
        assert movement(np.linalg.inv(matrix), target_total) >= back - 1e-9


@given(SEEDS)
@settings(max_examples=10)
def test_sides_and_directions(seed):
    joint = random_joint(np.random.default_rng(seed), 3, 2, 2)
    reference, mover = ((joint.means[:, a], joint.covariances[0, a]) for a in (0, 1))

    for direction in ("information", "moment"):
        found = nearest_ideal(joint, moves=["b"], direction=direction)
        ideal = found.distribution
        weights = ideal.prior if direction == "information" else joint.prior
        if direction == "information":
            matrix, offset = best_affine_map(*reference, *mover, weights[:, 1])
            rows = np.linalg.inv(matrix)
        else:
            rows, shift = best_affine_map(*mover, *reference, weights[:, 1])
            matrix = np.linalg.inv(rows)
            offset = -matrix @ shift
        # the ideal cells of the mover are V # reference, or V^-1 # reference
        assert np.allclose(ideal.means[:, 1], reference[0] @ matrix.T + offset, atol=1e-8)
        assert np.allclose(ideal.covariances[0, 1], matrix @ reference[1] @ matrix.T, atol=1e-8)
        assert np.allclose(found.maps["b"].matrix, rows, atol=1e-7)
        assert np.allclose(ideal.means[:, 0], reference[0])
