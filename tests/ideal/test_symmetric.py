"""The symmetric family (theory.md 3.4): convex, so optimality is proved and checked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import JointDistribution
from isonomy.distributions._linalg import symmetric_sqrt
from isonomy.errors import InvalidInputError
from isonomy.ideal import ideal_violation, nearest_ideal
from isonomy.ideal._free.symmetric import RootProgramme, best_symmetric_root
from reference.free import root_divergence
from reference.ideal import random_joint

DIRECTIONS = ("information", "moment")
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(2, 4), st.integers(1, 5))


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


def root_of(solution, label, group):
    """T: the symmetric root of the mover's ideal covariance in the reference class."""
    return symmetric_sqrt(solution.distribution.cells[label, group].covariance)


@given(SEEDS, SIZES, st.sampled_from(DIRECTIONS))
@settings(max_examples=15, deadline=None)
def test_the_optimum_is_the_printed_programme_and_no_perturbed_root_does_better(
    seed, size, direction
):
    rng = np.random.default_rng(seed)
    joint = random_joint(rng, size[0], 2, size[1], kind="free")
    solution = nearest_ideal(joint, moves="b", direction=direction, map_family="symmetric")
    c = int(joint.class_prior.argmax())
    q = weights_of(solution)[:, 1]
    root, offset = root_of(solution, c, "b"), solution.distribution.means[c, 1]
    paid = root_divergence(root, offset, joint, c, 0, 1, q, direction)
    assert solution.global_optimum and solution.converged
    assert solution.history[-1] == pytest.approx(solution.kl, rel=1e-9, abs=1e-10)
    assert paid == pytest.approx(cell_part(solution), rel=1e-8, abs=1e-10)
    for scale in (1e-3, 1e-1):
        turn = rng.normal(size=root.shape)
        factor = np.eye(size[1]) + scale * (turn + turn.T)
        other = factor @ root @ factor
        shift = offset + scale * rng.normal(size=size[1])
        value = root_divergence(other, shift, joint, c, 0, 1, q, direction)
        assert value >= paid - 1e-9 * (1.0 + paid)


@given(SEEDS, SIZES, st.sampled_from(DIRECTIONS))
@settings(max_examples=10, deadline=None)
def test_the_result_is_ideal_and_pays_no_less_than_the_affine_one(seed, size, direction):
    joint = random_joint(np.random.default_rng(seed), size[0], 2, size[1], kind="free")
    request = {"moves": "b", "direction": direction}
    symmetric = nearest_ideal(joint, map_family="symmetric", **request)
    affine = nearest_ideal(joint, **request)
    assert ideal_violation(symmetric.distribution) < 1e-8
    assert affine.kl <= symmetric.kl + 1e-8


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_start_ends_at_the_same_root(direction):
    rng = np.random.default_rng(3)
    joint = random_joint(rng, 3, 2, 4, kind="free")
    lowers = np.linalg.cholesky(joint.covariances)
    cells = joint.means[:, 0], lowers[:, 0], joint.means[:, 1], lowers[:, 1]
    q = rng.dirichlet(np.ones(3))
    best = best_symmetric_root(*cells, q)
    for _ in range(5):
        factor = rng.normal(size=(4, 4))
        other = best_symmetric_root(*cells, q, factor @ factor.T)
        np.testing.assert_allclose(other.root, best.root, atol=1e-5)
        assert other.value == pytest.approx(best.value, abs=1e-11)
        assert best.converged and best.gap < 1e-11


def test_the_programme_is_convex_in_the_root():
    # the claim behind `global_optimum`: chords lie above, and the gap is a bound
    rng = np.random.default_rng(5)
    joint = random_joint(rng, 3, 2, 3, kind="free")
    lowers = np.linalg.cholesky(joint.covariances)
    cells = joint.means[:, 0], lowers[:, 0], joint.means[:, 1], lowers[:, 1]
    q = rng.dirichlet(np.ones(3))
    programme = RootProgramme(*cells, q)
    least = best_symmetric_root(*cells, q).value
    for _ in range(100):
        roots = rng.normal(size=(2, 3, 3))
        p, r = (x @ x.T + 0.1 * np.eye(3) for x in roots)
        t = rng.uniform()
        middle = programme.value(t * p + (1 - t) * r)
        assert middle <= t * programme.value(p) + (1 - t) * programme.value(r) + 1e-9
        value, gradient = programme.value_and_gradient(p)
        size = programme.norm(p, gradient)
        if size < 1.0:
            assert value - least <= -size - np.log1p(-size) + 1e-12


def test_slope_and_curvature_are_those_of_the_value():
    rng = np.random.default_rng(6)
    joint = random_joint(rng, 3, 2, 3, kind="free")
    lowers = np.linalg.cholesky(joint.covariances)
    programme = RootProgramme(
        joint.means[:, 0], lowers[:, 0], joint.means[:, 1], lowers[:, 1], np.full(3, 0.2)
    )
    factor, way = rng.normal(size=(2, 3, 3))
    at, way, h = factor @ factor.T + np.eye(3), way + way.T, 1e-5
    ahead, behind = (programme.value_and_gradient(at + s * h * way) for s in (1.0, -1.0))
    slope = np.sum(programme.value_and_gradient(at)[1] * way)
    assert (ahead[0] - behind[0]) / (2 * h) == pytest.approx(slope, rel=1e-6)
    bend = programme.curvature(at)(way)
    np.testing.assert_allclose((ahead[1] - behind[1]) / (2 * h), bend, rtol=1e-5, atol=1e-7)


def test_the_family_depends_on_the_reference_class():
    joint = random_joint(np.random.default_rng(1), 3, 2, 3, kind="free")
    paid = {
        c: nearest_ideal(joint, moves="b", map_family="symmetric", reference_class=c).kl
        for c in joint.classes
    }
    assert max(paid.values()) > min(paid.values()) + 1e-3
    default = int(joint.class_prior.argmax())
    assert nearest_ideal(joint, moves="b", map_family="symmetric").kl == paid[default]


def test_a_reference_class_must_exist_and_is_for_symmetric_maps_alone():
    joint = random_joint(np.random.default_rng(1), 2, 2, 2, kind="free")
    with pytest.raises(InvalidInputError, match="`reference_class` of `nearest_ideal` must be a"):
        nearest_ideal(joint, map_family="symmetric", reference_class="nobody")
    with pytest.raises(InvalidInputError, match="only with map_family='symmetric'"):
        nearest_ideal(joint, reference_class=0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_far_start_and_rare_classes_end_at_the_minimum(direction):
    # classes 1e3 standard deviations apart, one of prior 1e-6: the barrier must not stall
    rng = np.random.default_rng(8)
    joint = random_joint(rng, 3, 2, 3, kind="free")
    apart = np.array([[0.0, 0.0, 0.0], [1e3, 0.0, 0.0], [0.0, -1e3, 0.0]])
    joint = JointDistribution.from_arrays(
        joint.means + apart[:, None, :],
        joint.covariances,
        np.outer([1e-6, 0.6, 0.4 - 1e-6], [0.5, 0.5]),
        joint.classes,
        joint.groups,
    )
    solution = nearest_ideal(joint, moves="b", direction=direction, map_family="symmetric")
    assert solution.converged and solution.global_optimum
    assert np.isfinite(solution.kl)
    assert ideal_violation(solution.distribution) < 1e-8


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_all_groups_pay_less_than_one_and_symmetric_roots_stay_symmetric(direction):
    joint = random_joint(np.random.default_rng(9), 3, 3, 2, kind="free")
    request = {"direction": direction, "map_family": "symmetric", "reference": "a"}
    together = nearest_ideal(joint, **request)
    alone = nearest_ideal(joint, moves=["b", "c"], **request)
    assert together.converged and not together.global_optimum
    assert together.kl < alone.kl
    assert (np.diff(together.history) <= 0).all()
    assert together.history[-1] == pytest.approx(together.kl, abs=1e-10)
    assert ideal_violation(together.distribution) < 1e-9
    # T_b T_a^-1 carries a's reference cell to b's, and shapes about it agree
    c = int(joint.class_prior.argmax())
    roots = [root_of(together, c, g) for g in "abc"]
    for y in range(3):
        shapes = [
            np.linalg.solve(t, np.linalg.solve(t, together.distribution.covariances[y, a]).T)
            for a, t in enumerate(roots)
        ]
        np.testing.assert_allclose(shapes[1], shapes[0], atol=1e-7)
        np.testing.assert_allclose(shapes[2], shapes[0], atol=1e-7)


def test_tied_covariances_allow_symmetric_maps_too():
    joint = random_joint(np.random.default_rng(2), 3, 2, 3)
    symmetric = nearest_ideal(joint, moves="b", map_family="symmetric")
    assert symmetric.global_optimum
    assert nearest_ideal(joint, moves="b").kl <= symmetric.kl
    assert ideal_violation(symmetric.distribution) < 1e-9
