"""The nearest ideal of Student-t cells, and the rates of their Bayes classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import JointDistribution, Normal, StudentT
from isonomy.errors import NotIdealError, UnsupportedProgrammeError
from isonomy.ideal import bayes_rates, ideal_violation, nearest_ideal
from isonomy.ideal._cells import CellArrays
from isonomy.ideal._student.nearest import solve_student
from isonomy.ideal._student.programme import AllMaps, Frame, OneMap
from reference.student import nearest_line_by_grid


def random_parts(rng, n_classes, n_groups, d, *, tied=False):
    roots = rng.normal(size=(n_classes, n_groups, d, d + 3))
    if tied:
        roots = np.broadcast_to(roots[:1], roots.shape)
    prior = rng.uniform(0.5, 1.0, (n_classes, n_groups))
    covs = roots @ np.swapaxes(roots, 2, 3) / d
    return 1.5 * rng.normal(size=(n_classes, n_groups, d)), covs, prior / prior.sum()


def student_joint(parts, df):
    means, covs, prior = parts
    df = np.broadcast_to(df, len(means))
    pairs = list(np.ndindex(prior.shape))
    cells = {(y, a): StudentT(means[y, a], covs[y, a], float(df[y])) for y, a in pairs}
    return JointDistribution(cells, {pair: prior[pair] for pair in pairs})


def normal_joint(parts):
    means, covs, prior = parts
    cells = {pair: Normal(means[pair], covs[pair]) for pair in np.ndindex(prior.shape)}
    return JointDistribution(cells, {pair: prior[pair] for pair in cells})


def total(solution):
    """The divergence of the joint laws themselves."""
    pair = solution.distribution, solution.source
    return (
        pair[0].kl_divergence(pair[1])
        if solution.direction == "information"
        else pair[1].kl_divergence(pair[0])
    )


CASES = [
    (n_classes, n_groups, d, direction, moves)
    for n_classes, n_groups, d in [(2, 2, 1), (3, 3, 1), (3, 2, 2)]
    for direction in ("information", "moment")
    for moves in ("some", "all")
]


@pytest.mark.parametrize(("n_classes", "n_groups", "d", "direction", "moves"), CASES)
def test_the_solution_is_ideal_and_costs_what_it_says(n_classes, n_groups, d, direction, moves):
    rng = np.random.default_rng(n_classes + d)
    joint = student_joint(random_parts(rng, n_classes, n_groups, d), [4.0, 2.0, 9.0][:n_classes])
    named = "all" if moves == "all" else list(range(1, n_groups))
    solution = nearest_ideal(joint, moves=named, reference=0, direction=direction)
    assert solution.kl == pytest.approx(total(solution), rel=1e-8)
    assert solution.converged
    assert not solution.global_optimum
    assert ideal_violation(solution.distribution) < 1e-9
    for (label, group), law in solution.distribution.cells.items():
        image = solution.maps[group].push(law)
        goal = solution.distribution.cells[label, 0]
        np.testing.assert_allclose(image.mean, goal.mean, atol=1e-8)
        np.testing.assert_allclose(image.covariance, goal.covariance, atol=1e-8)
    assert (np.diff(solution.history) <= 0).all()
    assert solution.history[-1] == pytest.approx(solution.kl, rel=1e-8)
    if moves == "some":
        assert solution.distribution.cells[0, 0] == joint.cells[0, 0]


@pytest.mark.parametrize(("d", "tied"), [(1, False), (2, False), (3, True)])
@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("moves", [[1], "all"])
def test_many_degrees_of_freedom_give_the_normal_solution(d, tied, direction, moves):
    rng = np.random.default_rng(d)
    parts = random_parts(rng, 3 if not tied else 2, 2, d, tied=tied)
    asked = {"moves": moves, "reference": 0, "direction": direction}
    normal = nearest_ideal(normal_joint(parts), **asked)
    student = nearest_ideal(student_joint(parts, 1e7), **asked)
    if tied and moves == "all" and direction == "moment":
        # the normal programme looks among laws with one covariance a group only
        assert student.kl <= normal.kl + 1e-5
        return
    assert student.kl == pytest.approx(normal.kl, abs=1e-5)
    np.testing.assert_allclose(student.distribution.means, normal.distribution.means, atol=2e-3)


@pytest.mark.parametrize("direction", ["information", "moment"])
def test_no_other_line_found_by_a_general_search_is_nearer(direction):
    rng = np.random.default_rng(11)
    means, covs, prior = random_parts(rng, 3, 2, 1)
    df = np.array([3.0, 5.0, 2.0])
    q = prior.sum(axis=1) / prior.sum()
    joint = student_joint((means, covs, np.outer(q, [0.5, 0.5])), df)
    solution = nearest_ideal(joint, moves=[1], reference=0, direction=direction)
    groups = [list(zip(means[:, a, 0], np.sqrt(covs[:, a, 0, 0]), strict=True)) for a in (0, 1)]
    pair = groups if direction == "information" else groups[::-1]
    assert 2 * solution.kl <= nearest_line_by_grid(*pair, q, df) + 1e-7
    assert 2 * solution.kl >= nearest_line_by_grid(*pair, q, df) - 1e-5


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize("d", [1, 2])
def test_random_changes_of_the_common_cells_and_maps_pay_more(direction, d):
    rng = np.random.default_rng(d)
    joint = student_joint(random_parts(rng, 2, 2, d), 3.0)
    solution = nearest_ideal(joint, direction=direction)
    prior = solution.distribution.prior
    for _ in range(15):
        cells = {}
        moves = [np.eye(d) + 0.03 * rng.normal(size=(d, d)) for _ in range(2)]
        shifts = 0.03 * rng.normal(size=(2, d))
        inner = [np.eye(d) + 0.03 * rng.normal(size=(d, d)) for _ in range(2)]
        for y in range(2):
            home = solution.canonical[y]
            root = inner[y] @ np.linalg.cholesky(home.covariance)
            mean = home.mean + inner[y] @ np.ones(d) * 0.02
            for a in range(2):
                back = solution.maps[a].inverse()
                m = moves[a] @ (back.matrix @ mean + back.offset) + shifts[a]
                low = moves[a] @ back.matrix @ root
                cells[y, a] = StudentT(m, low @ low.T, 3.0)
        other = JointDistribution(cells, {pair: prior[pair] for pair in cells})
        both = (other, joint) if direction == "information" else (joint, other)
        assert both[0].kl_divergence(both[1]) > solution.kl


def test_a_normal_solution_used_in_its_place_costs_more():
    """The heavier the tails, the farther the normal programme is from the right one."""
    rng = np.random.default_rng(5)
    parts = random_parts(rng, 3, 2, 1)
    joint = student_joint(parts, 1.0)
    solution = nearest_ideal(joint, moves=[1], reference=0)
    ideal = nearest_ideal(normal_joint(parts), moves=[1], reference=0).distribution
    lent = student_joint((ideal.means, ideal.covariances, ideal.prior), 1.0)
    assert lent.kl_divergence(joint) > solution.kl + 1e-4


def test_an_ideal_law_stays_where_it_is():
    rng = np.random.default_rng(6)
    means, covs, _ = random_parts(rng, 3, 1, 2)
    turn = np.array([[0.0, -2.0], [1.0, 0.5]])
    means = np.concatenate([means, means @ turn.T + 1.0], axis=1)
    covs = np.concatenate([covs, turn @ covs @ turn.T], axis=1)
    joint = student_joint((means, covs, np.full((3, 2), 1 / 6)), 4.0)
    assert ideal_violation(joint) < 1e-9
    for moves in ([1], "all"):
        solution = nearest_ideal(joint, moves=moves, reference=0)
        assert solution.kl < 1e-9


def test_three_groups_that_stay_must_be_ideal_together():
    rng = np.random.default_rng(7)
    joint = student_joint(random_parts(rng, 2, 3, 1), 4.0)
    with pytest.raises(NotIdealError, match="jointly ideal already"):
        nearest_ideal(joint, moves=[2], reference=0)


def test_diagonal_maps_leave_the_coordinates_apart():
    rng = np.random.default_rng(8)
    means, covs, prior = random_parts(rng, 2, 2, 3)
    joint = student_joint((means, covs * np.eye(3), prior), 4.0)
    apart = nearest_ideal(joint, map_family="diagonal", moves=[1], reference=0)
    matrix = apart.maps[1].matrix
    np.testing.assert_array_equal(matrix, np.diag(np.diagonal(matrix)))
    assert apart.kl >= nearest_ideal(joint, moves=[1], reference=0).kl - 1e-9
    both = nearest_ideal(joint, map_family="diagonal")
    matrix = both.maps[1].matrix
    np.testing.assert_allclose(matrix, np.diag(np.diagonal(matrix)), atol=1e-12)
    with pytest.raises(UnsupportedProgrammeError, match="'symmetric' for Student-t"):
        nearest_ideal(joint, map_family="symmetric")


def test_free_priors_pay_no_more_than_reweighed_ones():
    rng = np.random.default_rng(9)
    joint = student_joint(random_parts(rng, 2, 2, 1), 4.0)
    free = nearest_ideal(joint, priors="joint", moves=[1], reference=0)
    assert free.kl <= nearest_ideal(joint, moves=[1], reference=0).kl + 1e-12
    assert free.kl == pytest.approx(total(free), rel=1e-8)


def test_a_search_can_go_on_from_an_earlier_one():
    rng = np.random.default_rng(10)
    joint = student_joint(random_parts(rng, 2, 2, 2), 4.0)
    cells = CellArrays(joint.means, joint.covariances, joint.prior)
    for movers in ([1], [0, 1]):
        first = solve_student(cells, [4.0, 4.0], joint.prior, movers, 0, "information")
        again = solve_student(
            cells, [4.0, 4.0], joint.prior, movers, 0, "information", start=first.state
        )
        assert again.history[-1] == pytest.approx(first.history[-1], abs=1e-10)
        assert again.n_iter <= 3


@pytest.mark.parametrize("direction", ["information", "moment"])
def test_the_gradients_of_the_programmes_are_those_of_their_values(direction):
    rng = np.random.default_rng(12)
    means, covs, prior = random_parts(rng, 3, 2, 2)
    lowers = np.linalg.cholesky(covs)
    frames = [Frame(means[:, a], lowers[:, a], prior[:, a], False) for a in (0, 1)]
    df = np.array([3.0, 5.0, 8.0])
    programmes = [
        (OneMap(*frames, prior[:, 0], df, False), 6),
        (AllMaps(frames, prior, df, direction, False), 24),
    ]
    for programme, size in programmes:
        x = rng.normal(size=(2, size))
        _, slopes = programme.value_and_gradient(x)
        for i in range(size):
            step = np.zeros(size)
            step[i] = 1e-5
            ends = [programme.value_and_gradient(x + s * step)[0] for s in (1, -1)]
            expected = (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose(slopes[:, i], expected, rtol=1e-5, atol=1e-6)


# rates


@given(seed=st.integers(0, 2**31), direction=st.sampled_from(["information", "moment"]))
@settings(max_examples=5)
def test_on_the_line_every_cost_treats_the_groups_of_an_ideal_law_alike(seed, direction):
    rng = np.random.default_rng(seed)
    joint = student_joint(random_parts(rng, 3, 2, 1), [3.0, 1.0, 8.0])
    solution = nearest_ideal(joint, direction=direction, moves=[1], reference=0)
    worst = 0.0
    for _ in range(3):
        cost = rng.uniform(size=(3, 3))
        worst = max(worst, bayes_rates(solution.distribution, cost).largest_gap)
    assert worst < 1e-9
    # the control: before, some cost treats them differently
    assert max(bayes_rates(joint, rng.uniform(size=(3, 3))).largest_gap for _ in range(5)) > 1e-3


CELLS = [
    (1, False, [3.0, 0.5, 5.0]),
    (1, False, [1e6, 1e6, 1e6]),
    (4, True, [3.0, 3.0, 6.0]),
    (3, False, [3.0, 1.0, 3.0]),
    (2, True, [2.0, 2.0, 2.0]),
]


@pytest.mark.parametrize(("d", "tied", "df"), CELLS)
def test_rates_are_those_of_rows(d, tied, df):
    rng = np.random.default_rng(d)
    joint = student_joint(random_parts(rng, 3, 2, d, tied=tied), df)
    cost = rng.uniform(size=(3, 3)) * (1 - np.eye(3))
    rates = bayes_rates(joint, cost)
    X, y, a = joint.sample(60_000, random_state=0)
    logs = np.stack([joint.log_density(X, np.full(len(X), k), a) for k in range(3)], axis=1)
    chosen = (np.exp(logs - logs.max(axis=1, keepdims=True)) @ cost).argmin(axis=1)
    for k, j, g in np.ndindex(3, 3, 2):
        rows = (y == k) & (a == g)
        # four standard errors of a share among about 10,000 rows
        assert np.mean(chosen[rows] == j) == pytest.approx(rates.confusion[k, j, g], abs=0.02)
    assert cost[y, chosen].mean() == pytest.approx(rates.risk, abs=0.01)


def test_rates_of_many_degrees_of_freedom_are_those_of_normal_cells():
    rng = np.random.default_rng(20)
    parts = random_parts(rng, 3, 2, 1)
    cost = rng.uniform(size=(3, 3)) * (1 - np.eye(3))
    student = bayes_rates(student_joint(parts, 1e8), cost)
    normal = bayes_rates(normal_joint(parts), cost)
    np.testing.assert_allclose(student.confusion, normal.confusion, atol=1e-7)


def test_two_cauchy_cells_have_the_known_boundary():
    """Equal scales and priors: halfway; P(x > 1) of a Cauchy law at 0 is 1/4."""
    cells = {(y, a): StudentT(2.0 * y, 1.0, 1.0) for y in (0, 1) for a in "ab"}
    rates = bayes_rates(JointDistribution(cells, dict.fromkeys(cells, 0.25)))
    assert rates.risk == pytest.approx(0.25, abs=1e-14)


def test_a_cell_of_heavier_tails_takes_both_far_ends():
    """A wide and a narrow law at one place: outside of a root that lies far away, the wide."""
    cells = {(y, a): StudentT(0.0, 1.0, 1.0 + 2.0 * y) for y in (0, 1) for a in "ab"}
    prior = {(0, "a"): 5e-9, (0, "b"): 5e-9, (1, "a"): 0.5 - 5e-9, (1, "b"): 0.5 - 5e-9}
    rates = bayes_rates(JointDistribution(cells, prior))
    # c_1 q_1 |x|^-2 = c_3 q_3 |x|^-4 far out: q_1/q_3 = 1e-8, so |x| is about 1e4
    taken = rates.confusion[0, 0, 0]
    c_1, c_3 = 1 / np.pi, 6 * np.sqrt(3) / np.pi
    assert taken == pytest.approx(2 / np.pi * np.sqrt(1e-8 * c_1 / c_3), rel=1e-3)


@pytest.mark.parametrize("tied", [True, False])
def test_in_several_variables_ideal_groups_get_the_very_same_rates(tied):
    rng = np.random.default_rng(30)
    joint = student_joint(random_parts(rng, 2, 2, 3, tied=tied), 4.0)
    solution = nearest_ideal(joint, moves=[1], reference=0)
    assert bayes_rates(solution.distribution).largest_gap < 1e-3
    assert bayes_rates(joint).largest_gap > 0.01
