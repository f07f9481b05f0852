"""What a change of coordinates by group keeps: docs/theory.md, section 6."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from isonomy.ideal import bayes_rates, ideal_violation, nearest_ideal
from reference.ideal import random_joint
from reference.theory_experiments import laws_agree, odds_gap, random_cost, random_experiment
from reference.theory_normals import on_line

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 4))
def test_relabelled_rows_have_the_same_rates_and_divergences(seed, n_classes):
    rng = random.Random(seed)
    joint = random_experiment(rng, n_classes, 2)
    orders = [rng.sample(range(len(joint[0][a])), len(joint[0][a])) for a in (0, 1)]
    moved = [[[row[a][x] for x in orders[a]] for a in (0, 1)] for row in joint]
    cost = random_cost(rng, n_classes)
    assert odds_gap(joint, cost) == odds_gap(moved, cost)
    assert laws_agree(joint) == laws_agree(moved)


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=15)
def test_lognormal_cells_are_normal_cells_of_the_logarithms(seed, d):
    rng = np.random.default_rng(seed)
    normal = random_joint(rng, 2, 2, d, family="normal")
    logs = normal.means, normal.covariances[0], normal.prior, normal.classes, normal.groups
    pair = [type(normal).from_arrays(*logs, family=f) for f in ("normal", "lognormal")]
    assert ideal_violation(pair[0]) == ideal_violation(pair[1])
    found = [nearest_ideal(joint, moves=["b"]) for joint in pair]
    assert found[0].kl == pytest.approx(found[1].kl, rel=1e-12)
    cost = rng.uniform(size=(2, 2))
    assert bayes_rates(pair[0], cost).largest_gap == bayes_rates(pair[1], cost).largest_gap
    # in the rows' own units the map is x -> exp(b) x^V: a power law where d = 1
    map_of_logs = found[1].maps["b"]
    x = np.exp(rng.normal(size=(4, d)))
    power = np.exp(map_of_logs.offset) * np.prod(x[:, None, :] ** map_of_logs.matrix, axis=2)
    assert np.allclose(np.exp(map_of_logs.apply(np.log(x))), power)


def test_the_divergence_of_lognormals_is_that_of_the_logarithms():
    first, second = (0.0, 0.5), (0.4, 0.8)
    x = np.exp(np.linspace(-8, 8, 400_001))

    def density(mean, sd):
        return np.exp(-0.5 * ((np.log(x) - mean) / sd) ** 2) / (x * sd * np.sqrt(2 * np.pi))

    p, q = density(*first), density(*second)
    by_quadrature = np.trapezoid(p * np.log(p / q), x)
    expected = np.log(0.8 / 0.5) + (0.25 + 0.16) / (2 * 0.64) - 0.5
    assert by_quadrature == pytest.approx(expected, abs=1e-9)


def test_increasing_transforms_of_a_group_change_no_rate():
    # T(x) = x + x^3 for group a, sinh for group b; rates of the Bayes rule in both coordinates
    joint = on_line([[0, 0], [1, 2]], [[1, 1], [1.5, 1]])
    u = ndtri((np.arange(20_000) + 0.5) / 20_000)
    expected = bayes_rates(joint, 1 - np.eye(2)).confusion
    grid = np.linspace(-9.0, 9.0, 200_001)
    for a, forward in enumerate([lambda x: x + x**3, np.sinh]):
        mean, sd = joint.means[:, a, 0], np.sqrt(joint.covariances[:, a, 0, 0])
        for y in (0, 1):
            rows = forward(mean[y] + sd[y] * u)
            # densities of T(X) at the rows: differences of its distribution function
            ends = [np.interp(rows + step, forward(grid), grid) for step in (-1e-3, 1e-3)]
            low, high = (ndtr((end[:, None] - mean) / sd) for end in ends)
            share = (high[:, 1] - low[:, 1] > high[:, 0] - low[:, 0]).mean()
            assert share == pytest.approx(expected[y, 1, a], abs=2e-4)
            # a transform of the class is another matter
            low, high = (ndtr((end[:, None] - mean - [0.0, 0.3]) / sd) for end in ends)
            other = (high[:, 1] - low[:, 1] > high[:, 0] - low[:, 0]).mean()
            assert abs(other - expected[y, 1, a]) > 5e-3
