"""The group scorer: called directly, in searches, in cross-validation, in Pipelines."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.datasets import make_biased_normals
from isonomy.errors import GroupsRequiredError, InvalidInputError
from isonomy.metrics import by_group, make_group_scorer, rms_tpr_gap
from isonomy.steering import IdealSteerer, SteeredClassifier


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def make_data(n=240):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    g = rng.choice(["f", "m"], n)
    y = (X[:, 0] + 0.8 * (g == "m") + rng.normal(scale=0.5, size=n) > 0).astype(int)
    return X, y, g


class GroupLookup(ClassifierMixin, BaseEstimator):
    """Predicts 1 for group m, 0 for others; needs the groups, and remembers them."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y, sensitive_features=None):
        self.classes_ = np.unique(y)
        self.fitted_with_groups_ = sensitive_features is not None
        return self

    def predict(self, X, sensitive_features=None):
        if sensitive_features is None:
            raise ValueError("no groups reached predict")
        if len(sensitive_features) != len(X):
            raise ValueError("groups of other rows")
        return (np.asarray(sensitive_features) == "m").astype(int)


def test_direct_call_equals_the_metric_with_its_sign():
    X, y, g = make_data()
    model = LogisticRegression().fit(X, y)
    scorer = make_group_scorer(rms_tpr_gap, weighting="precision")
    expected = rms_tpr_gap(y, model.predict(X), sensitive_features=g, weighting="precision")
    assert scorer(model, X, y, sensitive_features=g) == -expected
    upward = make_group_scorer(rms_tpr_gap, greater_is_better=True)
    w = np.arange(1, len(y) + 1)
    assert upward(model, X, y, sensitive_features=g, sample_weight=w) == rms_tpr_gap(
        y, model.predict(X), sensitive_features=g, sample_weight=w
    )


def test_scores_can_be_probabilities():
    X, y, g = make_data()
    model = LogisticRegression().fit(X, y)

    def mean_difference(y_true, scores, *, sensitive_features):
        found = by_group(
            lambda t, s: float(np.mean(s)),
            y_true,
            scores[:, 1],
            sensitive_features=sensitive_features,
        )
        return found.difference

    scorer = make_group_scorer(mean_difference, response_method="predict_proba")
    p = model.predict_proba(X)[:, 1]
    expected = abs(p[g == "m"].mean() - p[g == "f"].mean())
    assert scorer(model, X, y, sensitive_features=g) == pytest.approx(-expected)


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: make_pipeline(StandardScaler(), e)])
def test_groups_reach_predict_when_it_takes_them(wrap):
    X, y, g = make_data()
    scorer = make_group_scorer(rms_tpr_gap)
    with sklearn.config_context(enable_metadata_routing=True):
        inner = GroupLookup().set_fit_request(sensitive_features=True)
        inner.set_predict_request(sensitive_features=True)
        model = wrap(inner).fit(X, y, sensitive_features=g)
        # it predicts by group alone: each class is always right in one group, never in the other
        assert scorer(model, X, y, sensitive_features=g) == -1


def test_groups_reach_a_plain_predict_without_routing():
    X, y, g = make_data()
    assert make_group_scorer(rms_tpr_gap)(GroupLookup().fit(X, y), X, y, sensitive_features=g) == -1


def test_a_predict_that_refuses_groups_does_not_get_them(routing):
    X, y, g = make_data()
    model = GroupLookup().set_predict_request(sensitive_features=False)
    with pytest.raises(ValueError, match="no groups reached predict"):
        make_group_scorer(rms_tpr_gap)(model.fit(X, y), X, y, sensitive_features=g)


@pytest.mark.parametrize("pipeline", [False, True])
def test_grid_search_routes_the_groups_of_each_fold(routing, pipeline):
    X, y, g = make_data()
    model = GroupLookup().set_fit_request(sensitive_features=True)
    model.set_predict_request(sensitive_features=True)
    name = "shift"
    if pipeline:
        model, name = make_pipeline(StandardScaler(), model), "grouplookup__shift"
    search = GridSearchCV(
        model, {name: [0, 1]}, scoring=make_group_scorer(rms_tpr_gap), cv=3, error_score="raise"
    )
    search.fit(X, y, sensitive_features=g)
    assert (search.cv_results_["mean_test_score"] == -1).all()
    clone(search)


def test_cross_validate_with_several_scorers(routing):
    X, y, g = make_data()
    scorers = {"gap": make_group_scorer(rms_tpr_gap), "accuracy": "accuracy"}
    found = cross_validate(
        LogisticRegression(), X, y, scoring=scorers, cv=3,
        params={"sensitive_features": g}, error_score="raise",
    )  # fmt: skip
    assert (found["test_gap"] <= 0).all()
    assert (found["test_accuracy"] > 0.5).all()


def test_weights_and_names_are_requested(routing):
    X, y, g = make_data()
    seen = []

    def metric(y_true, y_pred, *, sensitive_features, sample_weight=None):
        seen.append((len(sensitive_features), sample_weight))
        return accuracy_score(y_true, y_pred)

    scorer = make_group_scorer(metric).set_score_request(
        sensitive_features="sex", sample_weight=True
    )
    model = LogisticRegression().set_fit_request(sample_weight=True)
    w = np.ones(len(y))
    cross_validate(
        model, X, y, scoring=scorer, cv=3, params={"sex": g, "sample_weight": w},
        error_score="raise",
    )  # fmt: skip
    assert [n for n, _ in seen] == [80, 80, 80]
    assert all(weight is not None for _, weight in seen)


def test_missing_groups_and_wrong_arguments_raise():
    X, y, g = make_data()
    model = LogisticRegression().fit(X, y)
    scorer = make_group_scorer(rms_tpr_gap)
    with pytest.raises(GroupsRequiredError, match="enable_metadata_routing"):
        scorer(model, X, y)
    with pytest.raises(InvalidInputError, match="`metric` of `make_group_scorer`"):
        make_group_scorer("accuracy")
    with pytest.raises(InvalidInputError, match="`response_method`"):
        make_group_scorer(rms_tpr_gap, response_method="transform")
    with pytest.raises(InvalidInputError, match="must have `predict_proba`"):
        make_group_scorer(rms_tpr_gap, response_method="predict_proba")(
            GroupLookup().fit(X, y), X, y, sensitive_features=g
        )
    with pytest.raises(InvalidInputError, match="must name sensitive_features"):
        scorer.set_score_request(groups=True)
    assert repr(copy.deepcopy(scorer)) == repr(scorer)


def test_a_metric_without_groups_is_called_without_them():
    X, y, groups, _ = make_biased_normals(300, random_state=0)
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given"))
    model.fit(X, y, sensitive_features=groups)
    scorer = make_group_scorer(accuracy_score, greater_is_better=True)
    expected = accuracy_score(y, model.predict(X, sensitive_features=groups))
    assert scorer(model, X, y, sensitive_features=groups) == expected
