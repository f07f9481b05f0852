"""Columns that must not move: what stays, what becomes ideal, and that nothing is nearer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import JointDistribution, LogNormal, Normal, StudentT
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal import (
    certify,
    ideal_violation,
    nearest_ideal,
    partial_ideal,
    solution_from_state,
    solution_to_state,
)
from isonomy.ideal._protected.gram import common_gram
from isonomy.ideal._protected.split import best_rest, gram_points, split_cells
from isonomy.ideal.partial import partial_maps
from reference import protected as oracle

seeds = st.integers(0, 10_000)
DIRECTIONS = ("information", "moment")


def a_joint(seed: int, *, n_classes: int = 2, n_groups: int = 2, d: int = 3, family="normal"):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_groups, d, d + 3))
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    means = rng.normal(size=(n_classes, n_groups, d))
    names = range(n_classes), list("abc"[:n_groups])
    covariances = factors @ factors.swapaxes(-1, -2) / d
    return JointDistribution.from_arrays(means, covariances, prior, *names, family)


def an_affirmative_joint(seed: int, *, n_classes: int = 2, d: int = 3):
    """Group "a" tells classes further apart than the first column does in "b"."""
    joint = a_joint(seed, n_classes=n_classes, d=d)
    means = np.array(joint.means)
    far = 4.0 * np.eye(n_classes, d, -1) @ np.linalg.cholesky(joint.covariances[0, 0]).T
    means[:, 0] = far[:, ::-1] if n_classes == 2 else far
    means[:, 0] += 3.0 * np.eye(n_classes, d, 1)
    means[:, 1, 0] *= 0.1
    return JointDistribution.from_arrays(
        means, joint.covariances[0], joint.prior, joint.classes, joint.groups
    )


def paid(solution) -> float:
    pair = solution.distribution, solution.source
    return (
        pair[0].kl_divergence(pair[1])
        if solution.direction == "information"
        else pair[1].kl_divergence(pair[0])
    )


@given(
    seed=seeds,
    n_classes=st.integers(2, 4),
    n_groups=st.integers(2, 3),
    n_kept=st.integers(1, 2),
    direction=st.sampled_from(DIRECTIONS),
)
@settings(max_examples=15)
def test_the_law_is_ideal_and_the_protected_columns_keep_theirs(
    seed, n_classes, n_groups, n_kept, direction
):
    joint = a_joint(seed, n_classes=n_classes, n_groups=n_groups, d=n_kept + n_classes)
    columns = list(range(0, 2 * n_kept, 2))
    solution = nearest_ideal(joint, protected=columns, direction=direction)
    ideal = solution.distribution
    assert ideal_violation(ideal) < 1e-7
    assert np.asarray(ideal.means)[..., columns] == pytest.approx(
        np.asarray(joint.means)[..., columns], abs=1e-12
    )
    square = np.ix_(range(n_classes), range(n_groups), columns, columns)
    assert ideal.covariances[square] == pytest.approx(joint.covariances[square])
    assert solution.kl == pytest.approx(paid(solution), abs=1e-9)
    assert solution.kl >= nearest_ideal(joint, direction=direction).kl - 1e-9
    assert solution.protected == tuple(columns)
    assert (np.diff(solution.history) <= 0.0).all()
    assert solution.history[-1] == pytest.approx(solution.kl)
    assert solution.converged
    assert solution.global_optimum


@given(seed=seeds, n_classes=st.integers(2, 3), direction=st.sampled_from(DIRECTIONS))
@settings(max_examples=10)
def test_maps_keep_protected_values_and_give_rows_one_posterior(seed, n_classes, direction):
    joint = a_joint(seed, n_classes=n_classes, d=4)
    solution = nearest_ideal(joint, protected=[1], direction=direction)
    rows = 2.0 * np.random.default_rng(seed).normal(size=(20, 4))
    reference = np.full(20, solution.reference)
    for group in joint.groups:
        names = np.full(20, group)
        moved = solution.steer(rows, sensitive_features=names)
        assert np.array_equal(moved[:, 1], rows[:, 1])
        before, after = (
            np.stack([solution.distribution.log_density(x, np.full(20, y), a)
                      for y in joint.classes], axis=1)
            for x, a in ((rows, names), (moved, reference))
        )  # fmt: skip
        before, after = before - before[:, :1], after - after[:, :1]
        assert after == pytest.approx(before, rel=1e-6, abs=1e-6)
    assert solution.maps[solution.reference].is_identity


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("seed", "n_classes", "d"), [(0, 2, 2), (1, 2, 3), (2, 3, 3)])
def test_the_best_law_of_a_group_is_what_a_general_optimiser_finds(seed, n_classes, d, direction):
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(d, d + 2))
    means, cov, q = rng.normal(size=(n_classes, d)), factor @ factor.T, rng.dirichlet([4.0] * 3)
    q = q[:n_classes] / q[:n_classes].sum()
    points = 2.0 * rng.normal(size=(n_classes, d - 1))
    split = split_cells(means, cov, np.array([0]), np.arange(1, d))
    found = best_rest(points, split, q, inward=direction == "moment")
    new, spread = found.joined(np.array([0]), np.arange(1, d))
    value = sum(
        q[y] * (oracle.normal_kl(new[y], spread, means[y], cov) if direction == "information"
                else oracle.normal_kl(means[y], cov, new[y], spread))
        for y in range(n_classes)
    )  # fmt: skip
    assert found.rest_gram == pytest.approx(oracle.gram(points, np.eye(d - 1)))
    assert value == pytest.approx(
        oracle.best_law(points, means, cov, q, 1, direction), rel=1e-5, abs=1e-7
    )


def test_a_regression_that_does_not_change_pays_more():
    """The columns that move may lean on those that stay: it pays, and stays ideal."""
    solution = nearest_ideal(a_joint(4), protected=[0])
    ideal, joint = solution.distribution, solution.source
    changed = [
        ideal.covariances[0, a, 1:, 0] / ideal.covariances[0, a, 0, 0]
        - joint.covariances[0, a, 1:, 0] / joint.covariances[0, a, 0, 0]
        for a in (0, 1)
    ]
    assert np.abs(changed).max() > 0.01


@given(
    seed=seeds,
    n_classes=st.integers(2, 4),
    n_groups=st.integers(2, 3),
    direction=st.sampled_from(DIRECTIONS),
)
@settings(max_examples=10)
def test_no_other_common_gram_matrix_is_nearer(seed, n_classes, n_groups, direction):
    joint = a_joint(seed, n_classes=n_classes, n_groups=n_groups, d=n_classes + 1)
    d, at = joint.n_features, np.array([0])
    splits = [
        split_cells(np.asarray(joint.means)[:, a], joint.covariances[0, a], at, np.arange(1, d))
        for a in range(n_groups)
    ]
    prior = np.asarray(joint.prior)
    weights = np.outer(prior.sum(1), prior.sum(0)) if direction == "information" else prior

    def total(whole) -> float:
        value = 0.0
        for a, split in enumerate(splits):
            points = gram_points(whole - split.kept_gram, d - 1)
            new = best_rest(points, split, weights[:, a], inward=direction == "moment")
            cells = new.joined(at, np.arange(1, d)), split.joined(at, np.arange(1, d))
            (m, s), (mu, sigma) = cells if direction == "information" else cells[::-1]
            for y in range(n_classes):
                value += weights[y, a] * oracle.normal_kl(m[y], s, mu[y], sigma)
        return value

    found = common_gram(splits, weights, direction)
    least = total(found.gram)
    rng = np.random.default_rng(seed)
    tried = 0
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(6):
            step = rng.normal(size=found.gram.shape)
            other = found.gram + size * (step + step.T)
            floor = min(np.linalg.eigvalsh(other - s.kept_gram)[0] for s in splits)
            if floor < 0.0:  # into the cone, on whose edge the best often lies
                other = other - floor * np.eye(len(other))
            tried += 1
            assert total(other) >= least - 1e-9
    assert tried == 24


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("seed", "n_classes", "d"), [(0, 2, 2), (1, 2, 3), (4, 3, 3)])
def test_a_general_optimiser_on_the_laws_themselves_pays_no_less(seed, n_classes, d, direction):
    joint = a_joint(seed, n_classes=n_classes, d=d)
    solution = nearest_ideal(joint, protected=[0], direction=direction)
    weights = np.asarray(solution.distribution.prior if direction == "information" else joint.prior)
    ours = float((weights * np.array([[solution.kl_by_cell[y, a] for a in joint.groups]
                                      for y in joint.classes])).sum())  # fmt: skip
    rng = np.random.default_rng(seed)
    f = d - 1
    starts = []
    for _ in range(8 if d == 2 else 2):
        start = []
        for a in range(2):
            lower = np.linalg.cholesky(joint.covariances[0, a])[1:, 1:]
            start += [rng.normal(size=(n_classes - 1) * f), lower.ravel(), np.zeros(2 * f)]
        starts.append(np.concatenate(start))
    theirs = oracle.least_total(
        np.asarray(joint.means), joint.covariances[0], weights, direction, starts
    )
    assert ours <= theirs + 1e-6
    assert ours == pytest.approx(theirs, rel=1e-3)  # the optimiser got there too


def test_two_classes_one_column_kept_and_one_free_is_a_line_search():
    """Known answer: the least over the common squared distance, on a fine grid."""
    joint = a_joint(11, d=2)
    q = np.asarray(joint.prior)
    weights = np.outer(q.sum(1), q.sum(0))
    solution = nearest_ideal(joint, protected=[0])
    kept = [oracle.gram(np.asarray(joint.means)[:, a, :1], joint.covariances[0, a, :1, :1])[0, 0]
            for a in (0, 1)]  # fmt: skip
    grid = max(kept) + np.geomspace(1e-6, 6.0, 20)

    def value(square: float) -> float:
        return sum(
            oracle.best_law(
                oracle.points_of(np.array([[square - kept[a]]]), 1),
                np.asarray(joint.means)[:, a], joint.covariances[0, a], weights[:, a], 1,
                "information", starts=2,
            )
            for a in (0, 1)
        )  # fmt: skip

    best = min(value(s) for s in grid)
    change = float((weights * np.log(weights / q)).sum())
    assert solution.kl <= best + change + 1e-7
    common = oracle.gram(
        np.asarray(solution.distribution.means)[:, 0], solution.distribution.covariances[0, 0]
    )[0, 0]
    assert solution.kl == pytest.approx(value(common) + change, abs=1e-6)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_named_groups_reach_the_reference_that_stays(direction):
    joint = an_affirmative_joint(3, n_classes=3, d=4)
    solution = nearest_ideal(joint, moves=["b"], protected=[0], direction=direction)
    ideal = solution.distribution
    assert ideal_violation(ideal) < 1e-7
    assert np.array_equal(np.asarray(ideal.means)[:, 0], np.asarray(joint.means)[:, 0])
    assert solution.kl_by_cell[0, "a"] == 0.0
    assert solution.kl == pytest.approx(paid(solution))
    weights = np.asarray(ideal.prior if direction == "information" else joint.prior)
    whole = oracle.gram(np.asarray(joint.means)[:, 0], joint.covariances[0, 0])
    kept = oracle.gram(np.asarray(joint.means)[:, 1, :1], joint.covariances[0, 1, :1, :1])
    least = oracle.best_law(
        oracle.points_of(whole - kept, 3), np.asarray(joint.means)[:, 1],
        joint.covariances[0, 1], weights[:, 1], 1, direction,
    )  # fmt: skip
    cells = sum(weights[y, 1] * solution.kl_by_cell[y, "b"] for y in range(3))
    assert cells == pytest.approx(least, rel=1e-5)


def test_a_reference_that_tells_less_than_protected_columns_do_is_out_of_reach():
    cells = {
        (0, "a"): Normal([0.0, 0.0], np.eye(2)), (1, "a"): Normal([1.0, 0.0], np.eye(2)),
        (0, "b"): Normal([0.0, 0.0], np.eye(2)), (1, "b"): Normal([2.0, 0.0], np.eye(2)),
    }  # fmt: skip
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    with pytest.raises(NotIdealError, match="classes 0 and 1 further apart, by 3 squared"):
        nearest_ideal(joint, moves=["b"], protected=[0])
    # the same with all groups moving is possible
    solution = nearest_ideal(joint, protected=[0])
    assert ideal_violation(solution.distribution) < 1e-6
    # in group b the free column is worth nothing: its frame serves nobody else
    with pytest.raises(UnsupportedProgrammeError, match="tell all classes apart, got 'b'"):
        nearest_ideal(joint, protected=[0], reference="b")
    assert solution.reference == "a"
    # nor is it taken where it is the most probable group
    heavy = JointDistribution(cells, {cell: 0.1 if cell[1] == "a" else 0.4 for cell in cells})
    assert nearest_ideal(heavy).reference == "b"
    assert nearest_ideal(heavy, protected=[0]).reference == "a"


def test_groups_that_stay_must_be_ideal_already():
    joint = a_joint(0, n_groups=3, d=4)
    with pytest.raises(NotIdealError, match="group 'c' is not with the reference"):
        nearest_ideal(joint, moves=["b"], reference="a", protected=[0])


def test_protecting_what_agrees_already_costs_nothing():
    joint = a_joint(5, d=4)
    ideal = nearest_ideal(joint).distribution
    assert nearest_ideal(ideal, protected=[2]).kl == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("priors", ["joint", "reference", "reweigh"])
def test_every_choice_of_priors(priors):
    joint = a_joint(8)
    solution = nearest_ideal(joint, protected=[0], priors=priors)
    assert solution.kl == pytest.approx(paid(solution))
    assert ideal_violation(solution.distribution) < 1e-7
    if priors == "joint":
        assert solution.kl <= nearest_ideal(joint, protected=[0]).kl + 1e-9
        assert not solution.global_optimum
    if priors == "reference":
        assert solution.reference == nearest_ideal(joint, priors=priors).reference


def test_log_normal_columns_keep_their_values():
    joint = a_joint(2, family="lognormal")
    solution = nearest_ideal(joint, protected=[1])
    rows = np.exp(np.random.default_rng(0).normal(size=(30, 3)))
    moved = solution.steer(rows, sensitive_features=np.repeat(["a", "b"], 15))
    assert moved[:, 1] == pytest.approx(rows[:, 1], rel=1e-14)
    assert not np.allclose(moved[:, 0], rows[:, 0])
    assert isinstance(solution.distribution.cells[0, "a"], LogNormal)


def test_a_solution_is_saved_and_certified_with_its_columns():
    solution = nearest_ideal(a_joint(6), protected=[0])
    back = solution_from_state(*solution_to_state(solution))
    assert back.protected == (0,)
    assert certify(solution).kl == pytest.approx(solution.kl)


@given(seed=seeds, strength=st.floats(0.0, 1.0), n_classes=st.integers(2, 3))
@settings(max_examples=20)
def test_part_of_the_way_protected_columns_stay_too(seed, strength, n_classes):
    joint = a_joint(seed, n_classes=n_classes, d=4)
    solution = nearest_ideal(joint, protected=[2])
    law = partial_ideal(solution, strength)
    assert np.asarray(law.means)[..., 2] == pytest.approx(np.asarray(joint.means)[..., 2])
    assert law.covariances[..., 2, 2] == pytest.approx(joint.covariances[..., 2, 2])
    near = partial_ideal(solution, 1.0 - 1e-9)
    assert near.means == pytest.approx(np.asarray(solution.distribution.means), abs=1e-6)
    assert near.covariances == pytest.approx(solution.distribution.covariances, abs=1e-6)
    free = [0, 1, 3]
    whole = {g: np.linalg.det(m.matrix[np.ix_(free, free)]) for g, m in solution.maps.items()}
    if min(whole.values()) <= 0.0:  # a mirror of the columns that move has no path
        return
    for group, move in partial_maps(solution, strength).items():
        assert np.array_equal(move.matrix[2], np.eye(4)[2])
        assert move.offset[2] == 0.0
        assert np.linalg.det(move.matrix) == pytest.approx(whole[group] ** strength, rel=1e-6)
        close = partial_maps(solution, 1.0 - 1e-9)[group]
        assert close.matrix == pytest.approx(solution.maps[group].matrix, abs=1e-6)
        assert close.offset == pytest.approx(solution.maps[group].offset, abs=1e-6)


@given(seed=seeds, strength=st.floats(0.0, 1.0))
@settings(max_examples=10)
def test_part_of_the_way_is_the_same_after_adding_protected_columns_to_others(seed, strength):
    joint = a_joint(seed, d=3)
    shear = np.array([[2.0, 0.0, 3.0], [0.5, 1.0, -1.5], [0.0, 0.0, 1.0]])
    other = JointDistribution.from_arrays(
        joint.means @ shear.T,
        shear @ joint.covariances[0] @ shear.T,
        joint.prior,
        joint.classes,
        joint.groups,
        "normal",
    )
    ours, theirs = (nearest_ideal(law, protected=[2]) for law in (joint, other))
    if min(np.linalg.det(m.matrix) for m in ours.maps.values()) <= 0.0:
        return
    rows = np.random.default_rng(0).normal(size=(5, 3))
    for group, move in partial_maps(ours, strength).items():
        there = partial_maps(theirs, strength)[group].apply(rows @ shear.T)
        assert there == pytest.approx(move.apply(rows) @ shear.T, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({"protected": []}, InvalidInputError, r"positions of columns from 0 to 2, at least one"),
        ({"protected": [3]}, InvalidInputError, r"got \[3\]"),
        ({"protected": ["x"]}, InvalidInputError, r"got \['x'\]"),
        ({"protected": [True]}, InvalidInputError, "positions"),
        ({"protected": [0, 1, 2]}, InvalidInputError, "free to move, got all 3"),
        (
            {"protected": [0], "map_family": "symmetric"},
            UnsupportedProgrammeError,
            "got 'symmetric'",
        ),
        ({"protected": [0], "priors": "keep"}, NotIdealError, "'keep'"),
    ],
)
def test_wrong_requests_are_named(how, error, match):
    with pytest.raises(error, match=match):
        nearest_ideal(a_joint(0), **how)


def test_what_is_not_supported_says_so():
    with pytest.raises(UnsupportedProgrammeError, match="at least n_classes - 1 = 2 columns free"):
        nearest_ideal(a_joint(0, n_classes=3), protected=[0, 1])
    joint = a_joint(0)
    covariances = np.array(joint.covariances)
    covariances[0, 0] *= 2.0
    free = JointDistribution.from_arrays(
        joint.means, covariances, joint.prior, joint.classes, joint.groups
    )
    with pytest.raises(UnsupportedProgrammeError, match="differ between classes. Fit with"):
        nearest_ideal(free, protected=[0])
    heavy = {pair: StudentT(law.mean, law.covariance, df=5) for pair, law in joint.cells.items()}
    with pytest.raises(UnsupportedProgrammeError, match="Student-t cells"):
        nearest_ideal(JointDistribution(heavy, joint.priors), protected=[0])


def test_diagonal_covariances_are_told_to_be_tied():
    """A fit with covariance="diagonal" has one a class, although maps are free to be affine."""
    joint = a_joint(0)
    covariances = np.array(joint.covariances) * np.eye(3)
    covariances[0] *= 2.0
    diagonal = JointDistribution.from_arrays(
        joint.means, covariances, joint.prior, joint.classes, joint.groups
    )
    with pytest.raises(UnsupportedProgrammeError, match="covariance='tied'"):
        nearest_ideal(diagonal, protected=[0])
    with pytest.raises(UnsupportedProgrammeError, match="`map_family`.*got 'diagonal'. Leave"):
        nearest_ideal(diagonal, protected=[0], map_family="diagonal")
