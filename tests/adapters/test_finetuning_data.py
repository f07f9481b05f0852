"""Rows of a fine-tuning run: read once, every flaw counted, split by class."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_files import tail_rows
from isonomy.adapters._finetune._checks import data_checks
from isonomy.adapters._finetune._class_table import class_table, third_of_classes
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._rows import Columns, LabelledRows, read_rows
from isonomy.adapters._finetune._split import Parts, split_rows
from isonomy.errors import DataFileError, InvalidInputError
from reference.finetune_judgement import thirds

COLUMNS = Columns("bio", "job")


def read(rows: Any, columns: Columns = COLUMNS, **options: Any) -> LabelledRows:
    return read_rows(rows, columns, FinetuneOptions(**options))


def made(counts: list[int], *, texts: list[str] | None = None) -> LabelledRows:
    labels = np.repeat(np.arange(len(counts)), counts)
    inputs = texts or [f"text {i}" for i in range(len(labels))]
    classes = tuple(f"class {k}" for k in range(len(counts)))
    return LabelledRows("made", "text", inputs, labels, classes, None, None)


def findings(rows: LabelledRows, parts: Parts) -> dict[str, dict[str, Any]]:
    return {f["what"]: f for f in data_checks(rows, parts)}


def test_every_kind_of_data_gives_the_same_rows(tmp_path: Path) -> None:
    rows = tail_rows()
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = Columns("bio", "job", ("sex",))
    one = read(str(tmp_path / "a.csv"), columns)
    two = read({name: [row[name] for row in rows] for name in rows[0]}, columns)
    assert one.name == "a.csv"
    assert one.classes == two.classes == ("attorney", "engineer", "nurse")
    assert one.inputs == two.inputs == [row["bio"] for row in rows]
    np.testing.assert_array_equal(one.labels, two.labels)
    assert [one.classes[k] for k in one.labels] == [row["job"] for row in rows]
    assert one.groups is not None
    assert one.groups.tolist() == [row["sex"] for row in rows]


def test_whole_numbers_are_classes_in_the_order_of_numbers() -> None:
    found = read({"bio": list("abcd"), "job": [10, 9, 2, 10]})
    assert found.classes == ("2", "9", "10")
    assert found.labels.tolist() == [2, 1, 0, 2]


def test_classes_asked_for_give_the_order_of_the_outputs() -> None:
    found = read({"bio": ["x", "y"], "job": ["b", "a"]}, classes=["b", "a"])
    assert found.classes == ("b", "a")
    assert found.labels.tolist() == [0, 1]


def test_all_that_is_missing_is_counted_at_once() -> None:
    rows = {"bio": ["x", " ", "y", None, "z"], "job": ["a", "b", None, "b", "b"]}
    with pytest.raises(InvalidInputError, match=r"2 lack the text .*row 1, 3.* and 1 lack the lab"):
        read(rows)
    found = read(rows, drop_missing=True)
    assert (found.inputs, found.n_dropped) == (["x", "z"], 3)
    parts = Parts(np.arange(2), np.arange(0), np.arange(0), "")
    said = findings(found, parts)["dropped rows"]["sentence"]
    assert said == "3 rows with something missing were left out."


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (
            {"bio": ["x", "y"], "job": ["a", "c"]},
            {"classes": ["a", "b"]},
            r"'c' \(1 rows\) are not",
        ),
        ({"bio": ["x", "y"], "job": ["a", "b"]}, {"classes": ["a", "a"]}, "2 different names"),
        ({"bio": ["x", "y"], "job": ["a", "a"]}, {}, "at least 2 classes, got 'a' alone"),
        ({"bio": ["x", "y"], "job": ["a", "b"]}, {"split_column": "part"}, "is 'part', but"),
        ({"bio": [1, 2], "job": ["a", "b"]}, {}, "must hold strings, got int"),
        (
            {"bio": ["x", "y"], "job": ["a", "b"], "part": ["train", "spare"]},
            {"split_column": "part"},
            "says 'spare'",
        ),
    ],
)
def test_what_cannot_be_used_is_named(rows: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read(rows, **options)


def test_no_rows_at_all_are_refused() -> None:
    with pytest.raises(DataFileError, match="has no rows"):
        read({"bio": [], "job": []})


def test_columns_must_differ() -> None:
    with pytest.raises(InvalidInputError, match="different columns, got bio"):
        Columns("bio", "bio")
    with pytest.raises(InvalidInputError, match="must be names of columns, got ''"):
        Columns("bio", "")


@given(counts=st.lists(st.integers(1, 40), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_every_class_is_trained_on_and_judged_where_it_has_two_rows(
    counts: list[int], seed: int
) -> None:
    rows = made(counts)
    if max(counts) == 1:
        with pytest.raises(InvalidInputError, match="no row to judge on"):
            split_rows(rows, FinetuneOptions(random_state=seed))
        return
    parts = split_rows(rows, FinetuneOptions(random_state=seed))
    whole = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(whole.tolist()) == list(range(len(rows)))
    for k, n in enumerate(counts):
        train, test = (int(rows.counts(p)[k]) for p in (parts.train, parts.test))
        assert train >= 1
        if n >= 2:
            assert test == min(max(1, round(0.2 * n)), n - 1)
        assert (rows.counts(parts.validation)[k] == 0) == (n < 5)


def test_the_split_is_the_same_for_one_seed_and_differs_for_another() -> None:
    rows = made([30, 10])
    one, two = (split_rows(rows, FinetuneOptions(random_state=3)) for _ in range(2))
    other = split_rows(rows, FinetuneOptions(random_state=4))
    assert one.test.tolist() == two.test.tolist() != other.test.tolist()


def test_rows_of_one_text_stay_in_one_part() -> None:
    texts = [f"Text {i // 2}" if i % 2 else f"text  {i // 2}" for i in range(40)]
    rows = made([30, 10], texts=texts)
    for seed in range(5):
        parts = split_rows(rows, FinetuneOptions(random_state=seed))
        part_of = {int(i): name for name in ("train", "validation", "test") for i in parts.of(name)}
        assert all(part_of[i] == part_of[i + 1] for i in range(0, 40, 2))
        assert "test rows seen in training" not in findings(rows, parts)


def test_a_split_column_is_followed_and_what_it_leaves_open_is_drawn() -> None:
    rows = tail_rows()
    for i, row in enumerate(rows):
        row["part"] = "TEST" if i % 3 == 0 else "train"
    found = read(rows, split_column="part")
    parts = split_rows(found, FinetuneOptions(split_column="part"))
    assert parts.test.tolist() == list(range(0, len(rows), 3))
    assert len(parts.validation) > 0
    assert "the validation rows by class" in parts.how
    assert not set(parts.validation) & set(parts.test)
    whole = split_rows(found, FinetuneOptions(split_column="part", validation_size=0.0))
    assert len(whole.validation) == 0
    assert len(whole.train) + len(whole.test) == len(rows)


def test_a_class_without_training_rows_is_refused_by_name() -> None:
    rows = tail_rows()
    for row in rows:
        row["part"] = "test" if row["job"] == "attorney" else "train"
    with pytest.raises(InvalidInputError, match="'attorney' has none"):
        split_rows(read(rows, split_column="part"), FinetuneOptions(split_column="part"))
    with pytest.raises(InvalidInputError, match="'pilot' has none"):
        split_rows(
            read(tail_rows(), classes=["nurse", "engineer", "attorney", "pilot"]), FinetuneOptions()
        )


def test_texts_that_are_judged_after_training_on_them_are_warned_of() -> None:
    rows = [
        {"bio": text, "job": job, "part": part}
        for text, job, part in (
            ("a a", "x", "train"), ("b", "y", "train"), ("c", "y", "train"),
            ("A  a", "x", "test"), ("d", "y", "test"),
        )
    ]  # fmt: skip
    options = FinetuneOptions(split_column="part", validation_size=0.0)
    found = read_rows(rows, COLUMNS, options)
    said = findings(found, split_rows(found, options))["test rows seen in training"]
    assert (said["n"], said["level"]) == (1, "warning")
    assert said["sentence"].startswith("1 text of the 2 test rows also stands")


def test_disputed_rare_and_unjudged_classes_are_found() -> None:
    rows = made([6, 2, 1], texts=["a", "b", "c", "d", "e", "f", "a", "g", "h"])
    said = findings(rows, split_rows(rows, FinetuneOptions()))
    assert said["one text, several labels"]["n"] == 2
    assert "class 2" in said["classes with one row"]["sentence"]
    assert said["classes that are not judged"]["sentence"].endswith("class 2.")
    order = [f["level"] for f in data_checks(rows, split_rows(rows, FinetuneOptions()))]
    assert order == sorted(order, reverse=True)  # warnings first


def test_equal_counts_are_said_and_an_imbalance_is_measured() -> None:
    equal = made([10, 10, 10])
    said = findings(equal, split_rows(equal, FinetuneOptions()))
    assert "All 3 classes have" in said["classes of equal count"]["sentence"]
    tail = made([100, 10])
    sentence = findings(tail, split_rows(tail, FinetuneOptions()))["imbalance"]["sentence"]
    assert "70 training rows, the rarest 7: 10 to 1." in sentence


@given(st.lists(st.integers(1, 50), min_size=2, max_size=12))
def test_thirds_are_those_of_the_reference(counts: list[int]) -> None:
    assert third_of_classes(counts) == thirds(counts)


def test_the_class_table_counts_every_row_once() -> None:
    rows = read(tail_rows())
    table = class_table(rows, split_rows(rows, FinetuneOptions()))
    assert [row["class"] for row in table] == ["nurse", "engineer", "attorney"]
    assert [row["third"] for row in table] == ["head", "medium", "tail"]
    whole = {
        row["class"]: sum(row[f"n_{p}"] for p in ("train", "validation", "test")) for row in table
    }
    assert whole == dict(Counter(row["job"] for row in tail_rows()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "magic"}, "`strategy` of `finetune` must be one of"),
        ({"loss": "magic"}, "`loss` of `finetune` must be one of"),
        ({"head": "softmax"}, "`head` of `finetune` must be one of"),
        ({"init": "eva"}, "`init` of `finetune` must be one of"),
        ({"r": 0}, "`r` of `finetune`"),
        ({"epochs": 0}, "`epochs` of `finetune` must be more than 0"),
        ({"test_size": 0.0}, "leave rows to train on, and rows to judge"),
        ({"test_size": 0.6, "validation_size": 0.4}, "leave rows to train on"),
        ({"layer": 1}, "the one layer of strategy 'intermediate'"),
        ({"strategy": "full", "init": "tail_structure"}, "strategy 'full' has none"),
        ({"split_column": "part", "test_split": "test"}, "say the same thing twice"),
        ({"loss_settings": {"tau": float("nan")}}, "`loss_settings"),
        ({"n_boot": 10}, "`n_boot` of `finetune`"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        FinetuneOptions(**options)


def test_a_strategy_names_objective_start_and_weights() -> None:
    def of(**options: Any) -> tuple[str, str, str]:
        found = FinetuneOptions(**options)
        return found.spread, found.objective, found.start

    assert of() == ("attention", "equity", "tail_structure")
    assert of(strategy="intermediate") == ("one_layer", "label_balance", "default")
    assert of(strategy="lora") == ("attention", "cross_entropy", "default")
    assert of(strategy="full") == ("all", "cross_entropy", "default")
    assert of(strategy="layer_norms") == ("norms", "cross_entropy", "default")
    assert of(strategy="balanced_softmax") == ("attention", "balanced_softmax", "default")
    assert of(strategy="lora", loss="focal", init="tail_gradient") == (
        "attention", "focal", "tail_gradient",
    )  # fmt: skip
