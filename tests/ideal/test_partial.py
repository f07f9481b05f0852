"""Part of the way to the ideal: maps that stay invertible, laws that end where they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, polar
from scipy.stats import ortho_group, special_ortho_group

from isonomy.distributions import AffineMap, JointDistribution, LogNormal, Normal, kl_divergence
from isonomy.distributions._paths import rotation_power
from isonomy.errors import InvalidInputError, SingularCovarianceError
from isonomy.ideal import ideal_violation, nearest_ideal, partial_ideal
from isonomy.ideal.partial import partial_maps

seeds = st.integers(0, 10_000)
strengths = st.floats(0.0, 1.0)


def a_joint(seed: int, *, n_classes: int = 2, d: int = 3, n_groups: int = 2, tied: bool = True):
    rng = np.random.default_rng(seed)
    shape = (n_groups,) if tied else (n_classes, n_groups)
    factors = rng.normal(size=(*shape, d, d + 3))
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    means = 1.5 * rng.normal(size=(n_classes, n_groups, d))
    covariances = factors @ factors.swapaxes(-1, -2) / d
    names = range(n_classes), list("abc"[:n_groups])
    return JointDistribution.from_arrays(means, covariances, prior, *names)


def a_map(seed: int, d: int) -> AffineMap:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(d, d))
    if np.linalg.det(matrix) < 0:
        matrix[0] *= -1.0
    return AffineMap(matrix, rng.normal(size=d))


@given(seed=seeds, d=st.integers(1, 5), s=strengths)
def test_the_path_never_meets_a_singular_map(seed, d, s):
    whole = a_map(seed, d)
    part = whole.partial(s)
    determinant = np.linalg.det(whole.matrix)
    assert np.linalg.det(part.matrix) == pytest.approx(determinant**s, rel=1e-7)
    assert part.offset == pytest.approx(s * whole.offset)


@given(seed=seeds, d=st.integers(1, 5))
def test_the_path_starts_at_the_identity_and_ends_at_the_map(seed, d):
    whole = a_map(seed, d)
    assert whole.partial(0.0).matrix == pytest.approx(np.eye(d), abs=1e-9)
    assert whole.partial(1.0).matrix == pytest.approx(whole.matrix, abs=1e-8)
    assert whole.partial(1.0).offset == pytest.approx(whole.offset)


@given(seed=seeds, d=st.integers(2, 4), s=strengths)
def test_the_path_does_not_depend_on_coordinates(seed, d, s):
    rng = np.random.default_rng(seed)
    whole, change = a_map(seed, d), a_map(seed + 1, d)
    if np.linalg.cond(change.matrix) > 1e3 or np.linalg.cond(whole.matrix) > 1e3:
        return
    factor, point = rng.normal(size=(d, d + 2)), rng.normal(size=d)
    covariance = factor @ factor.T
    here = whole.partial(s, about=point, covariance=covariance)
    other = change.compose(whole).compose(change.inverse())
    there = other.partial(
        s,
        about=change.apply(point[None])[0],
        covariance=change.matrix @ covariance @ change.matrix.T,
    )
    back = change.inverse().compose(there).compose(change)
    assert back.matrix == pytest.approx(here.matrix, rel=1e-4, abs=1e-5)
    assert back.offset == pytest.approx(here.offset, rel=1e-4, abs=1e-5)


def test_the_polar_path_is_the_formula():
    whole = a_map(3, 4)
    rotation, stretch = polar(whole.matrix)
    values, axes = np.linalg.eigh(stretch)
    angle = 0.3
    expected = rotation_power(rotation, angle) @ (axes * values**angle) @ axes.T
    assert whole.partial(angle).matrix == pytest.approx(expected)


@given(seed=seeds, d=st.integers(2, 6), s=strengths)
def test_powers_of_rotations_turn_every_plane_by_a_share_of_its_angle(seed, d, s):
    rng = np.random.default_rng(seed)
    skew = rng.normal(size=(d, d))
    skew = skew - skew.T
    skew *= 3.0 / np.linalg.norm(skew, 2)  # below a half turn: the shortest way is this one
    assert rotation_power(expm(skew), s) == pytest.approx(expm(s * skew), abs=1e-7)


@given(seed=seeds, d=st.integers(2, 6))
def test_powers_of_rotations_compose(seed, d):
    rotation = special_ortho_group.rvs(d, random_state=seed)
    half = rotation_power(rotation, 0.5)
    assert half @ half == pytest.approx(rotation, abs=1e-8)
    assert half @ half.T == pytest.approx(np.eye(d), abs=1e-10)


def test_half_turns_take_a_shortest_way():
    quarter = rotation_power(np.diag([-1.0, -1.0, 1.0]), 0.5)
    assert quarter @ quarter == pytest.approx(np.diag([-1.0, -1.0, 1.0]), abs=1e-12)
    assert quarter[2] == pytest.approx([0.0, 0.0, 1.0], abs=1e-12)


def test_maps_without_a_path_say_so():
    mirror = ortho_group.rvs(3, random_state=0)
    mirror = mirror if np.linalg.det(mirror) < 0 else -mirror
    with pytest.raises(InvalidInputError, match="mirrors space"):
        AffineMap(mirror, np.zeros(3)).partial(0.5)
    with pytest.raises(SingularCovarianceError, match="loses 1"):
        AffineMap(np.diag([1.0, 0.0]), np.zeros(2)).partial(0.5)
    with pytest.raises(InvalidInputError, match="`strength`"):
        AffineMap.identity(2).partial(1.5)


@given(seed=seeds, s=strengths, n_groups=st.integers(2, 3))
def test_partial_maps_end_on_the_canonical_cells_without_a_mirror(seed, s, n_groups):
    solution = nearest_ideal(a_joint(seed, n_groups=n_groups))
    ideal = solution.distribution
    for group, move in partial_maps(solution, s).items():
        assert np.linalg.det(move.matrix) > 0.0
        near = partial_maps(solution, 1.0 - 1e-12)[group]
        for label in ideal.classes:
            image = near.push(ideal.cells[label, group])
            assert image.mean == pytest.approx(solution.canonical[label].mean, abs=1e-5)
            goal = solution.canonical[label].covariance
            assert image.covariance == pytest.approx(goal, rel=1e-5, abs=1e-5)


def test_a_mirror_that_cannot_be_undone_is_named():
    cells = {
        (0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
        (0, "b"): Normal(2.0, 1.0), (1, "b"): Normal(0.0, 1.0),
    }  # fmt: skip
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    solution = nearest_ideal(joint, moves=["b"])
    assert solution.maps["b"].matrix[0, 0] < 0.0
    with pytest.raises(InvalidInputError, match="group 'b' that does not mirror"):
        partial_maps(solution, 0.5)
    straight = nearest_ideal(joint, moves=["b"], map_family="symmetric")
    assert partial_maps(straight, 0.5)["b"].matrix[0, 0] > 0.0


@given(seed=seeds, tied=st.booleans(), n_classes=st.integers(2, 3))
def test_partial_laws_lead_from_the_fitted_to_the_ideal_law(seed, tied, n_classes):
    joint = a_joint(seed, n_classes=n_classes, tied=tied, d=2)
    solution = nearest_ideal(joint)
    assert partial_ideal(solution, 0.0) == joint
    assert partial_ideal(solution, 1.0) == solution.distribution
    near = partial_ideal(solution, 1.0 - 1e-9)
    assert near.means == pytest.approx(np.asarray(solution.distribution.means), abs=1e-6)
    assert near.covariances == pytest.approx(solution.distribution.covariances, abs=1e-6)
    middle = partial_ideal(solution, 0.5)
    assert middle.group_prior == pytest.approx(joint.group_prior)
    # the ends of a path are not told apart by less than its middle from either
    assert middle.kl_divergence(joint) >= 0.0
    assert ideal_violation(near) < 1e-5 < ideal_violation(joint)


@given(seed=seeds, tied=st.booleans(), n_classes=st.integers(2, 3), d=st.integers(1, 3))
@settings(max_examples=15)
def test_on_the_way_every_cell_comes_nearer_to_its_ideal(seed, tied, n_classes, d):
    protected = [0] if tied and d == 3 else None
    joint = a_joint(seed, n_classes=n_classes, d=d, tied=tied)
    solution = nearest_ideal(joint, protected=protected)
    laws = [partial_ideal(solution, s) for s in np.linspace(0.0, 1.0, 9)]
    for pair, goal in solution.distribution.cells.items():
        left = [kl_divergence(law.cells[pair], goal) for law in laws]
        assert left[-1] == pytest.approx(0.0, abs=1e-12)
        assert (np.diff(left) < 1e-10).all()
        assert (np.diff(left, 2) > -1e-8 * (1.0 + left[0])).all()


def test_cells_go_by_the_straight_path_of_optimal_transport():
    joint = a_joint(1)
    solution = nearest_ideal(joint)
    half = partial_ideal(solution, 0.5)
    means = 0.5 * (np.asarray(joint.means) + solution.distribution.means)
    assert half.means == pytest.approx(means)
    q, r = np.asarray(joint.prior), np.asarray(solution.distribution.prior)
    expected = np.sqrt(q * r)
    expected = expected / expected.sum(axis=0) * q.sum(axis=0)
    assert half.prior == pytest.approx(expected)


def test_in_one_dimension_standard_deviations_go_straight():
    cells = {
        (0, "a"): LogNormal(0.0, 1.0), (1, "a"): LogNormal(3.0, 4.0),
        (0, "b"): LogNormal(0.0, 1.0), (1, "b"): LogNormal(1.0, 1.0),
    }  # fmt: skip
    joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    solution = nearest_ideal(joint, moves=["b"])
    part = partial_ideal(solution, 0.25)
    before, after = (np.sqrt(j.covariances[..., 0, 0]) for j in (joint, solution.distribution))
    assert np.sqrt(part.covariances[..., 0, 0]) == pytest.approx(0.75 * before + 0.25 * after)
    assert part.family == "lognormal"
