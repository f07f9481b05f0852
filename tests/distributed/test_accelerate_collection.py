"""Two processes of a real `accelerate launch` collect what one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distributed_rows import biographies
from isonomy.distributed import collect_with_accelerate
from isonomy.errors import InvalidInputError, OutputError
from isonomy.hidden_states import Collected, collect
from tiny_models import save_tiny, tiny

SCRIPT = Path(__file__).resolve().parents[1] / "reference" / "collect_under_accelerate.py"
# `--cpu` starts several processes through MPI alone; `--multi_gpu` starts them everywhere
LAUNCH = [
    "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
    "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
    "--main_process_port", "0",
]  # fmt: skip
ASKED = {"text": "bio", "label": "job", "group": "gender", "batch_size": 4}


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The folder that two processes wrote, and the model and the rows that they had."""
    folder = tmp_path_factory.mktemp("accelerate")
    model, data = save_tiny("llama", folder / "model"), folder / "rows.jsonl"
    rows = biographies(37)
    lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *LAUNCH, str(SCRIPT), str(model), str(data), str(folder)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, model, rows


def test_two_processes_get_the_moments_of_one_in_the_same_bits(launched):
    folder, model, rows = launched
    alone = collect(str(model), rows, site="residual", layers=[0, 2], dtype="float64", **ASKED)
    first, second = (np.load(folder / f"process-{rank}.npz") for rank in (0, 1))
    assert first["n_rows"] == alone.n_rows == 37
    for name in first.files:
        assert first[name].tobytes() == second[name].tobytes()
    for layer, moments in alone.items():
        # the model computes in float64: batches of other shape round at 1e-16
        for name, array in moments.to_arrays()[0].items():
            np.testing.assert_allclose(first[f"{layer}.{name}"], array, rtol=1e-9, atol=1e-11)


def test_the_main_process_saved_the_result(launched):
    folder, model, rows = launched
    saved, first = Collected.load(folder / "saved"), np.load(folder / "process-0.npz")
    assert saved.n_rows == 37 and saved.model_name == str(model)
    assert (saved.classes, saved.groups) == (tuple(sorted(set(rows["job"]))), ("F", "M"))
    for layer in (0, 2):
        np.testing.assert_array_equal(saved[layer].to_arrays()[0]["mean"], first[f"{layer}.mean"])


def test_a_process_without_rows_takes_part_and_gets_the_result(launched):
    folder, _, _ = launched
    first, second = (np.load(folder / f"single-{rank}.npz") for rank in (0, 1))
    assert first["n_rows"] == second["n_rows"] == 1
    np.testing.assert_array_equal(first["mean"], second["mean"])


def test_an_error_reaches_every_process(launched):
    folder, _, _ = launched
    for rank in (0, 1):
        assert "Row 1 of `data`" in (folder / f"error-{rank}.txt").read_text()


def test_a_module_in_one_process_gives_the_bits_of_collect():
    model, tokenizer = tiny("bert")
    rows = biographies(9)
    alone = collect(model, rows, tokenizer=tokenizer, **ASKED)
    found = collect_with_accelerate(model, iter_rows(rows), tokenizer=tokenizer, **ASKED)
    for name, array in alone[None].to_arrays()[0].items():
        np.testing.assert_array_equal(found[None].to_arrays()[0][name], array)
    assert (found.n_rows, found.model_name) == (9, alone.model_name)


def iter_rows(rows):
    """Yield the rows once: what can be read only once is read only once."""
    yield from (dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))


def test_wrong_use_is_named():
    model, tokenizer = tiny("bert")
    with pytest.raises(InvalidInputError, match="at least one row, got none"):
        collect_with_accelerate(
            model, {"bio": [], "job": [], "gender": []}, tokenizer=tokenizer, **ASKED
        )
    with pytest.raises(InvalidInputError, match="`dtype` of `collect_with_accelerate`"):
        collect_with_accelerate(model, biographies(2), dtype="float64", **ASKED)
    with pytest.raises(InvalidInputError, match="no column 'job'"):
        collect_with_accelerate(model, {"bio": ["a"], "gender": ["F"]}, **ASKED)


def test_an_output_that_cannot_be_written_is_an_error(tmp_path):
    model, tokenizer = tiny("bert")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        collect_with_accelerate(
            model, biographies(3), tokenizer=tokenizer, output=tmp_path / "file" / "x", **ASKED
        )
