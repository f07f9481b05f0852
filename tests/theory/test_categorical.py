"""Categorical columns and independent parts: docs/theory.md, section 15."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.special import softmax

from reference.theory_experiments import (
    equivalent_experiment,
    from_conditionals,
    laws_agree,
    probability,
    random_simplex,
)
from reference.theory_families import (
    geometric_mean,
    kernel_between,
    kl,
    minimal_flip,
    mixture,
)
from reference.theory_normals import ratio_polynomials

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 6), st.integers(2, 4), st.booleans())
def test_the_normalised_geometric_mean_is_nearest_in_the_information_direction(seed, m, g, zeros):
    rng = np.random.default_rng(seed)
    laws, weights = rng.dirichlet(np.ones(m), size=g), rng.dirichlet(np.ones(g))
    if zeros:
        laws[0, 0] = 0.0
        laws[0] /= laws[0].sum()
    best, total = geometric_mean(laws, weights)

    def paid(law):
        return sum(w * kl(law, p) for w, p in zip(weights, laws, strict=True))

    assert paid(best) == pytest.approx(-np.log(total), abs=1e-12)
    for _ in range(10):
        other = rng.dirichlet(np.ones(m))
        if zeros:
            other[0] = 0.0
            other /= other.sum()
        # the excess is itself a divergence
        assert paid(other) - paid(best) == pytest.approx(kl(other, best), abs=1e-10)


@given(SEEDS, st.integers(2, 6), st.integers(2, 4))
def test_the_mixture_is_nearest_in_the_moment_direction(seed, m, g):
    rng = np.random.default_rng(seed)
    laws, weights = rng.dirichlet(np.ones(m), size=g), rng.dirichlet(np.ones(g))
    best = mixture(laws, weights)

    def paid(law):
        return sum(w * kl(p, law) for w, p in zip(weights, laws, strict=True))

    for _ in range(10):
        other = rng.dirichlet(np.ones(m))
        assert paid(other) - paid(best) == pytest.approx(kl(best, other), abs=1e-10)


def test_matching_categories_by_name_is_not_always_nearest():
    # group b has the two categories exchanged: ideal already, at no cost
    tells = [
        [[Fraction(9, 10), Fraction(1, 10)], [Fraction(1, 10), Fraction(9, 10)]],
        [[Fraction(1, 10), Fraction(9, 10)], [Fraction(9, 10), Fraction(1, 10)]],
    ]
    half = [Fraction(1, 2)] * 2
    assert laws_agree(from_conditionals([half, half], half, tells))
    best, total = geometric_mean(np.array(tells[0], dtype=float), [0.5, 0.5])
    assert best == pytest.approx([0.5, 0.5])
    assert -np.log(total) == pytest.approx(-np.log(0.6))  # what matching by name would pay


@given(SEEDS, st.integers(2, 6))
def test_no_coupling_flips_fewer_rows(seed, m):
    rng = np.random.default_rng(seed)
    p, goal = rng.dirichlet(np.ones(m), size=2)
    kernel = minimal_flip(p, goal)
    assert kernel.min() >= 0
    assert np.allclose(kernel.sum(axis=1), 1)
    assert np.allclose(p @ kernel, goal)
    flipped = (p * (1 - np.diag(kernel))).sum()
    assert flipped == pytest.approx(0.5 * abs(p - goal).sum())
    cost = p[:, None] * (1 - np.eye(m))
    least = kernel_between([p], [goal], cost)
    assert (cost * least).sum() == pytest.approx(flipped, abs=1e-7)


@given(SEEDS, st.integers(2, 4))
def test_steering_without_labels_never_tells_classes_further_apart(seed, m):
    rng = np.random.default_rng(seed)
    source = rng.dirichlet(np.ones(m), size=2)
    kernel = rng.dirichlet(np.ones(m), size=m)
    there = source @ kernel
    assert abs(there[0] - there[1]).sum() <= abs(source[0] - source[1]).sum() + 1e-12
    assert kl(*there) <= kl(*source) + 1e-12
    # what can be reached is found, whatever made it
    assert kernel_between(source, there) is not None


def test_a_nearest_ideal_may_be_out_of_reach_without_labels():
    informative = np.array([[0.9, 0.1], [0.1, 0.9]])  # group a: P(x | y)
    faint = np.array([[0.6, 0.4], [0.4, 0.6]])  # group b
    for ideal in (
        [mixture([informative[y], faint[y]], [0.5, 0.5]) for y in (0, 1)],
        [geometric_mean([informative[y], faint[y]], [0.5, 0.5])[0] for y in (0, 1)],
    ):
        # farther apart than group b's rows tell: no kernel carries both classes there
        assert abs(ideal[0] - ideal[1]).sum() > abs(faint[0] - faint[1]).sum()
        assert kernel_between(faint, ideal) is None
        assert kernel_between(informative, ideal) is not None


@given(SEEDS, st.integers(2, 3))
def test_independent_ideal_parts_make_an_ideal_whole(seed, n_classes):
    rng = random.Random(seed)
    label, group = random_simplex(rng, n_classes), random_simplex(rng, 2)
    parts = []
    for _ in range(2):
        one = equivalent_experiment(rng, n_classes, 2, zeros=False)
        parts.append(
            [
                [[p / probability(one, y, a) for p in one[y][a]] for a in (0, 1)]
                for y in range(n_classes)
            ]
        )
    rows = [
        [[p * q for p in parts[0][y][a] for q in parts[1][y][a]] for a in (0, 1)]
        for y in range(n_classes)
    ]
    assert laws_agree(from_conditionals([label, label], group, rows))


def test_an_ideal_whole_may_have_parts_that_are_not():
    half = [Fraction(1, 2)] * 2
    tells, silent = [[Fraction(3, 4), Fraction(1, 4)], [Fraction(1, 4), Fraction(3, 4)]], [half] * 2
    parts = [[tells[y], silent[y]] for y in (0, 1)], [[silent[y], tells[y]] for y in (0, 1)]
    whole = [
        [[p * q for p in parts[0][y][a] for q in parts[1][y][a]] for a in (0, 1)] for y in (0, 1)
    ]
    assert laws_agree(from_conditionals([half, half], half, whole))
    for part in parts:
        assert not laws_agree(from_conditionals([half, half], half, part))
    # where W tells the class for certain, U may be anything
    certain = [[Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]]
    whole = [[[p * q for p in parts[0][y][a] for q in certain[y]] for a in (0, 1)] for y in (0, 1)]
    assert laws_agree(from_conditionals([half, half], half, whole))


def part_of_numbers(distance, tau):
    """E_0 exp(i tau l), l the log ratio of N(distance, 1.5^2) to N(0, 1)."""
    means, covs = np.array([[0.0], [distance]]), np.array([[[1.0]], [[1.5**2]]])
    alpha, beta = 0.5 * (1 - 1 / 1.5**2), distance / 1.5**2
    constant, determinant, numerator = ratio_polynomials(means, covs, 0, [0.0, 1.0])
    assert (determinant, numerator) == pytest.approx((1 - 2 * alpha, beta**2))
    grown = 1 - 2j * alpha * tau
    return np.exp(1j * constant * tau - beta**2 * tau**2 / (2 * grown)) / np.sqrt(grown)


def test_beside_categories_normal_parts_do_not_make_up_for_each_other():
    tau = np.linspace(-6.0, 6.0, 121)

    def nearest_categories(distance, m):
        """How near a second group with this distance comes, by any probabilities of m."""
        first = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
        goal = part_of_numbers(1.0, tau) * transform(first)

        def miss(x):
            laws = softmax(x.reshape(2, m), axis=1)
            apart = part_of_numbers(distance, tau) * transform(laws) - goal
            return np.concatenate([apart.real, apart.imag])

        starts = np.random.default_rng(0).normal(size=(3, 2 * m))
        return min(abs(least_squares(miss, start, bounds=(-20, 20)).fun).max() for start in starts)

    def transform(laws):
        return np.exp(1j * tau[:, None] * np.log(laws[1] / laws[0])) @ laws[0]

    assert nearest_categories(1.0, 3) < 1e-6
    assert min(nearest_categories(1.2, m) for m in (3, 5)) > 1e-3
    # why: the quotient of the parts of two groups tends to C exp(i c tau), |C| < 1 or > 1,
    # and |C| = |quotient of the sums|, which comes back to 1 arbitrarily far out
    far = [abs(part_of_numbers(1.2, t) / part_of_numbers(1.0, t)) for t in (1e3, 1e4)]
    beta_squares = (1.44 - 1.0) / 1.5**4
    alpha = 0.5 * (1 - 1 / 1.5**2)
    assert far == pytest.approx([np.exp(-beta_squares / (8 * alpha**2))] * 2, rel=1e-4)


@given(SEEDS)
def test_divergences_of_independent_parts_add(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(3), size=2), rng.dirichlet(np.ones(3), size=2)
    whole = kl(np.outer(p[0], p[1]).ravel(), np.outer(q[0], q[1]).ravel())
    assert whole == pytest.approx(kl(p[0], q[0]) + kl(p[1], q[1]), abs=1e-10)


@given(SEEDS, st.integers(2, 4))
def test_matched_components_bound_the_divergence_of_mixtures(seed, n):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(5), size=(2, n))
    w, v = rng.dirichlet(np.ones(n), size=2)
    bound = kl(w, v) + sum(w[j] * kl(p[j], q[j]) for j in range(n))
    assert kl(w @ p, v @ q) <= bound + 1e-12
    # components on rows of their own: then it is the value
    apart = np.zeros((2, n, 5 * n))
    for j in range(n):
        apart[0, j, 5 * j : 5 * j + 5], apart[1, j, 5 * j : 5 * j + 5] = p[j], q[j]
    assert kl(w @ apart[0], v @ apart[1]) == pytest.approx(bound, abs=1e-10)
