"""The budget form: laws between, the frontier, and a general optimiser that finds no less."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from isonomy.distributions import JointDistribution, LogNormal, Normal, StudentT
from isonomy.errors import InvalidInputError, UnsupportedProgrammeError
from isonomy.ideal import (
    ideal_violation,
    least_violation,
    nearest_ideal,
    violation_frontier,
)
from isonomy.ideal._geodesic import Geodesic
from isonomy.report import plot_frontier
from reference import programmes

seeds = st.integers(0, 5_000)


def a_joint(seed: int, *, n_classes: int = 2, d: int = 2, tied: bool = True):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=((2,) if tied else (n_classes, 2)) + (d, d + 3))
    prior = rng.dirichlet(np.full(2 * n_classes, 6.0)).reshape(n_classes, 2)
    means = rng.normal(size=(n_classes, 2, d))
    covariances = factors @ factors.swapaxes(-1, -2) / d
    return JointDistribution.from_arrays(means, covariances, prior, range(n_classes), ["a", "b"])


@pytest.fixture(scope="module")
def line() -> JointDistribution:
    cells = {
        (0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
        (0, "b"): Normal(0.0, 1.5), (1, "b"): Normal(0.6, 1.0),
    }  # fmt: skip
    return JointDistribution(cells, dict(zip(cells, (0.3, 0.3, 0.25, 0.15), strict=True)))


@pytest.fixture(scope="module")
def frontier(line):
    return violation_frontier(line, n_points=5)


@given(seed=seeds, s=st.floats(0.05, 0.95))
@settings(max_examples=6)
def test_laws_on_the_way_are_the_normalised_products(seed, s):
    joint = a_joint(seed, d=1)
    goal = nearest_ideal(joint).distribution
    law = Geodesic.between(joint, goal).at(s)
    integrals = np.empty((2, 2))
    for y in range(2):
        for a in range(2):
            p, q = (
                norm(j.means[y, a, 0], np.sqrt(j.covariances[y, a, 0, 0])) for j in (joint, goal)
            )

            def product(x, p=p, q=q):
                return np.exp((1 - s) * p.logpdf(x) + s * q.logpdf(x))

            integrals[y, a] = quad(product, -60, 60, points=[p.mean(), q.mean()], limit=200)[0]
            own = norm(law.means[y, a, 0], np.sqrt(law.covariances[y, a, 0, 0]))
            for x in (-1.0, 0.3, 2.0):
                assert own.pdf(x) == pytest.approx(product(x) / integrals[y, a], rel=1e-6)
    weights = joint.prior ** (1 - s) * goal.prior**s * integrals
    expected = weights / weights.sum(axis=0) * joint.group_prior
    assert law.prior == pytest.approx(expected, rel=1e-6)


@given(seed=seeds, share=st.floats(0.01, 0.99), tied=st.booleans(), n_classes=st.integers(2, 3))
@settings(max_examples=15)
def test_the_price_is_the_divergence_and_the_budget_is_spent(seed, share, tied, n_classes):
    joint = a_joint(seed, tied=tied, n_classes=n_classes)
    goal = a_joint(seed + 1, tied=tied, n_classes=n_classes)
    prior = goal.prior / goal.group_prior * joint.group_prior
    goal = JointDistribution.from_arrays(
        goal.means,
        goal.covariances[0] if tied else goal.covariances,
        prior,
        joint.classes,
        joint.groups,
    )
    way = Geodesic.between(joint, goal)
    assert way._price()(share) == pytest.approx(way.at(share).kl_divergence(joint), rel=1e-9)
    budget = share * goal.kl_divergence(joint)
    s, law = way.within(budget)
    assert 0.0 < s < 1.0
    assert law.kl_divergence(joint) <= budget
    assert law.kl_divergence(joint) == pytest.approx(budget, rel=1e-7)


@given(seed=seeds, s=st.floats(0.05, 0.95))
@settings(max_examples=15)
def test_no_law_of_the_same_price_is_nearer_to_the_goal(seed, s):
    joint = a_joint(seed)
    goal = nearest_ideal(joint).distribution
    law = Geodesic.between(joint, goal).at(s)
    rng = np.random.default_rng(seed)
    least = (1 - s) * law.kl_divergence(joint) + s * law.kl_divergence(goal)
    for _ in range(10):
        means = law.means + 0.05 * rng.normal(size=law.means.shape)
        tilt = law.prior * np.exp(0.1 * rng.normal(size=law.prior.shape))
        prior = tilt / tilt.sum(axis=0) * law.group_prior
        other = JointDistribution.from_arrays(
            means, law.covariances[0] * rng.uniform(0.9, 1.1), prior, law.classes, law.groups
        )
        value = (1 - s) * other.kl_divergence(joint) + s * other.kl_divergence(goal)
        assert value >= least


def test_the_frontier_leads_from_the_fitted_law_to_an_ideal_one(line, frontier):
    first, last = frontier.points[0], frontier.points[-1]
    assert first.distribution == line
    assert first.kl == 0.0
    assert first.violation == pytest.approx(nearest_ideal(line, direction="moment").kl, rel=1e-6)
    assert last.violation == pytest.approx(0.0, abs=1e-9)
    assert ideal_violation(last.distribution) < 1e-6
    assert last.kl == pytest.approx(nearest_ideal(line, priors="joint").kl, rel=1e-9)
    assert frontier.whole == pytest.approx(last.kl)


def test_more_nats_never_leave_more(frontier):
    assert (np.diff(frontier.kl) > 0.0).all()
    assert (np.diff(frontier.violation) < 0.0).all()
    assert frontier.kl == pytest.approx(frontier.budget, rel=1e-6)
    assert all(point.converged for point in frontier.points)
    # convex, as the lower edge of what can be reached for a fixed goal is
    slopes = np.diff(frontier.violation) / np.diff(frontier.kl)
    assert (np.diff(slopes) > 0.0).all()


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_general_optimiser_finds_no_less(line, frontier, share):
    budget = share * frontier.whole
    point = least_violation(line, budget)
    sds = np.sqrt(line.covariances[..., 0, 0])
    theirs = programmes.least_violation(line.means[..., 0], sds, np.asarray(line.prior), budget)
    assert point.kl <= budget
    assert point.violation <= theirs * (1 + 1e-3)
    assert theirs <= point.violation * (1 + 1e-2)  # the optimiser got there too


def test_leaps_end_where_plain_rounds_end(line, frontier):
    """The literal alternation, without leaps: never lower than what is found."""
    budget = 0.5 * frontier.whole
    law, value = line, np.inf
    for _ in range(60):
        goal = nearest_ideal(law, direction="moment").distribution
        _, law = Geodesic.between(line, goal).within(budget)
        value = law.kl_divergence(goal)
    found = least_violation(line, budget)
    assert found.violation <= value * (1 + 1e-9)
    assert found.violation == pytest.approx(value, rel=1e-6)
    assert found.n_rounds < 30


def test_one_group_moves_and_the_other_stays(line):
    found = violation_frontier(line, n_points=3, moves=["b"])
    for point in found.points:
        assert point.distribution.means[:, 0] == pytest.approx(line.means[:, 0], abs=1e-9)
    assert found.violation[-1] == pytest.approx(0.0, abs=1e-9)


@given(seed=seeds, tied=st.booleans(), n_classes=st.integers(2, 3))
@settings(max_examples=3)
def test_several_variables_and_classes(seed, tied, n_classes):
    joint = a_joint(seed, n_classes=n_classes, tied=tied)
    whole = nearest_ideal(joint, moves=["b"], priors="joint").kl
    found = violation_frontier(joint, [0.4 * whole, whole * (1 + 1e-9)], moves=["b"])
    assert found.violation[0] > 1e-6 > found.violation[1]
    assert found.kl[0] <= 0.4 * whole * (1 + 1e-12)


def test_logarithms_change_nothing(line, frontier):
    cells = {pair: LogNormal(law.mean, law.covariance) for pair, law in line.cells.items()}
    found = violation_frontier(JointDistribution(cells, line.priors), n_points=5)
    assert found.violation == pytest.approx(frontier.violation, rel=1e-9)
    assert found.points[1].distribution.family == "lognormal"


def test_table_file_and_figure(frontier, tmp_path):
    table = frontier.to_frame()
    assert table["kl"].to_numpy() == pytest.approx(frontier.kl)
    stored = json.loads(frontier.save(tmp_path / "frontier.json").read_text())
    assert stored["points"][1]["violation"] == pytest.approx(frontier.violation[1])
    pytest.importorskip("matplotlib")
    assert frontier.save(tmp_path / "frontier.svg").stat().st_size > 1000
    figure = plot_frontier(stored)
    drawn = figure.axes[0].lines[0].get_xydata()
    assert drawn == pytest.approx(np.column_stack([frontier.kl, frontier.violation]))
    assert figure.axes[1].get_ylim()[0] == 0.0


def test_progress_is_told(line):
    told = []
    violation_frontier(line, [0.0, 0.001], moves=["b"], progress=lambda *x: told.append(x))
    assert [(done, total) for _, done, total in told] == [(0, 2), (1, 2)]


def test_wrong_requests_say_so(line, frontier, tmp_path):
    with pytest.raises(InvalidInputError, match="`budgets`"):
        violation_frontier(line, [-0.1])
    with pytest.raises(InvalidInputError, match="finite numbers of nats"):
        violation_frontier(line, [np.nan])
    with pytest.raises(InvalidInputError, match="`n_points`"):
        violation_frontier(line, n_points=1)
    with pytest.raises(InvalidInputError, match="must end in"):
        frontier.save(tmp_path / "frontier.gif")
    with pytest.raises(InvalidInputError, match="kind 'frontier'"):
        plot_frontier({"kind": "audit"})
    cells = {pair: StudentT(law.mean, law.covariance, df=4) for pair, law in line.cells.items()}
    with pytest.raises(UnsupportedProgrammeError, match="Student-t"):
        violation_frontier(JointDistribution(cells, line.priors))
