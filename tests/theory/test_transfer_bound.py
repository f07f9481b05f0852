"""What steering without labels leaves: docs/theory.md, section 12."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr

from isonomy.ideal import bayes_rates, certify, is_ideal, nearest_ideal
from isonomy.ideal._certify.transfer import total_variation_bound
from reference.ideal import random_joint
from reference.theory_normals import on_line

SEEDS = st.integers(0, 2**32 - 1)


def kl(p, q):
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(p > 0, p * np.log(p / q), 0.0).sum())


@given(SEEDS, st.integers(2, 6), st.floats(0.05, 5.0))
def test_both_bounds_on_total_variation(seed, n, concentration):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(n, concentration), size=2) + 1e-12
    p, q = p / p.sum(), q / q.sum()
    distance = 0.5 * abs(p - q).sum()
    for divergence in (kl(p, q), kl(q, p)):  # either direction will do: the distance is symmetric
        assert distance <= np.sqrt(divergence / 2) + 1e-12
        assert distance <= np.sqrt(1 - np.exp(-divergence)) + 1e-12
        assert distance <= float(total_variation_bound(divergence)) + 1e-12


def test_where_the_second_bound_takes_over():
    crossing = brentq(lambda x: x / 2 - 1 + np.exp(-x), 1.0, 3.0)
    assert crossing == pytest.approx(1.594, abs=1e-3)
    below, above = total_variation_bound(np.array([1.5, 1.7]))
    assert below == pytest.approx(np.sqrt(0.75))
    assert above == pytest.approx(np.sqrt(1 - np.exp(-1.7)))
    # neither is wasteful by an order: nearly equal laws, and laws that hardly overlap
    eps = 1e-4
    near = np.array([0.5 + eps, 0.5 - eps]), np.array([0.5, 0.5])
    assert eps / np.sqrt(kl(*near) / 2) == pytest.approx(1.0, abs=1e-3)


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
def test_no_head_has_a_larger_gap(seed, n_classes, n_groups):
    # any randomised head on steered rows, any canonical cells
    rng = np.random.default_rng(seed)
    canonical = rng.dirichlet(np.ones(6), size=n_classes)
    steered = np.array(
        [[0.8 * c + 0.2 * rng.dirichlet(np.ones(6)) for _ in range(n_groups)] for c in canonical]
    )
    t = np.array(
        [
            [total_variation_bound(min(kl(s, c), kl(c, s))) for s in row]
            for row, c in zip(steered, canonical, strict=True)
        ]
    )
    for _ in range(5):
        head = rng.dirichlet(np.full(n_classes, 0.1), size=6)  # P(predicted | row)
        rate = np.einsum("yax,xy->ya", steered, head)
        for y in range(n_classes):
            for a in range(n_groups):
                for b in range(n_groups):
                    assert abs(rate[y, a] - rate[y, b]) <= t[y, a] + t[y, b] + 1e-12


@given(SEEDS, st.integers(1, 2))
@settings(max_examples=20)
def test_the_certificate_states_this_bound(seed, d):
    joint = random_joint(np.random.default_rng(seed), 2, 3, d, spread=0.5)
    solution = nearest_ideal(joint)
    certificate = certify(solution)
    for y in (0, 1):
        goal, bounds = solution.canonical[y], []
        for a in "abc":
            steered = solution.maps[a].push(joint.cells[y, a])
            divergence = min(steered.kl_divergence(goal), goal.kl_divergence(steered))
            bounds.append(float(total_variation_bound(divergence)))
        pairs = [bounds[i] + bounds[j] for i in range(3) for j in range(i)]
        assert certificate.transfer_bound[y] == pytest.approx(max(pairs), abs=1e-7)


@given(SEEDS, st.sampled_from(["information", "moment"]))
def test_the_joint_divergence_bounds_a_cell_by_its_share(seed, direction):
    joint = random_joint(np.random.default_rng(seed), 2, 2, 1)
    found = nearest_ideal(joint, direction=direction)
    first = found.distribution if direction == "information" else joint
    for cell, paid in found.kl_by_cell.items():
        assert paid <= found.kl / first.priors[cell] + 1e-12


COST = [[0.0, 1.0], [9.0, 0.0]]


def test_the_joint_form_fails_for_rare_cells():
    # label and group are independent, P(Y=1) = P(A=b) = .1; one cell lies 2 too low
    prior = np.outer([0.9, 0.1], [0.9, 0.1])
    fitted = on_line([[0, 0], [2, 0]], np.ones((2, 2)), prior)
    ideal = on_line([[0, 0], [2, 2]], np.ones((2, 2)), prior)
    divergence = ideal.kl_divergence(fitted)
    assert divergence == pytest.approx(0.02)
    claimed = np.sqrt(8 * divergence)
    assert claimed == pytest.approx(0.40)
    # the Bayes rule of the ideal law predicts 1 above x = 1, in both groups
    rates = bayes_rates(ideal, COST)
    assert rates.largest_gap == pytest.approx(0.0, abs=1e-12)
    assert rates.confusion[1, 1, 0] == pytest.approx(ndtr(1.0))
    gap = ndtr(2.0 - 1.0) - ndtr(0.0 - 1.0)
    assert gap == pytest.approx(0.683, abs=5e-4)
    assert gap > claimed
    # the bound by the cell's own divergence, 2 nats, holds
    assert gap <= total_variation_bound(2.0)
    assert divergence / prior[1, 1] == pytest.approx(2.0)


def test_the_joint_form_fails_for_the_nearest_ideal_too():
    prior = np.outer([0.9, 0.1], [0.9, 0.1])
    fitted = on_line([[0, 0], [2, 0]], np.ones((2, 2)), prior)
    found = nearest_ideal(fitted, moves=["b"])
    move = found.maps["b"]
    # decide as the nearest ideal law's Bayes rule does: above 1 in the frame of group a
    at = (1.0 - move.offset[0]) / move.matrix[0, 0]
    gap = ndtr(2.0 - 1.0) - (ndtr(-at) if move.matrix[0, 0] > 0 else ndtr(at))
    assert gap > 0.5 > np.sqrt(8 * found.kl)


def test_a_head_that_ignores_the_group_needs_canonical_rows():
    joint = on_line([[0, 0], [1, -1]], np.ones((2, 2)))
    assert is_ideal(joint)
    assert bayes_rates(joint, 1 - np.eye(2)).largest_gap < 1e-12
    rates = [1 - ndtr(0.5 - joint.means[1, a, 0]) for a in (0, 1)]
    assert rates == pytest.approx([0.69, 0.07], abs=5e-3)
    # canonical rows: one law given the label, in every group
    found = nearest_ideal(joint)
    for y in (0, 1):
        steered = [found.maps[a].push(joint.cells[y, a]) for a in "ab"]
        assert steered[0].mean == pytest.approx(steered[1].mean, abs=1e-9)
        assert steered[0].covariance == pytest.approx(steered[1].covariance)
