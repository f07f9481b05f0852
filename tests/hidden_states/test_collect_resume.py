"""A run that was stopped, even killed, ends with the bits of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from isonomy.errors import CorruptArtefactError, InvalidInputError, OutputError
from isonomy.hidden_states import Collected, collect
from isonomy.hidden_states._collect import _batching, _row_store
from tiny_biographies import biographies
from tiny_models import save_tiny, tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}
OPTIONS = {**COLUMNS, "site": "residual", "layers": "all", "batch_size": 4, "checkpoint_every": 3}


class Stopped(Exception):
    pass


def stop_at(n):
    def progress(text, done, total):
        if done >= n:
            raise Stopped

    return progress


def assert_same_bits(one, other):
    assert list(one) == list(other)
    for layer in one:
        (arrays, header), (others, other_header) = one[layer].to_arrays(), other[layer].to_arrays()
        assert header == other_header
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], others[name])
    for name in ("site", "positions", "n_rows", "classes", "groups", "n_truncated", "max_length"):
        assert getattr(one, name) == getattr(other, name)


@pytest.fixture(autouse=True)
def _small_windows_and_shards(monkeypatch):
    monkeypatch.setattr(_batching, "WINDOW_BATCHES", 5)
    monkeypatch.setattr(_row_store, "SHARD_BYTES", 1 << 12)


@pytest.mark.parametrize("rows", ["none", "safetensors", "parquet"])
# 12 and 24: at a state; 20: at the end of a window; 4: before any state; 60: after all rows
@pytest.mark.parametrize("n", [4, 12, 20, 24, 36, 60])
def test_an_error_in_the_middle_costs_nothing(n, rows, tmp_path):
    model, tokenizer = tiny("llama")
    data = biographies(60)
    data["bio"][2] = data["bio"][50] = "nurse " * 100  # cut, and counted once each
    options = {**OPTIONS, "tokenizer": tokenizer, "rows": rows}
    whole = collect(model, data, **options, output=tmp_path / "whole")
    with pytest.raises(Stopped):
        collect(model, data, **options, output=tmp_path / "part", progress=stop_at(n))
    resumed = collect(model, data, **options, output=tmp_path / "part", resume=True)
    assert whole.n_truncated == 2
    assert_same_bits(resumed, whole)
    assert_same_bits(Collected.load(tmp_path / "part"), whole)
    if rows != "none":
        for layer in whole:
            for one, other in zip(resumed.rows(layer), whole.rows(layer), strict=True):
                np.testing.assert_array_equal(one, other)
        files = [
            sorted(p.name for p in (tmp_path / d / "rows").iterdir()) for d in ("part", "whole")
        ]
        assert files[0] == files[1] and len(files[0]) > 3
    left = {p.name for p in (tmp_path / "part").iterdir()}
    assert left == {"moments.safetensors", "collected.json"} | (
        {"rows"} if rows != "none" else set()
    )


def test_labels_that_come_after_a_stop_at_the_end_of_a_window_are_taken_in(tmp_path):
    model, tokenizer = tiny("llama")
    data = biographies(60)
    data["job"] = ["nurse"] * 20 + ["poet"] * 40  # five batches of four are a window
    data["gender"] = ["F", "M"] * 10 + ["F", "X"] * 20
    options = {**OPTIONS, "tokenizer": tokenizer, "checkpoint_every": 5}
    with pytest.raises(Stopped):
        collect(model, data, **options, output=tmp_path / "part", progress=stop_at(21))
    resumed = collect(model, data, **options, output=tmp_path / "part", resume=True)
    assert_same_bits(resumed, collect(model, data, **options))
    assert resumed.classes == ("nurse", "poet") and resumed.groups == ("F", "M", "X")


def test_shards_of_a_run_killed_before_its_first_state_do_not_stay(tmp_path):
    model, tokenizer = tiny("llama")
    options = {**OPTIONS, "tokenizer": tokenizer, "rows": "parquet", "checkpoint_every": 99}
    with pytest.raises(Stopped):
        collect(model, biographies(60), **options, output=tmp_path, progress=stop_at(50))
    left = sorted(p.name for p in (tmp_path / "rows").iterdir())
    assert len(left) == 2
    (tmp_path / "rows" / "notes.parquet").touch()  # not ours
    made = collect(model, biographies(20), **{**options, "layers": [1]}, output=tmp_path)
    kept = {p.name for p in (tmp_path / "rows").iterdir()}
    assert kept == {"notes.parquet", "_rows.json"} | {s["file"] for s in made.kept.shards}
    assert len(made.kept.shards) < len(left)


def test_an_output_that_cannot_be_written_is_refused_before_the_model_runs(tmp_path):
    model, tokenizer = tiny("llama")
    (tmp_path / "file").touch()
    passes = []
    with pytest.raises(OutputError, match="Not a directory"):
        collect(
            model, biographies(8), **OPTIONS, tokenizer=tokenizer, output=tmp_path / "file" / "x",
            progress=lambda *call: passes.append(call),
        )  # fmt: skip
    assert not passes


SCRIPT = """
import os, signal, sys
from isonomy.hidden_states import collect
from isonomy.hidden_states._collect import _batching, _row_store
_batching.WINDOW_BATCHES = 5
_row_store.SHARD_BYTES = 1 << 12
def progress(text, done, total):
    if done >= 33:
        os.kill(os.getpid(), signal.SIGKILL)
folder, data, output = sys.argv[1:]
collect(folder, data, text="bio", label="job", group="gender", site="residual", layers="all",
        batch_size=4, checkpoint_every=3, rows="safetensors", output=output, device="cpu",
        progress=progress)
"""


def test_a_killed_process_is_resumed_by_another_to_the_same_bits(tmp_path):
    folder, data, part = (
        save_tiny("gpt2", tmp_path / "model"),
        tmp_path / "bios.csv",
        tmp_path / "p",
    )
    pd.DataFrame(biographies(60)).to_csv(data, index=False)
    # as many threads as here: sums of large matrices are cut by their number
    threads = str(torch.get_num_threads())
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), str(data), str(part)]
    killed = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {p.name for p in part.iterdir()} == {"unfinished.safetensors", "rows"}
    options = {**OPTIONS, "rows": "safetensors", "device": "cpu"}
    resumed = collect(folder, data, **options, output=part, resume=True)
    whole = collect(folder, data, **options, output=tmp_path / "whole")
    assert_same_bits(resumed, whole)
    assert resumed.n_rows == 60
    for layer in whole:
        np.testing.assert_array_equal(resumed.rows(layer)[0], whole.rows(layer)[0])
    assert resumed.rows(0)[1].tolist() == biographies(60)["job"]


def stopped_run(folder: Path, **changes):
    model, tokenizer = tiny("llama")
    data = biographies(40)
    with pytest.raises(Stopped):
        collect(
            model, data, **{**OPTIONS, **changes}, tokenizer=tokenizer, output=folder,
            progress=stop_at(24),
        )  # fmt: skip
    return model, tokenizer, data


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"batch_size": 5}, "the same `batch_size`: it was 4 and is now 5"),
        ({"layers": [0, 1]}, r"the same `layers`: it was \[0, 1, 2\] and is now \[0, 1\]"),
        ({"site": "mlp_output"}, "the same `site`: it was 'residual' and is now 'mlp_output'"),
        ({"positions": "mean"}, "the same `positions`"),
        ({"max_length": 9}, "the same `max_length`: it was 64 and is now 9"),
        ({"covariance": "full"}, "the same `covariance`"),
        ({"group": None}, "the same `group`"),
        ({"rows": "parquet"}, "the same `rows`"),
    ],
)
def test_other_settings_are_refused(changes, match, tmp_path):
    model, tokenizer, data = stopped_run(tmp_path)
    with pytest.raises(InvalidInputError, match=match):
        collect(
            model, data, **{**OPTIONS, **changes}, tokenizer=tokenizer, output=tmp_path, resume=True
        )


def test_other_data_are_refused(tmp_path):
    model, tokenizer, data = stopped_run(tmp_path)
    run = {**OPTIONS, "tokenizer": tokenizer, "output": tmp_path, "resume": True}
    for name, value in (("bio", "another text"), ("job", "poet"), ("gender", "X")):
        changed = {**data, name: [*data[name][:6], value, *data[name][7:]]}
        with pytest.raises(InvalidInputError, match="same data: its first 40 rows are other"):
            collect(model, changed, **run)
    with pytest.raises(InvalidInputError, match="`n_rows`: it was 40 and is now 39"):
        collect(model, {k: v[:39] for k, v in data.items()}, **run)
    with pytest.raises(InvalidInputError, match="same data"):
        stream = ({k: v[i] for k, v in data.items()} for i in range(5))
        other = tmp_path / "stream"
        full = ({k: v[i] for k, v in data.items()} for i in range(40))
        with pytest.raises(Stopped):
            collect(model, full, **{**run, "output": other}, progress=stop_at(24))
        collect(model, stream, **{**run, "output": other})


def test_another_model_or_tokenizer_is_refused(tmp_path):
    model, tokenizer, data = stopped_run(tmp_path)
    run = {**OPTIONS, "output": tmp_path, "resume": True}
    changed = tiny("llama")[0]
    with torch.no_grad():  # one weight of the last norm, in the last place
        changed.model.norm.weight[3] = torch.nextafter(
            changed.model.norm.weight[3], torch.tensor(9.0)
        )
    with pytest.raises(InvalidInputError, match=r"same model \(its weights or configuration"):
        collect(changed, data, **run, tokenizer=tokenizer)
    with torch.no_grad():  # the same numbers in another order
        changed = tiny("llama")[0]
        weight = changed.model.layers[0].self_attn.q_proj.weight
        weight.copy_(weight.flip(0))
    with pytest.raises(InvalidInputError, match="same model"):
        collect(changed, data, **run, tokenizer=tokenizer)
    tokenizer.add_tokens(["dentist"])
    with pytest.raises(InvalidInputError, match="the same tokenizer"):
        collect(model, data, **run, tokenizer=tokenizer)


def test_an_unknown_class_is_refused_on_resuming_too(tmp_path):
    model, tokenizer, data = stopped_run(tmp_path)
    with pytest.raises(InvalidInputError, match="the same `classes`"):
        collect(
            model, data, **OPTIONS, tokenizer=tokenizer, output=tmp_path, resume=True,
            classes=["nurse", "engineer", "professor"],
        )  # fmt: skip


def test_a_shard_that_has_gone_is_noticed(tmp_path):
    model, tokenizer, data = stopped_run(tmp_path, rows="safetensors")
    (tmp_path / "rows" / "rows-00000.safetensors").unlink()
    with pytest.raises(CorruptArtefactError, match="rows-00000.safetensors' of the stopped run"):
        collect(
            model, data, **OPTIONS, rows="safetensors", tokenizer=tokenizer, output=tmp_path,
            resume=True,
        )  # fmt: skip


def test_neither_a_stopped_nor_a_finished_run_is_overwritten(tmp_path):
    model, tokenizer, data = stopped_run(tmp_path)
    run = {**OPTIONS, "tokenizer": tokenizer, "output": tmp_path}
    with pytest.raises(InvalidInputError, match="holds a stopped run. Pass `resume=True`"):
        collect(model, data, **run)
    done = collect(model, data, **run, resume=True)
    with pytest.raises(InvalidInputError, match="holds a finished run. Pass `resume=True`"):
        collect(model, data, **run)
    passes = []
    model.model.embed_tokens.register_forward_hook(lambda *call: passes.append(1))
    assert_same_bits(collect(model, data, **run, resume=True), done)
    assert not passes
    with pytest.raises(InvalidInputError, match="same data"):
        collect(model, {**data, "job": data["job"][::-1]}, **run, resume=True)
    with pytest.raises(InvalidInputError, match="`positions`"):
        collect(model, data, **{**run, "positions": "cls"}, resume=True)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    model, tokenizer = tiny("llama")
    data = biographies(60)
    written = []

    def full_disk(path, arrays, labels):
        if len(written) == 2:
            raise OutputError("`path` must be a place that can be written: no space left")
        written.append(path.name)
        return real(path, arrays, labels)

    real = _row_store.write_shard
    monkeypatch.setattr(_row_store, "write_shard", full_disk)
    run = {**OPTIONS, "tokenizer": tokenizer, "output": tmp_path, "rows": "safetensors"}
    with pytest.raises(OutputError, match="no space left"):
        collect(model, data, **run)
    assert not (tmp_path / "collected.json").exists()
    monkeypatch.setattr(_row_store, "write_shard", real)
    resumed = collect(model, data, **run, resume=True)
    plain = collect(model, data, **OPTIONS, tokenizer=tokenizer, rows="memory")
    np.testing.assert_array_equal(resumed.rows(1)[0], plain.rows(1)[0])
    assert_same_bits(resumed, plain)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"resume": True}, "`resume=True` of `collect` needs `output`"),
        ({"rows": "parquet"}, '`rows="parquet"` of `collect` needs `output`'),
    ],
)
def test_what_is_written_needs_a_place(options, match):
    model, tokenizer = tiny("gpt2")
    with pytest.raises(InvalidInputError, match=match):
        collect(model, biographies(4), **COLUMNS, tokenizer=tokenizer, **options)


def test_rows_in_memory_cannot_be_resumed(tmp_path):
    model, tokenizer = tiny("gpt2")
    with pytest.raises(InvalidInputError, match='`rows="memory"` of `collect` cannot go'):
        collect(
            model, biographies(4), **COLUMNS, tokenizer=tokenizer, rows="memory", output=tmp_path
        )
