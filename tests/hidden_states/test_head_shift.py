"""Offsets of class scores, as translations of the state that the head reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._method._head_shift import (
    LinearHead,
    is_fitted,
    read_linear_head,
    shift_of_scores,
)

torch = pytest.importorskip("torch", reason="hidden states need the extra `llm`")


def rows(n_classes: int = 4, d: int = 7, n: int = 200) -> Any:
    rng = np.random.default_rng(n_classes)
    y = rng.integers(0, n_classes, n)
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) + np.eye(n_classes, d)[y] * 4, y


@given(seed=st.integers(0, 10_000), n_classes=st.integers(2, 6), extra=st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_scores_move_by_the_offsets_up_to_one_number_a_row(
    seed: int, n_classes: int, extra: int
) -> None:
    rng = np.random.default_rng(seed)
    d = n_classes - 1 + extra
    weight, offsets = rng.normal(size=(n_classes, d)), rng.normal(size=(3, n_classes))
    shifts = shift_of_scores(weight, offsets, where="test")
    for shift, offset in zip(shifts, offsets, strict=True):
        moved = [sum(weight[k, j] * shift[j] for j in range(d)) for k in range(n_classes)]
        left = np.array(moved) - offset
        # what is left is the same for every class, so that no decision sees it
        np.testing.assert_allclose(left, left[0], atol=1e-7 * (1 + np.abs(shift).max()))


def test_no_shorter_translation_has_the_same_effect() -> None:
    rng = np.random.default_rng(0)
    weight, offset = rng.normal(size=(3, 6)), rng.normal(size=3)
    (shift,) = shift_of_scores(weight, offset[None], where="test")
    gaps = weight[1:] - weight[0]
    found = minimize(
        lambda t: t @ t,
        rng.normal(size=6),
        constraints={"type": "eq", "fun": lambda t: gaps @ t - (offset[1:] - offset[0])},
        tol=1e-12,
    )
    assert found.success
    np.testing.assert_allclose(shift, found.x, atol=1e-5)


def test_a_head_of_too_few_directions_is_refused_with_what_is_missed() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 9))
    with pytest.raises(InvalidInputError, match=r"5 classes apart in 4 directions .* got 2: of"):
        shift_of_scores(weight, rng.normal(size=(1, 5)), where="fit_method")
    # offsets that lie in the two directions can be reached all the same
    within = weight @ rng.normal(size=9)
    (shift,) = shift_of_scores(weight, within[None], where="fit_method")
    left = weight @ shift - within
    np.testing.assert_allclose(left, left[0], atol=1e-10)


def test_offsets_of_zero_and_of_one_number_do_not_move() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 4))
    shifts = shift_of_scores(weight, np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]]), where="test")
    np.testing.assert_array_equal(shifts, np.zeros((2, 4)))


@pytest.mark.parametrize(
    "head",
    [
        LogisticRegression(max_iter=500),
        RidgeClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        make_pipeline(StandardScaler(), PCA(4), "passthrough", RidgeClassifier()),
    ],
    ids=["logistic", "ridge", "scaled", "reduced"],
)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_scikit_learn_head_is_read_as_it_decides(head: Any, n_classes: int) -> None:
    X, y = rows(n_classes)
    names = np.array(["d", "c", "b", "a"])[:n_classes][y]
    assert not is_fitted(head) or hasattr(head, "classes_")
    head.fit(X, names)
    found = read_linear_head(head, d=7, where="test")
    scores = found.decision_function(X)
    theirs = head.decision_function(X)
    if n_classes == 2:
        np.testing.assert_allclose(scores[:, 1] - scores[:, 0], theirs, atol=1e-8)
    else:
        np.testing.assert_allclose(scores, theirs, atol=1e-8)
    np.testing.assert_array_equal(found.predict(X), head.predict(X))
    np.testing.assert_array_equal(found.classes_, head.classes_)
    if hasattr(head, "predict_proba"):
        np.testing.assert_allclose(found.predict_proba(X), head.predict_proba(X), atol=1e-8)


def test_modules_and_arrays_are_read() -> None:
    module = torch.nn.Linear(7, 3).to(torch.bfloat16)
    X, _ = rows()
    found = read_linear_head(module, d=7, classes=["x", "y", "z"], where="test")
    expected = X @ module.weight.detach().double().numpy().T + module.bias.detach().double().numpy()
    np.testing.assert_allclose(found.decision_function(X), expected)
    assert found.classes.tolist() == ["x", "y", "z"]
    bare = read_linear_head(torch.nn.Linear(7, 3, bias=False), d=7, where="test")
    assert bare.bias.tolist() == [0.0, 0.0, 0.0] and bare.classes.tolist() == [0, 1, 2]
    pair = read_linear_head((found.weight, found.bias), d=7, where="test")
    np.testing.assert_array_equal(pair.decision_function(X), found.decision_function(X))
    named = read_linear_head((found.weight, found.bias, ["z", "x", "y"]), d=7, where="test")
    assert named.classes.tolist() == ["z", "x", "y"]
    assert read_linear_head(pair, d=7, where="test") is pair
    assert is_fitted(pair) and is_fitted(module)


def test_heads_that_are_not_linear_or_do_not_fit_are_refused() -> None:
    X, y = rows()
    with pytest.raises(InvalidInputError, match="must be linear: .* got GaussianNB"):
        read_linear_head(GaussianNB().fit(X, y), d=7, where="fit_method")
    bent = make_pipeline(FunctionTransformer(np.abs), LogisticRegression(max_iter=500)).fit(X, y)
    with pytest.raises(InvalidInputError, match="steps before the classifier are not affine"):
        read_linear_head(bent, d=7, where="fit_method")
    with pytest.raises(InvalidInputError, match="read the 5 numbers .* got one that reads 7"):
        read_linear_head(LogisticRegression(max_iter=500).fit(X, y), d=5, where="fit_method")
    with pytest.raises(InvalidInputError, match="at least 2 classes, got shape"):
        read_linear_head((np.ones((1, 7)), None), d=7, where="fit_method")
    with pytest.raises(InvalidInputError, match="one bias a class"):
        read_linear_head((np.ones((3, 7)), np.ones(2)), d=7, where="fit_method")
    with pytest.raises(InvalidInputError, match=r"one row of the weight .* a class \(2\), got 3"):
        read_linear_head((np.ones((3, 7)), None), d=7, classes=[0, 1], where="fit_method")


def test_ties_go_to_the_first_class() -> None:
    head = LinearHead(np.zeros((3, 2)), np.zeros(3), np.array(["p", "q", "r"]))
    assert head.predict(np.ones((1, 2))).tolist() == ["p"]
