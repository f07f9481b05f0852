"""A run that is killed, while it trains or while it saves, ends as if it had not been."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of ``train_and_die``, after all its runs."""
    folder = tmp_path_factory.mktemp("kills")
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(TESTS / "reference" / "train_and_die.py"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_the_runs_were_killed_and_resumed(runs):
    assert (runs / "codes.txt").read_text() == "0 -9 0 -9 0"


@pytest.mark.parametrize("name", ["killed", "saving"])
def test_the_end_is_that_of_an_uninterrupted_run_to_the_bit(runs, name):
    alone, resumed = (load_file(runs / run / "end.safetensors") for run in ("alone", name))
    assert set(alone) == set(resumed) and "cell_total" in alone
    for key, value in alone.items():
        assert torch.equal(resumed[key], value), key


def test_a_kill_while_saving_leaves_no_half_checkpoint(runs):
    assert (runs / "saving" / "seen-first.txt").read_text() == ".saving checkpoint-2"
    half = runs / "killed"  # and a kill between saves leaves those that were there
    assert (half / "seen-first.txt").read_text() == "checkpoint-2 checkpoint-4"


def test_what_a_kill_left_is_gone_after_the_next_save(runs):
    seen = (runs / "saving" / "seen-resumed.txt").read_text()
    assert seen == "checkpoint-2 checkpoint-4 checkpoint-6 checkpoint-8"
