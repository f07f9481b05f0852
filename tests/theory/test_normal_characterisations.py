"""Which normal laws are ideal, exactly: docs/theory.md, section 5."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from isonomy.ideal import bayes_rates, ideal_violation, is_ideal
from isonomy.ideal._criteria.alignment import alignment_residual
from isonomy.ideal._criteria.spectra import (
    class_spectra,
    mixture_weights,
    mixtures_decide,
    spectral_distance,
)
from reference.ideal import random_joint
from reference.strategies import random_covariance, random_matrix
from reference.theory_normals import (
    ROOT_TRIPLES,
    beside_the_middle,
    conditions_hold,
    gram,
    ideal_but_not_affine,
    joint_of,
    log_ratio_transform,
    monomials,
    not_affine,
    on_line,
    polynomials_differ,
    precision_triple,
    rank_modulo,
    ratio_polynomials,
    same_law_of_posterior,
)

SEEDS = st.integers(0, 2**32 - 1)


def cells(joint, a):
    return joint.means[:, a], joint.covariances[:, a]


def differ(joint, rng):
    return same_law_of_posterior(cells(joint, 0), cells(joint, 1), rng)


def test_the_transform_is_the_expectation_it_says():
    # E_r exp(sum t_y ln(p_y / p_r)) by quadrature on the line
    means, sds = np.array([0.0, 1.0, -0.5]), np.array([1.0, 1.5, 0.8])
    t = np.array([0.0, 0.2, 0.3])
    x = np.linspace(-20, 20, 200_001)
    logs = -0.5 * ((x[:, None] - means) / sds) ** 2 - np.log(sds * np.sqrt(2 * np.pi))
    density = np.exp(logs[:, 0] + (logs - logs[:, :1]) @ t)
    expected = np.log(np.trapezoid(density, x))
    found = log_ratio_transform(means[:, None], sds[:, None, None] ** 2, 0, t)
    assert found == pytest.approx(expected, abs=1e-10)


@given(SEEDS, st.integers(2, 4), st.integers(1, 3), st.booleans())
@settings(max_examples=25)
def test_finitely_many_coefficients_decide(seed, n_classes, d, same):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, n_classes, 2, d, kind="free")
    first, second = cells(joint, 0), cells(joint, 1)
    if same:
        move = random_matrix(rng, d)
        second = first[0] @ move.T + 1.0, move @ first[1] @ move.T
    t = rng.uniform(0.0, 0.5 / n_classes, size=n_classes)
    constant, determinant, numerator = ratio_polynomials(*first, 0, t)
    whole = constant - 0.5 * np.log(determinant) + 0.5 * numerator / determinant
    assert log_ratio_transform(*first, 0, t) == pytest.approx(whole, abs=1e-9)
    assert (polynomials_differ(first, second, rng) < 1e-8) == same
    assert (same_law_of_posterior(first, second, rng) < 1e-8) == same


@given(SEEDS, st.integers(2, 4), st.sampled_from([1, -1]))
@settings(max_examples=30)
def test_one_variable_up_to_one_sign(seed, n_classes, sign):
    rng = np.random.default_rng(seed)
    means, sds = rng.normal(size=n_classes), np.exp(0.5 * rng.normal(size=n_classes))
    slope, offset = sign * np.exp(rng.normal()), rng.normal()
    pair = np.stack([means, slope * means + offset], 1), np.stack([sds, abs(slope) * sds], 1)
    label = rng.dirichlet(np.full(n_classes, 5.0))
    prior = np.outer(label, [0.3, 0.7])
    ideal = on_line(*pair, prior)
    assert is_ideal(ideal)
    assert differ(ideal, rng) < 1e-10
    assert bayes_rates(ideal, rng.uniform(size=(n_classes, n_classes))).largest_gap < 1e-9
    # the same distances with a sign flipped in one class alone, where that is a change
    others = pair[0].copy()
    others[1, 1] = 2 * others[0, 1] - others[1, 1]
    if n_classes > 2 and min(abs(means[1:] - means[0])) > 0.2:
        mixed = on_line(others, pair[1], prior)
        assert not is_ideal(mixed)
        assert differ(mixed, rng) > 1e-6
    wider = pair[1].copy()
    wider[1, 1] *= 1.2
    assert not is_ideal(on_line(pair[0], wider, prior))
    assert differ(on_line(pair[0], wider, prior), rng) > 1e-6


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
@settings(max_examples=30)
def test_tied_laws_are_ideal_where_gram_matrices_agree(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, 2, d))
    covs = np.stack([random_covariance(rng, d, condition=10.0) for _ in range(2)])
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    lowers = np.linalg.cholesky(covs)
    means[:, 1] = means[:, 0] @ np.linalg.inv(lowers[0]).T @ turn.T @ lowers[1].T + 1.0
    prior = np.outer(rng.dirichlet(np.full(n_classes, 5.0)), [0.4, 0.6])
    tied = np.broadcast_to(covs, (n_classes, 2, d, d))
    joint = joint_of(means, tied, prior)
    assert np.allclose(gram(means[:, 0], covs[0]), gram(means[:, 1], covs[1]))
    assert is_ideal(joint)
    assert differ(joint, rng) < 1e-9
    means[1, 1] += 0.5 * lowers[1] @ turn[0]
    changed = joint_of(means, tied, prior)
    size = abs(gram(means[:, 0], covs[0]) - gram(means[:, 1], covs[1])).max()
    if size > 0.05:  # the step may happen to keep the distances
        assert ideal_violation(changed) > 1e-4
        assert differ(changed, rng) > 1e-7


@given(SEEDS, st.integers(1, 4), st.booleans())
@settings(max_examples=40)
def test_two_classes_compare_spectra_and_norms_in_eigenspaces(seed, d, repeated):
    rng = np.random.default_rng(seed)
    values = rng.choice([0.5, 1.0, 2.0], size=d) if repeated else np.exp(rng.normal(size=d))
    lengths = rng.choice([-1, 1], size=d) * rng.uniform(0.4, 2.0, size=d)
    means, covs = np.empty((2, 2, d)), np.empty((2, 2, d, d))
    for a in (0, 1):
        turned = lengths.copy()
        for value in set(values):
            # within an eigenspace the mean difference may point anywhere, at the same length
            inside = values == value
            turned[inside] = np.linalg.qr(rng.normal(size=(inside.sum(),) * 2))[0] @ lengths[inside]
        move = random_matrix(rng, d)
        means[0, a], means[1, a] = 1.0, 1.0 + move @ turned
        covs[0, a], covs[1, a] = move @ move.T, move * values @ move.T
    prior = np.outer([0.4, 0.6], [0.5, 0.5])
    joint = joint_of(means, covs, prior)
    assert is_ideal(joint, 1e-7)
    assert differ(joint, rng) < 1e-8
    longer, wider = means.copy(), covs.copy()
    longer[1, 1] = means[0, 1] + 1.1 * (means[1, 1] - means[0, 1])
    wider[1, 1] *= 1.1
    for changed in (joint_of(longer, covs, prior), joint_of(means, wider, prior)):
        assert not is_ideal(changed, 1e-4)
        assert differ(changed, rng) > 1e-6


def test_mass_in_another_eigenspace_is_another_law():
    # equal spectra and equal total distance, in different eigenspaces: not ideal
    means = [[[0.0, 0.0]] * 2, [[1.0, 0.0], [0.0, 1.0]]]
    covs = [[np.eye(2)] * 2, [np.diag([1.0, 4.0])] * 2]
    joint = joint_of(means, covs, np.full((2, 2), 0.25))
    assert differ(joint, np.random.default_rng(0)) > 1e-3
    assert not is_ideal(joint)


def test_no_affine_condition_is_necessary_from_three_classes_in_three_dimensions():
    first, second = (precision_triple(squares) for squares in ROOT_TRIPLES)
    # equal determinants of sum s_y P_y: a cubic form in three variables has ten coefficients
    for s in product((0.0, 1.0, 2.0, -1.0), repeat=3):
        values = [
            np.linalg.det(sum(x * p for x, p in zip(s, g, strict=True))) for g in (first, second)
        ]
        assert values[0] == pytest.approx(values[1], abs=1e-9)
    for group in (first, second):
        assert min(np.linalg.eigvalsh(p)[0] for p in group) > 0
    # a map that keeps I and diag(1, 2, 3) is a diagonal of signs, which keeps |entries|
    assert not np.allclose(abs(first[2]), abs(second[2]))
    joint = not_affine()
    rng = np.random.default_rng(0)
    assert differ(joint, rng) < 1e-12
    assert polynomials_differ(cells(joint, 0), cells(joint, 1), rng) < 1e-9
    rates = bayes_rates(joint, rng.uniform(size=(3, 3)))
    assert rates.largest_gap < 4 * rates.error
    # the library decides by the law and not by a map: no affine map joins the groups
    assert is_ideal(joint)
    assert alignment_residual(*cells(joint, 0), *cells(joint, 1)) > 0.01
    # negative control: one entry less, and the law of the posterior differs
    apart = not_affine(((6.0, 2.0, 6.0), (3.0, 8.0, 3.5)))
    assert differ(apart, rng) > 1e-4
    assert ideal_violation(apart) > 1e-3


@pytest.mark.parametrize(("seed", "kind"), [(0, "free"), (2, "line"), (3, "zero")])
def test_in_two_dimensions_affine_images_are_necessary(seed, kind):
    # whatever second group a search finds with the same polynomials is an affine image
    rng = np.random.default_rng(seed)
    means = np.zeros((3, 2))
    if kind != "zero":
        means[1:] = rng.normal(size=(2, 2)) if kind == "free" else np.outer([1.0, -2.0], [0.6, 0.8])
    covs = np.array([np.eye(2), *(random_covariance(rng, 2, condition=5.0) for _ in range(2))])
    points = rng.uniform(-0.7, 0.7, size=(20, 2))
    goal = planar_polynomials(means, covs, points)
    for t, found in zip(points[:3], goal.reshape(3, -1).T, strict=False):
        assert ratio_polynomials(means, covs, 0, [0.0, *t]) == pytest.approx(found)

    def unpack(x):
        lower = np.zeros((3, 2, 2))
        lower[0] = np.eye(2)
        lower[1:, [0, 1], [0, 1]], lower[1:, 1, 0] = np.exp(x[:4].reshape(2, 2)), x[4:6]
        return np.concatenate([[[0.0, 0.0]], x[6:].reshape(2, 2)]), lower @ lower.swapaxes(1, 2)

    ends = []
    for _ in range(6):
        run = least_squares(
            lambda x: planar_polynomials(*unpack(x), points) - goal, 0.7 * rng.normal(size=10)
        )
        if abs(run.fun).max() < 1e-7:  # else a local minimum of the search: another law
            ends.append(unpack(run.x))
            assert alignment_residual(means, covs, *ends[-1]) < 1e-3
    # and not all the same group: turned or reflected
    assert max(abs(end[1] - covs).max() for end in ends) > 0.01


def planar_polynomials(means, covs, points):
    """c . t, D and N of 5.1 in two dimensions at rows t of ``points``; class 0 is N(0, I)."""
    precisions = np.linalg.inv(covs[1:])
    lean = np.einsum("kij,kj->ki", precisions, means[1:])
    size = -0.5 * (np.linalg.slogdet(covs[1:])[1] + (lean * means[1:]).sum(axis=1))
    a = np.einsum("nk,kij->nij", points, 0.5 * (np.eye(2) - precisions))
    b = points @ lean
    inner = np.eye(2) - 2 * a
    trace, squared = np.trace(inner, axis1=1, axis2=2), np.einsum("ni,nij,nj->n", b, inner, b)
    return np.concatenate([points @ size, np.linalg.det(inner), trace * (b**2).sum(1) - squared])


def test_conditions_on_a_reference_class_depend_on_the_class():
    turn = np.array([[2.0, 1.0], [1.0, 2.0]])
    spread, far = np.diag([1.0, 4.0]), np.array([1.0, 0.0])
    means = np.array([[[0.0, 0.0]] * 2, [far, turn @ far]])
    covs = np.array([[np.eye(2), turn @ turn], [spread, turn @ spread @ turn]])
    joint = joint_of(means, covs, np.full((2, 2), 0.25))
    assert is_ideal(joint)
    assert conditions_hold(means, covs, 0)
    assert not conditions_hold(means, covs, 1)
    # and an ideal law may fail them for every class: a mirror image on the line
    mirrored = on_line([[0, 0], [1, -1]], [[1, 1], [1, 1]])
    assert is_ideal(mirrored)
    assert not any(conditions_hold(mirrored.means, mirrored.covariances, c) for c in (0, 1))


@given(SEEDS, st.integers(2, 3), st.integers(1, 3))
@settings(max_examples=25)
def test_conditions_on_a_reference_class_are_sufficient(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    means, covs = rng.normal(size=(n_classes, 2, d)), np.empty((n_classes, 2, d, d))
    for y in range(n_classes):
        covs[y, 0] = random_covariance(rng, d, condition=10.0)
    scale = random_covariance(rng, d, condition=10.0)
    back = np.linalg.inv(np.real(_root(covs[0, 0])))
    move = scale @ back
    means[:, 1] = means[:, 0] @ move.T + 1.0
    covs[:, 1] = move @ covs[:, 0] @ move.T
    assert conditions_hold(means, covs, 0)
    label = rng.dirichlet(np.full(n_classes, 5.0))
    assert is_ideal(joint_of(means, covs, np.outer(label, [0.5, 0.5])), 1e-7)


def _root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values) @ vectors.T


@given(SEEDS, st.integers(3, 4), st.integers(3, 4), st.sampled_from(["same", "mean", "spread"]))
@settings(max_examples=25)
def test_geometric_means_beside_their_middle_decide(seed, n_classes, d, kind):
    rng = np.random.default_rng(seed)
    first, second = ideal_but_not_affine(rng, n_classes, d)
    if kind == "mean":
        second[0][-1, 0] += 0.3
    if kind == "spread":
        second[1][-1] *= 1.1
    apart = 0.0
    for s in rng.dirichlet(np.ones(n_classes), size=4):
        pairs = zip(beside_the_middle(*first, s), beside_the_middle(*second, s), strict=True)
        apart = max(apart, *(abs(p - q).max() for p, q in pairs))
    assert (apart < 1e-9) == (kind == "same")
    assert (same_law_of_posterior(first, second, rng) < 1e-9) == (kind == "same")
    # what the library compares says the same
    assert (spectral_distance(class_spectra(*first), class_spectra(*second)) < 1e-9) == (
        kind == "same"
    )


@pytest.mark.parametrize(("n_classes", "d"), [(3, 2), (3, 60), (4, 3), (4, 6), (5, 3), (10, 2)])
def test_the_mixtures_compared_are_in_general_position(n_classes, d):
    assert mixtures_decide(n_classes, d)
    # no form of degree d + 1 vanishes at all directions: exact, modulo a prime
    weights = mixture_weights(n_classes, d)
    directions = np.array([[round((x - 1 / n_classes) * 2**40) for x in s[1:]] for s in weights])
    values = monomials(directions.astype(object), d + 1)
    assert values.shape[1] == math.comb(d + n_classes - 1, n_classes - 2)
    assert rank_modulo(values) == values.shape[1]
    # and with fewer directions than forms some do
    assert rank_modulo(values[: values.shape[1] - 1]) < values.shape[1]


def test_polynomials_are_known_from_lines_in_general_position():
    # D and N have degree d and d + 1: known on d + 2 lines through 0 (K = 3) they are known
    rng = np.random.default_rng(0)
    d = 3
    first, _ = ideal_but_not_affine(rng, 3, d)
    first[0][:] = rng.normal(size=(3, d))
    lines, sizes = rng.normal(size=(d + 2, 2)), np.linspace(-1, 1, d + 2)
    goal = np.array([0.0, *rng.normal(size=2)])
    for part in (1, 2):
        along = [
            np.linalg.solve(
                np.vander(sizes, d + 2, increasing=True),
                [ratio_polynomials(*first, 0, np.array([0.0, *(r * u)]))[part] for r in sizes],
            )
            for u in lines
        ]
        found = sum(
            (monomials(goal[None, 1:], k) @ np.linalg.lstsq(monomials(lines, k), row)[0])[0]
            for k, row in enumerate(np.transpose(along))
        )
        assert found == pytest.approx(ratio_polynomials(*first, 0, goal)[part])
