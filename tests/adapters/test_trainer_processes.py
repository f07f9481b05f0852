"""Two processes of a real `accelerate launch` train what one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reference.train_under_accelerate import run
from tiny_training import losses, weights

TESTS = Path(__file__).resolve().parents[1]
# `--cpu` starts several processes through MPI alone; `--multi_gpu` starts them everywhere
LAUNCH = [
    "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
    "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
    "--main_process_port", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """The folder that two processes wrote."""
    folder = tmp_path_factory.mktemp("processes")
    script = TESTS / "reference" / "train_under_accelerate.py"
    environment = {
        **os.environ, "PYTHONPATH": str(TESTS),
        "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *LAUNCH, str(script), str(folder)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    trained = run(tmp_path_factory.mktemp("alone"), batch=4)
    trained.train()
    return trained


def test_two_processes_end_in_the_weights_of_one(launched, alone):
    first, second = (load_file(launched / f"end-{rank}.safetensors") for rank in (0, 1))
    expected = {**weights(alone), **alone.objective.state_dict()}
    assert set(first) == set(expected)
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        # float64: two processes add up in another order
        torch.testing.assert_close(first[name], value, rtol=1e-9, atol=1e-12)


def test_the_logged_loss_is_that_of_all_rows(launched, alone):
    found = json.loads((launched / "logs-0.json").read_text())["losses"]
    assert found == pytest.approx(losses(alone), rel=1e-6)


def test_an_evaluation_sees_every_row_once(launched, alone):
    expected = alone.evaluate()
    first, second = (
        json.loads((launched / f"logs-{rank}.json").read_text())["metrics"] for rank in (0, 1)
    )
    names = [name for name in expected if "accuracy" in name or "gap" in name or "f1" in name]
    assert len(names) == 10
    for name in names:
        assert first[name] == second[name] == pytest.approx(expected[name])


def test_a_resumed_run_of_two_processes_ends_in_the_same_bits(launched):
    end, resumed = (load_file(launched / f"{name}-1.safetensors") for name in ("end", "resumed"))
    for name, value in end.items():
        assert torch.equal(resumed[name], value), name


def test_a_bad_row_of_one_process_stops_both(launched):
    messages = [(launched / f"stopped-{rank}.txt").read_text() for rank in (0, 1)]
    assert all(message.startswith("Training stopped: ") for message in messages)
    assert sum("the logits of the model are not finite" in message for message in messages) == 1
    assert sum("the loss of another process" in message for message in messages) == 1
