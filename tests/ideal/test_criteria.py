"""`ideal_violation` and `is_ideal`: zero exactly where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import AffineMap, JointDistribution
from isonomy.errors import InvalidInputError
from isonomy.ideal import bayes_rates, ideal_violation, is_ideal, nearest_ideal
from isonomy.ideal._criteria.alignment import alignment_residual
from reference.ideal import random_joint

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


@given(SEEDS, st.integers(2, 4), st.integers(1, 3))
@settings(max_examples=25)
def test_the_violation_ignores_the_coordinates_of_a_group(seed, n_classes, d):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, n_classes, 2, d)
    turn = AffineMap(np.linalg.qr(rng.normal(size=(d, d)))[0] * 1.7, rng.normal(size=d))
    cells = {(y, a): turn.push(c) if a == "b" else c for (y, a), c in joint.cells.items()}
    moved = JointDistribution(cells, joint.priors)
    assert ideal_violation(moved) == pytest.approx(ideal_violation(joint), abs=1e-8)


def test_the_alignment_finds_a_planted_map_with_repeated_eigenvalues():
    rng = np.random.default_rng(3)
    d = 4
    covs = np.array([np.eye(d), np.diag([2.0, 2.0, 3.0, 3.0]), np.diag([1.0, 5.0, 1.0, 5.0])])
    means = np.zeros((3, d))
    means[2] = [1.0, 0.0, 2.0, 0.0]
    move = rng.normal(size=(d, d)) + 3 * np.eye(d)
    residual = alignment_residual(means, covs, means @ move.T + 1, move @ covs @ move.T)
    assert residual < 1e-10


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
