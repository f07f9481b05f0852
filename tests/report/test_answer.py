"""The sentences up front say what the numbers say, no more."""

from __future__ import annotations

import copy

import pytest

from isonomy.report._answer import answer_sentences, answer_tiles, gap_interval, gap_text
from isonomy.report._rates import gap_changes
from report_samples import METHODS, audit_result, comparison_result


def say(result, after=-1):
    methods = result["methods"]
    return dict(
        answer_sentences(
            methods[0], methods[after], methods[1:after], n_test=2400, n_rare=1, n_missing=2
        )
    )


def test_before_and_after_are_told_apart():
    said = say(comparison_result())
    assert "typically by 5.7 points (95% interval 4.2 to 9.2; p" in said["Before (Untouched):"]
    after = said["After (Calibrated offsets):"]
    assert after.startswith("no difference between groups was detected beyond chance")
    assert "up to 2.4 points would still fit the data" in after


def test_a_gap_that_remains_is_said_to_remain():
    said = say(comparison_result(), after=5)
    assert "typically by 4.7 points" in said["After (Ideal steering, blind):"]


def test_accuracy_lost_is_told():
    assert say(comparison_result(), after=4)["Accuracy:"] == "it falls from 72.0% to 71.1%."
    assert say(comparison_result())["Accuracy:"] == "it stays at 72.0%."


def test_a_method_that_needs_groups_is_held_against_the_best_that_does_not():
    said = say(comparison_result())["The group:"]
    assert said.startswith("Calibrated offsets needs the group of every person")
    assert "4.7 points (Ideal steering, blind, accuracy 72.3%)" in said


def test_limits_are_told():
    said = say(comparison_result())["The limits:"]
    assert "2,400 test rows of one split" in said
    assert "1 class is too rare" in said
    assert "2 things could not be estimated" in said


def test_an_undefined_gap_is_said_to_be_undefined_with_its_reason():
    result = comparison_result()
    gap = result["methods"][-1]["gap"]["rms_tpr_gap_precision"]
    gap |= dict.fromkeys(("value", "corrected", "low", "high", "p_value"))
    gap["reason"] = "no class has ten rows in both groups"
    said = say(result)["After (Calibrated offsets):"]
    assert (
        said
        == "the gap between groups could not be estimated: no class has ten rows in both groups."
    )
    assert answer_tiles(None, result["methods"][-1])[0].after == "n/a"


@pytest.mark.parametrize(
    ("entry", "text", "span"),
    [
        (
            {"corrected": -0.01, "value": 0.03, "low": -0.04, "high": 0.02},
            "below noise",
            "0.0 to 2.0",
        ),
        ({"corrected": None, "value": 0.031, "low": 0.01, "high": 0.05}, "3.1", "1.0 to 5.0"),
        (
            {"corrected": -0.02, "value": 0.01, "low": -0.04, "high": -0.01},
            "below noise",
            "below noise",
        ),
        ({}, "n/a", "n/a"),
    ],
)
def test_no_gap_reads_below_zero(entry, text, span):
    assert gap_text(entry) == text
    assert gap_interval(entry) == span


def test_one_method_alone_has_no_before():
    result = comparison_result(methods=METHODS[-1:])
    from isonomy.report import render

    text = render(result, "markdown")
    assert "Before (" not in text
    assert "**Calibrated offsets:** No difference" in text


def test_classes_whose_gap_grew_are_not_hidden_behind_the_average():
    before = audit_result(["a", "b", "c"])
    after = copy.deepcopy(before)
    first, second, third = after["class_gaps"]
    first["gap"], second["gap"], third["gap"] = 0.01, 0.9, -0.8
    before["class_gaps"][0]["gap"] = 0.5
    before["class_gaps"][1]["gap"] = -0.1
    before["class_gaps"][2]["gap"] = -0.7
    assert gap_changes(before, after) == (
        "Class by class, the gap shrank in 1 and grew in 2, most for b "
        "(female: from \N{MINUS SIGN}10.0 to +90.0 points)."
    )
    second["n_group"] = 3
    assert "shrank in 1 and grew in 1, most for c" in gap_changes(before, after)
    assert gap_changes(before, before) == ""
