"""`bayes_rates` against integration, simulation, and the promise of an ideal distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from isonomy.distributions import JointDistribution, Normal
from isonomy.errors import InvalidInputError
from isonomy.ideal import bayes_rates, nearest_ideal
from reference.ideal import confusion_by_integration, confusion_by_simulation, random_joint


def random_cost(rng, n_classes, n_predictions=None):
    """Costs in [0, 1], right predictions free."""
    cost = rng.uniform(size=(n_classes, n_predictions or n_classes))
    np.fill_diagonal(cost, 0.0)
    return cost


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_one_variable_agrees_with_brute_force_integration(n_classes):
    rng = np.random.default_rng(n_classes)
    for _ in range(6):
        joint = random_joint(rng, n_classes, 2, 1, kind="diagonal", spread=2.0)
        cost = random_cost(rng, n_classes)
        rates = bayes_rates(joint, cost)
        for a in (0, 1):
            sds = np.sqrt(joint.covariances[:, a, 0, 0])
            expected = confusion_by_integration(joint.means[:, a, 0], sds, joint.prior[:, a], cost)
            # the midpoint rule misplaces a boundary by up to half a step
            np.testing.assert_allclose(rates.confusion[:, :, a], expected, atol=2e-3)
        np.testing.assert_allclose(rates.confusion.sum(axis=1), 1.0, atol=1e-12)


def test_a_known_boundary_gives_normal_tail_areas():
    cells = {(y, a): Normal(2.0 * y, 1.0) for y in (0, 1) for a in "ab"}
    prior = {(0, "a"): 0.4, (1, "a"): 0.1, (0, "b"): 0.25, (1, "b"): 0.25}
    rates = bayes_rates(JointDistribution(cells, prior))
    for a, odds in enumerate((4.0, 1.0)):
        boundary = 1.0 + np.log(odds) / 2.0
        assert rates.confusion[0, 1, a] == pytest.approx(norm.sf(boundary), abs=1e-13)
        assert rates.confusion[1, 1, a] == pytest.approx(norm.sf(boundary - 2.0), abs=1e-13)
    wrong = sum(
        prior[1 - k, g] * rates.confusion[1 - k, k, a] for k in (0, 1) for a, g in enumerate("ab")
    )
    assert rates.risk == pytest.approx(wrong)
    assert rates.selection_rate.sum(axis=0) == pytest.approx([1.0, 1.0])


def test_unequal_variances_give_two_boundaries():
    # equal means, sds 1 and 2: predict 1 outside |x| = sqrt(8/3 ln 2)
    cells = {(0, a): Normal(0.0, 1.0) for a in "ab"} | {(1, a): Normal(0.0, 4.0) for a in "ab"}
    rates = bayes_rates(JointDistribution(cells, dict.fromkeys(cells, 0.25)))
    edge = np.sqrt(8.0 / 3.0 * np.log(2.0))
    assert rates.confusion[0, 1, 0] == pytest.approx(2 * norm.sf(edge), abs=1e-13)
    assert rates.confusion[1, 1, 0] == pytest.approx(2 * norm.sf(edge / 2), abs=1e-13)


@pytest.mark.parametrize(
    ("kind", "n_classes", "d"), [("tied", 2, 4), ("tied", 4, 2), ("free", 2, 2), ("free", 3, 2)]
)
def test_several_variables_agree_with_simulation(kind, n_classes, d):
    rng = np.random.default_rng(d)
    joint = random_joint(rng, n_classes, 2, d, kind=kind)
    cost = random_cost(rng, n_classes, n_classes + 1)
    rates = bayes_rates(joint, cost)
    for a in (0, 1):
        expected = confusion_by_simulation(joint, a, cost, 100_000, rng)
        # 5 standard errors of a share from 100,000 draws, and ours
        allowed = 5 * 0.5 / np.sqrt(100_000) + 5 * rates.error
        np.testing.assert_allclose(rates.confusion[:, :, a], expected, atol=allowed)
    assert rates.error < (1e-11 if (kind, n_classes) == ("tied", 2) else 5e-3)


@pytest.mark.parametrize(
    ("kind", "n_classes", "d"),
    [("tied", 2, 1), ("diagonal", 3, 1), ("diagonal", 2, 1), ("tied", 2, 3)],
)
def test_all_rates_agree_on_the_ideal_and_differed_before(kind, n_classes, d):
    rng = np.random.default_rng([n_classes, d])
    joint = random_joint(rng, n_classes, 3, d, kind=kind)
    ideal = nearest_ideal(joint).distribution
    before, after = [], []
    for _ in range(50):
        cost = random_cost(rng, n_classes)
        before.append(bayes_rates(joint, cost).largest_gap)
        after.append(bayes_rates(ideal, cost).largest_gap)
    assert max(after) < 1e-9
    assert max(before) > 0.1


def test_several_dimensions_agree_on_the_ideal_and_differed_before():
    rng = np.random.default_rng(3)
    joint = random_joint(rng, 3, 2, 3)
    ideal = nearest_ideal(joint).distribution
    cost = random_cost(rng, 3)
    assert bayes_rates(ideal, cost).largest_gap <= 1e-3
    assert bayes_rates(joint, cost).largest_gap > 0.02
    # and by draws that share no code with us
    shown = [confusion_by_simulation(ideal, a, cost, 100_000, rng) for a in (0, 1)]
    assert np.abs(shown[0] - shown[1]).max() < 5 * np.sqrt(2) * 0.5 / np.sqrt(100_000)


def test_ties_go_to_the_lowest_class_in_every_group():
    joint = random_joint(np.random.default_rng(0), 3, 2, 1)
    rates = bayes_rates(joint, np.zeros((3, 3)))
    np.testing.assert_allclose(rates.selection_rate[0], 1.0, atol=1e-15)
    copies = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert (bayes_rates(joint, copies).confusion[:, 2] == 0).all()


def test_a_narrow_cell_is_not_decided_by_what_lies_beyond_its_reach():
    # the last boundary that any cell's mass can feel is -5.6; another lies past the narrow cell
    means, sds = np.array([10.0, -6.0, 6.0]), np.array([0.3, 0.03, 0.9])
    cost = np.array([[0.3, -0.6, 1.0], [-1.0, 0.2, 0.5], [-0.2, -1.0, 0.4]])
    joint = JointDistribution.from_arrays(
        np.repeat(means[:, None, None], 2, axis=1),
        np.repeat(sds[:, None, None, None] ** 2, 2, axis=1),
        np.full((3, 2), 1 / 6),
        [0, 1, 2],
        ["a", "b"],
    )
    expected = confusion_by_integration(means, sds, np.ones(3), cost)
    np.testing.assert_allclose(bayes_rates(joint, cost).confusion[:, :, 0], expected, atol=2e-3)


def test_a_far_tail_is_decided_by_what_is_left():
    # predictions 0 and 1 agree where class 0 rules; the rest decides however small it is
    cells = {(y, a): Normal(m, 1.0) for y, m in enumerate((0.0, 100.0, 200.0)) for a in "ab"}
    joint = JointDistribution(cells, dict.fromkeys(cells, 1 / 6))
    cost = np.array([[0.3, 0.3, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    rates = bayes_rates(joint, cost)
    # class 1 against class 2 part at 150: all of class 0 is predicted 1
    np.testing.assert_allclose(rates.confusion[0, :, 0], [0.0, 1.0, 0.0], atol=1e-12)


def test_the_risk_is_the_least_among_threshold_rules():
    rng = np.random.default_rng(6)
    joint = random_joint(rng, 2, 2, 1, kind="tied")
    cost = random_cost(rng, 2)
    best = bayes_rates(joint, cost).risk
    for t, s in zip(rng.normal(size=50), rng.choice([-1, 1], 50), strict=True):
        risk = 0.0
        for a in (0, 1):
            sd = np.sqrt(joint.covariances[0, a, 0, 0])
            above = norm.sf(s * (t - joint.means[:, a, 0]) / sd)
            risk += joint.prior[0, a] * cost[0, 1] * above[0]
            risk += joint.prior[1, a] * cost[1, 0] * (1 - above[1])
        assert risk >= best - 1e-12


def test_the_same_random_state_gives_the_same_rates():
    joint = random_joint(np.random.default_rng(1), 3, 2, 2, kind="free")
    one, two, other = (bayes_rates(joint, random_state=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.confusion, two.confusion)
    assert np.abs(one.confusion - other.confusion).max() <= 8 * (one.error + other.error)
    assert (one.confusion != other.confusion).any()


def test_lognormal_cells_have_the_rates_of_their_logarithms():
    normal = random_joint(np.random.default_rng(1), 2, 2, 1, kind="diagonal")
    arrays = normal.means, normal.covariances, normal.prior, normal.classes, normal.groups
    log = JointDistribution.from_arrays(*arrays, family="lognormal")
    np.testing.assert_array_equal(bayes_rates(log).confusion, bayes_rates(normal).confusion)


@pytest.mark.parametrize(
    ("cost", "message"),
    [(np.zeros((3, 3)), "one row a true class"), ([[0.0, np.nan], [1.0, 0.0]], "must be finite")],
)
def test_unusable_costs_are_refused(cost, message):
    joint = random_joint(np.random.default_rng(1), 2, 2, 1)
    with pytest.raises(InvalidInputError, match=message):
        bayes_rates(joint, cost)
    with pytest.raises(InvalidInputError, match="`joint` passed to `bayes_rates`"):
        bayes_rates(None)
