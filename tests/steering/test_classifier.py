"""SteeredClassifier: parts in the right order, groups only where needed, honest folds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.groups import kamiran_calders_weights
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier


def biased(n=3000, seed=3, **kwargs):
    X, y, group, _ = make_biased_normals(n, random_state=seed, **kwargs)
    return X, y, np.asarray(group)


def worst_gap(predicted, y, group):
    spans = []
    for label in np.unique(y):
        rates = [(predicted[(y == label) & (group == a)] == label).mean() for a in np.unique(group)]
        spans.append(max(rates) - min(rates))
    return max(spans)


def test_by_hand_and_in_one_object_are_the_same():
    X, y, group = biased()
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given"))
    model.fit(X, y, sensitive_features=group)
    steerer = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    moved = steerer.transform(X, sensitive_features=group)
    weight = kamiran_calders_weights(y, sensitive_features=group)
    head = LogisticRegression().fit(moved, y, sample_weight=weight)
    assert model.sample_weight_ == pytest.approx(weight)
    expected = head.predict_proba(moved)
    assert model.predict_proba(X, sensitive_features=group) == pytest.approx(expected)


def test_reweighing_multiplies_the_callers_weights():
    X, y, group = biased(600)
    own = np.linspace(0.5, 2.0, 600)
    model = SteeredClassifier(LogisticRegression(), steerer="passthrough")
    model.fit(X, y, sensitive_features=group, sample_weight=own)
    expected = kamiran_calders_weights(y, sensitive_features=group, sample_weight=own)
    assert model.sample_weight_ == pytest.approx(expected)
    plain = SteeredClassifier(LogisticRegression(), steerer="passthrough", reweigh=False)
    plain.fit(X, y, sensitive_features=group, sample_weight=own)
    assert (plain.sample_weight_ == own).all()


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()])
def test_the_calibrator_closes_what_steering_leaves(estimator):
    X, y, group = biased(12_000)
    model = SteeredClassifier(
        estimator,
        steerer="passthrough",
        calibrator=GapCalibrator(criterion="demographic_parity"),
        random_state=0,
    ).fit(X[::2], y[::2], sensitive_features=group[::2])
    fresh, member = X[1::2], group[1::2]
    predicted = model.predict(fresh, sensitive_features=member)
    rates = [predicted[member == a].mean() for a in ("a", "b")]
    bare = type(estimator)().fit(X[::2], y[::2]).predict(fresh)
    # 2,900 rows a group: two rates differ by chance by less than 0.04
    assert abs(rates[0] - rates[1]) < 0.04
    assert abs(bare[member == "a"].mean() - bare[member == "b"].mean()) > 0.04


class Remembers(ClassifierMixin, BaseEstimator):
    """Certain of every row it has seen, undecided on others: shows a leak of labels."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.seen_ = {row.tobytes(): label for row, label in zip(X, y, strict=True)}
        return self

    def predict_proba(self, X):
        known = [self.seen_.get(row.tobytes()) for row in np.ascontiguousarray(X)]
        return np.array([[0.5, 0.5] if k is None else [1.0 - k, 1.0 * k] for k in known])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_the_calibrator_sees_only_scores_of_held_out_rows():
    X, y, group = biased(400)
    model = SteeredClassifier(
        Remembers(), steerer="passthrough", calibrator=GapCalibrator(), random_state=0
    ).fit(X, y, sensitive_features=group)
    # every held-out score is a tie, so the objective is that of the class frequencies alone
    flat = GapCalibrator().fit(np.full((400, 2), 0.5), y, sensitive_features=group)
    assert model.calibrator_.offsets_ == pytest.approx(flat.offsets_, abs=1e-6)


def test_groups_are_asked_for_only_where_they_are_used():
    X, y, group = biased(600)
    blind = SteeredClassifier(LogisticRegression()).fit(X, y, sensitive_features=group)
    assert not blind.uses_groups_at_prediction()
    assert (blind.predict(X) == blind.predict(X, sensitive_features=group)).all()
    for settings in (
        dict(steerer=IdealSteerer(groups="given")),
        dict(steerer="passthrough", calibrator=GapCalibrator()),
    ):
        model = SteeredClassifier(LogisticRegression(), **settings)
        model.fit(X, y, sensitive_features=group)
        assert model.uses_groups_at_prediction()
        with pytest.raises(errors.GroupsRequiredError, match="uses the group at prediction"):
            model.predict(X)


def test_any_transformer_and_pipeline_fit_in():
    X, y, group = biased(600)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    model = SteeredClassifier(pipeline, steerer=StandardScaler())
    model.fit(X, y, sensitive_features=group)
    weight = kamiran_calders_weights(y, sensitive_features=group)
    expected = LogisticRegression().fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    assert model.estimator_[-1].coef_ == pytest.approx(expected.coef_, abs=1e-6)


def test_group_columns_are_taken_out_of_frames_and_arrays():
    X, y, group = biased(600)
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(sex=group)
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given"))
    direct = model.fit(X, y, sensitive_features=group).predict(X, sensitive_features=group)
    by_name = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given"), group_columns=["sex"]
    )
    assert (by_name.fit(frame, y).predict(frame) == direct).all()
    inherited = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given", group_columns=["sex"])
    )
    assert (inherited.fit(frame, y).predict(frame) == direct).all()
    array = np.column_stack([X, (group == "b").astype(float)])
    by_index = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given"), group_columns=[4]
    )
    assert (by_index.fit(array, y).predict(array) == direct).all()


def test_a_class_too_rare_for_every_fold_does_not_stop_the_calibrator():
    X, y, group = biased(600)
    y = y.astype(object)
    y[:2] = "rare"
    y = y.astype(str)
    model = SteeredClassifier(LogisticRegression(), calibrator=GapCalibrator(), random_state=0)
    proba = model.fit(X, y, sensitive_features=group).predict_proba(X, sensitive_features=group)
    assert proba.shape == (600, 3) and np.isfinite(proba).all()


def test_explain_rows_compares_decisions():
    X, y, group = biased(600)
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(groups="given"))
    model.fit(X, y, sensitive_features=group)
    told = model.explain_rows(X, sensitive_features=group)
    assert (told.decision_after == model.predict(X, sensitive_features=group)).all()
    with pytest.raises(errors.InvalidInputError, match="needs an `IdealSteerer`"):
        SteeredClassifier(LogisticRegression(), steerer="passthrough").fit(
            X, y, sensitive_features=group
        ).explain_rows(X)


def test_bad_input_is_named():
    X, y, group = biased(200)
    with pytest.raises(errors.InvalidInputError, match='must be "ideal", "passthrough" or a'):
        SteeredClassifier(LogisticRegression(), steerer="idael").fit(X, y, sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match="must accept `sample_weight`"):
        SteeredClassifier(KNeighborsClassifier()).fit(X, y, sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match="`cv` .* between 2 and"):
        SteeredClassifier(LogisticRegression(), calibrator=GapCalibrator(), cv=1).fit(
            X, y, sensitive_features=group
        )
    with pytest.raises(errors.GroupsRequiredError, match="one group a row, got None"):
        SteeredClassifier(LogisticRegression()).fit(X, y)
    with pytest.raises(errors.InvalidInputError, match="as many rows as"):
        SteeredClassifier(LogisticRegression()).fit(X, y, sensitive_features=group[:-1])
