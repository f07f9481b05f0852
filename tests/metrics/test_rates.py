"""Rates per class and group, and any metric per group."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_score,
    recall_score,
    roc_auc_score,
)

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import by_group, calibration, confusion_counts, group_rates
from isonomy.metrics.rates import RATES, rate_table
from reference import rates as naive

seeds = st.integers(0, 2**32 - 1)


def make_rows(seed, n=90):
    rng = np.random.default_rng(seed)
    y = np.r_[np.repeat([0, 1, 2], 2), rng.integers(0, 3, n)]
    g = np.r_[np.tile(["a", "b"], 3), rng.choice(["a", "b"], n)]
    p = np.r_[np.repeat([0, 1, 2], 2), rng.integers(0, 3, n)]
    return y, p, g, rng.integers(1, 4, len(y))


@given(seeds, st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_rate_agrees_with_scikit_learn_one_against_the_rest(seed, weighted):
    y, p, g, w = make_rows(seed)
    counts = confusion_counts(y, p, sensitive_features=g, sample_weight=w if weighted else None)
    table = {rate: rate_table(counts, rate) for rate in RATES}
    for a, group in enumerate("ab"):
        m = g == group
        weight = w[m] if weighted else None
        total = np.ones(m.sum()) if weight is None else weight
        assert table["accuracy"].values[0, a] == pytest.approx(
            accuracy_score(y[m], p[m], sample_weight=weight)
        )
        for k in range(3):
            true, hit = y[m] == k, p[m] == k
            recall = recall_score(true, hit, sample_weight=weight)
            precision = precision_score(true, hit, sample_weight=weight)
            false = 1 - recall_score(~true, ~hit, sample_weight=weight)
            assert table["true_positive_rate"].values[k, a] == pytest.approx(recall)
            assert table["precision"].values[k, a] == pytest.approx(precision)
            assert table["false_positive_rate"].values[k, a] == pytest.approx(false)
            assert table["selection_rate"].values[k, a] == pytest.approx(
                np.average(hit, weights=total)
            )


def test_counts_agree_with_loops():
    y, p, g, w = make_rows(1)
    counts = confusion_counts(y, p, sensitive_features=g, sample_weight=w)
    for (j, k, a), rate in naive.conditional(y, p, g, w).items():
        i = "ab".index(a)
        total = counts.weights[j, :, i].sum()
        assert counts.weights[j, k, i] / total == pytest.approx(rate)
    assert counts.rows.sum() == len(y)
    assert counts.weights.sum() == w.sum()


def test_rows_of_weight_zero_are_as_if_absent():
    counts = confusion_counts(
        [0, 1, 1], [0, 1, 0], sensitive_features=["a", "b", "c"], sample_weight=[1, 1, 0]
    )
    assert counts.groups == ("a", "b")
    assert counts.rows.sum() == 2


@pytest.mark.parametrize("rate", ["true_positive_rate", "false_positive_rate", "precision"])
def test_undefined_is_nan_with_its_reason(rate):
    with pytest.warns(UndefinedRateWarning, match=r"no rows|never predicted") as caught:
        table = group_rates([0, 0, 1, 1], [0, 0, 1, 9], sensitive_features=list("aabb"), rate=rate)
    assert len(caught) == 1
    label = table.classes[int(np.argwhere(np.isnan(table.values))[0, 0])]
    metric = table.of_class(label)
    assert set(metric.reasons.values()) == {table.reason}
    assert np.isnan(metric.difference)


def test_summaries_of_a_rate():
    table = group_rates([1, 1, 1, 1, 0, 0], [1, 0, 1, 1, 0, 0], sensitive_features=list("aabbab"))
    metric = table.of_class(1)
    assert dict(metric.by_group) == {"a": 0.5, "b": 1.0}
    assert (metric.min, metric.max, metric.difference, metric.ratio) == (0.5, 1.0, 0.5, 0.5)
    assert metric.overall == 0.75
    with pytest.raises(InvalidInputError, match="`label` passed to `RateTable.of_class`"):
        table.of_class("nurse")


def test_rate_must_be_known():
    with pytest.raises(InvalidInputError, match="`rate` of `group_rates` must be one of"):
        group_rates([0], [0], sensitive_features=["a"], rate="recall")


@pytest.mark.parametrize("weighted", [False, True])
def test_by_group_runs_any_metric_on_each_group(weighted):
    y, p, g, w = make_rows(2)
    weight = w if weighted else None
    macro = partial(f1_score, average="macro")
    found = by_group(macro, y, p, sensitive_features=g, sample_weight=weight)
    for group in "ab":
        m = g == group
        part = w[m] if weighted else None
        assert found.by_group[group] == macro(y[m], p[m], sample_weight=part)
    assert found.name == "f1_score"
    assert found.overall == macro(y, p, sample_weight=weight)
    assert found.n == {"a": (g == "a").sum(), "b": (g == "b").sum()}


def test_by_group_takes_score_columns_and_regression():
    y, _, g, _ = make_rows(3)
    score = np.random.default_rng(0).dirichlet(np.ones(3), len(y))
    assert by_group(log_loss, y, score, sensitive_features=g).difference >= 0
    t = np.linspace(0.5, 1.5, len(y))
    found = by_group(mean_absolute_error, t, t + 0.25, sensitive_features=g)
    assert found.difference == pytest.approx(0)


def test_by_group_turns_scikit_learns_undefined_zero_into_nan():
    y, p, g = [1, 0, 0, 0], [1, 0, 0, 0], list("aabb")
    with pytest.warns(UndefinedRateWarning, match="recall_score is NaN for 1 group"):
        found = by_group(recall_score, y, p, sensitive_features=g)
    assert np.isnan(found.by_group["b"])
    assert found.reasons["b"]
    with pytest.warns(UndefinedRateWarning):
        auc = by_group(roc_auc_score, y, [0.9, 0.1, 0.2, 0.3], sensitive_features=g)
    assert auc.by_group["a"] == 1
    assert np.isnan(auc.by_group["b"])


def test_by_group_names_a_group_that_lacks_what_the_metric_needs():
    y, g = [0, 1, 0, 0], list("aabb")
    score = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2], [0.7, 0.3]])
    with pytest.warns(UndefinedRateWarning, match="log_loss is NaN"):
        found = by_group(log_loss, y, score, sensitive_features=g)
    assert not np.isnan(found.by_group["a"])


def test_by_group_passes_on_what_is_wrong_with_the_call():
    with pytest.raises(ValueError, match="average"):
        by_group(f1_score, [0, 1, 2], [0, 1, 2], sensitive_features=list("aab"))
    with pytest.raises(InvalidInputError, match="takes no weights"):
        by_group(
            lambda y, p: 0.0, [0, 1], [0, 1], sensitive_features=["a", "b"], sample_weight=[1, 2]
        )
    with pytest.raises(InvalidInputError, match="`y_pred` passed to `by_group`"):
        by_group(accuracy_score, [0, 1], [0], sensitive_features=["a", "b"])


def test_ratio_is_undefined_for_zero_or_negative_values():
    worst = by_group(lambda y, p: 0.0, [0, 1], [0, 1], sensitive_features=["a", "b"])
    assert np.isnan(worst.ratio)
    negative = by_group(lambda y, p: -1.0, [0, 1], [0, 1], sensitive_features=["a", "b"])
    assert np.isnan(negative.ratio)


def test_calibration_of_known_scores():
    # group a says .25 and is right a quarter of the time; group b says .75 for a rate of .25
    y = [1, 0, 0, 0] * 2
    score = [0.25] * 4 + [0.75] * 4
    found = calibration(y, score, sensitive_features=["a"] * 4 + ["b"] * 4)
    assert found.error.by_group == pytest.approx({"a": 0.0, "b": 0.5})
    assert found.bias.by_group == pytest.approx({"a": 0.0, "b": 0.5})
    assert found.error.overall == pytest.approx(0.25)
    weighted = calibration(
        y, score, sensitive_features=["a"] * 4 + ["b"] * 4, sample_weight=[3, 1, 1, 1] * 2
    )
    assert weighted.bias.by_group == pytest.approx({"a": -0.25, "b": 0.25})


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ([0.1, np.nan], "must be finite, got 1 NaN"),
        ([0.1, 1.4], r"probabilities in \[0, 1\]"),
        ([0.1], "as many rows"),
        (["x", "y"], "must be numbers"),
        ([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], "one column for each of the 2 classes"),
    ],
)
def test_calibration_refuses_wrong_scores(score, message):
    with pytest.raises(InvalidInputError, match=message):
        calibration([0, 1], score, sensitive_features=["a", "b"])


def test_calibration_refuses_three_classes_and_unknown_labels():
    with pytest.raises(InvalidInputError, match="two classes"):
        calibration([0, 1, 2], [0.1, 0.2, 0.3], sensitive_features=list("abc"))
    with pytest.raises(InvalidInputError, match="`pos_label`"):
        calibration([0, 1], [0.1, 0.2], sensitive_features=list("ab"), pos_label=3)
