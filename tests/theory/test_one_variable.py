"""Closed forms on the line: docs/theory.md, section 8."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from isonomy.ideal import nearest_ideal
from isonomy.ideal._univariate import best_line
from reference.gaussian import kl_by_formula
from reference.ideal import line_by_formula, profile_by_formula
from reference.theory_normals import on_line

SEEDS = st.integers(0, 2**32 - 1)


def line_cost(slope, offset, source, target, q):
    """sum q_i KL(slope X_i + offset || Y_i) for (means, sds)."""
    total = 0.0
    for m, s, t, u, weight in zip(*source, *target, q, strict=True):
        image = np.array([slope * m + offset]), np.array([[(slope * s) ** 2]])
        total += weight * kl_by_formula(*image, np.array([t]), np.array([[u**2]]))
    return total


def draw(rng, k):
    source = rng.normal(size=k), np.exp(0.5 * rng.normal(size=k))
    target = rng.normal(size=k), np.exp(0.5 * rng.normal(size=k))
    return source, target, rng.dirichlet(np.full(k, 3.0)) * rng.uniform(0.1, 1.0)


@given(SEEDS, st.integers(2, 5))
@settings(max_examples=25)
def test_the_best_line_is_the_closed_form(seed, k):
    rng = np.random.default_rng(seed)
    source, target, q = draw(rng, k)
    slope, offset = best_line(source[0], source[1] ** 2, target[0], target[1] ** 2, q)
    assert (slope, offset) == pytest.approx(line_by_formula(*source, *target, q))
    best = line_cost(slope, offset, source, target, q)
    for other in (*(slope * np.exp(rng.normal(size=5) * [1e-3, 0.1, 1, 2, 3])), -slope):
        shift = offset + rng.normal() * 0.1
        assert line_cost(other, shift, source, target, q) > best
    # the two signs differ by 2 |slope R| at opposite slopes: R decides
    w = q / target[1] ** 2
    bars = w @ source[0] / w.sum(), w @ target[0] / w.sum()
    r = w @ ((source[0] - bars[0]) * (target[0] - bars[1]))
    mirrored = line_cost(-slope, bars[1] + slope * bars[0], source, target, q)
    assert mirrored - best == pytest.approx(2 * slope * r, rel=1e-6, abs=1e-10)


def test_both_signs_tie_where_the_targets_do_not_lean():
    source, target = (np.array([0.0, 1.0]), np.ones(2)), (np.zeros(2), np.ones(2))
    q = np.array([0.3, 0.7])
    slope, offset = best_line(source[0], source[1], target[0], target[1], q)
    assert slope > 0
    mirrored = line_cost(-slope, -offset, source, target, q)
    assert mirrored == pytest.approx(line_cost(slope, offset, source, target, q), abs=1e-14)


def test_the_wrong_side_costs_more():
    # group a stays at N(0, 1), N(2, 1); group b is N(0, 1), N(1, 4)
    joint = on_line([[0, 0], [2, 1]], [[1, 1], [1, 2]])
    right = nearest_ideal(joint, moves=["b"]).kl
    # fitting the line from b to a and using its inverse is ideal as well, and dearer
    slope, offset = best_line(
        np.array([0.0, 1.0]),
        np.array([1.0, 4.0]),
        np.array([0.0, 2.0]),
        np.ones(2),
        np.full(2, 0.5),
    )
    stay, move = (np.array([0.0, 2.0]), np.ones(2)), (np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    wrong = line_cost(1 / slope, -offset / slope, stay, move, np.full(2, 0.25))
    assert right == pytest.approx(0.1006, abs=5e-5)
    assert wrong == pytest.approx(0.1980, abs=5e-5)
    # in the moment direction it is the other way round
    moment = nearest_ideal(joint, moves=["b"], direction="moment")
    assert moment.maps["b"].matrix[0, 0] == pytest.approx(slope)
    assert moment.maps["b"].offset[0] == pytest.approx(offset)
    assert moment.kl == pytest.approx(line_cost(slope, offset, move, stay, np.full(2, 0.25)))


def test_a_map_that_is_not_affine_may_be_nearer():
    joint = on_line([[0, 0], [5, 2]], np.ones((2, 2)))
    affine = nearest_ideal(joint, moves=["b"])
    assert affine.global_optimum
    assert affine.kl == pytest.approx(0.1571, abs=5e-5)
    x = np.linspace(-10.0, 15.0, 100_001)
    u = (x - 2.5) / 1.165
    image = 0.952 * x - 1.379 - 0.952 * 0.877 * 1.165 * np.sqrt(2 * np.pi) * (ndtr(u) - 0.5)
    slope = np.gradient(image, x)
    assert slope.min() > 0
    paid = 0.0
    for mean, goal in ((0, 0), (5, 2)):
        # KL(T # P || Q) = E ln[p(X) / (T'(X) q(T(X)))]
        logs = -0.5 * (x - mean) ** 2 - np.log(slope) + 0.5 * (image - goal) ** 2
        density = np.exp(-0.5 * (x - mean) ** 2) / np.sqrt(2 * np.pi)
        paid += 0.25 * np.trapezoid(density * logs, x)
    assert paid == pytest.approx(0.0781, abs=5e-5)


def whole_cost(cells, slopes, offsets, means, sds, q):
    """The all-groups objective with nothing profiled out; ``cells`` are (means, sds) of K."""
    return sum(
        line_cost(slopes[a], offsets[a], cells, (means[:, a], sds[:, a]), q[:, a])
        for a in range(means.shape[1])
    )


def profiled(slopes, means, sds, q):
    """Best cells and offsets for given slopes, the formulas of 8.3."""
    b = q / sds**2
    size = b @ slopes**2
    parts = [
        np.diag(r) - np.outer(r * slopes, r * slopes) / n for r, n in zip(b, size, strict=True)
    ]
    left, right = sum(parts), sum(p @ m for p, m in zip(parts, means, strict=True))
    offsets = np.concatenate([[0.0], np.linalg.solve(left[1:, 1:], right[1:])])
    centres = ((means - offsets) * b) @ slopes / size
    return (centres, np.sqrt(q.sum(axis=1) / size)), offsets


@given(SEEDS, st.integers(2, 3), st.integers(2, 3))
@settings(max_examples=20)
def test_all_groups_reduce_to_the_scales(seed, k, g):
    rng = np.random.default_rng(seed)
    means, sds = rng.normal(size=(k, g)), np.exp(0.4 * rng.normal(size=(k, g)))
    q = rng.dirichlet(np.full(k * g, 4.0)).reshape(k, g)

    def slopes():
        return np.concatenate([[1.0], rng.choice([-1, 1], g - 1) * np.exp(rng.normal(size=g - 1))])

    gaps = []
    for gamma in (slopes(), slopes()):
        cells, offsets = profiled(gamma, means, sds, q)
        best = whole_cost(cells, gamma, offsets, means, sds, q)
        gaps.append(best - profile_by_formula(gamma, means, sds, q))
        for _ in range(5):
            near = cells[0] + 0.1 * rng.normal(size=k), cells[1] * np.exp(0.1 * rng.normal(size=k))
            moved = offsets + 0.1 * np.concatenate([[0.0], rng.normal(size=g - 1)])
            assert whole_cost(near, gamma, moved, means, sds, q) >= best
    # the profile is the objective up to a constant that the slopes do not touch
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-10)
    entropy = (q * np.log(sds)).sum() - 0.5 * q.sum(axis=1) @ np.log(q.sum(axis=1))
    assert gaps[0] == pytest.approx(entropy, abs=1e-10)


def test_the_profile_of_all_groups_has_several_minima():
    means = np.array([[2.0, 2.0], [4.0, 5.0], [0.0, 0.0]])
    sds = np.array([[4.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    q = np.full((3, 2), 1 / 6)
    grid = -np.geomspace(0.05, 20, 400)
    values = np.array([profile_by_formula(np.array([1.0, g]), means, sds, q) for g in grid])
    inner = values[1:-1]
    assert ((inner < values[:-2]) & (inner < values[2:])).sum() == 2
    found = nearest_ideal(on_line(means, sds))
    constant = (q * np.log(sds)).sum() - 0.5 * q.sum(axis=1) @ np.log(q.sum(axis=1))
    assert found.kl < values.min() + constant  # the minimum with a positive slope is lower
    assert not found.global_optimum
