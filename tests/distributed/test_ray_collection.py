"""Replicas on a real local Ray cluster collect what one process does, from any kind of data."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import ray.data

import datasets
from distributed_rows import biographies
from isonomy.distributed import collect_with_ray
from isonomy.distributed._moment_tables import merge_tables, read_table
from isonomy.distributed._ray_rows import _tables, ray_rows
from isonomy.distributed.ray_collection import Replica
from isonomy.errors import DataFileError, InvalidInputError, OutputError
from isonomy.hidden_states import Collected, collect
from isonomy.hidden_states._collect._text_data import read_examples
from tiny_models import save_tiny, tiny

pytestmark = pytest.mark.usefixtures("cluster")
COLUMNS = {"text": "bio", "label": "job", "group": "gender"}


def assert_equal_moments(found, expected):
    assert list(found) == list(expected)
    for layer, moments in expected.items():
        assert found[layer].to_arrays()[1] == moments.to_arrays()[1]
        # the model computes in float64: batches of other shape round at 1e-16
        for name, array in moments.to_arrays()[0].items():
            np.testing.assert_allclose(
                found[layer].to_arrays()[0][name], array, rtol=1e-9, atol=1e-11
            )


def test_two_replicas_collect_from_parquet_what_one_process_does(tmp_path):
    rows, told = biographies(101), []
    table = pa.table(rows)
    (tmp_path / "rows").mkdir()
    pq.write_table(table.slice(0, 70), tmp_path / "rows" / "a.parquet", row_group_size=9)
    pq.write_table(table.slice(70), tmp_path / "rows" / "b.parquet")
    model = save_tiny("llama", tmp_path / "model")
    asked = {**COLUMNS, "site": "residual", "layers": [0, 2], "dtype": "float64", "max_length": 12}
    alone = collect(str(model), rows, batch_size=8, **asked)
    found = collect_with_ray(
        model, tmp_path / "rows", batch_size=5, n_replicas=2, output=tmp_path / "saved",
        progress=lambda *numbers: told.append(numbers), **asked,
    )  # fmt: skip
    assert_equal_moments(found, alone)
    for name in ("site", "positions", "n_rows", "model_name", "hidden_size", "covariance", "dtype",
                 "max_length", "n_truncated", "classes", "groups"):  # fmt: skip
        assert getattr(found, name) == getattr(alone, name)
    assert found.n_truncated > 0
    assert_equal_moments(Collected.load(tmp_path / "saved"), found)
    # 101 rows in eight blocks of 13, each told once
    assert list(dict.fromkeys(told)) == [("collect", min(13 * i, 101), 101) for i in range(1, 9)]


def sources(folder):
    """Return the same rows, with whole-number labels, in every kind of source."""
    rows = biographies(12)
    rows["job"] = [sorted(set(rows["job"])).index(job) for job in rows["job"]]
    lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:5]))
    (folder / "b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[5:]))
    pyarrow.csv.write_csv(pa.table(rows), folder / "rows.csv")
    pq.write_table(pa.table({**rows, "more": lines}), folder / "rows.parquet")
    return rows, {
        "JSON Lines": str(folder / "*.jsonl"),
        "CSV": folder / "rows.csv",
        "Parquet": folder / "rows.parquet",
        "columns": rows,
        "records": lines,
        "data set": datasets.Dataset.from_dict(rows),
        "splits": datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}),
        "streamed": datasets.Dataset.from_dict(rows).to_iterable_dataset(),
        "Ray": ray.data.from_arrow(pa.table({**rows, "more": rows["bio"]})),
    }


def test_every_kind_of_source_gives_the_values_that_one_process_reads(tmp_path):
    rows, kinds = sources(tmp_path)
    expected = [(e.text, e.label, e.group) for e in read_examples(rows, **COLUMNS)]
    for kind, data in kinds.items():
        made = ray_rows(data, **COLUMNS, split=None, where="f")
        names = [made.text, made.label, *made.group]
        assert made.n_rows == (None if kind in ("JSON Lines", "CSV", "streamed", "Ray") else 12)
        if kind in ("JSON Lines", "Parquet", "streamed", "Ray"):
            table = made.rows.take_all()
        else:  # what the task does, here
            options = {"text": "bio", "label": "job", "group": ("gender",), "where": "f"}
            table = [row for t in _tables(data, names, options) for row in t.to_pylist()]
        assert all(set(row) == set(names) for row in table), kind
        assert [tuple(row[name] for name in names) for row in table] == expected, kind


def test_names_of_labels_are_kept_and_several_group_columns_joined():
    rows = biographies(6)
    rows["age"] = ["old", "young"] * 3
    rows["job"] = [0, 1, 2] * 2
    features = datasets.Dataset.from_dict(rows).features.copy()
    features["job"] = datasets.ClassLabel(names=["nurse", "professor", "surgeon"])
    data = datasets.Dataset.from_dict(rows, features=features)
    made = ray_rows(data, text="bio", label="job", group=["gender", "age"], split=None, where="f")
    assert made.class_names == ("nurse", "professor", "surgeon") and made.group_names is None
    assert (made.text, made.label, made.group) == ("text", "label", ["group"])
    options = {"text": "bio", "label": "job", "group": ("gender", "age"), "where": "f"}
    (table,) = _tables(data, ["text", "label", "group"], options)
    assert table.column("group").to_pylist() == [
        f"{gender}, {age}" for gender, age in zip(rows["gender"], rows["age"], strict=True)
    ]


def test_a_replica_gives_a_block_its_moments_whatever_it_did_before():
    model, tokenizer = tiny("bert")
    rows = pa.table(biographies(20))
    arguments = {**COLUMNS, "site": "mlp_output", "layers": [1], "covariance": "full"}
    replica = Replica((model.double(), tokenizer), {}, arguments)
    blocks = [replica(rows.slice(0, 3)), replica(rows.slice(3, 0)), replica(rows.slice(3))]
    assert replica(rows.slice(0, 3)).equals(blocks[0])
    assert blocks[1].num_rows == 0
    parts = read_table(merge_tables(blocks))
    alone = collect(model, rows, tokenizer=tokenizer, **arguments)
    assert_equal_moments({layer: part.moments for layer, part in parts.items()}, alone)
    assert parts[1].tally == {"n_truncated": alone.n_truncated}


def test_a_model_that_cannot_be_loaded_is_the_error_of_loading(tmp_path):
    replica = Replica((str(tmp_path), None), {}, COLUMNS)
    with pytest.raises(InvalidInputError, match="could not be loaded"):
        replica(pa.table(biographies(2)))


def test_wrong_use_is_named(tmp_path):
    model, tokenizer = tiny("bert")
    with pytest.raises(InvalidInputError, match="`dtype` of `collect_with_ray` is for models"):
        collect_with_ray(model, biographies(2), dtype="float64", **COLUMNS)
    with pytest.raises(InvalidInputError, match="no column 'job'"):
        collect_with_ray(model, {"bio": ["a"], "gender": ["F"]}, **COLUMNS)
    with pytest.raises(InvalidInputError, match="no column 'bio', 'job'; it has 'gender'"):
        collect_with_ray(model, ray.data.from_arrow(pa.table({"gender": ["F"]})), **COLUMNS)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        collect_with_ray(model, "nowhere.parquet", output=tmp_path / "file", **COLUMNS)
    with pytest.raises(DataFileError, match="is not there"):
        collect_with_ray(model, tmp_path / "none.parquet", **COLUMNS)
    with pytest.raises(InvalidInputError, match="must end in .parquet or .jsonl"):
        collect_with_ray(model, "s3://bucket/rows.csv", **COLUMNS)
    with pytest.raises(InvalidInputError, match="`rows_per_block` of `collect_with_ray`"):
        collect_with_ray(
            model, biographies(2), tokenizer=tokenizer, rows_per_block=0, n_replicas=1, **COLUMNS
        )
