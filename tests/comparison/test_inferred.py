"""Inferred groups side by side with true ones, in steering and in judging."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from isonomy.auditing import audit
from isonomy.comparison import compare_inferred, compare_methods
from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError, UnknownGroupError
from isonomy.groups import kamiran_calders_weights
from isonomy.steering import IdealSteerer

HEAD = LogisticRegression(max_iter=300)


@pytest.fixture(scope="module")
def split():
    X, y, groups, _ = make_biased_normals(1600, n_features=3, n_classes=2, random_state=0)
    X, y, groups = np.asarray(X), np.asarray(y), np.asarray(groups)
    return (X[:1000], y[:1000], groups[:1000], X[1000:], y[1000:], groups[1000:])


@pytest.fixture(scope="module")
def found(split):
    return compare_inferred(*split, estimator=HEAD, n_boot=200)


def test_every_number_is_that_of_the_parts_put_together_by_hand(split, found):
    X, y, groups, Z, y_test, groups_test = split
    steerer = IdealSteerer(groups="infer").fit(X, y, sensitive_features=groups)
    weight = kamiran_calders_weights(y, sensitive_features=groups)
    known = IdealSteerer(groups="given").fit(X, y, sensitive_features=groups)
    rows = known.transform(X, sensitive_features=groups)
    head = LogisticRegression(max_iter=300).fit(rows, y, sample_weight=weight)
    answers = [
        LogisticRegression(max_iter=300).fit(X, y).predict(Z),
        head.predict(known.transform(Z, sensitive_features=groups_test)),
        head.predict(steerer.transform(Z)),
    ]
    names = np.array(steerer.groups_)
    guessed = names[steerer.group_posterior(Z).argmax(axis=1)]
    for entry, answer in zip(found["steered_by"], answers, strict=True):
        assert entry["utility"]["accuracy"]["value"] == (answer == y_test).mean()
        for judge, by in (("true", groups_test), ("inferred", guessed)):
            expected = audit(y_test, answer, sensitive_features=by, n_boot=200)
            for metric, gap in entry["judged_by"][judge].items():
                assert gap == expected.disparity(metric)
    on_test = found["probe"]["test"]
    assert on_test["accuracy"] == (guessed == groups_test).mean()
    assert found["probe"]["held_out"] == steerer.probe_quality_.to_dict()


def test_the_result_is_plain_and_says_it_in_sentences(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["kind"], found["schema"]) == ("inferred_groups", 1)
    assert found["sentences"][0].startswith("The probe knew the group of ")
    assert [s.split(",")[0] for s in found["sentences"][1:]] == [
        f"Steered by {name}" for name in ("nothing", "true groups", "inferred groups")
    ]
    assert all("an auditor with inferred groups reads" in s for s in found["sentences"][1:])


def test_frames_and_groups_of_three_go_through():
    X, y, groups, _ = make_biased_normals(900, n_features=3, n_groups=3, random_state=1)
    X = pd.DataFrame(X, columns=list("xyz"))
    steerer = IdealSteerer(groups="infer", inference="gated", gate_threshold=0.6)
    cut = (X[:600], y[:600], groups[:600], X[600:], y[600:], groups[600:])
    found = compare_inferred(*cut, estimator=HEAD, steerer=steerer, n_boot=100)
    assert found["gate_threshold"] == 0.6 and found["groups"] == ["a", "b", "c"]
    assert not hasattr(steerer, "groups_")  # the caller's own object stays unfitted


def test_a_probe_that_names_one_group_alone_leaves_a_reason(split):
    class Always(LogisticRegression):
        def decision_function(self, X):
            return np.full(len(X), -5.0)

    steerer = IdealSteerer(groups="infer", probe=Always())
    found = compare_inferred(*split, estimator=HEAD, steerer=steerer, n_boot=100)
    assert found["steered_by"][2]["judged_by"]["inferred"] is None
    assert len(found["not_computed"]) == 3
    assert "judged by inferred groups" in found["not_computed"][0]["what"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_comparison_sets_both_beside_its_inferred_method(split):
    result = compare_methods(
        *split, estimator=HEAD, methods=["untouched", "ideal_inferred"], n_boot=100
    )
    plain, inferred = result["methods"]
    assert "inferred" not in plain and plain["notes"] == []
    beside = inferred["inferred"]
    assert [e["steered_by"] for e in beside["steered_by"]] == ["true groups", "inferred groups"]
    assert beside["steered_by"][1]["judged_by"]["true"] == inferred["gap"]
    assert inferred["notes"] == beside["sentences"]


@pytest.mark.parametrize(
    ("steerer", "message"),
    [
        (IdealSteerer(), "with `groups=\"infer\"`, got groups='blind'"),
        ("ideal", "with `groups=\"infer\"`, got 'ideal'"),
        (IdealSteerer(groups="infer", group_columns=["sex"]), "Take the groups out of X first"),
    ],
)
def test_only_a_steerer_that_infers_is_taken(split, steerer, message):
    with pytest.raises(InvalidInputError, match=message):
        compare_inferred(*split, estimator=HEAD, steerer=steerer)


def test_a_group_never_seen_in_training_is_named(split):
    X, y, groups, Z, y_test, groups_test = split
    strange = np.where(np.arange(600) < 20, "new", groups_test)
    with pytest.raises(UnknownGroupError, match="new"):
        compare_inferred(X, y, groups, Z, y_test, strange, estimator=HEAD, n_boot=100)
    lenient = IdealSteerer(groups="infer", unknown_group="identity")
    found = compare_inferred(
        X, y, groups, Z, y_test, strange, estimator=HEAD, steerer=lenient, n_boot=100
    )
    assert found["probe"]["test"]["n"] == 580
    whole = compare_methods(
        X, y, groups, Z, y_test, strange, estimator=HEAD, methods=["ideal_inferred"], n_boot=100
    )
    assert whole["methods"][0]["inferred"]["probe"]["test"]["n"] == 580
