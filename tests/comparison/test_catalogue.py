"""The catalogue: which methods there are, which are fitted untold, and calibrated ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from isonomy.baselines import Reweighing
from isonomy.comparison import BUILT_IN, DEFAULT_METHODS, calibrated, compare_methods, find_method
from isonomy.comparison.methods import Method
from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError, PluginError
from isonomy.steering import GapCalibrator, SteeredClassifier

RIVALS = {
    "inlp": "blind",
    "leace_oracle": "given",
    "leace_quadratic": "given",
    "difference_of_means": "blind",
    "disparate_impact_remover": "given",
    "oversampling": "blind",
    "undersampling": "blind",
    "linear_post": "given",
    "linear_post_blind": "blind",
    "fairlearn_exponentiated_gradient": "blind",
    "fairlearn_threshold_optimizer": "given",
    "fairlearn_correlation_remover": "given",
}
WRAPPERS = {n for n in RIVALS if n.startswith(("linear", "over", "under"))} | {
    "fairlearn_exponentiated_gradient",
    "fairlearn_threshold_optimizer",
}


@pytest.fixture(scope="module")
def rows():
    X, y, groups, _ = make_biased_normals(900, n_features=4, n_classes=3, random_state=1)
    return np.asarray(X), np.asarray(y), np.asarray(groups)


def test_rivals_are_found_by_name_and_fitted_only_when_named():
    assert {n: BUILT_IN[n].group_use for n in BUILT_IN if n not in DEFAULT_METHODS} == RIVALS
    assert {BUILT_IN[n].family for n in RIVALS} == {"baseline"}
    assert DEFAULT_METHODS[0] == "untouched" and len(DEFAULT_METHODS) == 13


@pytest.mark.parametrize("name", sorted(set(RIVALS) - {"linear_post", "linear_post_blind"}))
def test_a_rival_is_computed_on_three_classes_or_says_that_it_is_made_for_two(rows, name):
    if name.startswith("fairlearn"):
        pytest.importorskip("fairlearn")
    X, y, groups = rows
    result = compare_methods(
        X[:600], y[:600], groups[:600], X[600:], y[600:], groups[600:],
        estimator=LogisticRegression(), methods=["untouched", name], n_boot=100,
    )  # fmt: skip
    binary = name in ("fairlearn_exponentiated_gradient", "fairlearn_threshold_optimizer")
    assert [m["name"] for m in result["methods"]] == ["untouched", name][: 1 if binary else 2]
    assert len(result["not_computed"]) == binary


def test_calibrated_is_the_method_with_a_calibrator_behind_it(rows):
    X, y, groups = rows
    method = calibrated(BUILT_IN["mimic"])
    assert (method.name, method.group_use, method.family) == (
        "mimic+calibrated",
        "given",
        "baseline",
    )
    assert method.label == "MiMiC and calibrated offsets"
    model = method.factory(LogisticRegression(), 0)
    assert type(model.steerer).__name__ == "MiMiC" and model.reweigh is False
    direct = SteeredClassifier(
        LogisticRegression(),
        steerer=type(model.steerer)(),
        reweigh=False,
        calibrator=GapCalibrator(),
        random_state=0,
    )
    known = {"sensitive_features": groups}
    np.testing.assert_array_equal(
        model.fit(X, y, **known).predict(X, **known), direct.fit(X, y, **known).predict(X, **known)
    )


def test_reweighing_can_be_calibrated_and_stays_what_it_was_before_that(rows):
    X, y, groups = rows
    model = calibrated(BUILT_IN["reweighing"]).factory(LogisticRegression(), 0)
    model.fit(X, y, sensitive_features=groups)
    plain = BUILT_IN["reweighing"].factory(LogisticRegression(), 0)
    plain.fit(X, y, sensitive_features=groups)
    np.testing.assert_allclose(model.estimator_.coef_, plain.estimator_.coef_)
    assert model.calibrator_ is not None


def test_reweighing_keeps_its_settings_when_it_is_calibrated(rows):
    X, y, groups = rows
    own = Method(
        "own", "Own", "baseline", "blind", "Groups in a column.",
        lambda estimator, _: Reweighing(estimator, group_columns=[-1]),
    )  # fmt: skip
    whole = np.column_stack([X, groups == "a"])
    model = calibrated(own).factory(LogisticRegression(), 0).fit(whole, y)
    assert model.estimator_.n_features_in_ == X.shape[1]


def test_another_calibrator_is_cloned(rows):
    own = GapCalibrator(criterion="demographic_parity")
    made = calibrated(BUILT_IN["inlp"], own).factory(LogisticRegression(), 0)
    assert made.calibrator is not own
    assert made.calibrator.criterion == "demographic_parity"


def test_a_calibrator_that_guesses_the_group_makes_a_method_that_needs_none(rows):
    X, y, groups = rows
    guessing = GapCalibrator(groups="infer")
    method = calibrated(BUILT_IN["inlp"], guessing)
    assert method.group_use == "inferred"
    model = method.factory(LogisticRegression(), 0).fit(X, y, sensitive_features=groups)
    assert len(model.predict(X)) == len(y)
    assert calibrated(BUILT_IN["mimic"], guessing).group_use == "given"


def test_a_name_with_the_suffix_is_found():
    assert find_method("leace_oracle+calibrated").name == "leace_oracle+calibrated"
    assert find_method("ideal_given+calibrated") is BUILT_IN["ideal_given+calibrated"]
    with pytest.raises(PluginError, match="got 'leas'"):
        find_method("leas+calibrated")


@pytest.mark.parametrize("name", sorted({*WRAPPERS, "calibrated", "ideal_given+calibrated"}))
def test_what_cannot_be_calibrated_is_told(name):
    method = calibrated(BUILT_IN[name])
    with pytest.raises(
        InvalidInputError, match=f"must make a `SteeredClassifier`.*'{name}'".replace("+", r"\+")
    ):
        method.factory(LogisticRegression(), 0)
