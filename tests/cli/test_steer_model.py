"""``isonomy steer --model``: head, steering, adapters, report and card from one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli_model_files import biographies, leftovers, write_rows
from isonomy.cli import _quiet_models, _steer_model_fit, _steer_model_run, _steer_model_summary
from isonomy.cli._steer_model_request import ModelRequest, OfModel
from isonomy.cli._text_rows import read_text_rows, split_rows
from isonomy.cli.app import app
from isonomy.errors import InvalidInputError
from isonomy.hidden_states import load_steered_model
from tiny_models import save_tiny

runner = CliRunner()
undrawn = pytest.mark.usefixtures("undrawn_page")
COLUMNS = ["--text", "bio", "--label", "job", "--group", "sex"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steer")
    rows = biographies()
    write_rows(rows, folder / "bios.csv")
    write_rows(rows, folder / "bios.jsonl")
    for kind in ("llama", "bert"):
        save_tiny(kind, folder / kind)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rivals and replicates: what is tested is the command, not the audit."""
    compare = _steer_model_fit.compare_methods
    monkeypatch.setattr(_steer_model_fit, "RIVALS", ())
    monkeypatch.setattr(
        _steer_model_fit, "compare_methods", lambda *a, **k: compare(*a, n_boot=200, **k)
    )


def run(files: Path, out: Path, *more: str, model: str = "llama", data: str = "bios.csv") -> Any:
    named = ["--model", str(files / model), "--dataset", str(files / data)]
    return runner.invoke(app, ["steer", *named, *COLUMNS, "-o", str(out), *more])


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def test_everything_is_written_at_once_and_summed_up(files: Path, tmp_path: Path) -> None:
    shown = run(files, tmp_path / "out", "--layer", "head")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stderr == ""
    assert names(tmp_path / "out") == [
        "README.md", "adapters", "artefact.safetensors", "classifier", "index.html",
        "report.json", "steerer.safetensors",
    ]  # fmt: skip
    assert list(leftovers(tmp_path)) == ["out"]
    for said in ("Untouched", "Ideal steering, blind", "Certificate", "Read back", "Cost: "):
        assert said in shown.stdout
    result = report_of(tmp_path / "out")
    assert [m["name"] for m in result["methods"]] == ["untouched", "leace", "mimic", "ideal_blind"]
    found = result["steered_model"]
    assert (found["site"], found["layer"], found["mode"]) == ("head_input", None, "blind")
    assert all(check["n_same"] == check["n"] for check in found["verified"])
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "The language model" in page
    assert "PEFT adapters" in page
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\n")
    assert "pipeline_tag: text-classification" in card
    assert "load_steered_model" in card


@undrawn
@pytest.mark.usefixtures("quick")
def test_what_is_written_decides_as_the_report_says(files: Path, tmp_path: Path) -> None:
    shown = run(files, tmp_path / "out", "--layer", "1", "--mode", "given", "--json")
    assert shown.exit_code == 0, shown.stderr
    result = json.loads(shown.stdout)
    assert result == report_of(tmp_path / "out")
    steered = load_steered_model(tmp_path / "out", device="cpu")
    assert (steered.site, steered.layer) == ("residual", 1)
    rows = read_text_rows(str(files / "bios.jsonl"), text="bio", label="job", groups=["sex"])
    test = split_rows(rows, test_size=0.3, random_state=0, every_cell=True).test
    predicted = steered.predict([rows.texts[i] for i in test], sensitive_features=rows.groups[test])
    main = next(m for m in result["methods"] if m["name"] == result["main_method"])
    right = float(np.mean(predicted == rows.labels[test]))
    assert main["utility"]["accuracy"]["value"] == pytest.approx(right)
    assert main["name"] in ("ideal_given+calibrated", "calibrated")
    assert "validation rows" in result["steered_model"]["method_why"]


@undrawn
@pytest.mark.usefixtures("quick")
def test_the_layer_is_chosen_by_its_curves(files: Path, tmp_path: Path) -> None:
    shown = run(files, tmp_path / "out", "--mode", "infer", "--positions", "mean", model="bert")
    assert shown.exit_code == 0, shown.stderr
    assert "Compared 4 places on" in shown.stdout
    found = report_of(tmp_path / "out")["steered_model"]
    assert found["choice"]["curves"]["choice"]["layer"] == found["layer"]
    n_known = sum(found["choice"]["curves"]["n_rows"].values())
    assert n_known == report_of(tmp_path / "out")["data"]["n_train"]
    assert found["choice"]["curves"]["choice"]["reason"] in found["choice"]["why"]
    assert found["figures"][0]["file"] == "layer_curves.png"
    assert (tmp_path / "out" / "layer_curves.png").stat().st_size > 1000
    assert found["verified"] == []
    assert load_steered_model(tmp_path / "out").mode == "infer"


@undrawn
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stage", ["choose", "collect", "fit", "write"])
def test_a_stopped_run_goes_on_behind_its_last_stage(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Stopped after each stage in turn; the stages before it are not run again."""
    ran: list[str] = []
    stages = {
        "choose": "choose_place",
        "fit": "fit_and_judge",
        "write": "write_all",
    }
    for name, function in stages.items():
        _spy(monkeypatch, ran, name, function)
    what = ["--layer", "2", "--no-model-copy"]
    with monkeypatch.context() as stopped:
        _stop_after(stopped, stage)
        shown = run(files, tmp_path / "out", *what)
        assert shown.exit_code == 130, shown.stderr
        assert "add --resume" in shown.stderr
    assert list(leftovers(tmp_path)) == [".out.unfinished"]
    assert run(files, tmp_path / "out", *what).exit_code == 2
    before, ran[:] = list(ran), []
    resumed = run(files, tmp_path / "out", *what, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    again = {"choose": [], "collect": [], "fit": ["fit"], "write": ["write"]}
    assert not set(before) & set(ran) - set(again[stage])
    assert list(leftovers(tmp_path)) == ["out"]
    whole = run(files, tmp_path / "whole", *what)
    assert whole.exit_code == 0
    one, two = report_of(tmp_path / "out"), report_of(tmp_path / "whole")
    for result in (one, two):
        result["data"].pop("fingerprint")
        result["steered_model"].pop("seconds")
        for method in result["methods"]:
            method.pop("seconds")
    assert one == two


def _spy(monkeypatch: pytest.MonkeyPatch, ran: list[str], name: str, function: str) -> None:
    real = getattr(_steer_model_run, function)

    def spy(*given: Any, **more: Any) -> Any:
        ran.append(name)
        return real(*given, **more)

    monkeypatch.setattr(_steer_model_run, function, spy)


def _stop_after(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    if stage == "choose":
        monkeypatch.setattr(_steer_model_run._Run, "collect", stop)
    elif stage == "collect":
        monkeypatch.setattr(_steer_model_run._Run, "fit", stop)
    elif stage == "fit":
        monkeypatch.setattr(_steer_model_run, "fit_and_judge", stop)
    else:
        monkeypatch.setattr(_steer_model_run, "write_all", stop)


@undrawn
@pytest.mark.usefixtures("quick")
def test_a_second_run_replaces_the_folders_of_the_first(files: Path, tmp_path: Path) -> None:
    assert run(files, tmp_path / "out", "--layer", "head").exit_code == 0
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "classifier" / "old.txt").write_text("old")
    shown = run(files, tmp_path / "out", "--layer", "head")
    assert shown.exit_code == 0, shown.stderr
    assert not (tmp_path / "out" / "classifier" / "old.txt").exists()
    assert (tmp_path / "out" / "mine.txt").exists()
    assert list(leftovers(tmp_path)) == ["out"]


@undrawn
@pytest.mark.usefixtures("quick")
def test_what_a_second_run_does_not_write_is_gone(files: Path, tmp_path: Path) -> None:
    """Else the adapters of one steering lie beside the card of another."""
    assert run(files, tmp_path / "out", "--layer", "head").exit_code == 0
    assert {"adapters", "classifier", "steerer.safetensors"} < set(names(tmp_path / "out"))
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "layer_curves.png").write_text("of an earlier run")
    shown = run(files, tmp_path / "out", "--layer", "1", "--no-model-copy")
    assert shown.exit_code == 0, shown.stderr
    wanted = {f["name"] for f in report_of(tmp_path / "out")["steered_model"]["files"]}
    # the page is left out of this test, and its file with it
    assert set(names(tmp_path / "out")) - {"index.html"} == wanted - {"index.html"} | {"mine.txt"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--text", "byo"], "has no column 'byo'"),
        (["--label", "work"], "has no column 'work'"),
        (["--group", "work"], "has no column 'work'"),
        (["--model", "{files}/nowhere/at/all"], "could not be loaded"),
        (["--model", "{files}"], "could not be loaded"),
        (["--dataset", "{files}/no.csv"], "names no file"),
        (["--layer", "9"], "0 to 2, got 9"),
        (["--layer", "-1"], "--layer must be a block's number"),
        (["--layer", "top"], "'head' or 'auto', got 'top'"),
        (["--layer", "head", "--site", "mlp_output"], "does nothing there"),
        (["--layer", "1", "--site", "head_input"], "--site head_input is not in a block"),
        (["--layer", "head", "--choose-rows", "200"], "--choose-rows is for --layer auto"),
        (["--text", "job"], "must name different columns, got job"),
        (["--features", "x*"], "--features belong to a file of numbers"),
        (["--batch-rows", "10"], "--batch-rows belong to a file of numbers"),
        (["--batch-rows", "0"], "--batch-rows belong to a file of numbers"),
        (["--split", "train"], "for data sets with splits"),
        (["{files}/bios.csv"], "must be named once"),
        (["--test-size", "0.05", "--dataset", "{few}"], "leaves no row to judge on"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    files: Path, tmp_path: Path, more: list[str], said: str
) -> None:
    few = write_rows(biographies(40), tmp_path / "few.csv")
    shown = run(files, tmp_path / "out", *(word.format(files=files, few=few) for word in more))
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1
    assert said in shown.stderr
    assert list(leftovers(tmp_path)) == ["few.csv"]


@pytest.mark.parametrize(
    ("change", "mode", "said"),
    [
        ({"sex": "F"}, "blind", "--group must name a column with at least 2 groups"),
        ({"job": "nurse"}, "blind", "--label must name a column with at least 2 classes"),
        ({"bio": " "}, "blind", "has no text in 'bio'"),
        ({"sex": ""}, "blind", "has no group in 'sex'"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(
    files: Path, tmp_path: Path, change: dict[str, str], mode: str, said: str
) -> None:
    rows = [row | change for row in biographies(60)]
    write_rows(rows, tmp_path / "rows.csv")
    more = ["--dataset", str(tmp_path / "rows.csv"), "--mode", mode]
    shown = run(files, tmp_path / "out", *more)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert said in shown.stderr
    assert list(leftovers(tmp_path)) == ["rows.csv"]


@pytest.mark.parametrize(
    ("n_rare", "mode", "said"),
    [
        (1, "blind", "needs 4 rows or more to be learnt and judged, got 'judge' (1)"),
        (6, "given", "in every (label, group) cell, got ('judge', 'M'): 0"),
    ],
)
def test_a_rare_class_is_named(
    files: Path, tmp_path: Path, n_rare: int, mode: str, said: str
) -> None:
    rare = [{"bio": f"She judges. {i}", "job": "judge", "sex": "F"} for i in range(n_rare)]
    write_rows([*biographies(80), *rare], tmp_path / "rows.csv")
    shown = run(files, tmp_path / "out", "--dataset", str(tmp_path / "rows.csv"), "--mode", mode)
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert list(leftovers(tmp_path)) == ["rows.csv"]


@undrawn
@pytest.mark.usefixtures("quick")
def test_a_run_does_not_go_on_with_another_model(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny("llama", tmp_path / "model")
    how = ["--model", str(tmp_path / "model"), "--layer", "head"]
    with monkeypatch.context() as stopped:
        _stop_after(stopped, "collect")
        assert run(files, tmp_path / "out", *how).exit_code == 130
    save_tiny("gpt2", tmp_path / "model")
    shown = run(files, tmp_path / "out", *how, "--resume")
    assert shown.exit_code == 2
    assert "because this changed since: model files" in shown.stderr


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.05, 0.06, "did NOT narrow"),
        (-0.05, 0.01, "did NOT narrow"),
        (-0.05, -0.06, "Neither gap is larger than chance"),
        (0.06, 0.05, ""),
        (0.06, -0.01, ""),
    ],
)
def test_a_gap_that_did_not_narrow_is_said(before: float, after: float, said: str) -> None:
    gaps = [
        {"gap": {_steer_model_summary.GAP: {"value": 0.1, "corrected": v}}} for v in (before, after)
    ]
    found = "".join(_steer_model_summary._warning(gaps))
    assert said in found and bool(found) == bool(said)


def test_options_of_a_model_need_a_model(files: Path, tmp_path: Path) -> None:
    words = ["steer", str(files / "bios.csv"), "--label", "job", "--group", "sex"]
    words += ["--features", "x", "-o", str(tmp_path / "out")]
    shown = runner.invoke(app, [*words, "--layer", "3", "--positions", "mean"])
    assert shown.exit_code == 2
    assert "--positions and --layer belong to a language model" in shown.stderr
    shown = runner.invoke(app, ["steer", "-o", str(tmp_path / "out")])
    assert shown.exit_code == 2
    assert "needs FILE" in shown.stderr


def test_the_missing_extra_is_named(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_quiet_models, "find_spec", lambda name: None)
    shown = run(files, tmp_path / "out")
    assert shown.exit_code == 2
    assert "install the extra `llm`" in shown.stderr
    assert list(leftovers(tmp_path)) == []


def test_an_output_that_cannot_be_written_is_refused_at_once(files: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    shown = run(files, tmp_path / "out")
    assert shown.exit_code == 2
    assert "must be a folder" in shown.stderr


def test_the_command_line_of_the_report_asks_for_the_same(tmp_path: Path) -> None:
    asked = ModelRequest(
        dataset="my data.csv",
        label="job",
        groups=("sex", "age"),
        of_model=OfModel(model="m", text="bio", positions="mean", layer="3", max_length=128),
        mode="given",
        drop_missing=True,
    )
    assert asked.command_line() == (
        "isonomy steer --model m --dataset 'my data.csv' --text bio --label job --group sex "
        "--group age --layer 3 --mode given --positions mean --max-length 128 --test-size 0.3 "
        "--random-state 0 --drop-missing -o OUT"
    )
    with pytest.raises(InvalidInputError, match="needs --text, --label, --group"):
        ModelRequest(dataset="d", label="", groups=(), of_model=OfModel(model="m"))
