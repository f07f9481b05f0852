"""The nearest ideal of categorical columns: closed forms against a general optimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from isonomy.distributions import Categorical, CategoricalJoint
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal import certify, is_ideal, nearest_ideal
from isonomy.ideal._categorical.nearest import nearest_categorical
from reference.categorical import best_by_descent, joint_kl, kl

SEEDS = st.integers(0, 2**32 - 1)
DIRECTIONS = ["information", "moment"]


def joint_of(prior, *tables):
    pairs = list(np.ndindex(prior.shape))
    return CategoricalJoint(
        {p: [Categorical(t[p]) for t in tables] for p in pairs}, {p: prior[p] for p in pairs}
    )


def some_joint(seed, n_classes=2, n_groups=2, sizes=(3,)):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    return joint_of(prior, *(rng.dirichlet(np.ones(m), size=(n_classes, n_groups)) for m in sizes))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("priors", ["reweigh", "reference", "joint"])
@pytest.mark.parametrize("seed", range(3))
def test_no_common_law_found_by_descent_pays_less(direction, priors, seed):
    joint = some_joint(seed, 2, 3, (4,))
    solution = nearest_ideal(joint, direction=direction, priors=priors)
    ideal, table = solution.distribution, joint.tables[0]
    weights = ideal.prior if direction == "information" else joint.prior
    least = 0.0
    for y in range(2):

        def paid(p, y=y):
            pairs = [(p, table[y, a]) for a in range(3)]
            pairs = pairs if direction == "information" else [pair[::-1] for pair in pairs]
            return sum(w * kl(*pair) for w, pair in zip(weights[y], pairs, strict=True))

        least += best_by_descent(paid, 4)
    mine = sum(solution.kl_by_cell[y, a] * weights[y, a] for y in (0, 1) for a in range(3))
    assert mine == pytest.approx(least, abs=1e-7)
    assert mine <= least + 1e-9
    assert solution.converged
    assert solution.global_optimum
    assert solution.history == (solution.kl,)


@given(SEEDS, st.sampled_from(DIRECTIONS), st.sampled_from(["reweigh", "reference", "joint"]))
def test_the_solution_is_ideal_and_costs_what_it_says(seed, direction, priors):
    joint = some_joint(seed, 3, 2, (4,))
    solution = nearest_ideal(joint, direction=direction, priors=priors)
    ideal = solution.distribution
    assert is_ideal(ideal)
    np.testing.assert_allclose(ideal.prior.sum(axis=0), joint.prior.sum(axis=0))
    pair = [(ideal.prior, ideal.tables[0]), (joint.prior, joint.tables[0])]
    pair = pair if direction == "information" else pair[::-1]
    assert solution.kl == pytest.approx(joint_kl(*pair[0], *pair[1]), abs=1e-12)


@given(SEEDS)
def test_joint_priors_are_the_best_label_probabilities(seed):
    joint = some_joint(seed, 3, 2)
    best = nearest_ideal(joint, priors="joint")
    group = joint.prior.sum(axis=0)
    label = best.distribution.prior.sum(axis=1)
    table = best.distribution.tables[0]
    for other in ("reweigh", "reference"):
        assert best.kl <= nearest_ideal(joint, priors=other).kl + 1e-12
    rng = np.random.default_rng(seed)
    for trial in [rng.dirichlet(np.ones(3)), *(label * np.exp(0.1 * rng.normal(size=(5, 3))))]:
        prior = np.outer(trial / trial.sum(), group)
        assert best.kl <= joint_kl(prior, table, joint.prior, joint.tables[0]) + 1e-12


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_independent_columns_no_product_law_pays_less(direction):
    joint = some_joint(5, 2, 2, (2, 3))
    solution = nearest_ideal(joint, direction=direction)
    weights = (solution.distribution if direction == "information" else joint).prior

    def paid(z):
        total = 0.0
        for y in range(2):
            for j, (lo, hi) in enumerate(((0, 2), (2, 5))):
                p = np.exp(z[5 * y + lo : 5 * y + hi])
                p /= p.sum()
                for a in range(2):
                    pair = (p, joint.tables[j][y, a])
                    pair = pair if direction == "information" else pair[::-1]
                    total += weights[y, a] * kl(*pair)
        return total

    found = min(
        minimize(paid, np.random.default_rng(s).normal(size=10), options={"gtol": 1e-10}).fun
        for s in range(3)
    )
    mine = sum(solution.kl_by_cell[y, a] * weights[y, a] for y in (0, 1) for a in (0, 1))
    assert mine == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_movers_take_the_law_of_the_group_that_stays(direction):
    joint = some_joint(1, 2, 3)
    solution = nearest_ideal(joint, moves=[0, 2], direction=direction)
    assert solution.reference == 1
    for a in range(3):
        np.testing.assert_array_equal(solution.distribution.tables[0][:, a], joint.tables[0][:, 1])
    assert solution.kl_by_cell[0, 1] == 0.0
    assert nearest_ideal(joint, direction=direction).kl <= solution.kl
    with pytest.raises(NotIdealError, match="must have equal categorical laws"):
        nearest_ideal(joint, moves=[0])


def test_an_ideal_law_is_its_own_nearest():
    law = np.array([[0.2, 0.8], [0.7, 0.3]])
    joint = joint_of(np.outer([0.4, 0.6], [0.3, 0.7]), np.repeat(law[:, None], 2, axis=1))
    for direction in DIRECTIONS:
        solution = nearest_ideal(joint, direction=direction, priors="keep")
        assert solution.kl == pytest.approx(0.0, abs=1e-14)
        assert all(flips[0].is_identity for flips in solution.maps.values())
        assert max(solution.residual.values()) < 1e-15


def test_a_category_that_one_group_lacks_is_given_up_or_costs_infinity():
    table = np.array([[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], [[0.1, 0.8, 0.1], [0.4, 0.4, 0.2]]])
    joint = joint_of(np.full((2, 2), 0.25), table)
    solution = nearest_ideal(joint)
    assert solution.distribution.tables[0][0, 0, 2] == 0.0
    assert math.isfinite(solution.kl)
    assert math.isfinite(nearest_ideal(joint, direction="moment").kl)
    # the mover must take a category that it never had: KL(D~ || D) is infinite
    assert nearest_ideal(joint, moves=[0], reference=1).kl == math.inf
    apart = joint_of(np.full((2, 2), 0.25), np.array([[[1.0, 0.0], [0.0, 1.0]]] * 2))
    with pytest.raises(InvalidInputError, match="smoothing above 0"):
        nearest_ideal(apart)


def test_identity_matching_is_not_the_nearest_of_all_ideal_laws():
    # group 1 calls the categories by each other's names: relabelled, it is ideal already
    law = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    table = np.stack([law, law[:, [2, 0, 1]]], axis=1)
    joint = joint_of(np.full((2, 2), 0.25), table)
    assert is_ideal(joint)
    by_name = nearest_categorical(joint)
    relabelled = nearest_categorical(joint, matching="permutation")
    assert by_name.kl > 0.2
    assert relabelled.kl == pytest.approx(0.0, abs=1e-12)
    assert relabelled.distribution.tables[0] == pytest.approx(table)
    assert relabelled.n_iter == 6
    assert (np.diff(relabelled.history) <= 0).all()
    # flips without labels can relabel: nothing is left
    assert max(relabelled.residual.values()) < 1e-6


@settings(max_examples=20)
@given(SEEDS, st.sampled_from(DIRECTIONS))
def test_relabelled_ideals_are_ideal_and_never_farther(seed, direction):
    joint = some_joint(seed, 2, 2)
    by_name = nearest_categorical(joint, direction=direction)
    relabelled = nearest_categorical(joint, direction=direction, matching="permutation")
    assert relabelled.kl <= by_name.kl + 1e-12
    assert is_ideal(relabelled.distribution)
    ideal = relabelled.distribution
    paid = ideal.kl_divergence(joint) if direction == "information" else joint.kl_divergence(ideal)
    assert relabelled.kl == pytest.approx(paid, abs=1e-12)


def test_what_categories_do_not_know_is_refused():
    joint = some_joint(0, sizes=(3, 3))
    with pytest.raises(UnsupportedProgrammeError, match="matched by name"):
        nearest_ideal(joint, map_family="symmetric")
    with pytest.raises(UnsupportedProgrammeError, match="one column or one joint alphabet"):
        nearest_categorical(joint, matching="permutation")
    with pytest.raises(UnsupportedProgrammeError, match="up to 10000 relabellings"):
        nearest_categorical(some_joint(0, sizes=(8,)), matching="permutation")
    with pytest.raises(NotIdealError, match="'keep'"):
        nearest_ideal(joint, priors="keep")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_certificate_says_what_is_exact_and_what_flips_leave(direction):
    solution = nearest_ideal(some_joint(3, 3, 3, (3, 2)), direction=direction)
    found = certify(solution)
    assert found.violation_before > 1e-3
    assert found.violation_after <= found.tolerance
    assert found.bayes_gap_before > 0.05
    assert found.bayes_gap_after < 1e-15
    assert found.claim == "population"
    left = solution.residual_by_cell
    for label in (0, 1, 2):
        worst = max(left[label, a] + left[label, b] for a in range(3) for b in range(a))
        assert found.transfer_bound[label] == pytest.approx(worst, abs=1e-12)
    assert "is ideal" in str(found)
    assert type(found).from_dict(found.to_dict()).kl == found.kl
    with pytest.raises(InvalidInputError, match="left out for a CategoricalSolution"):
        certify(solution, [[0, 0]], [0], sensitive_features=[0])
