"""All groups move, covariances free: block descent through the profile over the maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.ideal import ideal_violation, nearest_ideal
from isonomy.ideal._cells import kl_of_cells, push_cells
from isonomy.ideal._free.profile import Profile
from reference.free import least_all_groups
from reference.ideal import programme_value, random_joint

DIRECTIONS = ("information", "moment")
SEEDS = st.integers(0, 2**32 - 1)


def weights_of(solution):
    information = solution.direction == "information"
    return np.asarray((solution.distribution if information else solution.source).prior)


def cell_part(solution):
    weights, joint = weights_of(solution), solution.source
    return sum(
        weights[y, a] * solution.kl_by_cell[label, group]
        for y, label in enumerate(joint.classes)
        for a, group in enumerate(joint.groups)
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("n_classes", "n_groups", "d"), [(2, 2, 2), (3, 2, 2), (2, 3, 2)])
def test_no_general_optimiser_finds_nearer_cells(n_classes, n_groups, d, direction):
    rng = np.random.default_rng([n_classes, n_groups])
    joint = random_joint(rng, n_classes, n_groups, d, kind="free")
    solution = nearest_ideal(joint, direction=direction)
    found = least_all_groups(joint, weights_of(solution), direction, 2, rng)
    assert solution.converged and not solution.global_optimum
    assert cell_part(solution) <= found + 1e-6


@given(SEEDS, st.integers(2, 3), st.integers(2, 3), st.integers(2, 3), st.sampled_from(DIRECTIONS))
@settings(max_examples=8, deadline=None)
def test_the_result_is_ideal_pays_the_literal_sum_and_less_than_one_mover(
    seed, n_classes, n_groups, d, direction
):
    joint = random_joint(np.random.default_rng(seed), n_classes, n_groups, d, kind="free")
    solution = nearest_ideal(joint, direction=direction)
    ideal = solution.distribution
    assert ideal_violation(ideal) < 1e-8
    cells = {cell: (law.mean, law.covariance) for cell, law in ideal.cells.items()}
    assert solution.kl == pytest.approx(
        programme_value(cells, ideal.priors, joint, direction), rel=1e-9, abs=1e-10
    )
    assert (np.diff(solution.history) <= 0).all()
    assert solution.history[-1] == pytest.approx(solution.kl, abs=1e-9)
    movers = [g for g in joint.groups if g != solution.reference]
    alone = nearest_ideal(joint, moves=movers, direction=direction)
    assert solution.kl <= alone.kl + 1e-8
    symmetric = nearest_ideal(joint, direction=direction, map_family="symmetric")
    assert solution.kl <= symmetric.kl + 1e-8
    for (label, group), law in ideal.cells.items():
        pushed, goal = solution.maps[group].push(law), solution.canonical[label]
        np.testing.assert_allclose(pushed.mean, goal.mean, atol=1e-8)
        np.testing.assert_allclose(pushed.covariance, goal.covariance, atol=1e-8)


@pytest.mark.parametrize("fixed", [None, 1])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_canonical_cells_are_the_best_for_the_maps(direction, fixed):
    rng = np.random.default_rng(1)
    joint = random_joint(rng, 3, 2, 2, kind="free")
    lowers = np.linalg.cholesky(joint.covariances)
    profile = Profile(joint.means, lowers, joint.prior, direction, fixed)
    maps, offsets = rng.normal(size=(1, 2, 2, 2)), rng.normal(size=(1, 2, 2))

    def total(means, covs):
        value = 0.0
        for a in (0, 1):
            move, own = (maps[0, a], offsets[0, a]), (joint.means[:, a], joint.covariances[:, a])
            if direction == "information":
                each = kl_of_cells(*push_cells(*move, means, covs), *own)
            else:
                each = kl_of_cells(*push_cells(*move, *own), means, covs)
            value += joint.prior[:, a] @ each
        return value

    (means,), (covs,) = profile.canonical(maps, offsets)
    least = total(means, covs)
    assert profile.value_and_gradient(maps, offsets)[0][0] == pytest.approx(least, abs=1e-10)
    free = [y for y in range(3) if y != fixed]
    for scale in (1e-4, 1e-2):
        other, turned = means.copy(), covs.copy()
        other[free] += scale * rng.normal(size=(len(free), 2))
        turn = np.eye(2) + scale * rng.normal(size=(2, 2))
        turned[free] = turn @ covs[free] @ turn.T
        assert total(other, turned) >= least
    if fixed is not None:
        np.testing.assert_array_equal(means[fixed], 0.0)
        np.testing.assert_array_equal(covs[fixed], np.eye(2))


@pytest.mark.parametrize("fixed", [None, 0])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_slope_is_that_of_the_value(direction, fixed):
    rng = np.random.default_rng(2)
    joint = random_joint(rng, 3, 3, 2, kind="free")
    lowers = np.linalg.cholesky(joint.covariances)
    profile = Profile(joint.means, lowers, joint.prior, direction, fixed)
    maps, way = rng.normal(size=(2, 2, 3, 2, 2))
    offsets, drift = rng.normal(size=(2, 2, 3, 2))
    h = 1e-6
    ahead = profile.value_and_gradient(maps + h * way, offsets + h * drift)[0]
    behind = profile.value_and_gradient(maps - h * way, offsets - h * drift)[0]
    _, by_map, by_offset = profile.value_and_gradient(maps, offsets)
    slope = (by_map * way).sum(axis=(1, 2, 3)) + (by_offset * drift).sum(axis=(1, 2))
    np.testing.assert_allclose((ahead - behind) / (2 * h), slope, rtol=1e-5, atol=1e-6)


def test_renaming_the_groups_renames_the_solution():
    joint = random_joint(np.random.default_rng(3), 2, 3, 2, kind="free")
    names = {"a": "z", "b": "y", "c": "x"}
    renamed = type(joint)(
        {(y, names[a]): law for (y, a), law in joint.cells.items()},
        {(y, names[a]): p for (y, a), p in joint.priors.items()},
    )
    one, two = nearest_ideal(joint), nearest_ideal(renamed)
    assert two.kl == pytest.approx(one.kl, abs=1e-8)


def test_a_rare_group_is_carried_as_exactly_as_a_frequent_one():
    joint = random_joint(np.random.default_rng(4), 2, 2, 2, kind="free")
    prior = np.outer([0.4, 0.6], [1.0 - 1e-6, 1e-6])
    rare = type(joint).from_arrays(
        joint.means, joint.covariances, prior, joint.classes, joint.groups
    )
    together, alone = nearest_ideal(rare), nearest_ideal(rare, moves="b")
    assert together.converged
    # the frequent group hardly moves, so the rare one pays what it pays alone
    assert together.kl == pytest.approx(alone.kl, rel=1e-3)
    for cell in ((0, "b"), (1, "b")):
        assert together.kl_by_cell[cell] == pytest.approx(alone.kl_by_cell[cell], rel=1e-2)
