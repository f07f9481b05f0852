"""Reweighing: the weights, the estimator fitted on them, and routing."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from isonomy.baselines import Reweighing
from isonomy.errors import InvalidInputError
from reference.independence_weights import independence_weights


def biased_rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b"], size=n, p=[0.6, 0.4])
    y = (rng.random(n) < np.where(groups == "a", 0.7, 0.3)).astype(int)
    X = rng.standard_normal((n, 3)) + 0.7 * y[:, None]
    X[:, 0] += groups == "a"
    return X, y, groups


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.integers(1, 4)),
        min_size=2,
        max_size=25,
    )
)
@settings(deadline=None, max_examples=50)
def test_weights_equal_a_count_by_hand(rows):
    y, groups, weight = map(list, zip(*rows, strict=True))
    method = Reweighing(missing_groups="single")  # so that draws with one group pass
    X = np.zeros((len(y), 1))
    method.fit(X, y, sensitive_features=groups, sample_weight=weight)
    np.testing.assert_allclose(method.sample_weight_, independence_weights(y, groups, weight))


def test_label_and_group_are_independent_under_the_weights():
    X, y, groups = biased_rows()
    weight = Reweighing().fit(X, y, sensitive_features=groups).sample_weight_
    rates = [np.average(y[groups == g], weights=weight[groups == g]) for g in "ab"]
    assert rates[0] == pytest.approx(rates[1])
    assert weight.sum() == pytest.approx(len(y))


def test_the_estimator_is_fitted_on_the_weights_times_the_callers_and_nothing_else():
    X, y, groups = biased_rows()
    own = np.random.default_rng(1).uniform(0.5, 2.0, size=len(y))
    method = Reweighing(LogisticRegression())
    method.fit(X, y, sensitive_features=groups, sample_weight=own)
    weight = np.array(independence_weights(y, groups, own.tolist()))
    np.testing.assert_allclose(method.sample_weight_, weight)
    alone = LogisticRegression().fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(method.estimator_.coef_, alone.coef_)
    np.testing.assert_array_equal(method.predict(X), alone.predict(X))
    np.testing.assert_allclose(method.predict_proba(X), alone.predict_proba(X))
    np.testing.assert_allclose(method.decision_function(X), alone.decision_function(X))
    assert method.score(X, y) == alone.score(X, y)
    check_is_fitted(method)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(method.estimator)  # the caller's object is left as it was


def test_the_published_effect_selection_rates_come_closer():
    X, y, groups = biased_rows(n=4_000)
    X = np.column_stack([0.5 * X[:, 1:], groups == "a"])  # the group itself is a column

    def difference(model):
        chosen = model.predict(X)
        return abs(chosen[groups == "a"].mean() - chosen[groups == "b"].mean())

    plain = difference(LogisticRegression().fit(X, y))
    reweighed = difference(Reweighing(LogisticRegression()).fit(X, y, sensitive_features=groups))
    assert plain > 0.3
    assert reweighed < 0.7 * plain


def test_an_estimator_without_sample_weight_raises():
    X, y, groups = biased_rows()
    nearest = KNeighborsClassifier()
    for estimator in (nearest, make_pipeline(StandardScaler(), nearest)):
        with pytest.raises(InvalidInputError, match="must take `sample_weight` in its `fit`"):
            Reweighing(estimator).fit(X, y, sensitive_features=groups)


def test_a_pipeline_gets_the_weights_at_its_last_step():
    X, y, groups = biased_rows()
    whole = Reweighing(make_pipeline(StandardScaler(), LogisticRegression()))
    whole.fit(X, y, sensitive_features=groups)
    scaled = StandardScaler().fit_transform(X)
    last = Reweighing(LogisticRegression()).fit(scaled, y, sensitive_features=groups)
    np.testing.assert_array_equal(whole.predict(X), last.predict(scaled))


def test_without_an_estimator_there_are_weights_and_no_predict():
    X, y, groups = biased_rows()
    method = Reweighing().fit(X, y, sensitive_features=groups)
    assert len(method.sample_weight_) == len(y)
    assert not hasattr(method, "predict")
    assert not hasattr(method, "predict_proba")


def test_group_columns_are_taken_out_before_the_estimator_also_at_predict():
    X, y, groups = biased_rows()
    frame = pd.DataFrame(X, columns=list("uvw")).assign(sex=groups)
    method = Reweighing(LogisticRegression(), group_columns=["sex"]).fit(frame, y)
    assert method.estimator_.n_features_in_ == 3
    direct = Reweighing(LogisticRegression()).fit(X, y, sensitive_features=groups)
    np.testing.assert_array_equal(method.predict(frame), direct.predict(X))
    np.testing.assert_array_equal(method.predict(frame.drop(columns="sex")), direct.predict(X))
    coded = np.column_stack([X, groups == "b"])
    by_index = Reweighing(LogisticRegression(), group_columns=[3]).fit(coded, y)
    np.testing.assert_array_equal(by_index.predict(coded), direct.predict(X))
    with pytest.raises(InvalidInputError, match="both `sensitive_features` and `group_columns`"):
        method.fit(frame, y, sensitive_features=groups)


def test_rows_that_are_no_numbers_reach_the_estimator_as_they_are():
    _, y, groups = biased_rows(n=60)
    text = [f"word{label} filler{i % 3}" for i, label in enumerate(y)]
    sparse = TfidfVectorizer().fit_transform(text)
    method = Reweighing(LogisticRegression()).fit(sparse, y, sensitive_features=groups)
    assert method.score(sparse, y) == 1.0


def test_groups_are_routed_through_pipeline_and_cross_validation():
    X, y, groups = biased_rows()
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = Pipeline([("scale", StandardScaler()), ("head", Reweighing(LogisticRegression()))])
        result = cross_validate(pipe, X, y, params={"sensitive_features": groups}, cv=3)
        assert (result["test_score"] > 0.5).all()
        search = GridSearchCV(pipe, {"head__estimator__C": [0.1, 1.0]}, cv=3)
        search.fit(X, y, sensitive_features=groups)
        scaled = StandardScaler().fit_transform(X)
        expected = Reweighing(search.best_estimator_["head"].estimator)
        expected.fit(scaled, y, sensitive_features=groups)
        np.testing.assert_array_equal(search.predict(X), expected.predict(scaled))


def test_the_group_at_prediction_is_ignored():
    X, y, groups = biased_rows()
    method = Reweighing(LogisticRegression()).fit(X, y, sensitive_features=groups)
    np.testing.assert_array_equal(
        method.predict(X), method.predict(X, sensitive_features=groups[::-1])
    )


def test_an_empty_cell_gets_no_weight_and_no_division_by_zero():
    y, groups = [0, 0, 1], ["a", "b", "a"]
    weight = Reweighing().fit(np.zeros((3, 1)), y, sensitive_features=groups).sample_weight_
    np.testing.assert_allclose(weight, independence_weights(y, groups))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_rows_of_any_frame_are_served_with_or_without_the_groups(kind):
    rng = np.random.default_rng(0)
    columns = {"w": rng.normal(size=60), "x": rng.normal(size=60)}
    y, group = np.arange(60) % 2, np.array(["a", "b", "b"] * 20)
    model = Reweighing(LogisticRegression(), group_columns="sex")
    model.fit(kind({**columns, "sex": group}), y)
    served = model.predict(kind({**columns, "sex": group}))
    np.testing.assert_array_equal(model.predict(kind(columns)), served)


def test_arrays_are_served_without_the_groups():
    rng = np.random.default_rng(0)
    X, y, group = rng.normal(size=(60, 2)), np.arange(60) % 2, np.arange(60) % 3 == 0
    wide = np.column_stack([group, X]).astype(float)
    model = Reweighing(LogisticRegression(), group_columns=[0]).fit(wide, y)
    np.testing.assert_array_equal(model.predict(X), model.predict(wide))


def test_nullable_labels_come_back_as_their_own_kind():
    X, group = np.arange(12.0)[:, None], np.array(["a", "b"] * 6)
    y = pd.Series(np.arange(12) > 5, dtype="boolean")
    predicted = Reweighing(LogisticRegression()).fit(X, y, sensitive_features=group).predict(X)
    assert predicted.dtype == bool  # scikit-learn alone gives 0.0 and 1.0
