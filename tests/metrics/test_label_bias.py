"""Label bias: oracle, laws, known answers, wrong input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import (
    bias_score,
    class_group_accuracy,
    cobias,
    head_tail_gap,
    macro_f1,
    recall_rsd,
)
from reference import label_bias as naive

FROM_LABELS = (cobias, recall_rsd, macro_f1)


@st.composite
def decisions(draw, max_classes=6):
    """(labels, predictions, whole weights, scores, K): every class has rows, one is right."""
    k = draw(st.integers(2, max_classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = np.r_[np.arange(k), rng.integers(0, k, draw(st.integers(0, 40)))]
    p = np.where(rng.random(len(y)) < 0.5, y, rng.integers(0, k, len(y)))
    p[0] = y[0]
    weight = rng.integers(1, 4, len(y))
    return y, p, weight, rng.dirichlet(np.ones(k), len(y)), k


@given(decisions())
def test_what_labels_tell_agrees_with_loops(drawn):
    y, p, weight, _, _ = drawn
    for w in (None, weight):
        assert cobias(y, p, sample_weight=w) == pytest.approx(naive.cobias(y, p, w))
        assert recall_rsd(y, p, sample_weight=w) == pytest.approx(naive.recall_rsd(y, p, w))
        expected = f1_score(y, p, average="macro", sample_weight=w)
        assert macro_f1(y, p, sample_weight=w) == pytest.approx(expected)


@given(decisions())
def test_bias_score_agrees_with_loops(drawn):
    y, _, weight, scores, k = drawn
    for w in (None, weight):
        found = bias_score(y, scores, sample_weight=w)
        assert found == pytest.approx(naive.bias_score(y, scores, k, w), abs=1e-12)
        assert 0 <= found <= 1 - 1 / k


@given(decisions(max_classes=9), st.data())
def test_thirds_agree_with_loops(drawn, data):
    y, p, _, _, k = drawn
    counts = data.draw(st.lists(st.integers(0, 5), min_size=k, max_size=k))
    counts[0] = 9  # not all equal
    found = class_group_accuracy(y, p, class_counts=counts)
    expected = naive.thirds(y, p, dict(enumerate(counts)))
    assert (found.head, found.medium, found.tail) == pytest.approx(expected, nan_ok=True)
    assert found.gap == head_tail_gap(y, p, class_counts=counts)
    named = (*found.head_classes, *found.medium_classes, *found.tail_classes)
    assert sorted(named) == list(range(k))


@given(decisions())
def test_whole_weights_are_repeated_rows(drawn):
    y, p, weight, scores, _ = drawn
    many = np.repeat(np.arange(len(y)), weight)
    for metric in FROM_LABELS:
        assert metric(y, p, sample_weight=weight) == pytest.approx(metric(y[many], p[many]))
    weighted = bias_score(y, scores, sample_weight=weight)
    assert weighted == pytest.approx(bias_score(y[many], scores[many]), abs=1e-12)
    counts = 2 ** np.arange(len(set(y)))
    weighted = head_tail_gap(y, p, class_counts=counts, sample_weight=weight)
    assert weighted == pytest.approx(head_tail_gap(y[many], p[many], class_counts=counts))


@given(decisions())
def test_renamed_labels_and_other_orders_of_rows_change_nothing(drawn):
    y, p, _, scores, k = drawn
    order = np.random.default_rng(0).permutation(len(y))
    names = np.array([f"class {(7 * i) % k}-{i}" for i in range(k)])
    for metric in FROM_LABELS:
        assert metric(names[y][order], names[p][order]) == pytest.approx(metric(y, p))
    renamed = bias_score(names[y][order], scores[order], classes=names.tolist())
    assert renamed == pytest.approx(bias_score(y, scores))
    counts = dict(zip(names.tolist(), range(k, 0, -1), strict=True))
    by_name = class_group_accuracy(names[y], names[p], class_counts=counts)
    by_code = class_group_accuracy(y, p, class_counts=list(counts.values()))
    assert by_name.tail == by_code.tail
    assert by_name.tail_classes == tuple(names[list(by_code.tail_classes)])
    # codes, and counts under names: the order of the mapping is that of the codes
    assert class_group_accuracy(y, p, class_counts=counts).tail == by_code.tail


def test_equal_recalls_have_no_label_bias_however_many_rows_there_are():
    y = np.repeat([0, 1, 2], [2, 4, 60])
    p = np.where(np.arange(len(y)) % 2 == 0, y, (y + 1) % 3)
    assert cobias(y, p) == 0
    assert recall_rsd(y, p) == 0
    assert head_tail_gap(y, p, class_counts=[1, 2, 3]) == 0


def test_known_answers():
    y, p = [0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 0, 0]  # recalls 1, 1/2, 0
    assert cobias(y, p) == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert recall_rsd(y, p) == pytest.approx(math.sqrt(1 / 6) / 0.5)
    always_first = np.tile([1.0, 0, 0, 0], (8, 1))
    assert bias_score(np.arange(8) % 4, always_first) == 0.75
    # one row of class 0 weighs as much as three of class 1
    assert bias_score([0, 1, 1, 1], [[1, 0], [0, 1], [0, 1], [0, 1]]) == 0


@pytest.mark.parametrize(("k", "third"), [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (77, 26)])
def test_head_and_tail_are_the_nearest_to_a_third_of_the_classes(k, third):
    found = class_group_accuracy(range(k), range(k), class_counts=range(k, 0, -1))
    assert found.head_classes == tuple(range(third))
    assert found.tail_classes == tuple(range(k - third, k))
    assert len(found.medium_classes) == k - 2 * third
    assert math.isnan(found.medium) == (k == 2)


def test_ties_keep_the_order_of_the_counts():
    found = class_group_accuracy([0, 1, 2], [0, 1, 2], class_counts=[5, 5, 2])
    assert found.head_classes == (0,)


def test_classes_without_rows_are_left_out_with_a_warning():
    with pytest.warns(UndefinedRateWarning, match="leaves out the classes 2: they have no true"):
        found = class_group_accuracy([0, 1, 3], [0, 2, 0], class_counts=[9, 8, 7, 6, 5, 4][:4])
    assert (found.head, found.medium, found.tail) == (1, 0, 0)
    with pytest.warns(UndefinedRateWarning, match="leaves out the classes 0, 1"):
        found = class_group_accuracy([2, 3], [2, 3], class_counts=[9, 8, 1, 1, 1])
    assert math.isnan(found.head)
    with pytest.warns(UndefinedRateWarning, match="bias_score leaves out the classes 1"):
        assert bias_score([0, 0], [[1, 0], [0, 1]]) == 0


def test_what_is_undefined_is_nan_with_the_reason():
    with pytest.warns(UndefinedRateWarning, match="1 class has rows"):
        assert math.isnan(cobias([1, 1], [1, 0]))
    with pytest.warns(UndefinedRateWarning, match="no prediction is right"):
        assert math.isnan(recall_rsd([0, 1], [1, 0]))
    with pytest.warns(UndefinedRateWarning, match="neither head nor tail"):
        assert math.isnan(head_tail_gap([0, 1], [0, 1], class_counts=[4, 4]))


def test_a_prediction_that_is_no_true_label_is_wrong_and_no_class():
    assert cobias([0, 0, 1], [0, 7, 1]) == 0.5
    assert head_tail_gap([0, 0, 1], [0, 7, 1], class_counts=[9, 1]) == -0.5


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: cobias([0, 1], [0]), "`y_pred` passed to `cobias` must have as many rows"),
        (lambda: macro_f1([], []), "`y_true` passed to `macro_f1` must have at least one row"),
        (lambda: cobias(None, [0]), "`y_true` passed to `cobias` must be the class labels"),
        (
            lambda: head_tail_gap([0, 5], [0, 1], class_counts=[3, 2]),
            "`y_true` passed to `head_tail_gap` must hold labels that `class_counts` has, got 5",
        ),
        (
            lambda: class_group_accuracy([0, 1], [0, 1], class_counts=[3, -1]),
            "must hold the training rows of at least two classes",
        ),
        (lambda: bias_score([0, 1], [[1.0], [1.0]]), "one column for each of at least two"),
        (lambda: bias_score([0, 1], [[2.0, -1.0]] * 2), "Apply a softmax to logits first"),
        (lambda: bias_score([0, 4], [[1.0, 0.0, 0.0]] * 2), "must name each of the 3 columns"),
        (
            lambda: bias_score(["a", "z"], [[1.0, 0.0]] * 2, classes=["a", "b"]),
            "must hold labels that have a column, got 'z'",
        ),
    ],
    ids=[
        "lengths", "no-rows", "no-labels", "unknown-label", "negative-count", "one-column",
        "logits", "columns", "no-column",
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_sentence(call, match):
    with pytest.raises(InvalidInputError, match=match):
        call()
