"""A comparison: the same rows for every method, groups only where they are said to be used."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from isonomy.auditing import audit
from isonomy.comparison import DEFAULT_METHODS, Method, compare_methods
from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError, MissingGroupValuesError, PluginError

ESTIMATOR = LogisticRegression(max_iter=300)


class Constant:
    """Predicts what it is told and remembers what it was given."""

    def __init__(self, answer=None, error=None):
        self.answer, self.error, self.seen = answer, error, []

    def fit(self, X, y, *, sensitive_features):
        if self.error is not None:
            raise self.error
        self.fitted_on = (X, y, sensitive_features)
        return self

    def predict(self, X, **keywords):
        self.seen.append(keywords)
        return np.full(len(X), self.answer)


def method(name, model, *, group_use="none", family="baseline"):
    return Method(name, name.upper(), family, group_use, "A stub.", lambda estimator, seed: model)


@pytest.fixture(scope="module")
def split():
    X, y, groups, _ = make_biased_normals(1600, n_features=3, n_classes=3, random_state=0)
    X, y, groups = np.asarray(X), np.asarray(y), np.asarray(groups)
    return (X[:1000], y[:1000], groups[:1000], X[1000:], y[1000:], groups[1000:])


def compare(split, **settings):
    return compare_methods(*split, **{"estimator": ESTIMATOR, "n_boot": 100} | settings)


@pytest.fixture(scope="module")
def whole(split):
    return compare(split, data={"name": "normals"}, title="A title", question="Why?")


def test_every_default_method_is_fitted_on_a_small_split(whole):
    assert [m["name"] for m in whole["methods"]] == list(DEFAULT_METHODS)
    assert whole["not_computed"] == []
    assert whole["main_method"] == "ideal_given+calibrated"
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole


def test_the_untouched_method_is_the_estimator_itself(whole, split):
    X_train, y_train, _, X_test, y_test, groups_test = split
    predicted = ESTIMATOR.fit(X_train, y_train).predict(X_test)
    found = audit(y_test, predicted, sensitive_features=groups_test, n_boot=100).to_dict()
    untouched = whole["methods"][0]
    assert untouched["audit"] == found
    assert untouched["utility"]["accuracy"]["value"] == np.mean(predicted == y_test)


def test_each_entry_repeats_its_own_audit(whole):
    for entry in whole["methods"]:
        by_metric = {d["metric"]: d for d in entry["audit"]["disparities"]}
        for metric, gap in entry["gap"].items():
            assert gap == by_metric[metric]
        assert "rms_tpr_gap_precision" in entry["gap"]
        assert entry["seconds"] >= 0


def test_isonomys_steerers_carry_a_certificate_in_sentences(whole):
    for entry in whole["methods"]:
        if entry["name"].startswith("ideal"):
            assert entry["certificate"]["sentences"]
        else:
            assert entry["certificate"] is None


def test_two_runs_agree_in_everything_but_time_and_salt(whole, split):
    again = compare(split, data={"name": "normals"}, title="A title", question="Why?")
    for result in (again, whole):
        for entry in result["methods"]:
            entry["seconds"] = 0
        result["data"]["fingerprint"] = None
    assert again == whole


def test_groups_reach_predict_only_when_they_are_said_to_be_given(split):
    models = {use: Constant(0) for use in ("none", "blind", "inferred", "given")}
    compare(split, methods=[method(u, m, group_use=u) for u, m in models.items()])
    for use, model in models.items():
        (keywords,) = model.seen
        assert ("sensitive_features" in keywords) == (use == "given")
    assert models["given"].seen[0]["sensitive_features"] is split[5]
    assert models["none"].fitted_on[2] is split[2]


@pytest.mark.parametrize("error", [ValueError("two words"), InvalidInputError("two words")])
def test_a_method_that_fails_is_listed_with_its_reason_and_the_others_go_on(split, error):
    result = compare(split, methods=[method("bad", Constant(error=error)), "untouched"])
    assert [m["name"] for m in result["methods"]] == ["untouched"]
    assert result["not_computed"] == [{"what": "BAD", "why": f"{type(error).__name__}: two words"}]
    assert result["main_method"] == "untouched"


def test_a_bug_in_a_method_is_not_swallowed(split):
    with pytest.raises(ZeroDivisionError):
        compare(split, methods=[method("bug", Constant(error=ZeroDivisionError()))])


def test_when_no_method_works_the_reasons_are_raised(split):
    with pytest.raises(InvalidInputError, match="No method.*BAD: ValueError: no"):
        compare(split, methods=[method("bad", Constant(error=ValueError("no")))])


def test_the_main_method_is_chosen_by_order_and_never_by_result(split):
    ours = [method(f"m{i}", Constant(i % 3), family="isonomy") for i in range(3)]
    last = method("other", Constant(0))
    assert compare(split, methods=[*ours, last])["main_method"] == "m2"
    assert compare(split, methods=[*ours, last], main_method="m0")["main_method"] == "m0"


def test_progress_counts_up_to_the_number_of_methods(split):
    calls = []
    two = [method("a", Constant(0)), method("b", Constant(1))]
    compare(split, methods=two, progress=lambda *call: calls.append(call))
    assert calls == [("A", 0, 2), ("B", 1, 2), ("done", 2, 2)]


def test_data_are_described_without_small_cells(split):
    X, y, groups, *test = split
    y, groups = y.astype(str).astype(object), groups.astype(object)
    y[:3], groups[:3] = "rare", groups[0]
    X_test, y_test, groups_test = test
    rows = (X, y, groups, X_test, y_test.astype(str), groups_test)
    result = compare(rows, methods=[method("a", Constant("0"))], min_cell=10)
    data = result["data"]
    assert (data["n_train"], data["n_test"], data["n_features"]) == (1000, 600, 3)
    assert data["classes"] == ["0", "1", "2", "rare"]
    cells = {(c["class"], c["group"]): c for c in data["cells"]}
    assert len(cells) == 8
    assert cells["rare", str(groups[0])]["n_train"] is None
    assert cells["rare", str(groups[0])]["n_test"] is None
    expected = sum((y == "1") & (groups == groups[0]))
    assert cells["1", str(groups[0])]["n_train"] == expected


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"methods": []}, InvalidInputError, "one method or more, each once, got none"),
        ({"methods": ["untouched", "untouched"]}, InvalidInputError, "untouched more than once"),
        ({"methods": ["untouchd"]}, PluginError, "among untouched, reweighing.*got 'untouchd'"),
        ({"methods": [3]}, InvalidInputError, "names or `Method` objects, got 3"),
        ({"methods": "untouched", "main_method": "leace"}, InvalidInputError, "got 'leace'"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_fitted(split, settings, error, match):
    with pytest.raises(error, match=match):
        compare(split, **settings)


def test_parts_of_different_length_and_missing_groups_are_told(split):
    X, y, groups, *test = split
    with pytest.raises(InvalidInputError, match="`X_train` passed to `compare_methods`"):
        compare((X[:-1], y, groups, *test), methods=["untouched"])
    with pytest.raises(InvalidInputError, match="`y_test`|`y_train`|got 999"):
        compare((X, y, groups[:-1], *test), methods=["untouched"])
    holes = groups.astype(object)
    holes[0] = None
    with pytest.raises(MissingGroupValuesError, match="1"):
        compare((X, y, holes, *test), methods=["untouched"])


@pytest.mark.parametrize("backend", ["pandas", "polars"])
def test_data_frames_give_the_same_numbers_as_arrays(split, backend):
    frames = pytest.importorskip(backend)
    names = ["u", "v", "w"]

    def frame(X):
        return frames.DataFrame({n: X[:, j] for j, n in enumerate(names)})

    chosen = ["untouched", "ideal_given"]
    arrays = compare(split, methods=chosen)
    X, y, groups, X_test, y_test, groups_test = split
    series = frames.Series
    made = compare(
        (frame(X), series(y), series(groups), frame(X_test), series(y_test), series(groups_test)),
        methods=chosen,
    )
    for one, other in zip(arrays["methods"], made["methods"], strict=True):
        assert one["audit"] == other["audit"]


def test_a_comparison_can_be_shown(whole):
    from isonomy.report import render

    assert "After (Ideal steering and calibrated offsets)" in render(whole, "markdown")
