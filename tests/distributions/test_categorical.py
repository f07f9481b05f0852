"""Laws of categorical columns: probabilities, divergences, fits, and the test of independence."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from isonomy.distributions import Categorical, CategoricalJoint
from isonomy.distributions._independence import independence_of
from isonomy.errors import EmptyCellError, InvalidInputError
from reference.categorical import joint_kl, kl, smoothed_shares

SEEDS = st.integers(0, 2**32 - 1)


def some_joint(seed, n_classes=2, n_groups=2, sizes=(3,)):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    pairs = list(np.ndindex(prior.shape))
    cells = {p: [Categorical(rng.dirichlet(np.ones(m))) for m in sizes] for p in pairs}
    return CategoricalJoint(cells, {p: prior[p] for p in pairs})


@given(SEEDS, st.integers(1, 6), st.booleans())
def test_the_divergence_is_the_sum_over_categories(seed, m, zeros):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(m), size=2)
    if zeros and m > 2:
        p[0], q[1] = 0.0, 0.0
        p, q = p / p.sum(), q / q.sum()
    found = Categorical(p).kl_divergence(Categorical(q))
    assert found == pytest.approx(kl(p, q), abs=1e-12)
    assert Categorical(p).kl_divergence(Categorical(p)) == 0.0


def test_samples_have_the_probabilities():
    law = Categorical([0.2, 0.5, 0.3], ["a", "b", "c"])
    drawn = law.sample(20_000, 0)
    for name, p in zip(law.categories, law.probabilities, strict=True):
        # four standard deviations of a share
        assert abs((drawn == name).mean() - p) < 4 * math.sqrt(p * (1 - p) / 20_000)
    assert (law.sample(5, 1) == law.sample(5, 1)).all()
    assert law.log_density(["b", "a"]) == pytest.approx(np.log([0.5, 0.2]))
    assert copy.deepcopy(law) == law


@pytest.mark.parametrize(
    ("probabilities", "categories", "match"),
    [
        ([0.5, 0.6], None, "must sum to 1, got 1.1"),
        ([-0.5, 1.5], None, "at least 0"),
        ([np.nan, 1.0], None, "finite"),
        ([0.5, 0.5], ["x"], "2 distinct labels"),
        ([0.5, 0.5], ["x", "x"], "distinct labels"),
    ],
)
def test_what_is_no_law_is_refused(probabilities, categories, match):
    with pytest.raises(InvalidInputError, match=match):
        Categorical(probabilities, categories)


def test_an_unknown_category_is_named():
    with pytest.raises(InvalidInputError, match="got also blue"):
        Categorical([0.5, 0.5], ["red", "green"]).log_density(["blue"])


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("kind", ["list", "pandas", "polars"])
def test_the_fit_is_the_smoothed_share_of_the_rows(smoothing, kind):
    rng = np.random.default_rng(0)
    x, y, a = (rng.choice(list(names), 60) for names in ("pqr", "01", "fm"))
    X = {"list": x.tolist(), "pandas": pd.DataFrame({"x": x}), "polars": pl.DataFrame({"x": x})}
    joint = CategoricalJoint.fit(X[kind], y, sensitive_features=a, smoothing=smoothing)
    for (label, group), law in joint.cells.items():
        rows = x[(y == label) & (a == group)].tolist()
        assert law.categories == ("p", "q", "r")
        wanted = smoothed_shares(rows, law.categories, smoothing)
        assert law.probabilities == pytest.approx(wanted, abs=1e-14)
        assert joint.priors[label, group] == pytest.approx(len(rows) / 60)


@given(SEEDS)
def test_integer_weights_equal_repeated_rows_and_row_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    n = 24
    y, a = np.arange(n) % 2, np.arange(n) // 2 % 2
    x, weight = rng.choice(["p", "q", "r"], (n, 2)), rng.integers(1, 4, n)
    weighted = CategoricalJoint.fit(x, y, sensitive_features=a, sample_weight=weight)
    order = rng.permutation(np.repeat(np.arange(n), weight))
    repeated = CategoricalJoint.fit(x[order], y[order], sensitive_features=a[order])
    np.testing.assert_allclose(weighted.prior, repeated.prior, atol=1e-14)
    for mine, theirs in zip(weighted.tables, repeated.tables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)


def test_without_smoothing_the_divergence_is_infinite_and_says_why():
    x = ["p", "q", "p", "p", "p", "q", "p", "q"]
    rows = x, [0, 0, 0, 0, 1, 1, 1, 1]
    group = list("aabbaabb")
    bare = CategoricalJoint.fit(*rows, sensitive_features=group, smoothing=0.0)
    smooth = CategoricalJoint.fit(*rows, sensitive_features=group)
    assert smooth.kl_divergence(bare) == math.inf
    assert "Category 'q' of column 0" in smooth.why_infinite(bare)
    assert "(label 0, group b)" in smooth.why_infinite(bare)
    assert 0 < bare.kl_divergence(smooth) < math.inf
    assert bare.why_infinite(smooth) is None


@given(SEEDS)
def test_the_joint_divergence_is_that_of_all_triples(seed):
    p, q = some_joint(seed, 3, 2), some_joint(seed + 1, 3, 2)
    wanted = joint_kl(p.prior, p.tables[0], q.prior, q.tables[0])
    assert p.kl_divergence(q) == pytest.approx(wanted, abs=1e-12)


@given(SEEDS)
def test_independent_columns_are_the_joint_alphabet_of_their_product(seed):
    p, q = (some_joint(seed + s, sizes=(2, 3)) for s in (0, 1))

    def whole(joint):
        cells = {}
        for pair, (first, second) in joint.cells.items():
            names = [(i, j) for i in first.categories for j in second.categories]
            product = np.outer(first.probabilities, second.probabilities).ravel()
            cells[pair] = Categorical(product, names)
        return CategoricalJoint(cells, joint.priors, columns=["u", "v"])

    assert whole(p).is_joint_alphabet
    assert p.kl_divergence(q) == pytest.approx(whole(p).kl_divergence(whole(q)), abs=1e-12)
    X, y, groups = p.sample(20, 0)
    np.testing.assert_allclose(
        p.log_density(X, y, groups), whole(p).log_density(X, y, groups), atol=1e-12
    )


def test_the_sample_follows_cells_and_priors():
    joint = some_joint(0, sizes=(2, 3))
    X, y, groups = joint.sample(20_000, 0)
    fitted = CategoricalJoint.fit(X, y, sensitive_features=groups)
    # shares of about 5,000 rows a cell: four standard deviations are below .03
    np.testing.assert_allclose(fitted.prior, joint.prior, atol=0.015)
    for mine, theirs in zip(fitted.tables, joint.tables, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.03)
    assert fitted.independence.p_value > 0.01


def test_a_joint_alphabet_sees_what_independent_columns_miss():
    rng = np.random.default_rng(1)
    n = 800
    y, a = np.arange(n) % 2, np.arange(n) // 2 % 2
    first = rng.integers(0, 2, n)
    second = np.where(rng.random(n) < 0.8, first, 1 - first)
    X = np.column_stack([first, second, rng.integers(0, 3, n)])
    apart = CategoricalJoint.fit(X, y, sensitive_features=a)
    assert apart.independence.worst == (0, 1)
    assert apart.independence.p_value < 1e-10
    assert apart.independence.rejected() == ((0, 1),)
    assert "is rejected" in str(apart.independence)
    whole = CategoricalJoint.fit(X, y, sensitive_features=a, alphabet="joint")
    assert whole.independence is None
    assert len(whole.categories[0]) == 12
    better = whole.log_density(X, y, a).sum() - apart.log_density(X, y, a).sum()
    assert better > 100


def test_the_test_of_independence_is_pearsons_in_one_cell_up_to_the_exact_mean():
    rng = np.random.default_rng(2)
    n = 400
    y, a = np.arange(n) % 2, np.arange(n) // 2 % 2
    X = rng.integers(0, 3, (n, 2))
    found = CategoricalJoint.fit(X, y, sensitive_features=a).independence
    statistic, degrees = 0.0, 0
    for label in (0, 1):
        for group in (0, 1):
            rows = X[(y == label) & (a == group)]
            counts = np.zeros((3, 3))
            np.add.at(counts, (rows[:, 0], rows[:, 1]), 1)
            part = chi2_contingency(counts, correction=False)
            statistic += part.statistic * (len(rows) - 1) / len(rows)
            degrees += part.dof
    assert found.p_values[0] == pytest.approx(chi2.sf(statistic, degrees), rel=1e-10)


def test_the_test_of_independence_holds_its_level():
    rng = np.random.default_rng(3)
    y, a = np.arange(120) % 2, np.arange(120) // 2 % 2
    p = [
        CategoricalJoint.fit(
            rng.choice(3, (120, 2), p=[0.7, 0.2, 0.1]), y, sensitive_features=a
        ).independence.p_value
        for _ in range(200)
    ]
    # 200 draws at 5 %: 10 expected, 20 is beyond three standard deviations
    assert sum(v < 0.05 for v in p) <= 20


def test_holm_adjusts_over_the_pairs_that_could_be_tested():
    found = independence_of([(0, 1), (0, 2), (1, 2)], [0.01, math.nan, 0.04])
    assert found.p_adjusted == pytest.approx((0.02, math.nan, 0.04), nan_ok=True)
    assert found.worst == (0, 1)
    assert math.isnan(independence_of([(0, 1)], [math.nan]).p_value)


def test_arguments_that_cannot_be_used_are_named():
    y, a = [0, 0, 1, 1], list("abab")
    with pytest.raises(EmptyCellError, match=r"\(label 1, group b\)"):
        CategoricalJoint.fit(["p"] * 4, y, sensitive_features=list("abaa"))
    with pytest.raises(InvalidInputError, match="1 missing in column 0"):
        CategoricalJoint.fit(["p", "q", None, "p"], y, sensitive_features=a)
    with pytest.raises(InvalidInputError, match="4 combinations and 1 rows"):
        X = [["p", 0], ["q", 1], ["p", 1], ["q", 0]]
        CategoricalJoint.fit(X, y, sensitive_features=a, alphabet="joint")
    with pytest.raises(InvalidInputError, match="at least 2 different labels"):
        CategoricalJoint.fit(["p"] * 4, [0] * 4, sensitive_features=a)
    with pytest.raises(InvalidInputError, match="`smoothing`"):
        CategoricalJoint.fit(["p"] * 4, y, sensitive_features=a, smoothing=-1.0)
    with pytest.raises(InvalidInputError, match="distinct columns of `X`"):
        CategoricalJoint.fit(["p"] * 4, y, sensitive_features=a, columns=[3])
    cells = {(0, "a"): Categorical([1.0]), (1, "a"): Categorical([0.5, 0.5])}
    with pytest.raises(InvalidInputError, match="same categories in the same order"):
        CategoricalJoint(cells, dict.fromkeys(cells, 0.5))
    with pytest.raises(InvalidInputError, match="same classes, groups, columns"):
        some_joint(0).kl_divergence(some_joint(0, sizes=(4,)))
