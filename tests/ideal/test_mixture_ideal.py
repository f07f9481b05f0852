"""Ideal laws near to mixtures of normals: ideal by construction, nearest only as found."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.distributions import JointDistribution, MixtureJoint, Normal, NormalMixture
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal import certify, nearest_ideal
from isonomy.ideal._mixture.nearest import _starts
from isonomy.ideal._mixture.programme import MixtureCells, MixtureProgramme


def some_mixture(rng, d, m):
    roots = rng.normal(size=(m, d, d + 2))
    weights = rng.uniform(0.3, 1.0, m)
    covs = roots @ np.swapaxes(roots, 1, 2) / d
    return NormalMixture(weights / weights.sum(), 1.5 * rng.normal(size=(m, d)), covs)


def some_joint(rng, n_classes, n_groups, d, m=2):
    prior = rng.uniform(0.5, 1.0, (n_classes, n_groups))
    prior /= prior.sum()
    cells = {pair: some_mixture(rng, d, m) for pair in np.ndindex(prior.shape)}
    return MixtureJoint(cells, {pair: prior[pair] for pair in cells})


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("moves", [[1], "all"])
@pytest.mark.parametrize("d", [1, 2])
def test_the_solution_is_ideal_as_a_law_and_costs_about_what_it_says(direction, moves, d):
    rng = np.random.default_rng(d)
    joint = some_joint(rng, 2, 2, d)
    solution = nearest_ideal(joint, moves=moves, reference=0, direction=direction)
    for (label, group), law in solution.distribution.cells.items():
        image = law._affine_image(solution.maps[group].matrix, solution.maps[group].offset)
        goal = solution.canonical[label]
        np.testing.assert_array_equal(image.weights, goal.weights)
        np.testing.assert_allclose(image.means, goal.means, atol=1e-8)
        np.testing.assert_allclose(image.covariances, goal.covariances, atol=1e-8)
    ideal = solution.distribution
    conditional = ideal.prior / ideal.prior.sum(axis=0)
    np.testing.assert_allclose(conditional[:, 0], conditional[:, 1], atol=1e-12)
    pair = (ideal, joint) if direction == "information" else (joint, ideal)
    assert solution.kl == pytest.approx(pair[0].kl_divergence(pair[1]), rel=1e-9)
    assert 0 < solution.kl_error < 0.01 * solution.kl
    assert (np.diff(solution.history) <= 0).all()
    assert solution.history[-1] == pytest.approx(solution.kl, rel=0.05)
    assert solution.converged
    assert not solution.global_optimum
    assert "not proved" in solution.claim


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("moves", [[1], "all"])
def test_one_component_gives_what_the_normal_programme_gives(direction, moves):
    rng = np.random.default_rng(3)
    joint = some_joint(rng, 3, 2, 2, m=1)
    cells = {pair: law.moment_matched() for pair, law in joint.cells.items()}
    normal = nearest_ideal(
        JointDistribution(cells, joint.priors), moves=moves, reference=0, direction=direction
    )
    found = nearest_ideal(joint, moves=moves, reference=0, direction=direction)
    assert found.kl == pytest.approx(normal.kl, abs=5 * found.kl_error + 1e-3)


def test_the_moment_matched_maps_cost_more():
    rng = np.random.default_rng(4)
    joint = some_joint(rng, 2, 2, 1)
    cells = {pair: law.moment_matched() for pair, law in joint.cells.items()}
    normal = nearest_ideal(JointDistribution(cells, joint.priors), moves=[1], reference=0)
    found = nearest_ideal(joint, moves=[1], reference=0)
    back = normal.maps[1].inverse()
    lent = {
        pair: law
        if pair[1] == 0
        else joint.cells[pair[0], 0]._affine_image(back.matrix, back.offset)
        for pair, law in joint.cells.items()
    }
    other = MixtureJoint(lent, found.distribution.priors)
    assert other.kl_divergence(joint) > found.kl + 5 * found.kl_error


def test_an_ideal_law_of_mixtures_stays_where_it_is():
    rng = np.random.default_rng(5)
    home = {y: some_mixture(rng, 2, 2) for y in (0, 1)}
    turn, shift = np.array([[0.0, -2.0], [1.0, 0.5]]), np.array([1.0, 2.0])
    cells = {(y, 0): law for y, law in home.items()}
    cells |= {(y, 1): law._affine_image(turn, shift) for y, law in home.items()}
    cells |= {(y, 2): some_mixture(rng, 2, 2) for y in home}
    joint = MixtureJoint(cells, dict.fromkeys(cells, 1 / 6))
    two = MixtureJoint(
        {c: law for c, law in cells.items() if c[1] < 2},
        dict.fromkeys([c for c in cells if c[1] < 2], 0.25),
    )
    assert nearest_ideal(two, moves=[1], reference=0).kl < 1e-3
    # groups 0 and 1 are ideal together and may stay; 0 and 2 are not
    stays = nearest_ideal(joint, moves=[2], reference=0)
    assert stays.distribution.cells[0, 1] == joint.cells[0, 1]
    rows = joint.cells[0, 1].sample(5, random_state=0)
    steered = stays.steer(rows, sensitive_features=[1] * 5)
    undone = (rows - shift) @ np.linalg.inv(turn).T
    np.testing.assert_allclose(steered, undone, atol=1e-3)
    with pytest.raises(NotIdealError, match="jointly ideal already"):
        nearest_ideal(joint, moves=[1], reference=0)


def test_free_priors_pay_no_more():
    rng = np.random.default_rng(6)
    joint = some_joint(rng, 2, 2, 1)
    plain = nearest_ideal(joint, moves=[1], reference=0)
    free = nearest_ideal(joint, moves=[1], reference=0, priors="joint")
    assert free.kl < plain.kl - 1e-4
    np.testing.assert_allclose(
        free.distribution.prior.sum(axis=0), joint.prior.sum(axis=0), atol=1e-12
    )


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("canonical", [True, False])
def test_the_gradient_is_that_of_the_value(direction, canonical):
    rng = np.random.default_rng(7)
    joint = some_joint(rng, 2, 3, 2)
    weights, free = joint.prior, (1, 2) if canonical else (1,)
    groups = [MixtureCells.of([joint._law(y, a) for y in (0, 1)], weights[:, a]) for a in range(3)]
    programme = MixtureProgramme(groups, 0, weights, direction, free, canonical)
    point = _starts(groups, weights, 0, direction, free)[0]
    x = point.flat(free, canonical)
    x = x + 0.1 * rng.normal(size=x.shape)
    _, slope = programme.value_and_gradient(x, point)
    for i in range(len(x)):
        step = 1e-6 * (np.arange(len(x)) == i)
        ends = [programme.value_and_gradient(x + s * step, point)[0] for s in (1, -1)]
        assert slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_what_cannot_be_asked_for_mixtures_is_refused():
    joint = some_joint(np.random.default_rng(8), 2, 2, 1)
    with pytest.raises(UnsupportedProgrammeError, match="'affine' for a MixtureJoint"):
        nearest_ideal(joint, map_family="diagonal")
    with pytest.raises(InvalidInputError, match="`reference_class` of `nearest_ideal`"):
        nearest_ideal(joint, reference_class=0)
    with pytest.raises(InvalidInputError, match="`direction`"):
        nearest_ideal(joint, direction="sideways")
    with pytest.raises(InvalidInputError, match="`moves`"):
        nearest_ideal(joint, moves=["nobody"])
    with pytest.raises(NotIdealError, match="'keep' only where"):
        nearest_ideal(joint, priors="keep")
    one = MixtureJoint({(0, "f"): lone_mixture()}, {(0, "f"): 1.0})
    with pytest.raises(InvalidInputError, match="at least 2 classes and 2 groups"):
        nearest_ideal(one)


def lone_mixture():
    law = Normal(0.0, 1.0)
    return NormalMixture([1.0], law.mean[None], law.covariance[None])


def test_no_certificate_is_given_for_an_approximation():
    rng = np.random.default_rng(0)
    y, a = np.divmod(np.arange(200) % 4, 2)
    X = rng.normal(size=(200, 1)) + (y * (1 + a))[:, None]
    solution = nearest_ideal(MixtureJoint.fit(X, y, sensitive_features=a, random_state=0))
    with pytest.raises(InvalidInputError, match="mixtures are an approximation without a claim"):
        certify(solution)
