"""Joint laws behind transforms and with heavy tails: rows, divergences, the nearest ideal."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import (
    JointDistribution,
    LogNormal,
    MarginalTransform,
    MonotoneSpline,
    Nonparanormal,
    Normal,
    StudentT,
)
from isonomy.distributions._shape import Freedom, Marginals, shape_from_arrays
from isonomy.errors import FamilyError, InvalidInputError
from isonomy.ideal import ideal_violation, nearest_ideal, solution_from_state, solution_to_state


def a_transform(seed: int, d: int = 2) -> MarginalTransform:
    rng = np.random.default_rng(seed)
    splines = []
    for _ in range(d):
        knots = np.sort(rng.normal(size=4)) + np.arange(4)
        values = np.sort(rng.normal(size=4)) + 0.5 * np.arange(4)
        splines.append(MonotoneSpline(knots, values, rng.uniform(0.3, 2.0, 4)))
    return MarginalTransform(splines)


def latent_joint(seed: int, d: int = 2, n_groups: int = 2) -> JointDistribution:
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(2, n_groups, d))
    factors = rng.normal(size=(n_groups, d, d + 2))
    prior = rng.dirichlet(np.full(2 * n_groups, 5.0)).reshape(2, n_groups)
    labels = ["no", "yes"], list("abc"[:n_groups])
    return JointDistribution.from_arrays(means, factors @ factors.swapaxes(1, 2), prior, *labels)


def behind(joint: JointDistribution, transforms: list[MarginalTransform]) -> JointDistribution:
    arrays = joint.means, joint.covariances, joint.prior, joint.classes, joint.groups
    return JointDistribution.from_arrays(*arrays, "nonparanormal", Marginals(transforms))


@pytest.fixture
def joint() -> JointDistribution:
    return behind(latent_joint(0), [a_transform(1), a_transform(2)])


def test_cells_and_arrays_are_two_ways_to_the_same_law(joint):
    again = JointDistribution(joint.cells, joint.priors)
    assert again == joint
    assert again.shape == joint.shape
    assert isinstance(joint.cells["no", "a"], Nonparanormal)
    assert joint != behind(latent_joint(0), [a_transform(1), a_transform(3)])


def test_copies_and_arrays_keep_the_transforms(joint):
    assert copy.deepcopy(joint) == joint
    assert shape_from_arrays("nonparanormal", joint.shape.to_arrays()) == joint.shape
    assert shape_from_arrays("student_t", Freedom([3.0, 4.0]).to_arrays()) == Freedom([3.0, 4.0])
    assert shape_from_arrays("normal", {}) is None


def test_classes_and_groups_may_come_in_any_order(joint):
    flipped = JointDistribution.from_arrays(
        joint.means[::-1, ::-1],
        joint.covariances[::-1, ::-1],
        joint.prior[::-1, ::-1],
        joint.classes[::-1],
        joint.groups[::-1],
        "nonparanormal",
        joint.shape.reordered([0, 1], [1, 0]),
    )
    assert flipped == joint


def test_rows_go_to_the_latent_coordinates_and_back(joint):
    X, y, groups = joint.sample(200, random_state=0)
    Z = joint.latent(X, groups)
    assert joint.observed(Z, groups) == pytest.approx(X, rel=1e-8)
    for a, group in enumerate(joint.groups):
        assert Z[groups == group] == pytest.approx(
            joint.shape.transforms[a].forward(X[groups == group])
        )
    normal = latent_joint(0).log_density(Z, y, groups)
    jacobian = np.array(
        [
            joint.shape.transforms[joint.groups.index(g)].log_derivative(x[None])[0]
            for x, g in zip(X, groups, strict=True)
        ]
    )
    assert joint.log_density(X, y, groups) == pytest.approx(normal + jacobian)


@given(seed=st.integers(0, 50), moves=st.sampled_from(["all", ["b"]]))
def test_the_nearest_ideal_pays_what_the_latent_one_pays(seed, moves):
    latent = latent_joint(seed)
    joint = behind(latent, [a_transform(seed), a_transform(seed + 1)])
    ours, theirs = nearest_ideal(joint, moves=moves), nearest_ideal(latent, moves=moves)
    assert ours.kl == pytest.approx(theirs.kl, rel=1e-12)
    assert ours.distribution.kl_divergence(joint) == pytest.approx(ours.kl, rel=1e-9, abs=1e-12)
    assert ideal_violation(ours.distribution) == pytest.approx(0.0, abs=1e-8)
    assert ours.distribution.shape == joint.shape


def test_rows_are_steered_in_their_own_units(joint):
    solution = nearest_ideal(joint, reference="a")
    X, _, groups = joint.sample(100, random_state=1)
    moved = solution.steer(X, sensitive_features=groups)
    there, back = joint.shape.transforms[1], joint.shape.transforms[0]
    for x, group, found in zip(X, groups, moved, strict=True):
        if group == "a":
            assert found == pytest.approx(x, rel=1e-8)
        else:
            z = solution.maps["b"].apply(there.forward(x[None]))
            assert found == pytest.approx(back.inverse(z)[0], rel=1e-10)


def test_log_normal_rows_are_steered_by_a_power():
    cells = {(y, a): LogNormal(y * (1.0 + a), 1.0) for y in (0, 1) for a in (0, 1)}
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    solution = nearest_ideal(joint, moves=[1])
    move = solution.maps[1]
    moved = solution.steer([[2.0], [2.0]], sensitive_features=[0, 1])
    expected = [[2.0], [np.exp(move.offset[0]) * 2.0 ** move.matrix[0, 0]]]
    assert moved == pytest.approx(np.array(expected), rel=1e-12)


def test_a_solution_behind_transforms_survives_a_file(joint):
    solution = nearest_ideal(joint)
    again = solution_from_state(*solution_to_state(solution))
    assert again.source == joint
    assert again.distribution == solution.distribution


def test_student_cells_share_their_degrees_of_freedom():
    cells = {(y, a): StudentT([y * 2.0, 0.0], np.eye(2), df=3.0 + y) for y in (0, 1) for a in "ab"}
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    assert joint.family == "student_t"
    assert joint.shape.df.tolist() == [3.0, 4.0]
    assert joint.cells == cells
    X, y, groups = joint.sample(20_000, random_state=0)
    inside = (y == 1) & (groups == "a")
    # a t of 4 degrees of freedom: half the mass within .741 scales of its location
    assert np.mean(np.abs(X[inside, 0] - 2.0) < 0.741) == pytest.approx(0.5, abs=0.02)
    assert joint.kl_divergence(joint) == pytest.approx(0.0, abs=1e-12)


def test_unequal_degrees_of_freedom_are_refused():
    cells = {(y, a): StudentT(float(y), 1.0, df=3.0 + a) for y in (0, 1) for a in (0, 1)}
    with pytest.raises(FamilyError, match="degrees of freedom"):
        JointDistribution(cells, dict.fromkeys(cells, 0.25))


def test_a_transform_that_knows_the_label_is_refused():
    cells = {
        (y, a): Nonparanormal([0.0, y], np.eye(2), a_transform(y)) for y in (0, 1) for a in "ab"
    }
    with pytest.raises(FamilyError, match="one transform for all labels"):
        JointDistribution(cells, dict.fromkeys(cells, 0.25))


def test_divergence_behind_other_transforms_is_refused(joint):
    other = behind(latent_joint(0), [a_transform(1), a_transform(5)])
    with pytest.raises(FamilyError, match="same transforms"):
        joint.kl_divergence(other)


@pytest.mark.parametrize(
    ("family", "shape"),
    [("normal", Freedom([3.0, 3.0])), ("nonparanormal", None), ("student_t", None)],
)
def test_a_family_gets_the_shape_that_it_needs(family, shape):
    joint = latent_joint(0)
    arrays = joint.means, joint.covariances, joint.prior, joint.classes, joint.groups
    with pytest.raises(InvalidInputError, match="`shape`"):
        JointDistribution.from_arrays(*arrays, family, shape)


def test_a_shape_of_another_size_is_refused():
    joint = latent_joint(0)
    arrays = joint.means, joint.covariances, joint.prior, joint.classes, joint.groups
    with pytest.raises(InvalidInputError, match="must fit 2 classes"):
        JointDistribution.from_arrays(*arrays, "student_t", Freedom([3.0, 3.0, 3.0]))


def test_cells_of_two_kinds_are_refused():
    cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): LogNormal(0.0, 1.0)}
    with pytest.raises(FamilyError, match="of one kind"):
        JointDistribution(cells, {(0, "a"): 0.5, (1, "a"): 0.5})
