"""The nearest ideal of mixed tables: two parts, one prior, rows of the caller's own kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from isonomy.datasets import load_table
from isonomy.distributions import (
    Categorical,
    CategoricalJoint,
    JointDistribution,
    MixedJoint,
    Normal,
)
from isonomy.errors import InvalidInputError, UnsupportedProgrammeError
from isonomy.ideal import bayes_rates, certify, ideal_violation, is_ideal, nearest_ideal

DIRECTIONS = ["information", "moment"]


def some_mixed(seed, d=2, sizes=(3,), n_classes=2):
    rng = np.random.default_rng(seed)
    pairs = [(y, a) for y in range(n_classes) for a in (0, 1)]
    prior = dict(zip(pairs, rng.dirichlet(np.full(len(pairs), 8.0)), strict=True))
    tied = [np.eye(d) * rng.uniform(0.5, 2.0) for _ in (0, 1)]
    numeric = {(y, a): Normal(rng.normal(size=d), tied[a]) for y, a in pairs}
    laws = {p: [Categorical(rng.dirichlet(np.ones(m))) for m in sizes] for p in pairs}
    return MixedJoint(JointDistribution(numeric, prior), CategoricalJoint(laws, prior))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("priors", ["reweigh", "reference", "joint"])
@pytest.mark.parametrize("moves", ["all", [1]])
def test_the_solution_is_ideal_and_its_parts_add_up(direction, priors, moves):
    joint = some_mixed(0, n_classes=3)
    solution = nearest_ideal(joint, direction=direction, priors=priors, moves=moves)
    ideal = solution.distribution
    assert ideal_violation(joint) > 0.01
    assert is_ideal(ideal)
    pair = (ideal, joint) if direction == "information" else (joint, ideal)
    assert solution.kl == pytest.approx(pair[0].kl_divergence(pair[1]), rel=1e-9)
    assert solution.history[-1] == pytest.approx(solution.kl, rel=1e-9)
    assert (np.diff(solution.history) <= 0).all()
    np.testing.assert_array_equal(ideal.prior, solution.numeric.distribution.prior)
    np.testing.assert_array_equal(ideal.prior, solution.categorical.distribution.prior)
    if priors != "joint":
        # given the priors the parts do not meet: each is its own nearest
        alone = nearest_ideal(joint.numeric, direction=direction, priors=priors, moves=moves)
        assert solution.numeric.kl == pytest.approx(alone.kl)
        beside = nearest_ideal(joint.categorical, direction=direction, priors=priors, moves=moves)
        assert solution.categorical.kl == pytest.approx(beside.kl)


@pytest.mark.parametrize("seed", range(3))
def test_joint_priors_minimise_the_sum_of_both_parts(seed):
    joint = some_mixed(seed)
    solution = nearest_ideal(joint, priors="joint")
    share = solution.distribution.prior.sum(axis=1)[0]
    group = joint.prior.sum(axis=0)

    def total(p):
        prior = np.outer([p, 1.0 - p], group)
        weights = JointDistribution.from_arrays(
            joint.numeric.means, joint.numeric.covariances, prior, (0, 1), (0, 1)
        )
        cells = nearest_ideal(weights, priors="keep")
        beside = solution.categorical.kl_by_cell
        value = float((prior * np.log(prior / joint.prior)).sum())
        for (y, a), kl in cells.kl_by_cell.items():
            value += prior[y, a] * (kl + beside[y, a])
        return value

    assert solution.kl == pytest.approx(total(share), abs=1e-7)
    for other in np.linspace(0.05, 0.95, 19):
        assert solution.kl <= total(other) + 1e-7
    # not the best of one part alone
    alone = nearest_ideal(joint.numeric, priors="joint").distribution.prior.sum(axis=1)[0]
    assert abs(alone - share) > 1e-3


def test_a_product_of_ideals_is_ideal_for_every_cost():
    joint = some_mixed(1, d=1)
    ideal = nearest_ideal(joint).distribution
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(10):
        cost = rng.uniform(size=(2, 3))
        assert bayes_rates(ideal, cost).largest_gap < 1e-9
        worst = max(worst, bayes_rates(joint, cost).largest_gap)
    assert worst > 0.05


def test_the_rates_are_those_counted_on_a_large_sample():
    joint = some_mixed(2, d=1)
    rates = bayes_rates(joint)
    X, y, groups = joint.sample(40_000, 0)
    scores = np.column_stack(
        [joint.log_density(X, np.full(len(y), label), groups) for label in (0, 1)]
    )
    predicted = scores.argmax(axis=1)
    for label in (0, 1):
        for a in (0, 1):
            inside = (y == label) & (groups == a)
            found = (predicted[inside] == label).mean()
            # four standard deviations of a share
            assert found == pytest.approx(
                rates.confusion[label, label, a], abs=2.0 / np.sqrt(inside.sum())
            )
    assert rates.risk == pytest.approx((predicted != y).mean(), abs=0.01)


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
@pytest.mark.parametrize("with_labels", [True, False])
def test_rows_come_back_in_the_callers_kind_on_the_canonical_law(kind, with_labels):
    joint = some_mixed(3)
    X, y, groups = joint.sample(20_000, 0)
    frame = pd.DataFrame(
        {"u": X[:, 0].astype(float), "c": [f"k{v}" for v in X[:, 2]], "v": X[:, 1].astype(float)}
    )
    rows = {"array": frame.to_numpy(), "pandas": frame, "polars": pl.from_pandas(frame)}[kind]
    more = {"categorical_columns": [1]} if kind == "array" else {}
    fitted = MixedJoint.fit(
        rows, y, sensitive_features=groups, family="normal", covariance="tied", **more
    )
    solution = nearest_ideal(fitted)
    labels = y if with_labels else None
    steered = solution.steer(rows, sensitive_features=groups, y=labels)
    assert type(steered) is type(rows)
    if kind != "array":
        assert list(steered.columns) == ["u", "c", "v"]
        assert list(steered.dtypes) == list(rows.dtypes)
    table = pd.DataFrame(np.asarray(steered), columns=["u", "c", "v"])
    wanted = solution.numeric.steer(frame[["u", "v"]].to_numpy(), sensitive_features=groups)
    np.testing.assert_allclose(table[["u", "v"]].to_numpy(dtype=float), wanted)
    for label in (0, 1):
        law = solution.canonical[label][1][0]
        for a in (0, 1):
            inside = (y == label) & (groups == a)
            share = np.array([(table["c"][inside] == c).mean() for c in law.categories])
            left = 0.0 if with_labels else solution.categorical.residual_by_cell[label, a]
            assert np.abs(share - law.probabilities).sum() / 2 <= left + 0.03


def test_the_certificate_adds_what_both_parts_leave():
    rng = np.random.default_rng(0)
    n = 600
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    frame = pd.DataFrame({"u": rng.normal(size=n) + y * (1 + a), "c": rng.choice(["p", "q"], n)})
    frame.loc[(a == 1) & (y == 1), "c"] = "p"
    joint = MixedJoint.fit(frame, y, sensitive_features=a, covariance="tied", family="normal")
    solution = nearest_ideal(joint)
    found = certify(solution)
    numbers, flips = certify(solution.numeric), solution.categorical.residual_by_cell
    for pair, t in found.transfer_by_cell.items():
        assert t == pytest.approx(min(1.0, numbers.transfer_by_cell[pair] + flips[pair]))
    assert found.violation_after <= found.tolerance
    assert found.bayes_gap_after < 1e-9 < found.bayes_gap_before
    assert "numeric and categorical" in str(found)
    assert "independence of the columns" in str(found).lower()


def test_a_certificate_without_enumeration_says_so():
    found = certify(nearest_ideal(some_mixed(0, sizes=(30, 30))))
    assert found.bayes_gap_before is found.bayes_gap_after is found.bayes_gap_error is None
    assert "were not computed" in str(found)
    assert found.violation_after <= found.tolerance


def test_what_mixed_tables_do_not_know_is_refused():
    joint = some_mixed(0, sizes=(30, 30))
    with pytest.raises(UnsupportedProgrammeError, match="at most 500 combinations"):
        bayes_rates(joint)
    solution = nearest_ideal(some_mixed(0))
    with pytest.raises(InvalidInputError, match="3 columns of the fit, got 2"):
        solution.steer([[0.0, 1.0]], sensitive_features=[0])
    with pytest.raises(InvalidInputError, match="left out for a MixedSolution"):
        certify(solution, [[0.0, 1.0, 2]], [0], sensitive_features=[0])


@pytest.mark.shared_data
def test_german_credit_becomes_ideal_in_law_and_nearer_to_it_in_rows(shared_data: Path) -> None:
    table = load_table("german_credit", shared_data / "german_credit", backend="pandas")
    frame = table.frame
    y, groups = table.target, table.sensitive_features
    X = frame[["duration", "age", "checking-account", "housing", "purpose"]]
    joint = MixedJoint.fit(X, y, sensitive_features=groups, covariance="tied")
    assert joint.independence is not None
    solution = nearest_ideal(joint)
    assert ideal_violation(joint) > ideal_violation(solution.distribution)
    assert is_ideal(solution.distribution)
    steered = solution.steer(X, sensitive_features=groups, y=y)
    again = MixedJoint.fit(
        steered, y, sensitive_features=groups, covariance="tied", family="nonparanormal"
    )
    for before, after in zip(joint.categorical.tables, again.categorical.tables, strict=True):
        gaps = [np.abs(t[:, 0] - t[:, 1]).sum() for t in (before, after)]
        assert gaps[1] < max(gaps[0], 0.2)
