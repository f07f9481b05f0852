"""The model of P(group | row, class), and a SteeredClassifier that guesses groups with it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier
from sklearn.model_selection import PredefinedSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from isonomy import errors
from isonomy.metrics import rms_tpr_gap
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier, _last_stage
from isonomy.steering._group_model import CLASS_SCALE, fit_group_model


def rows(seed, n=3000, n_groups=2):
    """Three classes; column 2 tells the group, and hides class 0 in group 1."""
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, 3, n), rng.integers(0, n_groups, n)
    X = rng.normal(size=(n, 4)) + 1.6 * np.eye(3, 4)[y]
    X[:, 3] += 1.5 * groups
    X[:, 0] -= 1.2 * ((groups == 1) & (y == 0))
    return X, y, groups


def fit(model, X, y, groups, weight=None, estimator=None):
    return fit_group_model(
        model, estimator, X, y, groups, weight, n_classes=3, n_groups=2, where="Model.fit"
    )


def test_the_default_is_a_literal_logistic_regression_given_the_class():
    X, y, groups = rows(0, n=400)
    found = fit(None, X, y, groups).posterior(X[:5])
    centre, spread = X.mean(axis=0), X.std(axis=0)
    design = np.hstack([(X - centre) / spread, CLASS_SCALE * np.eye(3)[y]])
    literal = LogisticRegression(C=0.1, max_iter=1000).fit(design, groups)
    for k in range(3):
        asked = np.hstack([(X[:5] - centre) / spread, np.tile(CLASS_SCALE * np.eye(3)[k], (5, 1))])
        np.testing.assert_allclose(found[:, k], literal.predict_proba(asked), atol=1e-10)


def test_cells_divide_the_joint_by_the_class():
    X, y, groups = rows(1, n=600)
    estimator = LogisticRegression(max_iter=500)
    found = fit("cells", X, y, groups, estimator=estimator).posterior(X)
    joint = LogisticRegression(max_iter=500).fit(X, 2 * y + groups).predict_proba(X)
    for k in range(3):
        cell = joint[:, 2 * k : 2 * k + 2]
        np.testing.assert_allclose(found[:, k], cell / cell.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [None, "cells", RidgeClassifier(), RandomForestClassifier(20, random_state=0)],
    ids=["default", "cells", "decision values", "forest"],
)
def test_every_posterior_is_a_probability(model):
    X, y, groups = rows(2, n=500)
    found = fit(model, X, y, groups, estimator=LogisticRegression()).posterior(X)
    assert found.shape == (500, 3, 2)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-12)


def test_a_group_that_a_class_lacks_is_unlikely_there():
    X, y, groups = rows(3)
    groups[y == 2] = 0
    found = fit(None, X, y, groups).posterior(X)
    assert found[:, 2, 0].mean() > 0.95 > found[:, 0, 0].mean()


def test_weights_of_0_are_as_if_the_rows_were_absent():
    X, y, groups = rows(4, n=400)
    weight = np.r_[np.ones(300), np.zeros(100)]
    a = fit(None, X, y, groups, weight).posterior(X)
    b = fit(None, X[:300], y[:300], groups[:300]).posterior(X)
    np.testing.assert_allclose(a, b, atol=1e-5)  # L-BFGS stops at a gradient of 1e-4


def test_another_word_is_refused():
    X, y, groups = rows(5, n=100)
    model = SteeredClassifier(LogisticRegression(), group_model="rows")
    with pytest.raises(errors.InvalidInputError, match='must be None, "cells" or a classifier'):
        model.fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize(
    ("model", "weight", "message"),
    [
        (StandardScaler(), None, "must have `predict_proba` or `decision_function`"),
        (KNeighborsClassifier(), np.ones(100), "must accept `sample_weight`"),
    ],
)
def test_a_model_that_cannot_serve_is_refused(model, weight, message):
    X, y, groups = rows(5, n=100)
    with pytest.raises(errors.InvalidInputError, match=message):
        fit(model, X, y, groups, weight)


def test_the_default_classifier_decides_without_groups_and_narrows_the_gap():
    X, y, groups = rows(6, n=6000)
    model = SteeredClassifier(LogisticRegression(), random_state=0)
    model.fit(X, y, sensitive_features=groups)
    assert model.calibrator_.groups == "infer"
    assert not model.uses_groups_at_prediction()
    Z, z, told = rows(7, n=6000)
    bare = LogisticRegression().fit(X, y).predict(Z)
    gap = rms_tpr_gap(z, bare, sensitive_features=told)
    assert gap > 0.1
    assert rms_tpr_gap(z, model.predict(Z), sensitive_features=told) < 0.75 * gap
    np.testing.assert_allclose(model.predict_proba(Z).sum(axis=1), 1)


def test_a_model_without_steering_is_left_without_a_calibrator():
    X, y, groups = rows(8, n=300)
    model = SteeredClassifier(LogisticRegression(), steerer="passthrough", reweigh=False)
    model.fit(X, y, sensitive_features=groups)
    assert model.calibrator_ is None
    np.testing.assert_array_equal(model.predict(X), LogisticRegression().fit(X, y).predict(X))
    steered = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given"))
    assert steered.fit(X, y, sensitive_features=groups).calibrator_ is None


def test_a_frame_with_words_is_guessed_by_cells():
    X, y, groups = rows(9, n=900)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(town=np.where(groups == 1, "Rome", "Oslo"))
    head = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["town"]), remainder=StandardScaler()),
        LogisticRegression(),
    )
    model = SteeredClassifier(
        head, steerer="passthrough", calibrator=GapCalibrator(groups="infer"), random_state=0
    ).fit(frame, y, sensitive_features=groups)
    assert type(model.last_stage_.group_model).__name__ == "_Cells"
    guess = model.last_stage_.group_model.posterior(frame)
    assert (guess.mean(axis=1).argmax(axis=1) == groups).mean() > 0.9
    assert model.predict(frame).shape == (900,)


def test_an_unknown_calibrator_is_refused():
    X, y, groups = rows(10, n=100)
    with pytest.raises(errors.InvalidInputError, match='"auto" or None, got .best.'):
        SteeredClassifier(LogisticRegression(), calibrator="best").fit(
            X, y, sensitive_features=groups
        )


def test_any_classifier_can_guess_the_group():
    X, y, groups = rows(11, n=600)
    model = SteeredClassifier(
        LogisticRegression(), group_model=Perceptron(random_state=0), reweigh=False, random_state=0
    ).fit(X, y, sensitive_features=groups)
    assert isinstance(model.last_stage_.group_model.model, Perceptron)


def guessing(estimator=None, **settings):
    return SteeredClassifier(
        LogisticRegression() if estimator is None else estimator,
        steerer="passthrough",
        calibrator=GapCalibrator(groups="infer"),
        random_state=0,
        **settings,
    )


def test_rows_are_decided_in_chunks_as_all_at_once(monkeypatch):
    X, y, groups = rows(12, n=600)
    model = guessing().fit(X, y, sensitive_features=groups)
    frame_model = guessing().fit(pd.DataFrame(X), y, sensitive_features=groups)
    whole = model.predict_proba(X)
    sizes = []
    kind = type(model.last_stage_.group_model)
    posterior = kind.posterior
    monkeypatch.setattr(
        kind, "posterior", lambda self, X: sizes.append(len(X)) or posterior(self, X)
    )
    monkeypatch.setattr(_last_stage, "CHUNK", 6 * 250)
    # a matrix product may round otherwise for other numbers of rows
    np.testing.assert_allclose(model.predict_proba(X), whole, rtol=1e-12)
    assert sizes == [250, 250, 100]
    np.testing.assert_allclose(frame_model.predict_proba(pd.DataFrame(X)), whole, rtol=1e-9)


def test_a_group_without_weight_is_as_if_absent():
    X, y, groups = rows(13, n=900, n_groups=3)
    kept = groups < 2
    weighed = guessing().fit(X, y, sensitive_features=groups, sample_weight=kept.astype(float))
    absent = guessing().fit(
        X[kept], y[kept], sensitive_features=groups[kept], sample_weight=np.ones(kept.sum())
    )
    assert weighed.calibrator_.groups_ == weighed.groups_ == [0, 1]
    # L-BFGS stops at a gradient of 1e-4
    np.testing.assert_allclose(weighed.predict_proba(X), absent.predict_proba(X), atol=1e-3)


def test_a_splitter_has_to_hold_out_every_group():
    X, y, groups = rows(14, n=300, n_groups=3)
    folds = np.where(groups == 2, -1, np.arange(300) % 3)
    with pytest.raises(errors.InvalidInputError, match="hold out rows of each of the 3 groups"):
        guessing(cv=PredefinedSplit(folds)).fit(X, y, sensitive_features=groups)


def test_a_second_group_of_one_row_is_explained():
    X, y, _ = rows(15, n=300)
    groups = np.eye(1, 300, dtype=int)[0]
    with pytest.raises(errors.EmptyCellError, match="rows to learn from were of one group alone"):
        SteeredClassifier(LogisticRegression()).fit(X, y, sensitive_features=groups)


def test_missing_values_are_guessed_by_cells_where_the_estimator_reads_them():
    X, y, groups = rows(16, n=600)
    X[7, 1] = np.nan
    model = guessing(HistGradientBoostingClassifier(max_iter=5))
    model.fit(X, y, sensitive_features=groups)
    assert type(model.last_stage_.group_model).__name__ == "_Cells"
    assert model.predict(X).shape == (600,)


def test_a_probe_that_cannot_read_a_new_row_names_predict():
    X, y, groups = rows(17, n=600)
    model = guessing(HistGradientBoostingClassifier(max_iter=5))
    model.fit(X, y, sensitive_features=groups)
    X[0, 0] = np.nan
    with pytest.raises(errors.InvalidInputError, match="passed to `SteeredClassifier.predict`"):
        model.predict(X)


class NoScores(ClassifierMixin, BaseEstimator):
    """Says the most frequent class, and nothing of the others."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.most_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        return np.full(len(X), self.most_)


def test_an_estimator_without_scores_is_left_uncalibrated_unless_it_was_asked_for():
    X, y, groups = rows(18, n=300)
    model = SteeredClassifier(NoScores())
    assert not hasattr(model, "predict_proba")
    model.fit(X, y, sensitive_features=groups)
    assert model.calibrator_ is None
    assert not hasattr(model, "predict_proba")
    assert model.predict(X).shape == (300,)
    with pytest.raises(errors.InvalidInputError, match="for its scores to be calibrated, and NoSc"):
        guessing(NoScores()).fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows_served_without_group_columns_must_have_the_others_in_order(library):
    frames = pytest.importorskip(library)
    X, y, groups = rows(19, n=300)
    names = dict(zip("abcd", X.T, strict=True))
    train = frames.DataFrame(names | {"sex": groups})
    model = guessing(
        make_pipeline(StandardScaler(), LogisticRegression()), group_columns="sex"
    ).fit(train, y)
    served = frames.DataFrame(names)
    np.testing.assert_array_equal(model.predict(served), model.predict(train))
    with pytest.raises(errors.InvalidInputError, match=r"in that order \(a, b, c, d\), got d, c"):
        model.predict(served[list("dcba")])
