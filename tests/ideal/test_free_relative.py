"""Steps relative to the map, and the average curvature that large searches are divided by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.optimize import minimize

from isonomy.ideal._free import search
from isonomy.ideal._free.one_map import MapProgramme
from isonomy.ideal._free.relative import RelativeSteps
from isonomy.ideal._numerics.quasi_newton import descend
from reference.ideal import random_joint

SEEDS = st.integers(0, 2**32 - 1)


def programme_of(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, n_classes, 2, d, kind="free")
    lowers, q = np.linalg.cholesky(joint.covariances), rng.dirichlet(np.ones(n_classes))
    return MapProgramme(joint.means[:, 0], lowers[:, 0], joint.means[:, 1], lowers[:, 1], q)


def invertible(rng, d, least=0.2):
    left, right = np.linalg.qr(rng.normal(size=(2, d, d)))[0]
    return left * rng.uniform(least, 3.0, size=d) @ right


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_moves_are_exponential_and_slopes_are_those_along_them(seed, d):
    rng = np.random.default_rng(seed)
    programme, steps = programme_of(seed, 3, d), RelativeSteps(1, d)
    at, way, h = invertible(rng, d), rng.normal(size=(d, d)), 1e-3
    moved = steps.move(at.reshape(1, -1), h * way.reshape(1, -1)).reshape(d, d)
    # off by the third power of the move
    np.testing.assert_allclose(moved, at @ expm(h * way), atol=10 * (h * np.linalg.norm(way)) ** 3)
    values = [
        programme.value_and_gradient(steps.move(at.reshape(1, -1), s * 1e-6 * way.reshape(1, -1)))
        for s in (1.0, -1.0)
    ]
    gradient = programme.value_and_gradient(at.reshape(1, -1))[1]
    slope = steps.pull(at.reshape(1, -1), gradient)[0] @ way.ravel()
    size = 1.0 + abs(slope)
    assert (values[0][0][0] - values[1][0][0]) / 2e-6 == pytest.approx(slope, abs=1e-5 * size)


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_preconditioner_inverts_the_average_curvature(seed, d):
    # the pooled programme |W|^2/2 - <H, W> - ln|det W| at its stationary point; all singular
    # values above 1.1, so that no eigenvalue is below the floor
    rng = np.random.default_rng(seed)
    at, slopes, steps = (
        invertible(rng, d, least=1.1),
        rng.normal(size=(1, d * d)),
        RelativeSteps(1, d),
    )
    pull = at - np.linalg.inv(at).T

    def value(move):
        w = steps.move(at.reshape(1, -1), move).reshape(d, d)
        return 0.5 * np.sum(w * w) - np.sum(pull * w) - np.linalg.slogdet(w)[1]

    one = np.arange(1)
    steps.prepare(one, at.reshape(1, -1))
    way = steps.precondition(one, slopes)
    h = 1e-4 / (1.0 + np.linalg.norm(way))
    bend = (value(h * way) + value(-h * way) - 2.0 * value(0.0 * way)) / h**2
    # curvature times the preconditioned slopes gives the slopes again
    assert bend == pytest.approx(float(slopes[0] @ way[0]), rel=1e-3, abs=1e-6)


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_preconditioner_is_symmetric_and_positive_also_where_turns_are_flat(seed, d):
    rng = np.random.default_rng(seed)
    steps, runs = RelativeSteps(3, d), np.array([0, 2])
    turns = np.linalg.qr(rng.normal(size=(2, d, d)))[0] * np.array([1.0, 0.3])[:, None, None]
    steps.prepare(runs, turns.reshape(2, -1))
    one, two = rng.normal(size=(2, 2, d * d))
    there, back = steps.precondition(runs, one), steps.precondition(runs, two)
    size = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    for i in range(2):
        assert one[i] @ back[i] == pytest.approx(two[i] @ there[i], abs=1e-5 * size[i])
        assert there[i] @ one[i] > 0.0
        # at most 1 / floor
        assert np.linalg.norm(there[i]) <= 10.001 * np.linalg.norm(one[i])
    # what was not prepared is left as it is
    np.testing.assert_allclose(steps.precondition(np.array([1]), one[:1]), one[:1], rtol=1e-6)


def fitted_programme(seed, n_classes, d):
    """Cells of 3 d rows about a shared shape: what the average curvature describes well."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(2, d, d)) + np.eye(d)
    rows = rng.normal(size=(n_classes, 2, d, 3 * d))
    lowers = np.linalg.cholesky(
        shared @ (rows @ np.swapaxes(rows, 2, 3) / (3 * d)) @ np.swapaxes(shared, 1, 2)
    )
    means = np.einsum("aij,kaj->kai", shared, rng.normal(size=(n_classes, 2, d)))
    q = rng.dirichlet(np.full(n_classes, 5.0))
    return MapProgramme(means[:, 0], lowers[:, 0], means[:, 1], lowers[:, 1], q)


@pytest.mark.parametrize("seed", range(3))
def test_they_end_where_no_general_optimiser_gains_and_in_fewer_steps(seed):
    d = 16
    programme = fitted_programme(seed, 6, d)
    start = np.eye(d).reshape(1, -1)
    request = {"n_steps": 2000, "tolerance": 1e-7}
    run = descend(programme.value_and_gradient, start, along=RelativeSteps(1, d), **request)
    straight = descend(programme.value_and_gradient, start, **request)
    assert run.n_iter < straight.n_iter
    assert (np.diff(run.trace, axis=0) <= 0).all()
    assert run.steepness[0] <= 1e-7

    def function(x):
        value, gradient = programme.value_and_gradient(x[None])
        return value[0], gradient[0]

    again = minimize(function, run.points[0], jac=True, method="L-BFGS-B")
    assert again.fun >= run.values[0] - 1e-11


def test_what_is_called_converged_has_no_slope(monkeypatch):
    # large programmes, made small here; once with room enough and once with a few steps
    monkeypatch.setattr(search, "SCREENING_WORK", 1e6)
    rng = np.random.default_rng(3)
    joint = random_joint(rng, 3, 2, 33, kind="free")
    lowers, q = np.linalg.cholesky(joint.covariances), np.full(3, 1 / 3)
    cells = joint.means[:, 0], lowers[:, 0], joint.means[:, 1], lowers[:, 1], q
    programme = MapProgramme(*cells)

    def slope(found):
        white = programme.to_white(found.matrix).reshape(1, -1)
        return np.abs(programme.value_and_gradient(white)[1]).max()

    whole = search.best_free_map(*cells)
    assert whole.converged and slope(whole) < search.GRADIENT_TOLERANCE
    monkeypatch.setattr(search, "_LEAST_STEPS", 5)
    monkeypatch.setattr(search, "_COARSE_WORK", 0.0)
    monkeypatch.setattr(search, "_POLISH_WORK", 0.0)
    short = search.best_free_map(*cells)
    assert not short.converged and slope(short) > search.GRADIENT_TOLERANCE


def test_values_known_to_a_few_digits_do_not_stop_a_descent():
    scale = np.geomspace(1.0, 1e3, 30)

    def rough(points):
        values = 0.5 * (points**2 * scale).sum(axis=1) + 1.0
        return np.round(values, 6), points * scale  # steps of 1e-6

    start = np.ones((1, 30))
    request = {"n_steps": 500, "tolerance": 1e-5}
    blind = descend(rough, start, **request)
    told = descend(rough, start, noise=1e-6, **request)
    assert told.steepness[0] < 0.3 * blind.steepness[0]
    assert (np.diff(told.trace, axis=0) <= 0).all()


def test_a_memory_in_single_precision_costs_no_precision_of_the_end():
    rng = np.random.default_rng(0)
    size = 20_000  # from here on the memory is in single precision
    bend, goal = np.geomspace(0.01, 1.0, size), rng.normal(size=size)

    def bowl(points):
        far = points - goal
        return 0.5 * (bend * far**2).sum(axis=1) + (far**4).sum(axis=1), bend * far + 4 * far**3

    for n in (1, 2):  # one descent takes rows of the memory without a copy
        found = descend(bowl, np.zeros((n, size)), n_steps=1000, tolerance=1e-8)
        assert found.steepness.max() < 1e-8
        np.testing.assert_allclose(found.points, np.broadcast_to(goal, (n, size)), atol=1e-5)
