"""Over- and undersampling: the counts of the cells, the draw, weights and the estimator."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.baselines import Oversampling, Undersampling
from isonomy.errors import InvalidInputError
from reference.rivals import wanted_counts

BOTH = [Oversampling, Undersampling]


def biased_rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b"], size=n, p=[0.6, 0.4])
    y = (rng.random(n) < np.where(groups == "a", 0.7, 0.3)).astype(int)
    X = rng.standard_normal((n, 3)) + 0.7 * y[:, None]
    X[:, 0] += groups == "a"
    return X, y, groups


def cell_counts(y, groups, index):
    pairs = list(
        zip(np.asarray(y)[index].tolist(), np.asarray(groups)[index].tolist(), strict=True)
    )
    return {pair: pairs.count(pair) for pair in set(pairs)}


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("abc")), min_size=2, max_size=40
    ),
    target=st.sampled_from(["independent", "balanced"]),
    method=st.sampled_from(BOTH),
)
@settings(deadline=None, max_examples=80)
def test_cells_have_the_counts_by_hand(rows, target, method):
    y, groups = map(list, zip(*rows, strict=True))
    X = np.zeros((len(y), 1))
    drawn = method(target=target, random_state=0, missing_groups="single")
    index = drawn.fit(X, y, sensitive_features=groups).sample_indices_
    expected = wanted_counts(y, groups, target=target, grow=method is Oversampling)
    assert cell_counts(y, groups, index) == expected
    times = np.bincount(index, minlength=len(y))
    for pair in expected:
        own = times[[p == pair for p in zip(y, groups, strict=True)]]
        assert own.max() - own.min() <= 1  # rows of a cell are drawn as often as one another
    if method is Oversampling:
        assert times.min() >= 1
    else:
        assert times.max() <= 1


@pytest.mark.parametrize("method", BOTH)
def test_label_and_group_are_independent_afterwards(method):
    X, y, groups = biased_rows(n=4_000)
    index = method(random_state=0).fit(X, y, sensitive_features=groups).sample_indices_
    rates = [y[index][groups[index] == g].mean() for g in "ab"]
    # four rounded counts: half a row each of at least a thousand in a group
    assert abs(rates[0] - rates[1]) < 2e-3
    assert rates[0] == pytest.approx(y.mean(), abs=2e-3)
    assert abs(y[groups == "a"].mean() - y[groups == "b"].mean()) > 0.3


@pytest.mark.parametrize("method", BOTH)
def test_the_estimator_sees_the_drawn_rows_and_nothing_else(method):
    X, y, groups = biased_rows()
    model = method(LogisticRegression(), random_state=3).fit(X, y, sensitive_features=groups)
    alone = LogisticRegression().fit(X[model.sample_indices_], y[model.sample_indices_])
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_array_equal(model.decision_function(X), alone.decision_function(X))
    assert model.score(X, y) == alone.score(X, y)
    assert not hasattr(model.estimator, "coef_")  # the caller's object is left as it was


@pytest.mark.parametrize("method", BOTH)
def test_random_state_decides_the_draw(method):
    X, y, groups = biased_rows()

    def draw(seed):
        return method(random_state=seed).fit(X, y, sensitive_features=groups).sample_indices_

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


@pytest.mark.parametrize("method", BOTH)
def test_weights_count_and_are_taken_along(method):
    X, y, groups = biased_rows(n=3_000)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    weight[(groups == "b") & (y == 1)] *= 3.0  # in one cell: independence must be of the weights
    weight[:100] = 0.0
    model = method(LogisticRegression(), random_state=0)
    model.fit(X, y, sensitive_features=groups, sample_weight=weight)
    index = model.sample_indices_
    assert index.min() >= 100  # rows of weight 0 are no rows
    own, label, group = weight[index], y[index], groups[index]
    rates = [np.average(label[group == g], weights=own[group == g]) for g in "ab"]
    assert abs(rates[0] - rates[1]) < 0.02  # the weights within a cell are drawn, too
    alone = LogisticRegression().fit(X[index], label, sample_weight=own)
    np.testing.assert_allclose(model.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("method", BOTH)
def test_an_estimator_without_weights_serves_where_there_are_none(method):
    X, y, groups = biased_rows()
    nearest = KNeighborsClassifier()
    for estimator in (nearest, make_pipeline(StandardScaler(), nearest)):
        model = method(estimator, random_state=0).fit(X, y, sensitive_features=groups)
        assert model.score(X, y) > 0.5
        with pytest.raises(InvalidInputError, match="must take `sample_weight` in its `fit`"):
            method(estimator).fit(X, y, sensitive_features=groups, sample_weight=np.ones(len(y)))


@pytest.mark.parametrize("method", BOTH)
def test_an_empty_cell_stays_empty(method):
    y, groups = np.array([0, 0, 1, 0]), np.array(["a", "b", "a", "b"])
    index = method(random_state=0).fit(np.zeros((4, 1)), y, sensitive_features=groups)
    assert set(cell_counts(y, groups, index.sample_indices_)) == {(0, "a"), (0, "b"), (1, "a")}


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    "kind",
    [
        pd.DataFrame,
        lambda X: pl.DataFrame(X, schema=["a", "b", "c"]),
        sparse.csr_array,
        sparse.coo_array,
        sparse.bsr_array,
        np.ndarray.tolist,
    ],
    ids=["pandas", "polars", "csr", "coo", "bsr", "list"],
)
def test_rows_of_every_kind_are_drawn(method, kind):
    X, y, groups = biased_rows()
    model = method(LogisticRegression(), random_state=0).fit(kind(X), y, sensitive_features=groups)
    expected = method(LogisticRegression(), random_state=0).fit(X, y, sensitive_features=groups)
    np.testing.assert_allclose(model.predict_proba(kind(X)), expected.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("method", BOTH)
def test_group_columns_are_taken_out_before_the_estimator(method):
    X, y, groups = biased_rows()
    frame = pd.DataFrame(X, columns=list("uvw")).assign(sex=groups)
    model = method(LogisticRegression(), random_state=0, group_columns=["sex"]).fit(frame, y)
    direct = method(LogisticRegression(), random_state=0).fit(X, y, sensitive_features=groups)
    np.testing.assert_array_equal(model.predict(frame), direct.predict(X))
    np.testing.assert_array_equal(model.predict(frame.drop(columns="sex")), direct.predict(X))


@pytest.mark.parametrize("method", BOTH)
def test_groups_are_routed_through_cross_validation(method):
    X, y, groups = biased_rows()
    with sklearn.config_context(enable_metadata_routing=True):
        head = method(LogisticRegression(), random_state=0)
        pipe = Pipeline([("scale", StandardScaler()), ("head", head)])
        result = cross_validate(pipe, X, y, params={"sensitive_features": groups}, cv=3)
    assert (result["test_score"] > 0.5).all()


@pytest.mark.parametrize("method", BOTH)
def test_the_published_effect_selection_rates_come_closer(method):
    X, y, groups = biased_rows(n=4_000)
    X = np.column_stack([0.5 * X[:, 1:], groups == "a"])  # the group itself is a column

    def difference(model):
        chosen = model.predict(X)
        return abs(chosen[groups == "a"].mean() - chosen[groups == "b"].mean())

    plain = difference(LogisticRegression().fit(X, y))
    model = method(LogisticRegression(), random_state=0).fit(X, y, sensitive_features=groups)
    assert plain > 0.3
    assert difference(model) < 0.7 * plain


@pytest.mark.parametrize("method", BOTH)
def test_without_an_estimator_there_is_no_predict(method):
    X, y, groups = biased_rows()
    model = method().fit(X, y, sensitive_features=groups)
    assert not hasattr(model, "predict")
    assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("method", BOTH)
def test_an_unknown_target_raises(method):
    X, y, groups = biased_rows()
    with pytest.raises(InvalidInputError, match="`target` of `.*fit` must be one of 'independent'"):
        method(target="equal").fit(X, y, sensitive_features=groups)
