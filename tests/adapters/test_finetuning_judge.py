"""Judging decisions class by class: every figure against the reference, intervals by their law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.adapters._finetune._judge import Judged, judge
from reference.finetune_judgement import macro_f1, mean_recall, recall_of, thirds


def judged(labels: Any, predicted: Any, counts: list[int], **changes: Any) -> dict[str, Any]:
    k = len(counts)
    scores = np.full((len(labels), k), 0.1 / k)
    scores[np.arange(len(labels)), predicted] += 0.9
    settings: dict[str, Any] = {"groups": None, "min_cell": 2, "n_boot": 300, "random_state": 0}
    rows = Judged(
        labels=np.asarray(labels),
        classes=tuple(f"c{i}" for i in range(k)),
        counts=np.asarray(counts),
        **settings | changes,
    )
    return judge(scores, rows, name="after", label="x", what="y")


@st.composite
def decisions(draw: st.DrawFn) -> tuple[list[int], list[int], list[int]]:
    k = draw(st.integers(2, 6))
    n = draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    predicted = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    counts = draw(st.lists(st.integers(1, 99), min_size=k, max_size=k))
    return labels, predicted, counts


@given(decisions())
def test_figures_are_those_of_the_reference(given_: tuple[list[int], list[int], list[int]]) -> None:
    labels, predicted, counts = given_
    found = judged(labels, predicted, counts)
    k = len(counts)
    assert found["n"] == len(labels)
    right = sum(y == p for y, p in zip(labels, predicted, strict=True))
    assert found["accuracy"]["value"] == pytest.approx(right / len(labels))
    assert found["macro_f1"]["value"] == pytest.approx(macro_f1(labels, predicted, k))
    assert found["balanced_accuracy"]["value"] == pytest.approx(
        mean_recall(labels, predicted, range(k))
    )
    names = thirds(counts)
    for entry in found["class_groups"]:
        classes = [i for i in range(k) if names[i] == entry["group"]]
        assert entry["value"] == pytest.approx(mean_recall(labels, predicted, classes))
        assert entry["n"] == sum(y in classes for y in labels)
    for entry in found["by_class"]:
        code = int(entry["class"][1:])
        assert entry["value"] == pytest.approx(recall_of(labels, predicted, code))
        assert entry["n_predicted"] == predicted.count(code)
        assert entry["third"] == names[code]


@given(decisions())
def test_intervals_hold_their_figure_and_are_the_same_again(
    given_: tuple[list[int], list[int], list[int]],
) -> None:
    found = judged(*given_)
    entries = [found["accuracy"], found["balanced_accuracy"], *found["class_groups"]]
    for entry in [*entries, *found["by_class"]]:
        if entry["value"] is not None:
            assert entry["low"] <= entry["value"] + 1e-12
            assert entry["high"] >= entry["value"] - 1e-12
            assert 0 <= entry["low"] <= entry["high"] <= 1
    assert found == judged(*given_)


def test_the_gap_is_head_minus_tail_with_an_interval_of_known_width() -> None:
    """Two classes of 400 rows, recalls .8 and .5: the standard error is known."""
    labels = np.repeat([0, 1], 400)
    predicted = np.concatenate([np.repeat([0, 1], [320, 80]), np.repeat([1, 0], [200, 200])])
    found = judged(labels, predicted, [90, 10], n_boot=4000)
    gap = found["measures"][0]
    assert (gap["metric"], gap["value"]) == ("head_tail_gap", pytest.approx(0.3))
    error = np.sqrt(0.8 * 0.2 / 400 + 0.5 * 0.5 / 400)
    # 4000 draws place a quantile within some 4 % of the standard error
    assert gap["low"] == pytest.approx(0.3 - 1.96 * error, abs=0.15 * error)
    assert gap["high"] == pytest.approx(0.3 + 1.96 * error, abs=0.15 * error)
    worst = next(m for m in found["measures"] if m["metric"] == "worst_class_recall")
    assert (worst["value"], worst["low"]) == (0.5, None)


def test_equal_counts_have_no_gap_and_say_why() -> None:
    found = judged([0, 1, 0, 1], [0, 1, 1, 1], [7, 7])
    gap = found["measures"][0]
    assert (gap["value"], gap["low"]) == (None, None)
    assert "rarer than another" in gap["reason"]
    assert [t["classes"] for t in found["class_groups"]] == [[], ["c0", "c1"], []]


def test_a_class_without_judged_rows_has_no_recall() -> None:
    found = judged([0, 0, 1], [0, 2, 1], [9, 5, 1])
    rare = found["by_class"][-1]
    assert (rare["class"], rare["n"], rare["value"], rare["n_predicted"]) == ("c2", 0, None, 1)
    assert found["class_groups"][2]["value"] is None


def test_mistakes_are_listed_from_the_most_frequent() -> None:
    found = judged([0] * 5 + [1] * 4, [1, 1, 1, 0, 0, 0, 1, 1, 1], [9, 5])
    first, second = found["confusions"]
    assert (first["class"], first["predicted"], first["n"]) == ("c0", "c1", 3)
    assert first["share"] == pytest.approx(0.6)
    assert (second["class"], second["n"]) == ("c1", 1)


def test_groups_are_audited_and_too_few_of_them_are_said() -> None:
    labels, predicted = [0, 1] * 20, [0, 1, 1, 1] * 10
    assert judged(labels, predicted, [9, 5])["audit_reason"] == "no group column was named"
    groups = np.array(["a", "a", "b", "b"] * 10)
    audit = judged(labels, predicted, [9, 5], groups=groups)["audit"]
    assert audit["kind"] == "audit"
    assert [g["name"] for g in audit["groups"]] == ["a", "b"]
    few = judged(labels, predicted, [9, 5], groups=groups, min_cell=30)
    assert few["audit"] is None
    assert "at least 2 groups" in few["audit_reason"]
