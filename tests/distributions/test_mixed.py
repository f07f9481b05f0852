"""Laws of mixed tables: a numeric and a categorical part, independent given the cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kruskal

from isonomy.distributions import (
    Categorical,
    CategoricalJoint,
    JointDistribution,
    MixedJoint,
    Normal,
)
from isonomy.distributions._independence import rank_tests_within
from isonomy.errors import InvalidInputError, NonNormalWarning

SEEDS = st.integers(0, 2**32 - 1)


def some_mixed(seed, d=2, sizes=(3,)):
    rng = np.random.default_rng(seed)
    pairs = [(y, a) for y in (0, 1) for a in (0, 1)]
    prior = dict(zip(pairs, rng.dirichlet(np.full(4, 8.0)), strict=True))
    roots = rng.normal(size=(4, d, d + 2))
    numeric = {p: Normal(rng.normal(size=d), r @ r.T) for p, r in zip(pairs, roots, strict=True)}
    laws = {p: [Categorical(rng.dirichlet(np.ones(m))) for m in sizes] for p in pairs}
    return MixedJoint(JointDistribution(numeric, prior), CategoricalJoint(laws, prior))


@settings(max_examples=20)
@given(SEEDS)
def test_density_and_divergence_are_those_of_a_product_with_one_prior(seed):
    p, q = some_mixed(seed), some_mixed(seed + 1)
    X, y, groups = p.sample(5, 0)
    for i in range(5):
        law = p.numeric.cells[y[i], groups[i]]
        by_hand = (
            np.log(p.priors[y[i], groups[i]])
            + law.log_density(X[i : i + 1, :2].astype(float))[0]
            + np.log(p.categorical.cells[y[i], groups[i]].probability(X[i, 2]))
        )
        assert p.log_density(X[i : i + 1], y[i : i + 1], groups[i : i + 1])[0] == pytest.approx(
            by_hand
        )
    total = 0.0
    for pair, prior in p.priors.items():
        cells = p.numeric.cells[pair].kl_divergence(q.numeric.cells[pair])
        cells += p.categorical.cells[pair].kl_divergence(q.categorical.cells[pair])
        total += prior * (np.log(prior / q.priors[pair]) + cells)
    assert p.kl_divergence(q) == pytest.approx(total, abs=1e-10)


def test_the_divergence_is_the_mean_log_ratio_of_samples():
    p, q = some_mixed(0, 1), some_mixed(1, 1)
    X, y, groups = p.sample(20_000, 0)
    ratio = p.log_density(X, y, groups) - q.log_density(X, y, groups)
    assert ratio.mean() == pytest.approx(
        p.kl_divergence(q), abs=4 * ratio.std() / np.sqrt(len(ratio))
    )


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
@pytest.mark.parametrize("family", ["normal", "nonparanormal"])
def test_the_fit_reads_columns_by_dtype_and_fits_each_part_by_itself(kind, family):
    rng = np.random.default_rng(0)
    n = 400
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    values = rng.normal(size=(n, 2)) + y[:, None]
    category = rng.integers(0, 3, n)
    frame = pd.DataFrame({"u": values[:, 0], "c": category.astype(str), "v": values[:, 1]})
    X, more = {
        "array": (np.column_stack([values[:, 0], category, values[:, 1]]), [1]),
        "pandas": (frame, None),
        "polars": (pl.from_pandas(frame), None),
    }[kind]
    joint = MixedJoint.fit(
        X, y, sensitive_features=a, categorical_columns=more, family=family, covariance="tied"
    )
    assert joint.numeric.family == family
    alone = JointDistribution.fit(values, y, sensitive_features=a, family=family, covariance="tied")
    np.testing.assert_allclose(joint.numeric.means, alone.means)
    beside = CategoricalJoint.fit(category, y, sensitive_features=a)
    np.testing.assert_allclose(joint.categorical.tables[0], beside.tables[0])
    assert len(joint.independence.pairs) == 2
    assert joint.independence.p_value > 0.01
    assert np.isfinite(joint.log_density(X, y, a)).all()
    rows, _, _ = joint.sample(10, 0)
    assert set(rows[:, 1].tolist()) <= set(joint.categorical.categories[0])


@pytest.mark.parametrize("what", ["location", "spread"])
def test_dependence_of_a_number_on_a_category_within_cells_is_found_and_named(what):
    rng = np.random.default_rng(1)
    n = 600
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    frame = pd.DataFrame({"u": rng.normal(size=n), "v": rng.normal(size=n)})
    frame["c"], frame["d"] = rng.choice(["p", "q"], n), rng.choice(["p", "q"], n)
    shifted = frame["c"] == "p"
    if what == "location":
        frame.loc[shifted, "v"] += 0.8
    else:
        frame.loc[shifted, "v"] *= 3.0
    fit = MixedJoint.fit(frame, y, sensitive_features=a, family="normal", check="ignore")
    found = fit.independence
    assert found.worst == ("v", "c")
    assert found.rejected() == (("v", "c"),)
    assert found.p_value < 1e-6
    assert len(found.pairs) == 5
    # dependence between cells alone is none within them
    frame = frame.assign(u=rng.normal(size=n) + 3 * y, c=np.where(y == 1, "p", frame["d"]))
    pairs = MixedJoint.fit(frame[["u", "c"]], y, sensitive_features=a, family="normal").independence
    assert pairs.p_value > 0.01


def test_numbers_that_are_not_normal_are_called_so_by_name():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"c": rng.choice(["p", "q"], 400), "income": rng.lognormal(size=400)})
    y, a = np.divmod(np.arange(400) % 4, 2)
    with pytest.warns(NonNormalWarning, match="'income' do not look normal"):
        MixedJoint.fit(frame, y, sensitive_features=a, family="normal")
    MixedJoint.fit(frame, y, sensitive_features=a)  # a copula needs no normal columns


def test_the_rank_test_is_that_of_kruskal_and_wallis():
    rng = np.random.default_rng(2)
    values, codes = rng.normal(size=60).round(1), rng.integers(0, 3, 60)
    cells = np.repeat([0, 1], 30)
    statistic = degrees = 0.0
    for cell in (0, 1):
        rows = cells == cell
        parts = [values[rows & (codes == c)] for c in range(3)]
        statistic += kruskal(*parts).statistic
        degrees += 2
    found = rank_tests_within(values[:, None], [codes], (["v"], ["c"]), cells)
    spread = np.concatenate(
        [np.abs(pd.Series(values[cells == c]).rank().to_numpy() - 15.5) for c in (0, 1)]
    )
    wider = sum(
        kruskal(*[spread[(cells == c) & (codes == k)] for k in range(3)]).statistic for c in (0, 1)
    )
    wanted = min(1.0, 2 * chi2.sf(max(statistic, wider), degrees))
    assert found.p_values[0] == pytest.approx(wanted, rel=1e-10)


def test_what_does_not_fit_together_is_refused():
    y, a = [0, 1] * 20, [0] * 20 + [1] * 20
    X = np.random.default_rng(0).normal(size=(40, 2)).round()
    with pytest.raises(InvalidInputError, match="must name the categorical columns of an"):
        MixedJoint.fit(X, y, sensitive_features=a)
    with pytest.raises(InvalidInputError, match="at least one numeric"):
        MixedJoint.fit(X, y, sensitive_features=a, categorical_columns=[0, 1])
    with pytest.raises(InvalidInputError, match="at least one categorical column"):
        MixedJoint.fit(pd.DataFrame(X), y, sensitive_features=a)
    first, second = some_mixed(0), some_mixed(1)
    with pytest.raises(InvalidInputError, match="same labels, groups and priors"):
        MixedJoint(first.numeric, second.categorical)
    with pytest.raises(InvalidInputError, match="must be a MixedJoint"):
        first.kl_divergence(first.numeric)
    with pytest.raises(InvalidInputError, match="3 columns of the fit, got 2"):
        first.log_density(X, y, a)
