"""A steerer that keeps bounds and whole numbers, in every mode, from a file, and in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from isonomy.datasets import make_biased_normals
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._attach._steering_maps import as_steering_maps
from isonomy.hidden_states._steered_head import head_of
from isonomy.steering import IdealSteerer, SteeredClassifier

LIMITS = {"bounds": {"age": (18, 70), "hours": (0, None)}, "integer_columns": ["age"]}
MODES = [
    {"groups": "given"},
    {"groups": "given", "family": "lognormal"},
    {"groups": "given", "subspace": "discriminant"},
    {"rank": 1},
    {"groups": "infer"},
    {"groups": "infer", "inference": "hard"},
]


@pytest.fixture(scope="module")
def rows():
    X, y, group, _ = make_biased_normals(600, random_state=3)
    frame = pd.DataFrame(
        {
            "age": np.clip(np.round(40.0 + 12.0 * X[:, 0]), 18.0, 70.0),
            "hours": np.maximum(35.0 + 12.0 * X[:, 1], 0.01),
            "name": "x",
            "score": np.exp(X[:, 2]),
        }
    )
    return frame, y, np.asarray(group)


def fitted(rows, **settings) -> IdealSteerer:
    X, y, group = rows
    return IdealSteerer(random_state=0, **settings).fit(X, y, sensitive_features=group)


@pytest.mark.parametrize("settings", MODES)
def test_rows_are_those_of_the_maps_set_to_the_nearest_possible(rows, settings):
    X, _, group = rows
    steerer, plain = fitted(rows, **settings, **LIMITS), fitted(rows, **settings)
    given = {"sensitive_features": group} if settings.get("groups") == "given" else {}
    moved, free = steerer.transform(X, **given), plain.transform(X, **given)
    assert np.array_equal(moved["age"], np.clip(np.rint(free["age"]), 18.0, 70.0))
    assert np.array_equal(moved["hours"], np.maximum(free["hours"], 0.0))
    assert np.array_equal(moved["score"], free["score"])
    assert (moved["name"] == "x").all()
    assert not np.array_equal(moved["age"], free["age"])
    report, change = steerer.feasibility_, moved["age"] - free["age"]
    assert report.columns == ("age", "hours", "score")
    assert report.touched[0] == pytest.approx((change != 0.0).mean())
    assert report.largest[0] == pytest.approx(change.abs().max() / X["age"].std(ddof=0))
    shift = [change[group == g].mean() / X["age"].std(ddof=0) for g in steerer.groups_]
    assert report.group_shift[:, 0] == pytest.approx(shift)
    assert plain.feasibility_ is None


@pytest.mark.parametrize("training_rows", ["given", "cross_fitted", "inferred"])
def test_training_rows_keep_the_limits_too(rows, training_rows):
    X, y, group = rows
    steerer = IdealSteerer(
        groups="infer", training_rows=training_rows, random_state=0,
        bounds="observed", integer_columns="auto",
    )  # fmt: skip
    moved = steerer.fit_transform(X, y, sensitive_features=group)
    numeric = ["age", "hours", "score"]
    assert (moved[numeric] >= X[numeric].min()).all(axis=None)
    assert (moved[numeric] <= X[numeric].max()).all(axis=None)
    assert np.array_equal(moved["age"], np.rint(moved["age"]))
    posterior = np.tile([0.5, 0.5], (len(X), 1))
    assert (steerer.transform_by_posterior(X, posterior)[numeric] <= X[numeric].max()).all(
        axis=None
    )


def test_rows_that_stay_keep_the_limits_too(rows):
    X, y, group = rows
    still = fitted(rows, groups="given", strength=0.0, **LIMITS)
    later = X.assign(age=[90.5] * len(X))
    assert (still.transform(later, sensitive_features=group)["age"] == 70.0).all()
    steerer = fitted(rows, groups="given", unknown_group="identity", **LIMITS)
    moved = steerer.transform(later, sensitive_features=np.full(len(X), "new"))
    assert (moved["age"] == 70.0).all()
    one = IdealSteerer(missing_groups="single", **LIMITS).fit(X, y)
    assert one.feasibility_.largest.tolist() == [0.0, 0.0, 0.0]
    assert (one.transform(later)["age"] == 70.0).all()


def test_rows_of_weight_0_are_not_observed(rows):
    X, y, group = rows
    weight = (X["age"] < 50.0).to_numpy(dtype=float)
    steerer = IdealSteerer(groups="given", bounds="observed", integer_columns="auto")
    steerer.fit(X, y, sensitive_features=group, sample_weight=weight)
    assert steerer.transform(X, sensitive_features=group)["age"].max() == 49.0
    assert steerer.feasibility_.n_rows == int(weight.sum())


def test_arrays_name_columns_by_position_and_keep_single_precision(rows):
    X, y, group = rows
    values = X[["age", "hours", "score"]].to_numpy(dtype=np.float32)
    steerer = IdealSteerer(groups="given", bounds={0: (18.0, 70.0), 2: (0.1, 0.7)})
    moved = steerer.fit(values, y, sensitive_features=group).transform(
        values, sensitive_features=group
    )
    assert moved.dtype == np.float32
    assert moved[:, 2].astype(np.float64).min() >= 0.1
    assert moved[:, 2].astype(np.float64).max() <= 0.7


@pytest.mark.parametrize(
    "limits",
    [
        LIMITS,
        {"bounds": "observed", "integer_columns": "auto"},
        {"bounds": {np.str_("age"): (np.float64(20.0), np.inf)}},
        {"integer_columns": np.array(["age"])},
    ],
)
def test_a_loaded_steerer_keeps_the_same_limits(rows, tmp_path, limits):
    X, _, group = rows
    steerer = fitted(rows, groups="given", **limits)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    later = X.assign(age=X["age"] + 30.4, hours=X["hours"] - 40.0)
    for table in (X, later):
        pd.testing.assert_frame_equal(
            loaded.transform(table, sensitive_features=group),
            steerer.transform(table, sensitive_features=group),
        )
    assert loaded.feasibility_ is None
    assert str(loaded.certificate_) == str(steerer.certificate_)
    again = IdealSteerer.load(loaded.save(tmp_path / "t.safetensors"))
    assert again.get_params() == loaded.get_params()
    pd.testing.assert_frame_equal(
        again.transform(later, sensitive_features=group),
        loaded.transform(later, sensitive_features=group),
    )


def test_positions_come_back_from_a_file_as_numbers(rows, tmp_path):
    X, y, group = rows
    values = X[["age", "hours", "score"]].to_numpy()
    limits = {"bounds": {0: (18, None), 2: (None, 3.5)}, "integer_columns": [0]}
    steerer = IdealSteerer(groups="given", **limits).fit(values, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    assert loaded.get_params() == steerer.get_params()
    refitted = clone(loaded).fit(values, y, sensitive_features=group)
    assert np.array_equal(
        refitted.transform(values, sensitive_features=group),
        steerer.transform(values, sensitive_features=group),
    )


def test_the_certificate_says_that_it_holds_before_the_step(rows):
    steerer, plain = fitted(rows, groups="given", **LIMITS), fitted(rows, groups="given")
    assert steerer.certificate_.sentences[:-1] == plain.certificate_.sentences
    assert "holds before that step" in steerer.certificate_.sentences[-1]
    assert steerer.feasibility_.sentence() in steerer.certificate_.sentences[-1]
    assert "bounds" in str(fitted(rows, rank=1, **LIMITS).certificate_)


def test_explanations_speak_of_rows_within_the_limits(rows):
    X, _, group = rows
    told = fitted(rows, groups="given", **LIMITS).explain_rows(X, sensitive_features=group)
    ages = told.moves[told.features == "age"]
    assert np.array_equal(ages, np.rint(ages))


def test_chunks_and_moments_take_named_limits(rows):
    X, y, group = rows
    numbers = X.drop(columns="name")
    whole = fitted((numbers, y, group), groups="given", **LIMITS)
    parts = IdealSteerer(groups="given", **LIMITS)
    for part in (slice(0, 300), slice(300, None)):
        parts.partial_fit(numbers[part], y[part], sensitive_features=group[part])
    moments = CellMoments(3, covariance="tied").update(
        numbers.to_numpy(), y, sensitive_features=group
    )
    limits = {"bounds": {0: (18, 70), 1: (0, None)}, "integer_columns": [0]}
    from_moments = IdealSteerer(groups="given", **limits).fit_moments(moments)
    goal = whole.transform(numbers, sensitive_features=group)
    found = parts.transform(numbers, sensitive_features=group)
    assert found.to_numpy() == pytest.approx(goal.to_numpy(), rel=1e-6)
    assert parts.feasibility_ is None
    other = from_moments.transform(numbers.to_numpy(), sensitive_features=group)
    assert other == pytest.approx(goal.to_numpy(), rel=1e-6)
    assert "holds before" in from_moments.certificate_.sentences[-1]


def test_a_chunked_steerer_is_saved_with_its_limits(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", **LIMITS).partial_fit(X, y, sensitive_features=group)
    loaded = IdealSteerer.load(steerer.save(tmp_path / "s.safetensors"))
    pd.testing.assert_frame_equal(
        loaded.transform(X, sensitive_features=group),
        steerer.transform(X, sensitive_features=group),
    )


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"bounds": "observed"}, "`bounds` of .* must name columns, got 'observed'"),
        ({"integer_columns": "auto"}, "`integer_columns` of .* must name columns, got 'auto'"),
    ],
)
def test_limits_that_need_all_rows_are_refused_without_them(rows, limits, match):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", **limits)
    with pytest.raises(InvalidInputError, match=match):
        steerer.partial_fit(X, y, sensitive_features=group)
    values = X.drop(columns="name").to_numpy()
    moments = CellMoments(3, covariance="tied").update(values, y, sensitive_features=group)
    with pytest.raises(InvalidInputError, match=match):
        steerer.fit_moments(moments)


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"bounds": {"agee": (0, 1)}}, r"`bounds` of `IdealSteerer.fit` must name columns"),
        ({"integer_columns": ["name"]}, r"`integer_columns` of `IdealSteerer.fit` must name"),
        ({"integer_columns": "age"}, r"`integer_columns` .* Put a single column into a list"),
        ({"integer_columns": 3}, r"`integer_columns` .* got 3"),
        ({"bounds": {"age": (5, 1)}}, "must not be empty for column 'age'"),
    ],
)
def test_wrong_limits_are_named_by_their_parameter(rows, limits, match):
    with pytest.raises(InvalidInputError, match=match):
        fitted(rows, groups="given", **limits)


def test_a_new_fit_forgets_the_old_limits(rows):
    X, y, group = rows
    steerer = fitted(rows, groups="given", **LIMITS)
    steerer.set_params(bounds=None, integer_columns=None).fit(X, y, sensitive_features=group)
    assert steerer.feasibility_ is None
    moved = steerer.transform(X, sensitive_features=group)["age"]
    assert not np.array_equal(moved, np.rint(moved))


def test_maps_are_not_taken_alone(rows):
    X, y, group = rows
    values = X[["age", "hours", "score"]].to_numpy()
    settings = {"groups": "given", "integer_columns": [0]}
    steerer = IdealSteerer(**settings).fit(values, y, sensitive_features=group)
    with pytest.raises(InvalidInputError, match=r"`steerer` passed to `attached` .* alone"):
        as_steering_maps(steerer, d=3, where="attached")
    model = SteeredClassifier(LogisticRegression(), steerer=IdealSteerer(**settings))
    model.fit(values, y, sensitive_features=group)
    with pytest.raises(InvalidInputError, match=r"`model` passed to `head_of` .* alone"):
        head_of(model)
