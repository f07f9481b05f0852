"""Student-t cells: docs/theory.md, section 14."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import AffineMap, JointDistribution, Normal, StudentT
from isonomy.ideal import bayes_rates, ideal_violation, is_ideal
from reference.strategies import random_covariance, random_matrix
from reference.student import mean_log_by_one_integral, mean_log_by_two_integrals
from reference.theory_families import (
    cauchy_log_density,
    cauchy_quantiles,
    turn_about_i,
)
from reference.theory_normals import ideal_but_not_affine, joint_of

N = 40_001
SEEDS = st.integers(0, 2**32 - 1)


def ratio_law(cells, y):
    """Sorted ln p_1/p_0 at equally likely points of Cauchy cell y."""
    x = cauchy_quantiles(cells[y], N)
    return np.sort(cauchy_log_density(x, cells[1]) - cauchy_log_density(x, cells[0]))


@given(SEEDS, st.integers(1, 3), st.sampled_from([0.7, 1.0, 2.5, 8.0]))
@settings(max_examples=20)
def test_affine_images_of_student_cells_are_equivalent(seed, d, df):
    rng = np.random.default_rng(seed)
    move = AffineMap(random_matrix(rng, d), rng.normal(size=d))
    cells = [StudentT(rng.normal(size=d), random_covariance(rng, d), df + y) for y in (0, 1)]
    images = [move.push(cell) for cell in cells]
    rows = 5 * rng.normal(size=(50, d))

    def ratio(laws, x):
        return laws[1].log_density(x) - laws[0].log_density(x)

    # the log-likelihood ratio at an image row is the ratio at the row
    assert np.allclose(ratio(images, move.apply(rows)), ratio(cells, rows))
    # a scale of its own for one class is no image
    other = StudentT(images[1].mean, 1.5 * images[1].covariance, images[1].df)
    assert not np.allclose(ratio([images[0], other], move.apply(rows)), ratio(cells, rows))


def test_cauchy_cells_are_ideal_without_being_affine_images():
    # group a: C(0, 1), C(1, 1); group b: C(0, 1), C(0, t) with the same hyperbolic distance
    t = (3 + np.sqrt(5)) / 2
    first, second = (1j, 1 + 1j), (1j, t * 1j)
    for y in (0, 1):
        assert np.abs(ratio_law(first, y) - ratio_law(second, y)).max() < 1e-3
    # the class-free bijection that does it keeps one class and carries the other
    angle = angle_between(first[1], second[1])
    x = np.linspace(-5, 5, 101)
    carried = turn_about_i(x, angle)
    kept = [cauchy_log_density(x, f) - cauchy_log_density(x, 1j) for f in first]
    there = [cauchy_log_density(carried, f) - cauchy_log_density(carried, 1j) for f in second]
    assert np.allclose(kept, there)
    # no affine map keeps C(0, 1) but x -> x and x -> -x, and these keep scales
    assert second[1].imag != pytest.approx(first[1].imag)
    # another scale is another law
    other = ratio_law((1j, 2j), 1)
    assert np.abs(other - ratio_law(first, 1)).max() > 0.05


def angle_between(z, goal):
    """The turn about i that carries z to goal: the disc (z - i)/(z + i) turns by twice it."""
    there, here = ((w - 1j) / (w + 1j) for w in (goal, z))
    return np.angle(there / here) / 2


def student_joint(groups, df):
    """Equally likely cells at locations and scales (K, d), (K, d, d) of every group; df (K,)."""
    cells = {
        (y, a): StudentT(means[y], covs[y], df[y])
        for a, (means, covs) in enumerate(groups)
        for y in range(len(means))
    }
    return JointDistribution(cells, dict.fromkeys(cells, 1 / len(cells)))


@given(SEEDS, st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=12)
def test_the_violation_of_student_cells_sees_affine_images_alone(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    df = 2.0 + np.arange(n_classes)
    covs = np.array([random_covariance(rng, d, condition=5.0) for _ in range(n_classes)])
    cells = 2 * rng.normal(size=(n_classes, d)), covs
    move = random_matrix(rng, d)
    image = cells[0] @ move.T + 1.0, move @ covs @ move.T
    assert ideal_violation(student_joint([cells, image], df)) < 1e-7
    image[1][-1] *= 1.1
    assert ideal_violation(student_joint([cells, image], df)) > 1e-4
    # normal cells of these locations and scales are ideal, though no affine map joins them
    pair = ideal_but_not_affine(rng, 3, 3)
    means, covs = (np.stack(both, 1) for both in zip(*pair, strict=True))
    assert is_ideal(joint_of(means, covs, np.full((3, 2), 1 / 6)))
    assert not is_ideal(student_joint(pair, [3.0] * 3))


def test_student_cells_may_be_ideal_where_the_violation_is_not_0():
    # the Cauchy laws of the test above
    t = (3 + np.sqrt(5)) / 2
    groups = [([[0.0], [x]], [[[1.0]], [[s * s]]]) for x, s in [(1.0, 1.0), (0.0, t)]]
    joint = student_joint([(np.array(m), np.array(c)) for m, c in groups], [1.0, 1.0])
    assert ideal_violation(joint) > 0.1
    assert bayes_rates(joint, np.array([[0.0, 1.0], [1.7, 0.0]])).largest_gap < 1e-9


@given(SEEDS, st.integers(1, 3), st.sampled_from([1.5, 2.0, 5.0]), st.sampled_from([2.0, 9.0]))
@settings(max_examples=10)
def test_the_divergence_is_one_integral(seed, d, df, df_q):
    rng = np.random.default_rng(seed)
    sizes, shifts = np.exp(rng.normal(size=d)), rng.normal(size=d)
    moved = mean_log_by_one_integral(sizes, shifts, df, df_q)
    assert moved == pytest.approx(
        mean_log_by_two_integrals(sizes, shifts / np.sqrt(sizes), df, df_q), rel=1e-8
    )
    still = mean_log_by_one_integral(np.ones(d), np.zeros(d), df, df_q)
    goal = StudentT(np.zeros(d), np.eye(d), df_q)
    apart = StudentT(np.zeros(d), np.eye(d), df).kl_divergence(goal)
    expected = apart - 0.5 * np.log(sizes).sum() + 0.5 * (df_q + d) * (moved - still)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    law = StudentT(turn @ shifts, turn * sizes @ turn.T, df)
    assert law.kl_divergence(goal) == pytest.approx(expected, rel=1e-8)


@given(st.sampled_from([0.3, 1.0, 1.5, 2.0]), st.floats(-3.0, 3.0), st.floats(0.2, 5.0))
@settings(max_examples=15)
def test_divergences_are_finite_where_degrees_of_freedom_agree(df, location, scale):
    first, second = StudentT(0.0, 1.0, df), StudentT(location, scale**2, df)
    found = first.kl_divergence(second)
    # the log ratio of two laws of one df is bounded, and tends to df ln(scale ratio)
    x = np.concatenate([-np.geomspace(1e7, 1e-3, 400), np.geomspace(1e-3, 1e7, 400)])
    ratio = first.log_density(x[:, None]) - second.log_density(x[:, None])
    assert ratio[[0, -1]] == pytest.approx([-df * np.log(scale)] * 2, abs=1e-4)
    assert -1e-12 <= found <= ratio.max() + 1e-9
    if df == 1.0:  # known for Cauchy laws
        expected = np.log(((1 + scale) ** 2 + location**2) / (4 * scale))
        assert found == pytest.approx(expected, abs=1e-8)
    # against a normal law it grows as x^2, whose mean is infinite
    assert first.kl_divergence(Normal(location, scale**2)) == np.inf
    assert StudentT(0.0, 1.0, 2.1).kl_divergence(Normal(location, scale**2)) < np.inf
