"""The formula of a steered head says what the fitted classifier says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from isonomy.baselines import LEACE
from isonomy.datasets import make_biased_normals
from isonomy.errors import GroupsRequiredError, InvalidInputError, UnknownGroupError
from isonomy.hidden_states._steered_head import from_tensors, head_of, to_tensors
from isonomy.steering import GapCalibrator, IdealSteerer, SteeredClassifier

WAYS = {
    "blind": (IdealSteerer(random_state=0), None),
    "given": (IdealSteerer(groups="given"), GapCalibrator()),
    "given, rows stay": ("passthrough", GapCalibrator()),
    "infer": (IdealSteerer(groups="infer"), GapCalibrator(groups="infer")),
    "infer, rows stay": ("passthrough", GapCalibrator(groups="infer")),
    "infer, not calibrated": (IdealSteerer(groups="infer"), None),
}


def fitted(way: str, n_classes: int = 3, n_groups: int = 2) -> tuple[Any, Any, Any]:
    X, y, group, _ = make_biased_normals(
        900, n_features=5, n_classes=n_classes, n_groups=n_groups, random_state=0
    )
    steerer, calibrator = WAYS[way]
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model = SteeredClassifier(head, steerer=steerer, calibrator=calibrator, cv=3, random_state=0)
    names = np.array([f"g{g}" for g in group])
    return model.fit(X, y, sensitive_features=names), X, names


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n_classes", "n_groups"), [(2, 2), (3, 2), (3, 3)])
def test_the_formula_decides_as_the_classifier_and_survives_a_file(
    way: str, n_classes: int, n_groups: int
) -> None:
    model, X, names = fitted(way, n_classes, n_groups)
    head = head_of(model)
    assert head.mode == way.partition(",")[0]
    groups = names if head.mode == "given" else None
    expected = model.predict_proba(X, sensitive_features=groups)
    scores = head.scores(X, sensitive_features=groups, where="test")
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(proba / proba.sum(axis=1, keepdims=True), expected, atol=1e-9)
    config = {"mode": head.mode, "classes": list(head.classes), "groups": list(head.groups)}
    again = from_tensors(to_tensors(head), config, head.steerer)
    np.testing.assert_array_equal(again.scores(X, sensitive_features=groups, where="test"), scores)


@pytest.mark.parametrize("way", ["blind", "given", "given, rows stay"])
@pytest.mark.parametrize("absorb", [False, True])
def test_offsets_become_translations_in_the_span_of_the_head(way: str, absorb: bool) -> None:
    model, X, names = fitted(way)
    head = head_of(model)
    scores = head.scores(X, sensitive_features=names, where="test")
    bare = np.zeros(3) if absorb else head.intercept
    for a, one in enumerate(head.effective_maps(absorb_intercept=absorb)):
        mine = names == head.groups[a] if head.mode == "given" else np.ones(len(X), dtype=bool)
        found = one.apply(X[mine]) @ head.weight.T + bare
        # softmax and argmax do not see what all classes share
        centred = [s - s.mean(axis=1, keepdims=True) for s in (found, scores[mine])]
        np.testing.assert_allclose(centred[0], centred[1], atol=1e-9)


def test_a_folded_head_needs_no_map() -> None:
    model, X, names = fitted("given")
    head = head_of(model)
    for a, (weight, intercept) in enumerate(head.folded()):
        mine = names == head.groups[a]
        expected = head.scores(X[mine], sensitive_features=names[mine], where="test")
        found = X[mine] @ weight.T + intercept
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_what_is_no_such_head_is_refused() -> None:
    X, y, group, _ = make_biased_normals(400, random_state=0)
    tree = SteeredClassifier(DecisionTreeClassifier(max_depth=2), calibrator=None)
    with pytest.raises(InvalidInputError, match="must be linear"):
        head_of(tree.fit(X, y, sensitive_features=group))
    erased = SteeredClassifier(LogisticRegression(), steerer=LEACE(), calibrator=None)
    with pytest.raises(InvalidInputError, match="`IdealSteerer` or no steerer, got LEACE"):
        head_of(erased.fit(X, y, sensitive_features=group))


@pytest.mark.parametrize("family", ["lognormal", "nonparanormal"])
def test_maps_of_logarithms_or_transforms_are_refused(family: str) -> None:
    X, y, group, _ = make_biased_normals(400, random_state=0)
    steerer = IdealSteerer(groups="given", family=family)  # type: ignore[arg-type]
    model = SteeredClassifier(LogisticRegression(), steerer=steerer, calibrator=None)
    with pytest.raises(InvalidInputError, match=f"family='{family}'"):
        head_of(model.fit(np.exp(0.3 * X), y, sensitive_features=group))


def test_what_the_formula_does_not_hold_is_refused() -> None:
    X, y, group, _ = make_biased_normals(600, n_classes=3, random_state=0)
    shifted = GapCalibrator(groups="infer", base_rate_shift=1.0)
    model = SteeredClassifier(LogisticRegression(), steerer="passthrough", calibrator=shifted)
    with pytest.raises(InvalidInputError, match="`base_rate_shift` with guessed groups adds"):
        head_of(model.fit(X, y, sensitive_features=group))
    guessing = GapCalibrator(groups="infer")
    model = SteeredClassifier(
        LogisticRegression(), steerer=IdealSteerer(groups="given"), calibrator=guessing
    )
    with pytest.raises(InvalidInputError, match="guesses the group that its steerer is given"):
        head_of(model.fit(X, y, sensitive_features=group))
    cells = SteeredClassifier(
        LogisticRegression(), steerer="passthrough", calibrator=guessing, group_model="cells"
    )
    with pytest.raises(InvalidInputError, match="is no logistic regression of the columns"):
        head_of(cells.fit(X, y, sensitive_features=group))


def test_groups_are_asked_for_and_known() -> None:
    model, X, _ = fitted("given")
    head = head_of(model)
    with pytest.raises(GroupsRequiredError, match="one group a row"):
        head.scores(X, where="test")
    with pytest.raises(UnknownGroupError, match="got also nobody"):
        head.scores(X[:1], sensitive_features=["nobody"], where="test")
    with pytest.raises(InvalidInputError, match="An inferred group's map"):
        head_of(fitted("infer")[0]).effective_maps(absorb_intercept=False)


def test_too_few_columns_for_a_translation_are_said() -> None:
    X, y, group, _ = make_biased_normals(900, n_features=1, n_classes=4, random_state=0)
    model = SteeredClassifier(
        LogisticRegression(), steerer="passthrough", calibrator=GapCalibrator()
    )
    head = head_of(model.fit(X, y, sensitive_features=group))
    with pytest.raises(InvalidInputError, match="cannot be reached"):
        head.effective_maps(absorb_intercept=False)
