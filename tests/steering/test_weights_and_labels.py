"""Weights reach every part, and nothing depends on how labels are ordered or named."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy import errors
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer, SteeredClassifier, repair


def biased(n=600, seed=3):
    X, y, group, _ = make_biased_normals(n, random_state=seed)
    return X, y, np.asarray(group)


MODES = [dict(groups="given"), dict(groups="infer"), dict(random_state=0), dict(rank=1)]


@pytest.mark.parametrize("settings", MODES)
def test_rows_of_weight_zero_are_as_if_absent(settings):
    X, y, group = biased()
    weight = np.ones(600)
    weight[:40] = 0.0
    group = group.astype(object)
    group[:20], y = "never", np.where(np.arange(600) < 10, 7, y)
    weighed = IdealSteerer(**settings).fit(X, y, sensitive_features=group, sample_weight=weight)
    absent = IdealSteerer(**settings).fit(X[40:], y[40:], sensitive_features=group[40:])
    assert weighed.groups_ == absent.groups_ == ["a", "b"]
    assert weighed.classes_ == absent.classes_ == [0, 1]
    expected = absent.transform(X[40:], sensitive_features=group[40:])
    moved = weighed.transform(X[40:], sensitive_features=group[40:])
    assert moved == pytest.approx(expected, abs=1e-4)  # the probe stops at its own tolerance
    assert len(weighed.sample_weight_) == 600


def test_one_group_with_weight_raises():
    X, y, group = biased()
    with pytest.raises(errors.InvalidInputError, match="at least 2 groups some weight, got only"):
        IdealSteerer(groups="given").fit(
            X, y, sensitive_features=group, sample_weight=(group == "a").astype(float)
        )


@pytest.mark.parametrize("probe", [None, LogisticRegression()])
def test_the_probe_sees_the_weights(probe):
    X, y, group = biased()
    weight = 1 + 8 * (np.arange(600) % 3 == 0)
    rows = np.repeat(np.arange(600), weight)
    settings = dict(groups="infer", probe=probe, shrinkage=None)
    weighed = IdealSteerer(**settings).fit(X, y, sensitive_features=group, sample_weight=weight)
    repeated = IdealSteerer(**settings).fit(X[rows], y[rows], sensitive_features=group[rows])
    # two runs of an iterative solver
    assert weighed.transform(X) == pytest.approx(repeated.transform(X), abs=1e-2)


def test_a_probe_that_takes_no_weights_is_named():
    X, y, group = biased()
    steerer = IdealSteerer(groups="infer", probe=LinearDiscriminantAnalysis())
    with pytest.raises(errors.InvalidInputError, match="`probe` .* must accept `sample_weight`"):
        steerer.fit(X, y, sensitive_features=group, sample_weight=np.ones(600))


def test_a_frozen_probe_needs_no_weights_to_serve_weighted_rows():
    X, y, group = biased()
    frozen = FrozenEstimator(LogisticRegression().fit(X, group))
    weight = 1.0 + (np.arange(600) % 2)
    steerer = IdealSteerer(groups="infer", probe=frozen, probe_calibration=None)
    steerer.fit(X, y, sensitive_features=group, sample_weight=weight)
    np.testing.assert_array_equal(steerer.group_posterior(X), frozen.predict_proba(X))


def test_repair_ignores_a_class_and_a_group_without_weight():
    X, y, group = biased()
    y, group, weight = y + 1, group.astype(object), np.ones(600)
    y[:20], group[20:40], weight[:40] = 0, "A", 0.0  # both sort before the others
    moved, found = repair(X, y, sensitive_features=group, sample_weight=weight)
    expected, factor = repair(X[40:], y[40:], sensitive_features=group[40:])
    assert moved[40:] == pytest.approx(expected)
    assert found[40:] == pytest.approx(factor)
    assert (found[:40] == 0).all() and (moved[:20] == X[:20]).all()


@pytest.mark.parametrize("kind", [str, object])
def test_repair_does_not_depend_on_names(kind):
    # "(missing)" sorts first as text and last as a group
    X, y, group = biased()
    expected, weight = repair(X, y, sensitive_features=group)
    named = np.where(group == "a", "(missing)", "b").astype(kind)
    moved, found = repair(X, y, sensitive_features=named)
    assert moved == pytest.approx(expected) and found == pytest.approx(weight)
    labels = np.where(y == 0, "(missing)", "a").astype(kind)
    moved, found = repair(X, labels, sensitive_features=group)
    assert moved == pytest.approx(expected) and found == pytest.approx(weight)


def test_rows_that_stay_are_bit_equal_on_a_logarithmic_scale():
    X, y, group = biased()
    X = 0.1 + 100 * np.abs(X)
    assert (np.exp(np.log(X)) != X).any()
    steerer = IdealSteerer(
        groups="given", family="lognormal", moves=["b"], unknown_group="identity"
    ).fit(X, y, sensitive_features=group)
    some = np.where(np.arange(600) % 5 == 0, "new", group)
    moved = steerer.transform(X, sensitive_features=some)
    assert (moved[some != "b"] == X[some != "b"]).all()
    assert (moved[some == "b"] != X[some == "b"]).any()


def test_a_pipeline_gets_its_weights_with_routing_on():
    X, y, group = biased()
    model = SteeredClassifier(
        make_pipeline(StandardScaler(), LogisticRegression()), steerer="passthrough"
    )
    expected = model.fit(X, y, sensitive_features=group).predict_proba(X)
    with config_context(enable_metadata_routing=True):
        assert model.fit(X, y, sensitive_features=group).predict_proba(X) == pytest.approx(expected)
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        asked = SteeredClassifier(
            make_pipeline(scaler, LogisticRegression()), steerer="passthrough"
        ).fit(X, y, sensitive_features=group)
    weighed = StandardScaler().fit(X, sample_weight=asked.sample_weight_)
    assert asked.estimator_[0].mean_ == pytest.approx(weighed.mean_)
