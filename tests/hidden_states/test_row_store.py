"""Rows that are kept come back in the order of the data, from memory, shards or copies."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from isonomy.errors import ArtefactError, CorruptArtefactError, InvalidInputError
from isonomy.hidden_states import Collected, collect
from isonomy.hidden_states._collect import _row_store
from tiny_biographies import biographies
from tiny_models import tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}
KINDS = ("safetensors", "parquet")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(_row_store, "SHARD_BYTES", 1 << 11)


def collected(**options):
    model, tokenizer = tiny("gpt2")
    fixed = {"site": "residual", "layers": [2, 0], "batch_size": 5}
    return collect(model, biographies(40), **COLUMNS, **{**fixed, **options}, tokenizer=tokenizer)


@pytest.mark.parametrize("rows", KINDS)
def test_shards_hold_every_row_once_in_the_order_of_the_data(rows, tmp_path):
    found, plain = collected(rows=rows, output=tmp_path), collected(rows="memory")
    for layer in (0, 2):
        X, y, groups = found.rows(layer)
        assert X.dtype == np.float32 and X.shape == (40, 16)
        np.testing.assert_array_equal(X, plain.rows(layer)[0])
        assert y.tolist() == biographies(40)["job"]
        assert groups.tolist() == biographies(40)["gender"]
    assert not np.array_equal(found.rows(0)[0], found.rows(2)[0])


@pytest.mark.parametrize("rows", KINDS)
def test_the_index_tells_files_rows_and_digests(rows, tmp_path):
    collected(rows=rows, output=tmp_path)
    index = json.loads((tmp_path / "rows" / "_rows.json").read_text())
    assert index["format"] == rows and index["columns"] == ["layer_2", "layer_0"]
    assert index["n_rows"] == 40 == sum(shard["rows"] for shard in index["shards"])
    assert len(index["shards"]) > 2
    for shard in index["shards"]:
        data = (tmp_path / "rows" / shard["file"]).read_bytes()
        assert len(data) == shard["bytes"]
        assert hashlib.sha256(data).hexdigest() == shard["sha256"]
        # closed with the batch of 5 rows that fills it
        assert shard["rows"] * 2 * 16 * 4 < (1 << 11) + 5 * 2 * 16 * 4


def test_other_tools_read_the_shards(tmp_path):
    found = collected(rows="parquet", output=tmp_path / "p")
    table = pq.read_table(tmp_path / "p" / "rows", columns=["row", "label", "group", "layer_0"])
    frame = table.to_pandas().sort_values("row")
    assert frame["label"].tolist() == biographies(40)["job"]
    np.testing.assert_array_equal(np.stack(frame["layer_0"]), found.rows(0)[0])
    collected(rows="safetensors", output=tmp_path / "s")
    parts = [load_file(p) for p in sorted((tmp_path / "s" / "rows").glob("*.safetensors"))]
    order = np.concatenate([part["row"] for part in parts])
    assert sorted(order.tolist()) == list(range(40))
    X = np.concatenate([part["layer_0"] for part in parts])
    np.testing.assert_array_equal(X[np.argsort(order)], found.rows(0)[0])


@pytest.mark.parametrize("rows", [*KINDS, "memory"])
def test_saving_elsewhere_takes_the_rows_along(rows, tmp_path):
    options = {} if rows == "memory" else {"output": tmp_path / "first"}
    found = collected(rows=rows, **options)
    found.save(tmp_path / "second")
    again = Collected.load(tmp_path / "second")
    for layer in (0, 2):
        for one, other in zip(again.rows(layer), found.rows(layer), strict=True):
            np.testing.assert_array_equal(one, other)
    index = json.loads((tmp_path / "second" / "rows" / "_rows.json").read_text())
    assert index["format"] == ("parquet" if rows == "parquet" else "safetensors")


def test_saved_moments_are_the_same_bits_with_all_that_was_said_of_them(tmp_path):
    found = collected()
    found.save(tmp_path)
    again = Collected.load(tmp_path)
    for layer in found:
        (arrays, header), (others, other) = found[layer].to_arrays(), again[layer].to_arrays()
        assert header == other
        for name, array in arrays.items():
            np.testing.assert_array_equal(others[name], array)
    assert repr(again) == repr(found) and again.settings == found.settings
    summary = json.loads((tmp_path / "collected.json").read_text())
    assert summary["layers"] == [2, 0] and summary["n_rows"] == 40
    assert np.sum(summary["n_rows_by_cell"]) == 40


def test_the_head_inputs_key_is_none_after_loading_too(tmp_path):
    found = collected(site="head_input", layers=None)
    found.save(tmp_path)
    assert list(Collected.load(tmp_path)) == [None]
    assert None in found and 0 not in found and len(found) == 1


@pytest.mark.parametrize("rows", KINDS)
def test_an_altered_shard_is_refused(rows, tmp_path):
    found = collected(rows=rows, output=tmp_path)
    shard = sorted((tmp_path / "rows").glob("rows-*"))[1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptArtefactError, match="its SHA-256 differs"):
        found.rows(0)
    shard.unlink()
    with pytest.raises(CorruptArtefactError, match="cannot be read"):
        found.rows(0)


def test_what_is_not_there_is_one_sentence(tmp_path):
    found = collected()
    with pytest.raises(InvalidInputError, match="rows that were kept"):
        found.rows(0)
    with pytest.raises(InvalidInputError, match="holds the layers 2, 0 of site 'residual', got 1"):
        found[1]
    with pytest.raises(ArtefactError):
        Collected.load(tmp_path / "nothing")
    found = collected(rows="safetensors", output=tmp_path)
    (tmp_path / "rows" / "_rows.json").write_text("{}")
    with pytest.raises(CorruptArtefactError, match="not an index of rows"):
        Collected.load(tmp_path)


def test_labels_that_numpy_would_shorten_stay_two():
    data = biographies(4)
    data["job"] = ["a\0", "a"] * 2
    model, tokenizer = tiny("gpt2")
    kept = collect(
        model, data, text="bio", label="job", group="gender", tokenizer=tokenizer, rows="memory"
    )
    assert kept.rows()[1].tolist() == data["job"]
