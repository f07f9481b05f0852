"""The disparate-impact remover: quantiles by hand, ranks, ties and new rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.linear_model import LogisticRegression

from isonomy.baselines import DisparateImpactRemover
from isonomy.errors import InvalidInputError
from reference.rivals import repaired_column


def groups_of_one_size(n=200, seed=0):
    rng = np.random.default_rng(seed)
    groups = np.repeat(["a", "b", "c"], n)
    X = np.vstack(
        [
            rng.standard_normal((n, 2)),
            rng.exponential(2.0, (n, 2)) + 1.0,
            3.0 * rng.standard_normal((n, 2)) - 4.0,
        ]
    )
    return X, groups


rows_with_ties = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from("abc"), st.integers(1, 3)),
    min_size=2,
    max_size=20,
).filter(lambda rows: len({g for _, g, _ in rows}) > 1)


@given(rows=rows_with_ties, repair_level=st.sampled_from([0.25, 0.5, 1.0]))
@settings(deadline=None, max_examples=60)
def test_values_equal_the_repair_by_hand(rows, repair_level):
    values, groups, weight = map(list, zip(*rows, strict=True))
    X = np.array(values, dtype=float)[:, None]
    out = DisparateImpactRemover(repair_level).fit_transform(
        X, sensitive_features=groups, sample_weight=weight
    )
    expected = repaired_column(values, weight, groups, repair_level)
    np.testing.assert_allclose(out[:, 0], expected, atol=1e-12)


@given(
    seed=st.integers(0, 1_000),
    repair_level=st.floats(0.0, 1.0),
    new=st.lists(st.floats(-50.0, 50.0), min_size=2, max_size=30),
    group=st.sampled_from("abc"),
)
@settings(deadline=None, max_examples=60)
def test_the_order_of_one_groups_rows_never_turns_round(seed, repair_level, new, group):
    X, groups = groups_of_one_size(n=20, seed=seed)
    method = DisparateImpactRemover(repair_level).fit(X[:, :1], sensitive_features=groups)
    rows = np.sort(np.concatenate([new, X[groups == group, 0]]))[:, None]
    out = method.transform(rows, sensitive_features=[group] * len(rows))[:, 0]
    # a rounding of the mixture may turn two neighbours round, by no more than rounding
    assert (np.diff(out) >= -1e-13).all()
    equal = np.diff(rows[:, 0]) == 0
    assert (np.diff(out)[equal] == 0).all()


def test_level_1_makes_the_marginals_of_equal_groups_equal():
    X, groups = groups_of_one_size()
    out = DisparateImpactRemover().fit_transform(X, sensitive_features=groups)
    a, b, c = (np.sort(out[groups == g], axis=0) for g in "abc")
    np.testing.assert_allclose(a, b, atol=1e-12)
    np.testing.assert_allclose(a, c, atol=1e-12)
    before = np.sort([np.sort(X[groups == g], axis=0) for g in "abc"], axis=0)[1]
    np.testing.assert_allclose(a, before, atol=1e-12)  # and they are the median of the three


def test_level_1_makes_the_marginals_of_unequal_groups_equal_to_a_step():
    X, groups = groups_of_one_size()
    kept = np.r_[0:200, 200:277, 400:431]
    X, groups = X[kept], groups[kept]
    out = DisparateImpactRemover().fit_transform(X, sensitive_features=groups)
    for j in range(2):
        assert ks_2samp(X[groups == "a", j], X[groups == "b", j]).statistic > 0.3
        for g, n in (("b", 77), ("c", 31)):
            distance = ks_2samp(out[groups == "a", j], out[groups == g, j]).statistic
            assert distance <= 1.0 / n  # one row of the smaller group


def test_level_0_is_the_identity_to_the_bit():
    X, groups = groups_of_one_size()
    X[0, 0] = 0.1 + 0.2
    method = DisparateImpactRemover(0.0).fit(X, sensitive_features=groups)
    new = np.random.default_rng(1).normal(scale=10.0, size=(50, 2))
    np.testing.assert_array_equal(method.transform(X, sensitive_features=groups), X)
    np.testing.assert_array_equal(method.transform(new, sensitive_features=["a"] * 50), new)


def test_partial_repair_lies_in_proportion():
    X, groups = groups_of_one_size()
    full = DisparateImpactRemover().fit_transform(X, sensitive_features=groups)
    part = DisparateImpactRemover(0.3).fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(part, 0.7 * X + 0.3 * full, atol=1e-12)


def test_new_rows_lie_between_their_neighbours_and_beyond_the_ends():
    X = np.array([[0.0], [2.0], [10.0], [14.0]])
    method = DisparateImpactRemover().fit(X, sensitive_features=["a", "a", "b", "b"])
    # 1 is half way between the levels 1/4 and 3/4 of group a, which become 5 and 8
    new = np.array([[1.0], [-3.0], [7.0]])
    out = method.transform(new, sensitive_features=["a", "a", "a"])
    np.testing.assert_allclose(out[:, 0], [6.5, 5.0 - 3.0, 8.0 + 5.0])


def test_a_constant_column_stays_and_a_constant_of_each_group_meets():
    X, groups = groups_of_one_size(n=30)
    own = np.repeat([1.0, 5.0, 2.0], 30)
    wide = np.column_stack([X, np.full(90, 0.1), own])
    out = DisparateImpactRemover(0.7).fit_transform(wide, sensitive_features=groups)
    np.testing.assert_array_equal(out[:, 2], np.full(90, 0.1))
    out = DisparateImpactRemover().fit_transform(wide, sensitive_features=groups)
    np.testing.assert_array_equal(out[:, 3], np.full(90, 2.0))


def test_few_quantiles_come_near_to_all_of_them():
    X, groups = groups_of_one_size(n=2_000)
    exact = DisparateImpactRemover().fit_transform(X, sensitive_features=groups)
    method = DisparateImpactRemover(n_quantiles=200).fit(X, sensitive_features=groups)
    assert all(len(q.values) == 200 for columns in method.quantiles_.values() for q in columns)
    thinned = method.transform(X, sensitive_features=groups)
    assert np.abs(thinned - exact).mean() < 0.02
    ends = [method.quantiles_["a"][0].values[i] for i in (0, -1)]
    np.testing.assert_allclose(ends, [X[:2_000, 0].min(), X[:2_000, 0].max()])


def test_strangers_verdict_no_column_tells_the_group_any_more():
    X, groups = groups_of_one_size(n=1_000)
    out = DisparateImpactRemover().fit_transform(X, sensitive_features=groups)

    def probe(rows):
        steps = np.column_stack([rows[:, :1] > cut for cut in np.quantile(rows[:, 0], [0.2, 0.8])])
        return LogisticRegression().fit(steps, groups).score(steps, groups)

    assert probe(X) > 0.6
    assert probe(out) < 1 / 3 + 0.01


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"repair_level": 1.2}, r"`repair_level` of `DisparateImpactRemover` must lie in \[0, 1\]"),
        ({"repair_level": None}, "`repair_level` .* must be a number"),
        ({"n_quantiles": 1}, "`n_quantiles` .* whole number of at least 2, got 1"),
    ],
)
def test_wrong_parameters_raise(parameters, message):
    X, groups = groups_of_one_size(n=10)
    with pytest.raises(InvalidInputError, match=message):
        DisparateImpactRemover(**parameters).fit(X, sensitive_features=groups)
