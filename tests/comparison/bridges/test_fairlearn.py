"""The bridges to fairlearn: equal to fairlearn called directly, behind our interface."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from isonomy.comparison import compare_methods
from isonomy.comparison.bridges import (
    CorrelationRemoverBridge,
    ExponentiatedGradientBridge,
    ThresholdOptimizerBridge,
)
from isonomy.datasets import make_biased_normals
from isonomy.errors import (
    GroupsRequiredError,
    InvalidInputError,
    MissingExtraError,
    UnknownGroupError,
)

postprocessing = pytest.importorskip("fairlearn.postprocessing")
preprocessing = pytest.importorskip("fairlearn.preprocessing")
reductions = pytest.importorskip("fairlearn.reductions")

HEAD = LogisticRegression()
PREDICTING = [ExponentiatedGradientBridge, ThresholdOptimizerBridge]


@pytest.fixture(scope="module")
def data():
    X, y, groups, _ = make_biased_normals(600, n_features=3, n_groups=3, random_state=0)
    return np.asarray(X), np.asarray(y), np.asarray(groups)


def two_groups(data):
    X, y, groups = data
    return X, y, np.where(groups == "a", "left", "right")


def build(bridge, **settings):
    # few rounds are enough to compare two runs of one method
    few = {"max_iter": 5} if bridge is ExponentiatedGradientBridge else {}
    return bridge(HEAD, **few, **settings)


@pytest.mark.parametrize(
    ("constraint", "moment"),
    [
        ("demographic_parity", reductions.DemographicParity),
        ("equalized_odds", reductions.EqualizedOdds),
        ("equal_opportunity", reductions.TruePositiveRateParity),
    ],
)
def test_exponentiated_gradient_equals_fairlearns(data, constraint, moment):
    X, y, groups = data
    bridge = ExponentiatedGradientBridge(
        HEAD, constraint=constraint, tolerance=0.05, max_iter=5, random_state=3
    )
    bridge.fit(X, np.array(["no", "yes"])[y], sensitive_features=groups)
    direct = reductions.ExponentiatedGradient(
        clone(HEAD), moment(difference_bound=0.05), eps=0.05, max_iter=5
    ).fit(X, y, sensitive_features=groups)
    expected = direct.predict(X, random_state=3)
    np.testing.assert_array_equal(bridge.predict(X) == "yes", expected == 1)
    np.testing.assert_allclose(bridge.predict_proba(X), direct._pmf_predict(X))


@pytest.mark.parametrize(
    ("constraint", "theirs"),
    [
        ("demographic_parity", "demographic_parity"),
        ("equalized_odds", "equalized_odds"),
        ("equal_opportunity", "true_positive_rate_parity"),
    ],
)
@pytest.mark.parametrize("objective", ["accuracy_score", "balanced_accuracy_score"])
def test_threshold_optimizer_equals_fairlearns(data, constraint, theirs, objective):
    X, y, groups = data
    bridge = ThresholdOptimizerBridge(
        HEAD, constraint=constraint, objective=objective, random_state=3
    )
    bridge.fit(X, y, sensitive_features=groups)
    direct = postprocessing.ThresholdOptimizer(
        estimator=clone(HEAD), constraints=theirs, objective=objective
    ).fit(X, y, sensitive_features=groups)
    expected = direct.predict(X, sensitive_features=groups, random_state=3)
    np.testing.assert_array_equal(bridge.predict(X, sensitive_features=groups), expected)


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_correlation_remover_equals_fairlearns_on_dummy_columns(data, alpha):
    X, _, groups = data
    dummies = pd.get_dummies(groups, drop_first=True).to_numpy(float)
    inside = np.column_stack([X, dummies])
    direct = preprocessing.CorrelationRemover(sensitive_feature_ids=[3, 4], alpha=alpha)
    bridge = CorrelationRemoverBridge(alpha=alpha)
    np.testing.assert_allclose(
        bridge.fit_transform(X, sensitive_features=groups), direct.fit_transform(inside)
    )
    moved = bridge.transform(X[:9], sensitive_features=groups[:9])
    np.testing.assert_allclose(moved, direct.transform(inside[:9]))


def test_all_correlation_with_every_group_is_gone():
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c"], size=300, p=[0.6, 0.3, 0.1])
    X = rng.standard_normal((300, 2)) + (groups == "c")[:, None] * [3.0, -1.0]
    moved = CorrelationRemoverBridge().fit_transform(X, sensitive_features=groups)
    for g in "abc":
        assert np.abs(np.corrcoef(groups == g, moved.T)[0, 1:]).max() < 1e-10
    assert np.abs(np.corrcoef(groups == "c", X.T)[0, 1:]).max() > 0.2


@pytest.mark.parametrize("bridge", PREDICTING)
def test_chance_can_be_seeded_and_left_out(data, bridge):
    X, y, groups = data
    known = {"sensitive_features": groups} if bridge is ThresholdOptimizerBridge else {}
    drawn = build(bridge, constraint="equalized_odds", random_state=np.random.RandomState(0))
    drawn.fit(X, y, sensitive_features=groups)
    assert (drawn.predict(X, **known) != drawn.predict(X, **known)).any()
    seeded = drawn.set_params(random_state=1)
    np.testing.assert_array_equal(seeded.predict(X, **known), seeded.predict(X, **known))
    settled = drawn.set_params(randomised=False, random_state=None)
    probable = drawn.predict_proba(X, **known)[:, 1] >= 0.5
    np.testing.assert_array_equal(settled.predict(X, **known) == 1, probable)


@pytest.mark.parametrize("bridge", PREDICTING)
def test_the_positive_class_can_be_the_smaller_label(data, bridge):
    X, y, groups = two_groups(data)
    known = {"sensitive_features": groups}
    settings = {"constraint": "equal_opportunity", "random_state": 0}
    one = build(bridge, **settings).fit(X, 1 - y, **known)
    other = build(bridge, pos_label=0, **settings).fit(X, y, **known)
    at_predict = known if bridge is ThresholdOptimizerBridge else {}
    np.testing.assert_array_equal(one.predict(X, **at_predict), 1 - other.predict(X, **at_predict))
    np.testing.assert_allclose(
        one.predict_proba(X, **at_predict), other.predict_proba(X, **at_predict)[:, ::-1]
    )
    assert one.score(X, 1 - y, **at_predict) == other.score(X, y, **at_predict)
    with pytest.raises(InvalidInputError, match="`pos_label` of .* must be one of"):
        build(bridge, pos_label="x").fit(X, y, **known)


@pytest.mark.parametrize("bridge", PREDICTING)
def test_groups_may_be_columns_of_a_frame(data, bridge):
    X, y, groups = data
    frame = pd.DataFrame(X, columns=list("uvw"))
    whole = frame.assign(city=groups)
    model = build(bridge, group_columns=["city"], random_state=0).fit(whole, y)
    plain = build(bridge, random_state=0).fit(frame, y, sensitive_features=groups)
    known = {"sensitive_features": groups} if bridge is ThresholdOptimizerBridge else {}
    np.testing.assert_array_equal(model.predict(whole), plain.predict(frame, **known))
    np.testing.assert_array_equal(model.predict(frame, **known), plain.predict(frame, **known))
    with pytest.raises(InvalidInputError, match="both `sensitive_features` and `group_columns`"):
        model.fit(whole, y, sensitive_features=groups)


def test_the_remover_gives_frames_back_and_takes_group_columns(data):
    X, _, groups = data
    whole = pd.DataFrame(X, columns=list("uvw")).assign(city=groups)
    out = CorrelationRemoverBridge(group_columns=["city"]).fit_transform(whole)
    assert list(out.columns) == list("uvw")
    plain = CorrelationRemoverBridge().fit_transform(X, sensitive_features=groups)
    np.testing.assert_allclose(out.to_numpy(), plain)


def test_the_remover_refuses_weights_and_leaves_one_group_alone(data):
    X, _, groups = data
    bridge = CorrelationRemoverBridge()
    with pytest.raises(InvalidInputError, match="CorrelationRemover takes none"):
        bridge.fit(X, sensitive_features=groups, sample_weight=np.arange(len(X)) + 1.0)
    bridge.fit(X, sensitive_features=groups, sample_weight=np.full(len(X), 2.0))
    assert bridge.fairlearn_ is not None
    alone = CorrelationRemoverBridge(missing_groups="single").fit(X)
    np.testing.assert_array_equal(alone.transform(X), X)
    with pytest.raises(InvalidInputError, match="`alpha` of"):
        CorrelationRemoverBridge(alpha=2).fit(X, sensitive_features=groups)


@pytest.mark.parametrize("bridge", PREDICTING)
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"constraint": "parity"}, "`constraint` of"),
        ({"group_columns": [9]}, "`group_columns` of"),
    ],
)
def test_wrong_settings_are_told(data, bridge, settings, match):
    X, y, groups = data
    known = {} if "group_columns" in settings else {"sensitive_features": groups}
    with pytest.raises(InvalidInputError, match=match):
        build(bridge, **settings).fit(X, y, **known)


def test_wrong_numbers_are_told(data):
    X, y, groups = data
    for model, match in (
        (ExponentiatedGradientBridge(HEAD, tolerance=0), "`tolerance` of"),
        (ExponentiatedGradientBridge(HEAD, max_iter=0), "`max_iter` of"),
        (ThresholdOptimizerBridge(HEAD, grid_size=1), "`grid_size` of"),
        (ThresholdOptimizerBridge(HEAD, objective="f1"), "`objective` of"),
    ):
        with pytest.raises(InvalidInputError, match=match):
            model.fit(X, y, sensitive_features=groups)


@pytest.mark.parametrize("bridge", PREDICTING)
def test_three_classes_are_refused_in_one_sentence(data, bridge):
    X, y, groups = data
    classes = y + (np.arange(len(y)) % 5 == 0)
    with pytest.raises(InvalidInputError, match=r"must hold 2 classes.*got 3. Use `LinearPost`"):
        build(bridge).fit(X, classes, sensitive_features=groups)


def test_groups_are_needed_and_known_where_thresholds_are_cut(data):
    X, y, groups = data
    model = ThresholdOptimizerBridge(HEAD).fit(X, y, sensitive_features=groups)
    with pytest.raises(GroupsRequiredError, match="ThresholdOptimizerBridge.predict"):
        model.predict(X)
    with pytest.raises(UnknownGroupError, match="got also z"):
        model.predict(X, sensitive_features=np.full(len(X), "z"))
    with pytest.raises(GroupsRequiredError, match="ExponentiatedGradientBridge.fit"):
        ExponentiatedGradientBridge(HEAD).fit(X, y)


@pytest.mark.parametrize(
    "model",
    [
        build(ExponentiatedGradientBridge),
        build(ThresholdOptimizerBridge),
        CorrelationRemoverBridge(),
    ],
    ids=["gradient", "thresholds", "remover"],
)
def test_without_fairlearn_the_extra_is_named(data, model, monkeypatch):
    X, y, groups = data
    for name in ["fairlearn", *(m for m in sys.modules if m.startswith("fairlearn."))]:
        monkeypatch.setitem(sys.modules, name, None)  # None: as if it were not installed
    with pytest.raises(MissingExtraError, match=r"pip install 'isonomy\[fairlearn\]'"):
        model.fit(X, y, sensitive_features=groups)


def test_a_comparison_lists_what_it_could_not_compute_and_why(data, monkeypatch):
    X, y, groups = data
    three = y + (np.arange(len(y)) % 5 == 0)
    names = ["fairlearn_threshold_optimizer", "fairlearn_exponentiated_gradient"]
    settings = {"estimator": HEAD, "n_boot": 100, "methods": ["untouched", *names]}
    result = compare_methods(X, three, groups, X, three, groups, **settings)
    assert [m["name"] for m in result["methods"]] == ["untouched"]
    assert all("must hold 2 classes" in n["why"] for n in result["not_computed"])
    assert len(result["not_computed"]) == 2
    for name in ["fairlearn", *(m for m in sys.modules if m.startswith("fairlearn."))]:
        monkeypatch.setitem(sys.modules, name, None)
    result = compare_methods(X, y, groups, X, y, groups, **settings)
    assert [n["why"].split(":")[0] for n in result["not_computed"]] == ["MissingExtraError"] * 2
