"""scikit-learn's own checks, routing, pipelines, searches and wrappers."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.metrics import make_group_scorer, rms_tpr_gap
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier

CHECKED = [
    IdealSteerer(missing_groups="single", random_state=0),
    IdealSteerer(groups="given", missing_groups="single"),
    SteeredClassifier(LogisticRegression(), missing_groups="single"),
    SteeredClassifier(
        LogisticRegression(), missing_groups="single", calibrator=GapCalibrator(), cv=2,
        random_state=0,
    ),
]  # fmt: skip


def named_checks():
    for estimator in CHECKED:
        for _, check in estimator_checks_generator(estimator, mark=None):
            yield pytest.param(estimator, check, id=f"{estimator}-{check.func.__name__}"[:120])


@pytest.mark.filterwarnings("ignore")  # the checks pass odd data on purpose
@pytest.mark.parametrize(("estimator", "check"), list(named_checks()))
def test_scikit_learn_checks(estimator, check):
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("array API input is not supported, and its check needs SCIPY_ARRAY_API")
    check(clone(estimator))


@pytest.fixture
def rows():
    X, y, group, _ = make_biased_normals(800, random_state=3)
    return X, y, np.asarray(group)


@pytest.fixture
def frame(rows):
    X, y, group = rows
    return pd.DataFrame(X, columns=list("wxyz")).assign(sex=group), y, group


@pytest.mark.parametrize("mode", ["blind", "given", "infer"])
def test_groups_are_routed_through_a_pipeline(rows, mode):
    X, y, group = rows
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler(), IdealSteerer(groups=mode, random_state=0), LogisticRegression()
        )
        pipeline.fit(X, y, sensitive_features=group)
        predicted = pipeline.predict(X, sensitive_features=group)
    steerer = IdealSteerer(groups=mode, random_state=0)
    Z = StandardScaler().fit_transform(X)
    head = LogisticRegression().fit(steerer.fit_transform(Z, y, sensitive_features=group), y)
    moved = steerer.transform(Z, sensitive_features=group)  # "infer" learns from other rows
    assert (predicted == head.predict(moved)).all()


def test_a_pipeline_that_gets_no_groups_at_predict_raises(rows):
    X, y, group = rows
    pipeline = make_pipeline(IdealSteerer(groups="given"), LogisticRegression())
    pipeline.fit(X, y, idealsteerer__sensitive_features=group)
    with pytest.raises(errors.GroupsRequiredError, match="got None"):
        pipeline.predict(X)
    blind = make_pipeline(IdealSteerer(rank=1), LogisticRegression())
    assert len(blind.fit(X, y, idealsteerer__sensitive_features=group).predict(X)) == len(X)


@pytest.mark.parametrize("mode", ["blind", "given", "infer"])
def test_group_columns_serve_search_and_wrappers_without_routing(frame, mode):
    X, y, _group = frame
    pipeline = Pipeline(
        [
            ("steer", IdealSteerer(groups=mode, group_columns=["sex"], random_state=0)),
            ("head", LogisticRegression()),
        ]
    )
    search = GridSearchCV(pipeline, {"head__C": [0.1, 1.0]}, scoring="balanced_accuracy", cv=3)
    search.fit(X, y)
    assert 0.5 < search.best_score_ <= 1
    assert len(cross_val_predict(pipeline, X, y, cv=3, method="predict_proba")) == len(X)
    proba = CalibratedClassifierCV(pipeline, cv=3).fit(X, y).predict_proba(X)
    assert proba.shape == (len(X), 2)
    assert cross_validate(pipeline, X, y, cv=3)["test_score"].min() > 0.5


@pytest.mark.parametrize("calibrator", [None, GapCalibrator()])
def test_the_classifier_in_search_and_wrappers(frame, calibrator):
    X, y, _ = frame
    model = SteeredClassifier(
        LogisticRegression(), calibrator=calibrator, group_columns=["sex"], cv=3, random_state=0
    )
    search = GridSearchCV(model, {"estimator__C": [0.1, 1.0]}, scoring="accuracy", cv=3)
    assert 0.5 < search.fit(X, y).best_score_ <= 1
    assert len(cross_val_predict(model, X, y, cv=3)) == len(X)
    assert CalibratedClassifierCV(model, cv=3).fit(X, y).predict_proba(X).shape == (len(X), 2)
    assert model.fit(X, y).feature_names_in_.tolist() == list(X.columns)


def test_routed_groups_reach_fit_predict_and_the_metric(rows):
    X, y, group = rows
    with config_context(enable_metadata_routing=True):
        scorer = make_group_scorer(rms_tpr_gap, greater_is_better=False)
        scorer = scorer.set_score_request(sensitive_features=True)
        search = GridSearchCV(
            SteeredClassifier(
                LogisticRegression(), steerer=IdealSteerer(groups="given"), random_state=0
            ),
            {"reweigh": [True, False]},
            scoring=scorer,
            cv=3,
        )
        search.fit(X, y, sensitive_features=group)
        assert -1 <= search.best_score_ <= 0
        found = cross_validate(
            SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given")),
            X,
            y,
            cv=3,
            params={"sensitive_features": group},
            scoring=scorer,
        )
        assert np.isfinite(found["test_score"]).all()


def test_set_output_and_feature_names(frame):
    X, y, group = frame
    steerer = IdealSteerer(groups="given").set_output(transform="pandas")
    out = steerer.fit_transform(X[list("wxyz")].to_numpy(), y, sensitive_features=group)
    assert list(out.columns) == ["x0", "x1", "x2", "x3"]
    named = IdealSteerer(groups="given", group_columns=["sex"]).fit(X, y)
    assert list(named.get_feature_names_out()) == list("wxyz")


def test_cloning_keeps_every_parameter():
    model = SteeredClassifier(
        LogisticRegression(C=3), steerer=IdealSteerer(rank=2), calibrator=GapCalibrator(shrinkage=1)
    )
    copy = clone(model)
    assert copy.get_params()["steerer__rank"] == 2
    assert copy.get_params()["calibrator__shrinkage"] == 1
    assert copy.get_params()["estimator__C"] == 3
