"""`nearest_ideal` against its oracles, a general optimiser, and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from isonomy.distributions import AffineMap, JointDistribution, LogNormal, Normal
from isonomy.errors import InvalidInputError, NotIdealError
from isonomy.ideal import ideal_violation, is_ideal, nearest_ideal
from isonomy.ideal._cells import kl_of_cells, push_cells
from reference.ideal import (
    best_value_found,
    programme_value,
    random_joint,
    two_class_profile,
)

DIRECTIONS = ("information", "moment")
SEEDS = st.integers(0, 2**32 - 1)


def weights_of(solution):
    """The weights of the cells' divergences: ideal priors, or fitted ones."""
    information = solution.direction == "information"
    return np.asarray((solution.distribution if information else solution.source).prior)


def cell_part(solution):
    """The total less the divergence of the priors."""
    weights, joint = weights_of(solution), solution.source
    return sum(
        weights[y, a] * solution.kl_by_cell[label, group]
        for y, label in enumerate(joint.classes)
        for a, group in enumerate(joint.groups)
    )


CASES = [
    # kind, K, G, d, moves
    ("tied", 2, 2, 2, "all"),
    ("tied", 3, 2, 2, "all"),
    ("tied", 2, 3, 2, "all"),
    ("tied", 2, 2, 3, "all"),
    ("tied", 3, 2, 3, ["b"]),
    ("tied", 3, 3, 2, ["b", "c"]),
    ("diagonal", 2, 2, 1, "all"),
    ("diagonal", 3, 3, 1, "all"),
    ("diagonal", 3, 3, 1, ["a", "c"]),
    ("diagonal", 3, 2, 2, "all"),
    ("diagonal", 2, 2, 3, ["a"]),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("kind", "n_classes", "n_groups", "d", "moves"), CASES)
def test_no_general_optimiser_finds_a_nearer_ideal(kind, n_classes, n_groups, d, moves, direction):
    rng = np.random.default_rng([n_classes, n_groups, d, len(moves)])
    family = "affine" if kind == "tied" or d == 1 else "diagonal"
    for _ in range(1 if n_classes * n_groups * d > 11 else 2):
        joint = random_joint(rng, n_classes, n_groups, d, kind=kind)
        solution = nearest_ideal(joint, moves=moves, direction=direction, map_family=family)
        movers = list(range(n_groups)) if moves == "all" else [joint.groups.index(m) for m in moves]
        found = best_value_found(
            joint,
            weights_of(solution),
            movers=movers,
            reference=joint.groups.index(solution.reference),
            direction=direction,
            tied=kind == "tied",
            n_starts=3,
            rng=rng,
        )
        assert solution.converged
        assert cell_part(solution) <= found + 1e-6


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("priors", ["reweigh", "reference", "joint"])
@pytest.mark.parametrize("moves", ["all", ["b", "c"]])
@pytest.mark.parametrize(("kind", "d"), [("tied", 3), ("diagonal", 1)])
def test_the_result_is_ideal_and_its_divergence_is_the_literal_sum(
    kind, d, moves, priors, direction
):
    joint = random_joint(np.random.default_rng(7), 3, 3, d, kind=kind)
    solution = nearest_ideal(joint, moves=moves, priors=priors, direction=direction)
    ideal = solution.distribution
    assert not is_ideal(joint)
    assert is_ideal(ideal)
    forward = direction == "information"
    assert solution.kl == pytest.approx(
        ideal.kl_divergence(joint) if forward else joint.kl_divergence(ideal), abs=1e-12
    )
    cells = {cell: (law.mean, law.covariance) for cell, law in ideal.cells.items()}
    assert solution.kl == pytest.approx(
        programme_value(cells, ideal.priors, joint, direction), abs=1e-11
    )
    for (label, group), value in solution.kl_by_cell.items():
        pair = ideal.cells[label, group], joint.cells[label, group]
        p, q = pair if forward else pair[::-1]
        assert value == pytest.approx(p.kl_divergence(q), abs=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("moves", ["all", ["a"]])
@pytest.mark.parametrize(
    ("kind", "d"), [("tied", 4), ("tied", 1), ("diagonal", 1), ("diagonal", 3)]
)
def test_every_group_of_the_ideal_is_carried_onto_the_canonical_cells(kind, d, moves, direction):
    joint = random_joint(np.random.default_rng(3), 3, 2, d, kind=kind)
    family = "diagonal" if kind == "diagonal" and d > 1 else "affine"
    solution = nearest_ideal(joint, moves=moves, direction=direction, map_family=family)
    assert solution.maps[solution.reference].is_identity
    for (label, group), law in solution.distribution.cells.items():
        pushed, goal = solution.maps[group].push(law), solution.canonical[label]
        np.testing.assert_allclose(pushed.mean, goal.mean, atol=1e-11)
        np.testing.assert_allclose(pushed.covariance, goal.covariance, atol=1e-11)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_feasible_perturbations_never_do_better(direction):
    rng = np.random.default_rng(11)
    joint = random_joint(rng, 3, 2, 3)
    solution = nearest_ideal(joint, direction=direction)
    ideal, weights = solution.distribution, weights_of(solution)
    worst = 0.0
    for trial in range(200):
        size = 10.0 ** rng.uniform(-4, -1)
        # one class-free affine map a group, after one shared change of the canonical cells
        shift = np.zeros((3, 1, 3)) if trial % 2 else size * rng.normal(size=(3, 1, 3))
        value = 0.0
        for a in range(2):
            turn = np.eye(3) + size * rng.normal(size=(3, 3))
            back = solution.maps[joint.groups[a]].inverse()
            means, covs = push_cells(
                turn,
                size * rng.normal(size=3),
                ideal.means[:, a] + shift[:, 0] @ back.matrix.T,
                ideal.covariances[:1, a],
            )
            fitted = joint.means[:, a], joint.covariances[:1, a]
            both = (means, covs, *fitted) if direction == "information" else (*fitted, means, covs)
            value += weights[:, a] @ kl_of_cells(*both)
        worst = min(worst, value - cell_part(solution))
    assert worst >= -1e-12


def test_the_two_directions_are_solved_on_their_own_sides():
    # a cell-free check that the sides are not exchanged: each optimum is worse in the other
    joint = random_joint(np.random.default_rng(5), 3, 2, 2, spread=2.0)
    information = nearest_ideal(joint, moves="b", direction="information")
    moment = nearest_ideal(joint, moves="b", direction="moment")
    assert moment.distribution.kl_divergence(joint) > information.kl + 1e-3
    assert joint.kl_divergence(information.distribution) > moment.kl + 1e-3


def test_two_tied_classes_reach_the_minimum_of_the_printed_profile():
    rng = np.random.default_rng(2)
    for _ in range(10):
        joint = random_joint(rng, 2, 3, 3, spread=2.0)
        solution = nearest_ideal(joint)
        distances = []
        for a in range(3):
            far = joint.means[1, a] - joint.means[0, a]
            distances.append(float(np.sqrt(far @ np.linalg.solve(joint.covariances[0, a], far))))
        settings_ = distances, joint.group_prior, *joint.class_prior
        best = minimize_scalar(
            lambda t, s=settings_: two_class_profile(t, *s),
            bounds=(0.0, 3 * max(distances)),
            method="bounded",
            options={"xatol": 1e-12},
        )
        assert cell_part(solution) == pytest.approx(best.fun, abs=1e-12)
        assert solution.global_optimum


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_ideal_distribution_stays_as_it_is(direction):
    joint = nearest_ideal(random_joint(np.random.default_rng(1), 3, 2, 3)).distribution
    again = nearest_ideal(joint, direction=direction, priors="keep")
    assert again.kl == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(again.distribution.means, joint.means, atol=1e-7)


def test_no_class_difference_moves_rows_by_location_and_scale_alone():
    # h = 0 everywhere: the free rotation must be chosen as the least movement
    cells = {(y, a): Normal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]]) for y in (0, 1) for a in "ab"}
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    solution = nearest_ideal(joint)
    np.testing.assert_allclose(solution.maps["b"].matrix, np.eye(2), atol=1e-12)
    assert solution.kl == pytest.approx(0.0, abs=1e-14)


def test_the_free_rotation_moves_rows_least():
    rng = np.random.default_rng(8)
    joint = random_joint(rng, 2, 2, 5)
    solution = nearest_ideal(joint, moves="b", direction="moment", reference="a")
    move = solution.maps["b"]
    own, goal = joint.covariances[0, 1], joint.covariances[0, 0]

    def moved(matrix):
        rest = matrix - np.eye(5)
        centre = joint.prior[:, 1] @ joint.means[:, 1] / joint.prior[:, 1].sum()
        second = own + sum(
            w * np.outer(m - centre, m - centre)
            for w, m in zip(
                joint.prior[:, 1] / joint.prior[:, 1].sum(), joint.means[:, 1], strict=True
            )
        )
        return np.trace(rest @ second @ rest.T)

    lower = np.linalg.cholesky(goal)
    axis = np.linalg.solve(lower, joint.means[1, 0] - joint.means[0, 0])
    null = np.linalg.svd(axis[None])[2][1:].T
    for _ in range(50):
        turn = np.eye(5) + null @ (np.linalg.qr(rng.normal(size=(4, 4)))[0] - np.eye(4)) @ null.T
        other = lower @ turn @ np.linalg.inv(lower) @ move.matrix
        offset = move.offset + (move.matrix - other) @ joint.means[0, 1]
        laws = [joint.cells[y, "b"] for y in (0, 1)]
        kl = [
            AffineMap(other, offset).push(p).kl_divergence(joint.cells[y, "a"])
            for y, p in enumerate(laws)
        ]
        best = [move.push(p).kl_divergence(joint.cells[y, "a"]) for y, p in enumerate(laws)]
        assert kl == pytest.approx(best, abs=1e-10)  # the turned map pays the same
        assert moved(other) >= moved(move.matrix) - 1e-12


def test_lognormal_cells_are_solved_on_logarithms():
    normal = random_joint(np.random.default_rng(12), 2, 2, 2)
    arrays = normal.means, normal.covariances, normal.prior, normal.classes, normal.groups
    log = JointDistribution.from_arrays(*arrays, family="lognormal")
    found, expected = nearest_ideal(log), nearest_ideal(normal)
    assert found.kl == expected.kl
    assert found.distribution.family == "lognormal"
    assert isinstance(found.distribution.cells[0, "a"], LogNormal)
    assert found.maps == expected.maps
    assert is_ideal(found.distribution)


def test_history_never_rises_and_ends_at_the_total():
    for kind, d in (("tied", 4), ("diagonal", 1)):
        solution = nearest_ideal(random_joint(np.random.default_rng(3), 4, 3, d, kind=kind))
        assert (np.diff(solution.history) <= 0).all()
        assert solution.history[-1] == pytest.approx(solution.kl, abs=1e-12)


def test_global_optimum_is_claimed_only_where_it_is_proved():
    rng = np.random.default_rng(0)
    assert nearest_ideal(random_joint(rng, 3, 2, 2)).global_optimum
    assert nearest_ideal(random_joint(rng, 5, 2, 2), moves="b").global_optimum
    assert not nearest_ideal(random_joint(rng, 4, 2, 2)).global_optimum
    assert not nearest_ideal(random_joint(rng, 2, 2, 1, kind="diagonal")).global_optimum


@given(SEEDS, st.integers(2, 4), st.integers(1, 3), st.sampled_from(DIRECTIONS), st.booleans())
@settings(max_examples=25)
def test_a_shared_affine_map_moves_the_solution_along(seed, n_classes, d, direction, all_move):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, n_classes, 2, d)
    turn = AffineMap(
        np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 2, d), rng.normal(size=d)
    )
    moved = JointDistribution({c: turn.push(law) for c, law in joint.cells.items()}, joint.priors)
    request = {"moves": "all" if all_move else "b", "direction": direction, "reference": "a"}
    one, two = nearest_ideal(joint, **request), nearest_ideal(moved, **request)
    assert two.kl == pytest.approx(one.kl, abs=1e-8)
    assert one.kl >= 0


@given(SEEDS, st.sampled_from(DIRECTIONS), st.integers(1, 2))
@settings(max_examples=15)
def test_renaming_the_groups_renames_the_solution(seed, direction, d):
    joint = random_joint(np.random.default_rng(seed), 2, 3, d)
    names = {"a": "z", "b": "y", "c": "x"}
    renamed = JointDistribution(
        {(y, names[a]): law for (y, a), law in joint.cells.items()},
        {(y, names[a]): p for (y, a), p in joint.priors.items()},
    )
    one = nearest_ideal(joint, direction=direction, reference="a")
    two = nearest_ideal(renamed, direction=direction, reference="z")
    assert two.kl == pytest.approx(one.kl, abs=1e-9)
    for (label, group), value in one.kl_by_cell.items():
        assert two.kl_by_cell[label, names[group]] == pytest.approx(value, abs=1e-5)


def test_jointly_ideal_groups_may_stay_and_are_carried_to_the_reference():
    ideal = nearest_ideal(random_joint(np.random.default_rng(2), 3, 2, 3)).distribution
    mover = random_joint(np.random.default_rng(3), 3, 2, 3)
    share = np.array([0.4, 0.3, 0.3])
    prior = np.outer(ideal.class_prior, share)
    prior[:, 2] = 0.3 * np.array([0.5, 0.3, 0.2])
    joint = JointDistribution.from_arrays(
        np.concatenate([ideal.means, mover.means[:, :1]], axis=1),
        np.concatenate([ideal.covariances, mover.covariances[:, :1]], axis=1),
        prior,
        [0, 1, 2],
        ["a", "b", "c"],
    )
    solution = nearest_ideal(joint, moves="c")
    assert solution.reference == "a"
    assert solution.global_optimum
    assert is_ideal(solution.distribution)
    np.testing.assert_array_equal(solution.distribution.means[:, :2], ideal.means)
    for label in ideal.classes:
        pushed = solution.maps["b"].push(joint.cells[label, "b"])
        np.testing.assert_allclose(pushed.mean, solution.canonical[label].mean, atol=1e-10)


def test_groups_that_stay_must_be_jointly_ideal():
    joint = random_joint(np.random.default_rng(1), 2, 3, 2)
    with pytest.raises(NotIdealError, match="group 'b' is not with the reference 'a'"):
        nearest_ideal(joint, moves=["c"], reference="a")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"moves": ["nobody"]}, "`moves` of `nearest_ideal` must be 'all' or groups"),
        ({"moves": []}, "at least one group, got none"),
        ({"reference": "nobody"}, "`reference` of `nearest_ideal` must be a group"),
        ({"moves": "a", "reference": "a"}, "must be a group that stays, got 'a'"),
        ({"direction": "sideways"}, "`direction` of `nearest_ideal` must be one of"),
        ({"priors": "guess"}, "`priors` of `nearest_ideal` must be one of"),
        ({"map_family": "cubic"}, "`map_family` of `nearest_ideal` must be one of"),
        ({"map_family": "diagonal"}, "must have diagonal covariances"),
    ],
)
def test_wrong_requests_name_the_argument(request_, message):
    joint = random_joint(np.random.default_rng(1), 2, 2, 2)
    with pytest.raises(InvalidInputError, match=message):
        nearest_ideal(joint, **request_)


def test_what_is_no_joint_distribution_is_refused():
    with pytest.raises(InvalidInputError, match="must be a JointDistribution, got list"):
        nearest_ideal([1.0])


@pytest.mark.parametrize("cell", [(1, 2), (2, 1)])
def test_one_class_or_one_group_is_refused(cell):
    n_classes, n_groups = cell
    joint = JointDistribution.from_arrays(
        np.zeros((n_classes, n_groups, 1)),
        np.ones((n_classes, n_groups, 1, 1)),
        np.full((n_classes, n_groups), 0.5),
        list(range(n_classes)),
        list("ab"[:n_groups]),
    )
    with pytest.raises(InvalidInputError, match="at least 2 classes and 2 groups"):
        nearest_ideal(joint)


def test_priors_can_be_kept_only_where_they_factorise():
    joint = random_joint(np.random.default_rng(1), 2, 2, 2)
    with pytest.raises(NotIdealError, match="Use priors='reweigh'"):
        nearest_ideal(joint, priors="keep")


def test_naming_every_group_means_all():
    joint = random_joint(np.random.default_rng(1), 2, 2, 2)
    assert nearest_ideal(joint, moves=["a", "b"]).kl == nearest_ideal(joint).kl
    assert nearest_ideal(joint, moves=("b", "a")).moves == ("a", "b")


def test_the_default_reference_is_the_most_probable_group_allowed():
    joint = random_joint(np.random.default_rng(1), 2, 2, 2)
    largest = joint.groups[int(joint.group_prior.argmax())]
    assert nearest_ideal(joint).reference == largest
    other = next(g for g in joint.groups if g != largest)
    assert nearest_ideal(joint, moves=largest).reference == other
    assert ideal_violation(nearest_ideal(joint).distribution) < 1e-12
