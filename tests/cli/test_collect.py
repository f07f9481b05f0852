"""``isonomy collect``: moments of hidden states from one command, whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli_model_files import biographies, leftovers, write_rows
from isonomy import hidden_states
from isonomy.cli import _collect_run, _quiet_models
from isonomy.cli._collect_run import CollectRequest
from isonomy.cli._model_options import Reading
from isonomy.cli.app import app
from isonomy.errors import InvalidInputError
from isonomy.hidden_states import Collected, collect
from tiny_models import save_tiny, tiny

runner = CliRunner()
COLUMNS = ["--text", "bio", "--label", "job", "--group", "sex"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collect")
    rows = biographies()
    write_rows(rows, folder / "bios.csv")
    write_rows(rows, folder / "bios.jsonl")
    for kind in ("llama", "gpt2", "bert", "clip_text"):
        save_tiny(kind, folder / kind)
    return folder


def run(files: Path, out: Path, *more: str, model: str = "llama", data: str = "bios.csv") -> Any:
    named = ["--model", str(files / model), "--dataset", str(files / data)]
    return runner.invoke(app, ["collect", *named, *COLUMNS, "-o", str(out), *more])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "clip_text"])
def test_the_command_keeps_what_the_library_reads(files: Path, tmp_path: Path, kind: str) -> None:
    shown = run(files, tmp_path / "out", "--rows", "safetensors", model=kind, data="bios.jsonl")
    assert shown.exit_code == 0, shown.stderr
    assert "Read 240 texts" in shown.stdout
    assert "Cost: " in shown.stdout
    assert shown.stderr == ""
    found = Collected.load(tmp_path / "out")
    model, tokenizer = tiny(kind)
    expected = collect(
        model,
        str(files / "bios.csv"),
        text="bio",
        label="job",
        group="sex",
        layers="all",
        site="residual",
        tokenizer=tokenizer,
        rows="memory",
    )
    assert list(found) == [0, 1, 2]
    for layer in found:
        np.testing.assert_allclose(found[layer].means, expected[layer].means, atol=1e-5)
        np.testing.assert_array_equal(found[layer].n_rows, expected[layer].n_rows)
    X, y, groups = found.rows(1)
    np.testing.assert_allclose(X, expected.rows(1)[0], atol=1e-4)
    assert y is not None
    assert groups is not None
    assert [str(v) for v in y] == [row["job"] for row in biographies()]
    assert list(leftovers(tmp_path, "out")) == []


def test_json_is_the_whole_summary(files: Path, tmp_path: Path) -> None:
    shown = run(files, tmp_path / "out", "--layers", "0,2", "--positions", "mean", "--json")
    result = json.loads(shown.stdout)
    assert result["layers"] == [0, 2]
    assert result["positions"] == "mean"
    assert np.sum(result["n_rows_by_cell"]) == 240
    on_disk = json.loads((tmp_path / "out" / "report.json").read_text())
    assert on_disk == result
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "collected.json", "moments.safetensors", "report.json",
    ]  # fmt: skip


def test_the_head_is_read_without_layers(files: Path, tmp_path: Path) -> None:
    shown = run(files, tmp_path / "out", "--site", "head_input")
    assert shown.exit_code == 0, shown.stderr
    assert "the head's input" in shown.stdout
    assert list(Collected.load(tmp_path / "out")) == [None]


def test_auto_spreads_at_most_eight_layers_over_the_model() -> None:
    counts = {3: [0, 1, 2], 8: list(range(8)), 12: [1, 3, 5, 7, 9, 11]}
    for n, expected in counts.items():
        model, _ = tiny("llama", num_hidden_layers=n)
        assert _collect_run._some_of(model) == expected


def test_a_known_data_set_of_the_hub_needs_no_columns() -> None:
    given: dict[str, Any] = {
        "layers": "all", "site": "residual", "rows": "none", "reading": Reading(),
    }  # fmt: skip
    found = CollectRequest.of("m", "LabHC/bias_in_bios", None, None, (), **given)
    assert (found.text, found.label, found.groups) == ("hard_text", "profession", ("gender",))
    own = CollectRequest.of("m", "LabHC/bias_in_bios", "x", None, (), **given)
    assert (own.text, own.label, own.groups) == ("x", None, ())
    with pytest.raises(InvalidInputError, match="needs --text"):
        CollectRequest.of("m", "my.csv", None, None, (), **given)


def test_every_loading_option_reaches_the_library(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Any:
        seen.update(options)
        return tiny("llama")

    monkeypatch.setattr(hidden_states, "load_model", load, raising=False)
    words = "--dtype bfloat16 --device-map auto --quantize 4bit --trust-remote-code"
    shown = run(files, tmp_path / "out", *words.split(), "--revision", "abc", "--task", "causal")
    assert shown.exit_code == 0, shown.stderr
    assert seen == {
        "task": "causal", "dtype": "bfloat16", "device": None, "device_map": "auto",
        "quantization": "4bit", "trust_remote_code": True, "revision": "abc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--layers", "9"], "0 to 2, got 9"),
        (["--layers", "x"], "--layers must be 'all'"),
        (["--text", "byo"], "has no column 'byo'"),
        (["--label", "work"], "has no column 'work'"),
        (["--model", "nowhere/at-all/here"], "could not be loaded"),
        (["--model", "{files}"], "could not be loaded"),
        (["--dataset", "{files}/no.csv"], "names no file"),
        (["--dataset", "{files}/llama/config.json", "--layers", "0"], "config.json"),
        (["--site", "head_input", "--layers", "1"], "--layers does nothing there"),
        (["--max-length", "999"], "at most 64"),
        (["--split", "train"], "for data sets with splits"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    files: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    shown = run(files, tmp_path / "out", *(word.format(files=files) for word in more))
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1
    assert said in shown.stderr
    assert list(leftovers(tmp_path)) == []


def test_empty_texts_are_named(files: Path, tmp_path: Path) -> None:
    rows = biographies(12)
    rows[7]["bio"] = ""
    write_rows(rows, tmp_path / "gaps.csv")
    shown = run(files, tmp_path / "out", "--dataset", str(tmp_path / "gaps.csv"))
    assert shown.exit_code == 2
    assert "Row 7" in shown.stderr
    assert list(leftovers(tmp_path)) == ["gaps.csv"]


def test_an_output_that_cannot_be_written_is_refused_at_once(files: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    shown = run(files, tmp_path / "out")
    assert shown.exit_code == 2
    assert "must be a folder" in shown.stderr
    assert list(leftovers(tmp_path)) == ["out"]


def test_the_missing_extra_is_named(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quiet_models, "find_spec", lambda name: None)
    shown = run(files, tmp_path / "out")
    assert shown.exit_code == 2
    assert "install the extra `llm`" in shown.stderr
    assert list(leftovers(tmp_path)) == []


def test_a_disk_full_at_the_end_costs_nothing_that_was_collected(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as last:
        last.setattr(_collect_run, "write_text_atomic", full)
        shown = run(files, tmp_path / "out", "--rows", "safetensors")
    assert shown.exit_code == 2
    assert "No space left on device" in shown.stderr
    assert list(leftovers(tmp_path)) == [".out.unfinished"]
    ran: list[Any] = []
    real = hidden_states.load_model

    def load(*given: Any, **more: Any) -> Any:
        model, tokenizer = real(*given, **more)
        model.register_forward_hook(lambda *_: ran.append(1))
        return model, tokenizer

    monkeypatch.setattr(hidden_states, "load_model", load, raising=False)
    resumed = run(files, tmp_path / "out", "--rows", "safetensors", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert not ran  # no text is read again
    assert Collected.load(tmp_path / "out").rows(0)[0].shape[0] == 240
    assert list(leftovers(tmp_path)) == ["out"]


def test_a_killed_run_goes_on_and_ends_in_the_same_bits(files: Path, tmp_path: Path) -> None:
    """The last batches wait for a file, so that the kill comes in the middle."""
    whole = run(files, tmp_path / "whole", "--batch-size", "2")
    assert whole.exit_code == 0, whole.stderr
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "from isonomy.cli import main\n"
        "from isonomy.hidden_states._collect import _reduce\n"
        "call, n = _reduce.LayerPass.__call__, [0]\n"
        "def slow(self, inputs):\n"
        "    n[0] += 1\n"
        "    if n[0] > 70:\n"
        "        time.sleep(60)\n"
        "    return call(self, inputs)\n"
        "_reduce.LayerPass.__call__ = slow\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["collect", "--model", str(files / "llama"), "--dataset", str(files / "bios.csv")]
    words += [*COLUMNS, "--batch-size", "2", "-o", str(tmp_path / "out")]
    with subprocess.Popen([sys.executable, str(script), *words]) as process:
        state = tmp_path / ".out.unfinished" / "collected" / "unfinished.safetensors"
        for _ in range(1200):
            if state.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert state.exists()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    refused = run(files, tmp_path / "out", "--batch-size", "2")
    assert refused.exit_code == 2
    assert "add --resume" in refused.stderr
    changed = run(files, tmp_path / "out", "--batch-size", "4", "--resume")
    assert changed.exit_code == 2
    assert "--batch-size" in changed.stderr
    resumed = run(files, tmp_path / "out", "--batch-size", "2", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    one, two = Collected.load(tmp_path / "whole"), Collected.load(tmp_path / "out")
    for layer in one:
        np.testing.assert_array_equal(one[layer].means, two[layer].means)
        np.testing.assert_array_equal(one[layer].covariances, two[layer].covariances)
    assert list(leftovers(tmp_path)) == ["out", "slow.py", "whole"]
