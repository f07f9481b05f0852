"""SteeredClassifier: parts in the right order, groups only where needed, honest folds."""

import copy
import pickle  # noqa: TID251 - users pickle fitted models; these bytes are our own

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, ShuffleSplit
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


def test_missing_groups_follow_the_models_rule_in_every_part():
    X, y, group = biased(600)
    some = group.astype(object)
    some[::5] = None
    model = SteeredClassifier(
        LogisticRegression(),
        steerer=IdealSteerer(groups="given"),  # whose own rule is to raise
        calibrator=GapCalibrator(),
        missing_groups="own_group",
        random_state=0,
    ).fit(X, y, sensitive_features=some)
    assert model.groups_ == ["a", "b", "(missing)"]
    named = np.where(some == None, "(missing)", some)  # noqa: E711
    expected = model.predict(X, sensitive_features=named)
    assert (model.predict(X, sensitive_features=some) == expected).all()


def test_groups_that_are_not_needed_are_not_looked_at():
    X, y, group = biased(600)
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(rank=1))
    model.fit(X, y, sensitive_features=group)
    expected = model.predict(X)
    assert (model.predict(X, sensitive_features=np.full(600, None)) == expected).all()


def test_rows_may_be_served_without_columns_that_are_not_needed():
    X, y, group = biased(600)
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(sex=group, city=group)
    model = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(rank=1), group_columns=["sex", "city"]
    ).fit(frame, y)
    expected = model.predict(frame)
    for dropped in (["sex"], ["sex", "city"]):
        assert (model.predict(frame.drop(columns=dropped)) == expected).all()
    array = np.column_stack([group == "b", X]).astype(float)
    by_index = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(rank=1), group_columns=0
    ).fit(array, y)
    assert (by_index.predict(X) == by_index.predict(array)).all()
    aware = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given"), group_columns="sex"
    ).fit(frame.drop(columns="city"), y)
    with pytest.raises(errors.GroupsRequiredError, match="uses the group at prediction"):
        aware.predict(frame[list("wxyz")])


def test_groups_given_twice_raise():
    X, y, group = biased(200)
    frame = pd.DataFrame(X, columns=list("wxyz")).assign(sex=group)
    with pytest.raises(errors.InvalidInputError, match="got both `sensitive_features` and"):
        SteeredClassifier(LogisticRegression(), group_columns=["sex"]).fit(
            frame, y, sensitive_features=group
        )


def test_a_short_y_is_named():
    X, y, group = biased(200)
    with pytest.raises(errors.InvalidInputError, match=r"`y` .* as many rows as `X` \(200\)"):
        SteeredClassifier(LogisticRegression()).fit(X, y[:-1], sensitive_features=group[:-1])


def test_rows_that_a_splitter_never_holds_out_do_not_calibrate():
    X, y, group = biased(600)
    split = ShuffleSplit(1, test_size=0.5, random_state=0)
    model = SteeredClassifier(
        LogisticRegression(), steerer="passthrough", calibrator=GapCalibrator(), cv=split
    ).fit(X, y, sensitive_features=group)
    train, test = next(split.split(X))
    weight = kamiran_calders_weights(y, sensitive_features=group)[train]
    head = LogisticRegression().fit(X[train], y[train], sample_weight=weight)
    alone = GapCalibrator().fit(
        head.predict_proba(X[test]), y[test], sensitive_features=group[test]
    )
    assert model.calibrator_.offsets_ == pytest.approx(alone.offsets_, abs=1e-8)


@pytest.mark.parametrize("dtype", ["boolean", "Int64", "string", "category", "int64[pyarrow]"])
def test_labels_of_any_pandas_kind(dtype):
    X, y, group = biased(300)
    plain = y.astype(str) if dtype in ("string", "category") else y
    labels = pd.Series(plain.astype(bool) if dtype == "boolean" else plain).astype(dtype)
    model = SteeredClassifier(LogisticRegression(), calibrator=GapCalibrator(), random_state=0)
    model.fit(X, labels, sensitive_features=pd.Series(group, dtype="category"))
    for row in (X[:1], X):
        predicted = model.predict(row, sensitive_features=group[: len(row)])
        assert set(predicted.tolist()) <= set(labels.tolist())


@pytest.mark.parametrize(
    "model",
    [
        IdealSteerer(random_state=0),
        IdealSteerer(groups="given", family="normal"),
        IdealSteerer(groups="infer"),
        SteeredClassifier(LogisticRegression(), calibrator=GapCalibrator(), random_state=0),
    ],
)
def test_fitted_models_survive_pickle_and_deepcopy(model):
    X, y, group = biased(400)
    fitted = clone(model).fit(X, y, sensitive_features=group)
    method = "predict_proba" if hasattr(fitted, "predict") else "transform"
    expected = getattr(fitted, method)(X, sensitive_features=group)
    for copied in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert (getattr(copied, method)(X, sensitive_features=group) == expected).all()


@pytest.mark.parametrize("steerer", [IdealSteerer(groups="given"), IdealSteerer(rank=1)])
@pytest.mark.parametrize("ready_made", [False, True])
def test_rows_of_weight_zero_are_as_if_absent(steerer, ready_made):
    X, y, group = biased(600)
    weight, group = np.ones(600), group.astype(object)
    weight[:40], group[:20] = 0.0, "never"
    y = np.where(np.arange(600) < 10, 7, y)
    model = SteeredClassifier(
        LogisticRegression(), steerer=steerer, calibrator=GapCalibrator(), random_state=0
    )
    absent = clone(model)
    if ready_made:  # folds as indices: of all rows, those without weight too
        folds = list(KFold(3).split(X[40:]))
        absent.set_params(cv=folds)
        model.set_params(cv=[(np.r_[:20, a + 40], np.r_[20:40, b + 40]) for a, b in folds])
    absent.fit(X[40:], y[40:], sensitive_features=group[40:])
    model.fit(X, y, sensitive_features=group, sample_weight=weight)
    assert model.groups_ == ["a", "b"] and model.classes_.tolist() == [0, 1]
    assert model.sample_weight_[:40].tolist() == [0.0] * 40
    expected = absent.predict_proba(X[40:], sensitive_features=group[40:])
    assert model.predict_proba(X[40:], sensitive_features=group[40:]) == pytest.approx(expected)


def test_a_cell_too_small_for_the_folds_is_explained():
    X, y, group = biased(400)
    lone = np.flatnonzero((y == 1) & (group == "b"))[1:]
    keep = np.setdiff1d(np.arange(400), lone)
    model = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given"), calibrator=GapCalibrator()
    )
    with pytest.raises(errors.EmptyCellError, match="each fold of `cv`.*Pool cells of a single"):
        model.fit(X[keep], y[keep], sensitive_features=group[keep])
    model.set_params(calibrator=None).fit(X[keep], y[keep], sensitive_features=group[keep])


def test_a_pipeline_cannot_hand_groups_to_its_steerer():
    X, y, group = biased(200)
    steerer = make_pipeline(StandardScaler(), IdealSteerer())
    with pytest.raises(errors.InvalidInputError, match="a Pipeline does not hand them on"):
        SteeredClassifier(LogisticRegression(), steerer=steerer).fit(X, y, sensitive_features=group)
    plain = make_pipeline(StandardScaler(), StandardScaler())
    model = SteeredClassifier(LogisticRegression(), steerer=plain)
    assert len(model.fit(X, y, sensitive_features=group).predict(X)) == 200
