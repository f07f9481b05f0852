"""The array-level solvers against the printed formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from isonomy.ideal import _univariate
from isonomy.ideal._cells import kl_of_cells
from isonomy.ideal._tied import all_groups
from isonomy.ideal._tied.all_groups import canonical_points, group_coordinates
from isonomy.ideal._tied.closed_form import best_affine_map, class_coordinates
from isonomy.ideal._univariate import best_line, nearest_for_all_groups
from reference.gaussian import kl_by_formula
from reference.ideal import line_by_formula, map_by_formula, profile_by_formula, random_joint


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_line_is_the_printed_one(n_classes):
    rng = np.random.default_rng(n_classes)
    for _ in range(20):
        m, t = rng.normal(size=(2, n_classes))
        s, r = np.exp(rng.normal(size=(2, n_classes)))
        q = rng.uniform(0.1, 1.0, n_classes)
        np.testing.assert_allclose(
            best_line(m, s**2, t, r**2, q), line_by_formula(m, s, t, r, q), rtol=1e-12, atol=1e-13
        )


def test_the_line_takes_the_positive_sign_where_both_tie():
    slope, intercept = best_line(
        np.zeros(2), np.ones(2), np.array([1.0, 3.0]), np.ones(2), np.ones(2)
    )
    assert (slope, intercept) == (1.0, 2.0)


@pytest.mark.parametrize(("n_classes", "d"), [(2, 2), (4, 3), (6, 3), (3, 2)])
def test_the_tied_map_is_the_printed_one_where_it_is_unique(n_classes, d):
    rng = np.random.default_rng(d)
    for _ in range(5):
        joint = random_joint(rng, n_classes, 2, d)
        q = rng.uniform(0.1, 1.0, n_classes)
        sides = [(joint.means[:, a], joint.covariances[0, a]) for a in (0, 1)]
        matrix, offset = best_affine_map(*sides[0], *sides[1], q)
        expected, shift = map_by_formula(*sides[0], *sides[1], q)
        if n_classes - 1 >= d:
            np.testing.assert_allclose(matrix, expected, atol=1e-9)
            np.testing.assert_allclose(offset, shift, atol=1e-9)

        def paid(m, b, sides=sides, q=q):
            (means, cov), (goal, law) = sides
            return sum(
                w * kl_by_formula(m @ x + b, m @ cov @ m.T, y, law)
                for w, x, y in zip(q, means, goal, strict=True)
            )

        assert paid(matrix, offset) == pytest.approx(paid(expected, shift), abs=1e-10)


def test_the_tied_map_of_a_family_onto_itself_is_the_identity():
    joint = random_joint(np.random.default_rng(0), 3, 2, 40)
    side = joint.means[:, 0], joint.covariances[0, 0]
    matrix, offset = best_affine_map(*side, *side, np.ones(3))
    np.testing.assert_allclose(matrix, np.eye(40), atol=1e-10)
    np.testing.assert_allclose(offset, 0.0, atol=1e-10)


def test_cell_divergences_are_the_printed_formula_and_keep_digits_near_zero():
    joint = random_joint(np.random.default_rng(4), 3, 2, 3, kind="free")
    (m, s), (t, r) = ((joint.means[:, a], joint.covariances[:, a]) for a in (0, 1))
    expected = [kl_by_formula(m[y], s[y], t[y], r[y]) for y in range(3)]
    np.testing.assert_allclose(kl_of_cells(m, s, t, r), expected, rtol=1e-11)
    tiny = kl_of_cells(m, s, m, s * (1 + 1e-9))
    # 1/2 d (e - ln(1 + e)) with e = -1e-9, to first order d e^2 / 4
    np.testing.assert_allclose(tiny, 3 * 1e-18 / 4, rtol=1e-3)


@pytest.mark.parametrize("direction", ["information", "moment"])
def test_univariate_value_and_gradient_agree_with_the_formula(direction):
    rng = np.random.default_rng(1)
    means, sds = rng.normal(size=(3, 3)), np.exp(0.5 * rng.normal(size=(3, 3)))
    q = rng.dirichlet(np.ones(9)).reshape(3, 3)
    kind = _univariate._Information if direction == "information" else _univariate._Moment
    programme = kind(means, sds**2, q, np.array([1.0, -1.0, 1.0]))
    x, z = rng.normal(size=(2, 2 if direction == "information" else 4))
    error = check_grad(
        lambda v: programme.value_and_gradient(v)[0],
        lambda v: programme.value_and_gradient(v)[1],
        x,
    )
    assert error < 1e-6
    if direction == "information":
        gammas = [np.array([1.0, -np.exp(v[0]), np.exp(v[1])]) for v in (x, z)]
        printed = [profile_by_formula(g, means, sds, q) for g in gammas]
        ours = [programme.value_and_gradient(v)[0] for v in (x, z)]
        # the printed F leaves out a constant
        assert ours[0] - ours[1] == pytest.approx(printed[0] - printed[1], abs=1e-12)


def local_minima(means, variances, q):
    """Values of 3.2 at all local minima of a fine grid, for both signs."""
    found = []
    for sign in (1.0, -1.0):
        programme = _univariate._Information(means, variances, q, np.array([1.0, sign]))
        values = programme.values(np.linspace(-8, 8, 4001)[:, None])
        inner = values[1:-1]
        found.append(inner[(inner < values[:-2]) & (inner < values[2:])])
    return found


def test_several_local_minima_exist_and_the_least_is_found():
    rng = np.random.default_rng(20)
    n_several = 0
    for _ in range(60):
        means = 3 * rng.normal(size=(3, 2))
        variances = np.exp(3 * rng.normal(size=(3, 2)))
        q = np.outer(rng.dirichlet(np.ones(3)), [0.5, 0.5])
        minima = local_minima(means, variances, q)
        n_several += max(map(len, minima)) > 1
        found = nearest_for_all_groups(means, variances, q, "information")
        assert found.converged
        assert found.value <= np.concatenate(minima).min() + 1e-12
    assert n_several >= 3


def test_extreme_separation_neither_overflows_nor_stops_the_search():
    rng = np.random.default_rng(4)
    for direction in ("information", "moment"):
        for _ in range(5):
            means = 1e4 * rng.normal(size=(3, 2))
            variances = np.exp(6 * rng.normal(size=(3, 2)))
            q = rng.dirichlet(np.ones(6)).reshape(3, 2) + 1e-6
            found = nearest_for_all_groups(means, variances, q / q.sum(), direction)
            assert np.isfinite(found.value)
            assert (found.canonical_variances > 0).all()


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize(("n_classes", "n_groups", "d"), [(3, 2, 2), (4, 3, 5), (6, 2, 5)])
def test_the_convex_programme_has_one_value_from_every_start(n_classes, n_groups, d, direction):
    rng = np.random.default_rng(n_classes)
    joint = random_joint(rng, n_classes, n_groups, d)
    coordinates = group_coordinates(joint.means, joint.covariances[0])
    q = (
        np.outer(joint.class_prior, joint.group_prior)
        if direction == "information"
        else joint.prior
    )
    best = canonical_points(coordinates, np.asarray(q), direction)
    assert best.global_optimum
    for _ in range(5):
        start = 3 * rng.normal(size=best.means.shape)
        run = all_groups._descend(start, coordinates, np.asarray(q), direction)
        assert run.value == pytest.approx(best.value, abs=1e-9)


def test_the_programme_is_convex_in_the_gram_matrix():
    # the claim behind `global_optimum`: chords of the moment programme lie above it
    rng = np.random.default_rng(5)
    joint = random_joint(rng, 4, 3, 4)
    coordinates = group_coordinates(joint.means, joint.covariances[0])

    def value(gram):
        values, vectors = np.linalg.eigh(gram)
        points = vectors[:, 1:] * np.sqrt(np.maximum(values[1:], 0))
        return all_groups._value_and_gradient(points, coordinates, joint.prior, "moment")[0]

    centre = np.eye(4) - 0.25
    for _ in range(200):
        roots = centre @ rng.normal(size=(2, 4, 4)) * rng.uniform(0.2, 2, size=(2, 1, 1))
        p, q = (r @ r.T for r in roots)
        t = rng.uniform()
        assert value(t * p + (1 - t) * q) <= t * value(p) + (1 - t) * value(q) + 1e-9


def test_the_gradient_of_the_canonical_points_is_right():
    rng = np.random.default_rng(6)
    joint = random_joint(rng, 4, 2, 3)
    coordinates = group_coordinates(joint.means, joint.covariances[0])
    x = rng.normal(size=(4, 3))
    for direction in ("information", "moment"):

        def part(v, which, direction=direction):
            points = v.reshape(4, 3)
            return all_groups._value_and_gradient(points, coordinates, joint.prior, direction)[
                which
            ]

        error = check_grad(lambda v: part(v, 0), lambda v: part(v, 1).ravel(), x.ravel())
        assert error < 1e-6


@pytest.mark.parametrize(("n_classes", "d"), [(2, 1), (2, 5), (4, 2), (3, 3)])
def test_class_coordinates_keep_all_distances_and_ignore_the_group(n_classes, d):
    rng = np.random.default_rng(d)
    joint = random_joint(rng, n_classes, 2, d)
    means, cov = joint.means[:, 0], joint.covariances[0, 0]
    points = class_coordinates(means, cov)
    assert points.shape == (n_classes, min(n_classes - 1, d))
    far = means - means[0]
    np.testing.assert_allclose(points @ points.T, far @ np.linalg.solve(cov, far.T), atol=1e-9)
    turn = rng.normal(size=(d, d))
    moved = class_coordinates(means @ turn.T + 3.0, turn @ cov @ turn.T)
    np.testing.assert_allclose(moved, points, atol=1e-8)


def test_the_image_of_the_cells_is_the_same_whatever_the_rotation():
    rng = np.random.default_rng(4)
    for k, d in ((3, 2), (3, 6), (2, 80)):
        sides = []
        for _ in range(2):
            factor = rng.standard_normal((d, 2 * d))
            sides.append((rng.standard_normal((k, d)), factor @ factor.T / d))
        q = rng.dirichlet(np.ones(k))
        images = []
        for least in (True, False):
            matrix, offset = best_affine_map(*sides[0], *sides[1], q, least_movement=least)
            images.append((sides[0][0] @ matrix.T + offset, matrix @ sides[0][1] @ matrix.T))
        assert images[1][0] == pytest.approx(images[0][0], abs=1e-9)
        assert images[1][1] == pytest.approx(images[0][1], abs=1e-9)
