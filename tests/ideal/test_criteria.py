"""`ideal_violation` and `is_ideal`: zero exactly where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fsolve

from isonomy.distributions import AffineMap, JointDistribution
from isonomy.errors import InvalidInputError
from isonomy.ideal import bayes_rates, ideal_violation, is_ideal, nearest_ideal
from isonomy.ideal._criteria.alignment import alignment_residual
from isonomy.ideal._criteria.spectra import class_spectra, mixture_weights
from isonomy.ideal.criteria import rounding_tolerance
from reference.ideal import random_joint
from reference.strategies import random_covariance, random_matrix
from reference.theory_normals import (
    beside_the_middle,
    ideal_but_not_affine,
    joint_of,
    polynomials_differ,
)

SEEDS = st.integers(0, 2**32 - 1)


def affine_copies(rng, n_classes, n_groups, d, kind="free"):
    """A joint law whose groups are affine images of the first, label independent of group."""
    joint = random_joint(rng, n_classes, 2, d, kind=kind)
    cells, priors = {}, {}
    share = rng.dirichlet(np.full(n_groups, 5.0))
    for a in range(n_groups):
        matrix = rng.normal(size=(d, d)) + 2 * np.eye(d)
        if np.linalg.cond(matrix) > 30:
            matrix = np.eye(d) * (-1.0) ** a
        move = AffineMap(matrix, rng.normal(size=d))
        for label, p in zip(joint.classes, joint.class_prior, strict=True):
            cells[label, a] = move.push(joint.cells[label, "a"])
            priors[label, a] = p * share[a]
    return JointDistribution(cells, priors)


@given(
    SEEDS,
    st.integers(2, 4),
    st.integers(2, 3),
    st.integers(1, 3),
    st.sampled_from(["free", "tied"]),
)
@settings(max_examples=60)
def test_affine_images_of_one_group_are_ideal(seed, n_classes, n_groups, d, kind):
    joint = affine_copies(np.random.default_rng(seed), n_classes, n_groups, d, kind)
    assert ideal_violation(joint) < 1e-9
    assert is_ideal(joint)


@given(SEEDS, st.integers(2, 4), st.integers(1, 3), st.sampled_from(["free", "tied"]))
@settings(max_examples=40)
def test_a_small_change_of_one_mean_is_seen(seed, n_classes, d, kind):
    rng = np.random.default_rng(seed)
    joint = affine_copies(rng, n_classes, 2, d, kind)
    means = joint.means.copy()
    sd = np.sqrt(joint.covariances[0, 1, 0, 0])
    means[1, 1] += 1e-3 * sd * np.sign(means[1, 1] - means[0, 1])
    arrays = joint.covariances, joint.prior, joint.classes, joint.groups
    changed = JointDistribution.from_arrays(means, *arrays)
    assert ideal_violation(changed) > 1e-8
    assert not is_ideal(changed)


@given(SEEDS)
@settings(max_examples=20)
def test_dependence_of_label_and_group_is_the_violation(seed):
    rng = np.random.default_rng(seed)
    joint = affine_copies(rng, 2, 2, 2, "tied")
    prior = joint.prior.copy()
    prior[:, 0] = prior[:, 0].sum() * np.array([0.5, 0.5])
    prior[:, 1] = prior[:, 1].sum() * np.array([0.7, 0.3])
    arrays = joint.means, joint.covariances, prior, joint.classes, joint.groups
    assert ideal_violation(JointDistribution.from_arrays(*arrays)) == pytest.approx(0.2, abs=1e-9)


def univariate(means, sds):
    """Two equally likely groups, equally likely labels, given means and sds (K, 2)."""
    means, sds = np.array(means, dtype=float), np.array(sds, dtype=float)
    prior = np.full(means.shape, 1 / means.size)
    return JointDistribution.from_arrays(
        means[..., None], sds[..., None, None] ** 2, prior, list(range(len(means))), ["a", "b"]
    )


def test_one_variable_allows_one_sign_a_group():
    assert is_ideal(univariate([[0, 5], [1, 3], [3, -1]], [[1, 2], [2, 4], [1, 2]]))
    # the sign of one class alone is not allowed
    assert not is_ideal(univariate([[0, 5], [1, 3], [3, 11]], [[1, 2], [2, 4], [1, 2]]))
    assert not is_ideal(univariate([[0, 0], [1, 1]], [[1, 1], [2, 2.001]]))
    assert not is_ideal(univariate([[0, 0], [0, 0]], [[1, 1], [2, 2.001]]))


def test_rotated_directions_within_one_eigenspace_do_no_harm():
    # covariances of two clustered eigenvalues: the mean difference may point anywhere there
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cov = np.diag([2.0, 2.0 + 1e-12])
    means = np.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], turn[:, 0].tolist()]])
    covs = np.array([[np.eye(2)] * 2, [cov] * 2])
    joint = JointDistribution.from_arrays(means, covs, np.full((2, 2), 0.25), [0, 1], ["a", "b"])
    assert ideal_violation(joint) < 1e-11
    assert is_ideal(joint)


def test_mass_in_different_eigenspaces_is_seen():
    means = np.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    covs = np.array([[np.eye(2)] * 2, [np.diag([1.0, 4.0])] * 2])
    joint = JointDistribution.from_arrays(means, covs, np.full((2, 2), 0.25), [0, 1], ["a", "b"])
    # area ln 4 between the step functions, relative to 1 + the total mass 1
    assert ideal_violation(joint) == pytest.approx(np.log(4) / 2)
    assert bayes_rates(joint).largest_gap > 0.01


def test_mass_in_the_last_eigenspace_is_seen():
    # nothing but the total differs: 1 and 1.44 where the larger eigenvalue is
    means = np.array([[[0.0, 0.0]] * 2, [[0.0, 1.0], [0.0, 1.2]]])
    covs = np.array([[np.eye(2)] * 2, [np.diag([0.5, 1.0])] * 2])
    joint = joint_of(means, covs, np.full((2, 2), 0.25))
    assert ideal_violation(joint) == pytest.approx(0.44 / 2.44)


@given(SEEDS, st.integers(3, 5), st.integers(2, 5))
@settings(max_examples=25)
def test_what_is_compared_are_the_stated_spectra(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, d))
    covs = np.array([random_covariance(rng, d) for _ in range(n_classes)])
    places, masses = class_spectra(means, covs)
    n_pairs = n_classes * (n_classes - 1) // 2
    weights = np.concatenate([np.eye(n_classes), mixture_weights(n_classes, d)])
    assert len(places) == n_pairs + len(weights)
    for i in (0, n_classes - 1, n_classes, n_classes + 7, len(weights) - 1):
        values, squares = beside_the_middle(means, covs, weights[i])
        assert places[n_pairs + i] == pytest.approx(np.log(values), abs=1e-8)
        assert masses[n_pairs + i] == pytest.approx(squares, rel=1e-6, abs=1e-8)


def test_three_classes_may_differ_though_every_two_agree():
    # precisions I, diag(d), and one whose diagonal o leaves det(P_y + t P_z) alone, not all
    diagonal, first = np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])
    second = first + 0.3 * np.cross(np.ones(3), 1 / diagonal)
    squares = np.array([2.0, 1.5, 1.0])

    def others(o, u):
        """Coefficients of det(s_1 + s_2 diag(d) + s_3 P) that two classes at a time show."""
        minors = o.prod() / o - u
        return np.array([minors.sum(), diagonal @ minors, o.prod() - o @ u + 2 * np.sqrt(u.prod())])

    moved = fsolve(lambda u: others(second, u) - others(first, squares), squares)
    groups = []
    for o, u in ((first, squares), (second, moved)):
        third = np.diag(o)
        third[[1, 0, 0], [2, 2, 1]] = third[[2, 2, 1], [1, 0, 0]] = np.sqrt(u)
        groups.append(np.linalg.inv([np.eye(3), np.diag(diagonal), third]))
    for pair in ([0, 1], [0, 2], [1, 2]):
        covs = np.stack([g[pair] for g in groups], axis=1)
        assert is_ideal(joint_of(np.zeros((2, 2, 3)), covs, np.full((2, 2), 0.25)))
    whole = joint_of(np.zeros((3, 2, 3)), np.stack(groups, axis=1), np.full((3, 2), 1 / 6))
    assert ideal_violation(whole) > 1e-3
    assert (
        polynomials_differ(*((np.zeros((3, 3)), g) for g in groups), np.random.default_rng(0))
        > 1e-3
    )


def test_reference_class_conditions_would_be_misled():
    # equal spectra for class 0 against 1 and 0 against 2, but not jointly: K = 3 free
    rng = np.random.default_rng(0)
    d = 2
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    second, third = np.diag([1.0, 4.0]), np.diag([9.0, 2.0])
    covs = np.array([[np.eye(d), np.eye(d)], [second, second], [third, turn @ third @ turn.T]])
    prior = np.full((3, 2), 1 / 6)
    joint = JointDistribution.from_arrays(np.zeros((3, 2, d)), covs, prior, [0, 1, 2], ["a", "b"])
    assert ideal_violation(joint) > 0.01
    assert bayes_rates(joint).largest_gap > 0.005


@given(SEEDS, st.integers(2, 4), st.integers(1, 4), st.booleans())
@settings(max_examples=40)
def test_the_violation_ignores_the_coordinates_of_a_group(seed, n_classes, d, tied):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, n_classes, 2, d, kind="tied" if tied else "free")
    turn = AffineMap(random_matrix(rng, d), rng.normal(size=d))
    cells = {(y, a): turn.push(c) if a == "b" else c for (y, a), c in joint.cells.items()}
    moved = JointDistribution(cells, joint.priors)
    assert ideal_violation(moved) == pytest.approx(ideal_violation(joint), rel=1e-8)


@given(SEEDS, st.integers(3, 5), st.integers(1, 4), st.sampled_from(["free", "tied"]))
@settings(max_examples=40)
def test_the_order_of_classes_and_groups_decides_nothing(seed, n_classes, d, kind):
    rng = np.random.default_rng(seed)
    ideal = affine_copies(rng, n_classes, 3, d, kind)
    means, covs = ideal.means.copy(), ideal.covariances
    means[-1, 1, 0] += 0.01 * np.sqrt(covs[-1, 1, 0, 0])
    order, other = rng.permutation(n_classes), rng.permutation(3)
    found = []
    for y, a in ((np.arange(n_classes), np.arange(3)), (order, np.arange(3)), (order, other)):
        at = np.ix_(y, a)
        names = range(n_classes), "abc"
        arrays = covs[at], ideal.prior[at], *names
        assert is_ideal(JointDistribution.from_arrays(ideal.means[at], *arrays))
        found.append(ideal_violation(JointDistribution.from_arrays(means[at], *arrays)))
    assert min(found) > 1e-6
    assert found[2] == pytest.approx(found[1], rel=1e-6)
    if kind == "tied" or d == 1:
        assert found[1] == pytest.approx(found[0], rel=1e-6)
    else:  # other classes are the unit, and the list names other mixtures
        assert 0.01 < found[1] / found[0] < 100


@given(SEEDS, st.integers(3, 5), st.integers(3, 5), st.sampled_from(["same", "mean", "spread"]))
@settings(max_examples=20)
def test_the_verdict_is_that_of_the_law_of_the_posterior(seed, n_classes, d, kind):
    # ideal laws whose groups no affine map joins, and small changes of them
    rng = np.random.default_rng(seed)
    first, second = ideal_but_not_affine(rng, n_classes, d)
    if kind == "mean":
        second[0][-1, 0] += 1e-2
    if kind == "spread":
        second[1][-1] *= 1.001
    means, covs = (np.stack(pair, 1) for pair in zip(first, second, strict=True))
    joint = joint_of(means, covs, np.full((n_classes, 2), 0.5 / n_classes))
    assert (polynomials_differ(first, second, rng) < 1e-9) == (kind == "same")
    assert is_ideal(joint) == (kind == "same")
    assert (ideal_violation(joint) > 1e-6) == (kind != "same")


def test_samples_of_the_posterior_agree_with_the_verdict():
    rng = np.random.default_rng(5)
    groups = ideal_but_not_affine(rng, 3, 3)
    means, covs = (np.stack(pair, 1) for pair in zip(*groups, strict=True))

    def largest_deviation(covs):
        """Largest difference of a mean of log-likelihood ratios between groups, in errors."""
        n, worst = 40_000, 0.0
        joint = joint_of(means, covs, np.full((3, 2), 1 / 6))
        for y in range(3):
            moments = []
            for a, name in enumerate("ab"):
                rows = rng.multivariate_normal(means[y, a], covs[y, a], size=n)
                logs = np.stack([joint.cells[z, name].log_density(rows) for z in range(3)], 1)
                eta = np.exp(logs - logs.max(axis=1, keepdims=True))
                eta /= eta.sum(axis=1, keepdims=True)
                moments.append(np.column_stack([eta, eta**2, eta[:, :1] * eta[:, 1:]]))
            apart = moments[0].mean(axis=0) - moments[1].mean(axis=0)
            error = np.sqrt(sum(m.var(axis=0) for m in moments) / n)
            worst = max(worst, abs(apart / error).max())
        return worst

    assert is_ideal(joint_of(means, covs, np.full((3, 2), 1 / 6)))
    assert largest_deviation(covs) < 4.5  # 24 of them
    covs = covs.copy()
    covs[2, 1] *= 1.3
    assert not is_ideal(joint_of(means, covs, np.full((3, 2), 1 / 6)))
    assert largest_deviation(covs) > 6


@pytest.mark.parametrize(("n_classes", "d"), [(2, 60), (3, 1), (3, 3), (3, 60), (10, 2), (10, 20)])
@pytest.mark.parametrize("tied", [False, True])
def test_ill_conditioned_cells_are_judged_within_the_default_tolerance(n_classes, d, tied):
    rng = np.random.default_rng(n_classes * d)
    covs = np.array([random_covariance(rng, d, condition=1e6) for _ in range(n_classes)])
    if tied:
        covs[:] = covs[0]
    means = 30 * rng.normal(size=(n_classes, d))
    move = random_matrix(rng, d)
    images = move @ covs @ move.T
    spread = np.stack([covs, 0.5 * (images + images.swapaxes(1, 2))], axis=1)
    places = np.stack([means, means @ move.T + 1.0], axis=1)
    prior = np.outer(rng.dirichlet(np.full(n_classes, 5.0)), [0.3, 0.7])
    joint = joint_of(places, spread, prior)
    assert joint.is_tied == tied
    assert is_ideal(joint)
    # a thousandth of a standard deviation, of one mean or of a spread
    places[-1, 1, 0] += 1e-3 * np.sqrt(spread[-1, 1, 0, 0])
    assert not is_ideal(joint_of(places, spread, prior))
    if not tied:
        places[-1, 1, 0] -= 1e-3 * np.sqrt(spread[-1, 1, 0, 0])
        spread[0, 1] *= 1.002
        assert not is_ideal(joint_of(places, spread, prior))


@pytest.mark.parametrize("far", [1e3, 1e5])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize(("d", "kind"), [(1, "tied"), (1, "free"), (3, "tied"), (3, "free")])
def test_a_class_far_away_hides_nothing(d, kind, order, far):
    # classes 0 and 1 are 1 apart in one group and 1.01 in the other; class 2 is far from both
    means = np.zeros((3, 2, d))
    means[1, :, 0] = 1.0, 1.01
    means[2, :, 0] = far
    covs = np.array([np.eye(d) * (1.0 if kind == "tied" else 1.0 + y) for y in range(3)])
    if d > 1 and kind == "free":
        covs[1, [0, 1], [1, 0]] = 0.3
    arrays = np.stack([covs, covs], axis=1)[order], np.full((3, 2), 1 / 6)
    assert not is_ideal(joint_of(means[order], *arrays))
    means[1] = means[1, :1]
    assert is_ideal(joint_of(means[order], *arrays))


def test_the_alignment_finds_a_planted_map_with_repeated_eigenvalues():
    rng = np.random.default_rng(3)
    d = 4
    covs = np.array([np.eye(d), np.diag([2.0, 2.0, 3.0, 3.0]), np.diag([1.0, 5.0, 1.0, 5.0])])
    means = np.zeros((3, d))
    means[2] = [1.0, 0.0, 2.0, 0.0]
    move = rng.normal(size=(d, d)) + 3 * np.eye(d)
    residual = alignment_residual(means, covs, means @ move.T + 1, move @ covs @ move.T)
    assert residual < 1e-10


@pytest.mark.parametrize("power", [-100, 100])
@pytest.mark.parametrize(("n_classes", "d"), [(2, 1), (2, 3), (4, 1), (4, 3)])
@pytest.mark.parametrize("kind", ["free", "tied"])
def test_units_decide_nothing(n_classes, d, kind, power):
    rng = np.random.default_rng(7)
    joint = random_joint(rng, n_classes, 2, d, kind=kind)
    units = 10.0 ** (power * np.linspace(1.0, 0.2, d))
    arrays = joint.prior, joint.classes, joint.groups
    scaled = JointDistribution.from_arrays(
        joint.means * units, joint.covariances * units[:, None] * units, *arrays
    )
    assert ideal_violation(scaled) == pytest.approx(ideal_violation(joint), rel=1e-9)
    assert rounding_tolerance(scaled) == pytest.approx(rounding_tolerance(joint), rel=1e-9)


def test_the_default_tolerance_grows_with_conditioning_and_stays_bounded():
    rng = np.random.default_rng(1)
    joint = affine_copies(rng, 2, 2, 3, "tied")
    stretch = AffineMap(np.diag([1.0, 1e4, 1e-4]), np.zeros(3))
    moved = JointDistribution({c: stretch.push(v) for c, v in joint.cells.items()}, joint.priors)
    assert is_ideal(moved)  # units do not matter
    assert not is_ideal(random_joint(rng, 2, 2, 3))


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
@pytest.mark.parametrize(("kind", "n_classes", "d"), [("diagonal", 2, 1), ("tied", 2, 3)])
def test_the_nearest_ideal_is_ideal_far_from_the_origin_too(kind, n_classes, d, offset):
    # a mean of 1e8 standard deviations is stored to 1e-8 of one: rounding, not a violation
    for seed in range(5):
        joint = random_joint(np.random.default_rng(seed), n_classes, 2, d, kind=kind)
        arrays = joint.covariances, joint.prior, joint.classes, joint.groups
        far = JointDistribution.from_arrays(joint.means + offset, *arrays)
        assert not is_ideal(far)
        for direction in ("information", "moment"):
            assert is_ideal(nearest_ideal(far, direction=direction).distribution)


def test_an_explicit_tolerance_decides():
    joint = univariate([[0, 0], [1, 1.2]], [[1, 1], [1, 1]])
    violation = ideal_violation(joint)
    assert is_ideal(joint, tol=violation)
    assert not is_ideal(joint, tol=0.99 * violation)
    with pytest.raises(InvalidInputError, match="`tol` of `is_ideal`"):
        is_ideal(joint, tol=-1.0)
    with pytest.raises(InvalidInputError, match="`joint` passed to `ideal_violation`"):
        ideal_violation("no")


def test_lognormal_cells_are_judged_on_logarithms():
    normal = affine_copies(np.random.default_rng(2), 2, 2, 2, "tied")
    arrays = normal.means, normal.covariances, normal.prior, normal.classes, normal.groups
    assert is_ideal(JointDistribution.from_arrays(*arrays, family="lognormal"))
