"""``isonomy finetune``: from a table and a model to a judged adapter, or one line why not."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from cli_model_files import leftovers, write_rows
from finetune_files import tail_rows, without_charts
from isonomy.adapters._finetune import _run
from isonomy.cli import _outputs, _quiet_models
from isonomy.cli._criteria import parse_criterion
from isonomy.cli._finetune_criteria import failed_criteria
from isonomy.cli._finetune_options import OfData, OfLoading, OfModel, OfTraining
from isonomy.cli._finetune_request import FinetuneRequest
from isonomy.cli.app import app
from isonomy.cli.finetune import finetune
from isonomy.errors import DataFileError, InvalidInputError
from tiny_models import save_tiny

runner = CliRunner()
COLUMNS = ["--text", "bio", "--label", "job"]
QUICK = ["--max-steps", "2", "--batch-size", "8", "--device", "cpu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finetune")
    write_rows(tail_rows(), folder / "jobs.csv")
    save_tiny("llama", folder / "llama")
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_rendered", without_charts)


def run(files: Path, *more: str, model: str = "llama", data: str = "jobs.csv") -> Any:
    named = ["--model", str(files / model), "--dataset", str(files / data)]
    return runner.invoke(app, ["finetune", *named, *COLUMNS, *QUICK, *more])


def request(**changes: Any) -> FinetuneRequest:
    told: dict[str, Any] = {
        "model": "m", "dataset": "d.csv", "text": "bio", "label": "job", "group": None,
        "strategy": "equity", "of_data": OfData(), "of_model": OfModel(),
        "of_training": OfTraining(), "of_loading": OfLoading(), "no_before": False,
        "min_cell": 10, "seed": 0, "fail_if": None,
    }  # fmt: skip
    return FinetuneRequest.of(**told | changes)


def test_the_command_trains_judges_and_writes(files: Path, tmp_path: Path) -> None:
    shown = run(files, "-o", str(tmp_path / "out"), "--group", "sex", "--fail-if", "accuracy<=1")
    assert shown.exit_code == 1, shown.stderr
    assert "Data: jobs.csv, 39 rows to train" in shown.stdout
    assert "frozen model, linear head" in shown.stdout
    assert "fine-tuned, equity" in shown.stdout
    assert "Read back from disk with PEFT: 11 of 11 decisions" in shown.stdout
    assert "Cost: " in shown.stdout
    assert shown.stderr.count("\n") == 1
    assert "--fail-if accuracy<=1 holds" in shown.stderr
    assert list(leftovers(tmp_path)) == ["out"]
    result = json.loads((tmp_path / "out" / "report.json").read_text())
    command = result["reproduce"]["command"]
    assert command.startswith("isonomy finetune --model ")
    assert "--group sex --strategy equity --max-steps 2 --batch-size 8 --device cpu" in command
    assert command.endswith("--seed 0 -o OUT")


def test_json_is_the_whole_result_and_a_criterion_may_not_hold(files: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    shown = run(files, "-o", out, "--json", "--no-before", "--fail-if", "head_tail_gap>1")
    assert shown.exit_code == 0, shown.stderr
    result = json.loads(shown.stdout)
    assert result == json.loads((tmp_path / "out" / "report.json").read_text())
    assert [j["name"] for j in result["judgements"]] == ["after"]


def test_a_dry_run_prints_counts_and_cost_and_writes_nothing(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(files, "--dry-run", "-o", str(tmp_path / "out"))
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert "  nurse     common     25      4      7" in lines
    assert "  attorney    rare      4      1      1" in lines
    assert any(line.startswith("Steps: 2 of 8 rows") for line in lines)
    assert any(line.startswith("Trains: 2,736 of 13,728 weights (19.9%, 48") for line in lines)
    assert any(line.startswith("Time: about ") for line in lines)
    assert shown.stdout.endswith("Nothing was written.\n")
    assert list(leftovers(tmp_path)) == []
    as_json = json.loads(run(files, "--dry-run", "--json").stdout)
    assert as_json["kind"] == "finetuning_plan"
    assert as_json["data"]["class_table"][0]["n_train"] == 25
    refused = run(files, "--dry-run", "--fail-if", "accuracy<1")
    assert refused.exit_code == 2
    assert "--dry-run trains none" in refused.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "needs -o, the folder of all that is written"),
        (["-o", "{out}", "--text", "byo"], "has no column 'byo'"),
        (["-o", "{out}", "--label", "work"], "has no column 'work'"),
        (["-o", "{out}", "--group", "age"], "has no column 'age'"),
        (["-o", "{out}", "--model", "{files}/nowhere"], "could not be loaded: there is no such"),
        (["-o", "{out}", "--model", "{files}"], "could not be loaded"),
        (["-o", "{out}", "--dataset", "{files}/no.csv"], "names no file"),
        (["-o", "{out}", "--strategy", "magic"], "'magic'"),
        (["-o", "{out}", "--layer", "x"], "--layer must be a layer's number"),
        (["-o", "{out}", "--loss-settings", "x"], "--loss-settings must be JSON"),
        (["-o", "{out}", "--loss-settings", "[1]"], "must be a JSON object"),
        (["-o", "{out}", "--fail-if", "gap>1"], "'gap', which this run will not have"),
        (["-o", "{out}", "--fail-if", "rms_tpr_gap>1"], "That one needs --group"),
        (["-o", "{out}", "--classes", "nurse,engineer"], "'attorney' (6 rows) are not"),
        (["-o", "{out}", "--split-column", "part"], "`split_column` of `finetune` is 'part'"),
        (["-o", "{out}", "--max-length", "999"], "at most 64"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    files: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    shown = run(files, *(w.format(files=files, out=tmp_path / "out") for w in more))
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1
    assert said in shown.stderr
    assert list(leftovers(tmp_path)) == []


@pytest.mark.parametrize(
    ("rate", "why", "checkpoints"),
    [
        ("1e25", "in step 2 of the optimiser (global_step 1), batch 0 of 1 in it, rows ", [1]),
        ("1e39", "became NaN or infinite by the optimiser's step 1, while loss", []),
    ],
    ids=["the loss", "the weights"],
)
def test_what_is_not_finite_stops_the_run_and_is_not_kept(
    files: Path, tmp_path: Path, rate: str, why: str, checkpoints: list[int]
) -> None:
    out = tmp_path / "out"
    shown = run(
        files, "-o", str(out), "--no-before", "--learning-rate", rate, "--warmup", "0",
        "--max-steps", "9",
    )  # fmt: skip
    assert shown.exit_code not in (0, 1), shown.stdout
    told = shown.stderr.strip().splitlines()[-1]
    assert why in told and "Lower the learning rate" in told
    assert "Traceback" not in shown.stderr
    assert not out.exists()
    kept = list((tmp_path / ".out.unfinished").rglob("adapter_model.safetensors"))
    assert [path.parent.name for path in kept] == [f"checkpoint-{n}" for n in checkpoints]
    assert all(np.isfinite(weight).all() for path in kept for weight in load_file(path).values())


def test_a_folder_with_something_else_is_left_alone(files: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    shown = run(files, "-o", str(tmp_path / "out"))
    assert shown.exit_code == 2
    assert "is not empty" in shown.stderr
    assert list(leftovers(tmp_path / "out")) == ["thesis.txt"]


def test_the_missing_extras_are_named(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, extra in ((_quiet_models, "llm"), (_outputs, "report")):
        with monkeypatch.context() as patched:
            patched.setattr(module, "find_spec", lambda name: None)
            shown = run(files, "-o", str(tmp_path / "out"))
        assert shown.exit_code == 2
        assert f"install the extra `{extra}`" in shown.stderr
    assert list(leftovers(tmp_path)) == []


def test_every_option_reaches_the_library() -> None:
    of_data = OfData(classes="a,b", split_column="part", drop_missing=True)
    of_model = OfModel(head="label_words", layer="2", template="{text} {label}")
    of_training = OfTraining(loss="focal", loss_settings='{"gamma": 1}', patience=2)
    of_loading = OfLoading(dtype="bfloat16", quantize="4bit", revision="abc")
    told = request(
        of_data=of_data, of_model=of_model, of_training=of_training, of_loading=of_loading,
        no_before=True, seed=7, strategy="intermediate",
    ).arguments()  # fmt: skip
    assert told["classes"] == ["a", "b"]
    assert (told["layer"], told["loss_settings"]) == (2, {"gamma": 1})
    assert (told["quantization"], told["dtype"], told["before"]) == ("4bit", "bfloat16", False)
    assert told["random_state"] == 7
    from isonomy.adapters.finetuning import FinetuneOptions

    known = set(FinetuneOptions.__dataclass_fields__) | {"label", "text", "image", "group"}
    assert set(told) <= known
    # what the command does not offer
    assert known - set(told) == {"layer_method", "n_boot"}


def test_defaults_of_the_command_are_those_of_the_library() -> None:
    from isonomy.adapters.finetuning import FinetuneOptions

    library = FinetuneOptions()
    told = request().arguments()
    shared = set(told) & set(FinetuneOptions.__dataclass_fields__)
    assert {name: told[name] for name in shared} == {n: getattr(library, n) for n in shared}


def test_classes_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("b, first\n\na\n")
    told = request(of_data=OfData(classes=str(tmp_path / "classes.txt"))).arguments()
    assert told["classes"] == ["b, first", "a"]
    with pytest.raises(DataFileError, match="cannot be read"):
        request(of_data=OfData(classes=str(tmp_path / "none.txt")))


def test_a_column_to_decide_on_is_needed() -> None:
    with pytest.raises(InvalidInputError, match="needs --text .or --image. and --label"):
        request(text=None, label=None)
    assert request(text=None, of_data=OfData(image="path")).arguments()["image"] == "path"


def test_nothing_measured_fails_a_criterion() -> None:
    entry = {"value": None, "low": None, "high": None}
    judged: dict[str, Any] = {
        "measures": [{"metric": "head_tail_gap", **entry, "reason": "no class is rarer"}],
        "class_groups": [{"group": "tail", "classes": [], **entry}],
        "accuracy": {"value": 0.5}, "balanced_accuracy": entry, "macro_f1": entry,
        "audit": None, "audit_reason": "too few rows",
    }  # fmt: skip

    def failed(text: str) -> list[str]:
        return failed_criteria({"judgements": [judged]}, [parse_criterion(text)])

    assert "undefined (no class is rarer)" in failed("head_tail_gap>0.2")[0]
    assert "undefined (too few rows)" in failed("rms_tpr_gap>0.2")[0]
    assert "accuracy is 0.5" in failed("accuracy<0.6")[0]
    assert failed("accuracy<0.5") == []


def test_the_command_stays_a_thin_door() -> None:
    source = inspect.getsource(inspect.unwrap(finetune))
    assert len(source.splitlines()) < 60
