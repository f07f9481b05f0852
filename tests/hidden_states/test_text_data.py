"""The same rows come out of everything that can hold them; bad ones are named by number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import datasets
from isonomy.errors import DataFileError, InvalidInputError, MissingGroupValuesError
from isonomy.hidden_states._collect._text_data import read_examples

DATA = {
    "bio": ["She writes.", 'He said, "no".\nThen he left.', "Ça va, 東京", "null"],
    "job": [2, 0, 2, 1],
    "gender": ["F", "M", "F", "M"],
    "native": [True, False, True, True],
}
COLUMNS = {"text": "bio", "label": "job", "group": "gender"}


def write(kind: str, folder: Path) -> object:
    frame = pd.DataFrame(DATA)
    if kind == "csv.gz":
        frame.to_csv(folder / "a.csv.gz", index=False)
    elif kind == "tsv":
        frame.to_csv(folder / "a.tsv", sep="\t", index=False)
    elif kind == "parquet":
        frame.to_parquet(folder / "a.parquet")
    elif kind in ("jsonl", "jsonl.gz"):
        lines = "\n".join(json.dumps(row) for row in frame.to_dict("records"))
        opener = gzip.open if kind.endswith("gz") else open
        with opener(folder / f"a.{kind}", "wt", encoding="utf-8") as file:
            file.write(lines + "\n")
    elif kind == "json":
        (folder / "a.json").write_text(json.dumps(frame.to_dict("records")), encoding="utf-8")
    return folder / f"a.{kind}"


HOLDERS = {
    "columns": lambda: DATA,
    "records": lambda: pd.DataFrame(DATA).to_dict("records"),
    "generator": lambda: iter(pd.DataFrame(DATA).to_dict("records")),
    "pandas": lambda: pd.DataFrame(DATA),
    "polars": lambda: pl.DataFrame(DATA),
    "pyarrow": lambda: pa.table(DATA),
    "dataset": lambda: datasets.Dataset.from_dict(DATA),
    "streamed": lambda: datasets.Dataset.from_dict(DATA).to_iterable_dataset(),
    "splits": lambda: datasets.DatasetDict({"train": datasets.Dataset.from_dict(DATA)}),
}
FILES = ("csv.gz", "tsv", "parquet", "jsonl", "jsonl.gz", "json")


def expected():
    return [
        (i, text, job, gender)
        for i, (text, job, gender) in enumerate(
            zip(DATA["bio"], DATA["job"], DATA["gender"], strict=True)
        )
    ]


def plain(examples):
    return [tuple(example) for example in examples]


def assert_same(examples):
    found = plain(examples)
    assert found == expected()
    assert {type(row[2]) for row in found} == {int}
    assert set(examples.columns) == set(DATA)


@pytest.mark.parametrize("holder", HOLDERS)
def test_every_holder_gives_the_same_rows(holder):
    assert_same(read_examples(HOLDERS[holder](), **COLUMNS))


@pytest.mark.parametrize("kind", FILES)
def test_every_file_gives_the_same_rows(kind, tmp_path):
    path = write(kind, tmp_path)
    assert_same(read_examples(path, **COLUMNS))
    assert_same(read_examples(str(path), **COLUMNS))


@pytest.mark.parametrize("holder", [h for h in HOLDERS if h != "generator"])
def test_rows_can_be_read_again(holder):
    examples = read_examples(HOLDERS[holder](), **COLUMNS)
    assert plain(examples) == plain(examples)


def test_an_iterator_is_read_once():
    examples = read_examples(HOLDERS["generator"](), **COLUMNS)
    plain(examples)
    with pytest.raises(InvalidInputError, match="iterator, already used up"):
        plain(examples)


def test_a_folder_and_a_pattern_are_read_in_the_order_of_their_names(tmp_path):
    for i in (2, 0, 1):
        part = {
            name: [f"{values[i]}" if name == "bio" else values[i]] for name, values in DATA.items()
        }
        pd.DataFrame(part).to_parquet(tmp_path / f"part-{i}.parquet")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "._part-0.parquet").write_bytes(b"what a Mac leaves")
    (tmp_path / "_rows.json").write_text("{}")
    rows = expected()[:3]
    assert plain(read_examples(tmp_path, **COLUMNS)) == rows
    assert plain(read_examples(f"{tmp_path}/part-*.parquet", **COLUMNS)) == rows
    assert read_examples(tmp_path, **COLUMNS).n_rows == 3


def test_a_data_set_saved_to_disk_is_read(tmp_path):
    datasets.disable_progress_bars()
    HOLDERS["dataset"]().save_to_disk(tmp_path / "one")
    HOLDERS["splits"]().save_to_disk(tmp_path / "dict")
    assert_same(read_examples(tmp_path / "one", **COLUMNS))
    assert_same(read_examples(tmp_path / "dict", **COLUMNS, split="train"))


def test_class_labels_stay_numbers_and_their_names_are_known():
    features = datasets.Features(
        {
            "hard_text": datasets.Value("string"),
            "profession": datasets.ClassLabel(names=["accountant", "dentist"]),
            "gender": datasets.Value("int64"),
        }
    )
    rows = {"hard_text": ["a", "b"], "profession": [1, 0], "gender": [0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    examples = read_examples(data, text="hard_text", label="profession", group="gender")
    assert plain(examples) == [(0, "a", 1, 0), (1, "b", 0, 1)]
    assert examples.label_names == ("accountant", "dentist")
    assert examples.group_names is None


def test_several_group_columns_are_joined():
    examples = read_examples(DATA, text="bio", group=["gender", "native"])
    assert [e.group for e in examples] == ["F, True", "M, False", "F, True", "M, True"]


def test_booleans_and_numpy_numbers_are_plain():
    data = {"t": ["a", "b"], "y": np.array([True, False]), "g": np.array([3, 4], dtype=np.int8)}
    found = plain(read_examples(data, text="t", label="y", group="g"))
    assert found == [(0, "a", True, 3), (1, "b", False, 4)]
    assert type(found[0][2]) is bool and type(found[0][3]) is int


def test_tensors_of_a_formatted_data_set_are_plain():
    data = datasets.Dataset.from_dict({"t": ["a", "b"], "y": [1, 0]}).with_format("torch")
    found = plain(read_examples(data, text="t", label="y"))
    assert found == [(0, "a", 1, None), (1, "b", 0, None)] and type(found[0][2]) is int


def test_lines_of_json_end_where_json_says(tmp_path):
    texts = ["she\u2028writes", "he\x85writes"]
    lines = "".join(json.dumps({"t": text}, ensure_ascii=False) + "\n" for text in texts)
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text(lines, encoding="utf-8")
        assert [e.text for e in read_examples(tmp_path / name, text="t")] == texts


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1", "0", "12"], [1, 0, 12]),
        (["1", "2.5", "3"], None),  # fractions are no labels
        (["1.0", "2", "3"], [1.0, 2.0, 3.0]),
        (["true", "False", "TRUE"], [True, False, True]),
        (["007", "1", "2"], ["007", "1", "2"]),
        (["1", "2", "x"], ["1", "2", "x"]),
    ],
)
def test_a_csv_column_is_of_the_kind_of_all_its_fields(fields, expected, tmp_path):
    lines = "".join(f"text {i},{field}\n" for i, field in enumerate(fields))
    (tmp_path / "a.csv").write_text(f"t,y\n{lines}", encoding="utf-8")
    examples = read_examples(tmp_path / "a.csv", text="t", label="y")
    if expected is None:
        with pytest.raises(InvalidInputError, match=r"Row 1 .* the label 2.5 in 'y'"):
            list(examples)
        return
    found = [e.label for e in examples]
    assert found == expected and [type(v) for v in found] == [type(v) for v in expected]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"bio": ["a", " ", "c", "d"]}, InvalidInputError, r"Row 1 .* no text in 'bio': got ' '"),
        ({"bio": ["a", "b", None, "d"]}, InvalidInputError, r"Row 2 .* no text in 'bio': got None"),
        ({"job": [1, 2, 3, None]}, InvalidInputError, r"Row 3 .* no label in 'job': got None"),
        ({"job": [1, float("nan"), 3, 1]}, InvalidInputError, r"Row 1 .* no label in 'job'"),
        (
            {"gender": [None, "F", "F", "M"]},
            MissingGroupValuesError,
            r"Row 0 .* no group in 'gender'",
        ),
        ({"job": [1, "x", 2, 3]}, InvalidInputError, r"Row 1 .* 'x' in 'job' \(text\).*numbers"),
        ({"job": [1, True, 2, 3]}, InvalidInputError, r"Row 1 .* True in 'job' \(booleans\)"),
        ({"job": [[1], [2], [3], [4]]}, InvalidInputError, r"Row 0 .* the label \[1\] in 'job'"),
    ],
)
def test_a_bad_row_is_named_by_its_number(change, error, match):
    examples = read_examples({**DATA, **change}, **COLUMNS)
    with pytest.raises(error, match=match):
        list(examples)


def test_an_empty_field_of_a_csv_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("t,y\nsome text,\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="Row 0 .* no label in 'y'"):
        list(read_examples(tmp_path / "a.csv", text="t", label="y"))


def test_two_combinations_with_one_joined_name_are_refused():
    data = {"t": ["x", "y"], "a": ["p, q", "p"], "b": ["r", "q, r"]}
    with pytest.raises(InvalidInputError, match="Row 1 .* joined name 'p, q, r'"):
        list(read_examples(data, text="t", group=["a", "b"]))


@pytest.mark.parametrize(
    ("data", "options", "error", "match"),
    [
        (DATA, {"text": "biog"}, InvalidInputError, "no column 'biog'; it has 'bio', 'job'"),
        (DATA, {"text": "bio", "label": 3}, InvalidInputError, "names of columns, got 3"),
        (DATA, {"text": "bio", "split": "train"}, InvalidInputError, "`split` .* type dict"),
        (7, {"text": "bio"}, InvalidInputError, "must be columns, records.* got int"),
        ([1, 2], {"text": "bio"}, InvalidInputError, "one mapping of columns a row, got int"),
        (
            {"a": [1], "b": [1, 2]},
            {"text": "a"},
            InvalidInputError,
            "one length, got 'a': 1, 'b': 2",
        ),
        (iter(()), {"text": "a"}, InvalidInputError, "has no rows"),
        ("nothing/here.csv", {"text": "a"}, DataFileError, "is not there"),
    ],
)
def test_data_that_cannot_be_used_is_refused(data, options, error, match):
    with pytest.raises(error, match=match):
        read_examples(data, **options)


def test_a_split_that_is_not_there_is_refused():
    with pytest.raises(InvalidInputError, match="one of 'train', got 'test'"):
        read_examples(HOLDERS["splits"](), **COLUMNS, split="test")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", "t,y\nx,1\ny,2,3\n", "Line 3 .* has 3 fields where the header has 2"),
        ("a.csv", "t,t\nx,1\n", "distinct column names, got t, t"),
        ("a.csv", "", "distinct column names, got nothing"),
        ("a.jsonl", '{"t": "x"}\n[1]\n', "Row 1 .* must be a JSON object"),
        ("a.jsonl", '{"t": "x"}\n{"t": \n', "Line 2 of .* is no JSON: Expecting value at"),
        # the rows behind an open quote would be one text
        ("a.csv", 'y,t\n1,she\n2,"he\n3,they\n', "Line 4 .* unexpected end of data"),
        ("a.csv", 't,y\n"she "works" hard",2\n', "Line 2 .* Double the quotes"),
        ("a.csv", '"t,y\n' + "x" * 140_000, "cannot be read: field larger"),
        ("a.parquet", "no parquet", "cannot be read"),
        ("a.docx", "x", "files of one kind, ending in .csv"),
    ],
)
def test_a_broken_file_is_one_sentence(name, content, match, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataFileError, match=match):
        list(read_examples(tmp_path / name, text="t"))


def test_files_of_different_columns_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("t,y\nx,1\n")
    (tmp_path / "b.csv").write_text("t,z\nx,1\n")
    with pytest.raises(DataFileError, match="same columns: 'a.csv' has t, y, 'b.csv' has t, z"):
        read_examples(tmp_path, text="t")


def test_records_with_a_missing_key_are_named():
    with pytest.raises(InvalidInputError, match="Row 1 .* no column 'y'"):
        list(read_examples([{"t": "a", "y": 1}, {"t": "b"}], text="t", label="y"))
