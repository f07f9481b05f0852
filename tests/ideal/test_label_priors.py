"""`nearest_ideal(priors=...)`: the label's probabilities, fixed or optimised."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.distributions import JointDistribution
from isonomy.ideal import is_ideal, nearest_ideal
from reference.ideal import random_joint


def test_reference_and_joint_priors_are_what_they_say():
    joint = random_joint(np.random.default_rng(4), 3, 2, 2)
    reference = nearest_ideal(joint, priors="reference", reference="b").distribution
    np.testing.assert_allclose(reference.class_prior, joint.prior[:, 1] / joint.prior[:, 1].sum())
    np.testing.assert_allclose(reference.group_prior, joint.group_prior)
    free = nearest_ideal(joint, priors="joint")
    fixed = [nearest_ideal(joint, priors=p).kl for p in ("reweigh", "reference")]
    assert free.kl < min(fixed)
    assert not free.global_optimum
    np.testing.assert_allclose(free.distribution.group_prior, joint.group_prior)


@pytest.mark.parametrize("moves", ["all", "b"])
def test_joint_priors_satisfy_the_fixed_point(moves):
    joint = random_joint(np.random.default_rng(6), 3, 2, 2)
    solution = nearest_ideal(joint, priors="joint", moves=moves)
    share = joint.group_prior
    cost = [
        sum(
            share[a] * (solution.kl_by_cell[y, g] + np.log(share[a] / joint.prior[y, a]))
            for a, g in enumerate(joint.groups)
        )
        for y in joint.classes
    ]
    expected = np.exp(-np.array(cost))
    np.testing.assert_allclose(
        solution.distribution.class_prior, expected / expected.sum(), rtol=1e-6
    )


def test_joint_priors_equal_reweighed_ones_in_the_moment_direction():
    joint = random_joint(np.random.default_rng(9), 3, 2, 2)
    kl = [nearest_ideal(joint, priors=p, direction="moment").kl for p in ("joint", "reweigh")]
    assert kl[0] == kl[1]


@pytest.mark.parametrize(("kind", "d"), [("diagonal", 1), ("tied", 2)])
def test_no_label_prior_of_a_grid_is_nearer_than_the_joint_one(kind, d):
    for seed in range(3):
        joint = random_joint(np.random.default_rng(seed), 3, 2, d, kind=kind, spread=3.0)
        found = nearest_ideal(joint, moves=["b"], priors="joint")
        steps = np.linspace(0.01, 0.97, 9)
        for one, two in [(p, q) for p in steps for q in steps if p + q < 1]:
            prior = np.outer([one, two, 1 - one - two], joint.group_prior)
            arrays = joint.means, joint.covariances, prior, joint.classes, joint.groups
            given = nearest_ideal(
                JointDistribution.from_arrays(*arrays), moves=["b"], priors="keep"
            )
            value = given.kl + float((prior * np.log(prior / joint.prior)).sum())
            assert found.kl <= value + 1e-7


def test_a_label_too_expensive_to_move_keeps_a_trace_of_its_probability():
    means = np.array([[[0.0], [0.0]], [[30.0], [30.0]], [[60.0], [-90.0]]])
    arrays = np.ones((3, 2, 1, 1)), np.full((3, 2), 1 / 6), [0, 1, 2], ["a", "b"]
    solution = nearest_ideal(JointDistribution.from_arrays(means, *arrays), priors="joint")
    assert 0 < solution.distribution.class_prior[2] < 1e-9
    assert is_ideal(solution.distribution, tol=1e-9)
