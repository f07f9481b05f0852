"""``isonomy steer`` on files: what it learns, writes, refuses, and leaves when stopped."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isonomy.artefact import load_artefact, matches_fingerprint, save_artefact
from isonomy.cli.app import app
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer

runner = CliRunner()
undrawn = pytest.mark.usefixtures("undrawn_page")
USUAL = ["--label", "y", "--group", "sex", "--features", "x*"]
FILES = ["artefact.safetensors", "index.html", "report.json", "steered.csv"]


def table(n: int = 600) -> pa.Table:
    """Biased normal rows with columns that nobody steers."""
    X, y, group, _ = make_biased_normals(n, n_features=3, random_state=0)
    columns: dict[str, Any] = {"id": [f"{i:05d}" for i in range(n)]}
    columns |= {f"x{j}": X[:, j] for j in range(3)}
    columns |= {
        "town, county": [("Riga, LV", "Oslo", "")[i % 3] for i in range(n)],
        "y": [str(label) for label in y],
        "sex": [str(g) for g in group],
    }
    return pa.table(columns)


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return table()


@pytest.fixture
def file(tmp_path: Path, rows: pa.Table) -> Path:
    pacsv.write_csv(rows, tmp_path / "rows.csv")
    return tmp_path / "rows.csv"


def steer(file: Path, out: Path, *more: str, usual: Sequence[str] = USUAL) -> Any:
    return runner.invoke(app, ["steer", str(file), *usual, "-o", str(out), *more])


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(found: list[dict[str, str]], name: str) -> np.ndarray[Any, Any]:
    return np.array([float(row[name]) for row in found])


def test_everything_is_written_at_once_and_summed_up(file: Path, tmp_path: Path) -> None:
    shown = steer(file, tmp_path / "out")
    assert shown.exit_code == 0, shown.stderr
    assert names(tmp_path / "out") == FILES
    assert "Untouched" in shown.stdout
    assert "Ideal steering, blind" in shown.stdout
    assert "Certificate" in shown.stdout
    assert "Passed untouched: id, town, county, y, sex." in shown.stdout
    assert "Cost: " in shown.stdout
    assert "\x1b" not in shown.stdout
    assert names(tmp_path) == ["out", "rows.csv"]


@undrawn
def test_rows_weights_and_report_agree_with_the_library(
    file: Path, tmp_path: Path, rows: pa.Table
) -> None:
    assert steer(file, tmp_path / "out", "--mode", "given").exit_code == 0
    found = read_csv(tmp_path / "out" / "steered.csv")
    assert list(found[0]) == [*rows.column_names, "isonomy_weight"]
    X = np.column_stack([rows.column(f"x{j}").to_numpy() for j in range(3)])
    group = rows.column("sex").to_pylist()
    expected = IdealSteerer(groups="given", random_state=0)
    expected.fit(X, rows.column("y").to_pylist(), sensitive_features=group)
    moved = expected.transform(X, sensitive_features=group)
    for j in range(3):
        np.testing.assert_allclose(numbers(found, f"x{j}"), moved[:, j], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(numbers(found, "isonomy_weight"), expected.sample_weight_)
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["kind"] == "comparison"
    assert [m["name"] for m in report["methods"]] == ["untouched", "ideal_given"]
    assert report["data"]["n_train"] + report["data"]["n_test"] == len(found)


@undrawn
def test_the_artefact_knows_the_rows_it_was_fitted_on(
    file: Path, tmp_path: Path, rows: pa.Table
) -> None:
    assert steer(file, tmp_path / "out").exit_code == 0
    artefact = load_artefact(tmp_path / "out" / "artefact.safetensors")
    assert artefact.fingerprint is not None
    X, y, groups = rows.select(["x0", "x1", "x2"]), rows.column("y"), rows.select(["sex"])
    labels = np.array([int(v) for v in y.to_pylist()])
    assert matches_fingerprint(artefact.fingerprint, X, labels, groups)
    assert not matches_fingerprint(artefact.fingerprint, X, labels[::-1], groups)


@undrawn
def test_other_columns_pass_untouched(file: Path, tmp_path: Path) -> None:
    assert steer(file, tmp_path / "out").exit_code == 0
    before, after = read_csv(file), read_csv(tmp_path / "out" / "steered.csv")
    for name in ("id", "town, county", "y", "sex"):
        assert [row[name] for row in after] == [row[name] for row in before]


@undrawn
@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "tsv"])
def test_the_output_has_the_format_of_the_input(tmp_path: Path, rows: pa.Table, kind: str) -> None:
    file = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(rows, file)
    else:
        text = tmp_path / "text"
        mark = "\t" if kind == "tsv" else ","
        pacsv.write_csv(rows, text, pacsv.WriteOptions(delimiter=mark))
        raw = text.read_bytes()
        file.write_bytes(gzip.compress(raw) if kind == "csv.gz" else raw)
    shown = steer(file, tmp_path / "out")
    assert shown.exit_code == 0, shown.stderr
    assert f"steered.{kind}" in names(tmp_path / "out")
    if kind == "parquet":
        back = pq.read_table(tmp_path / "out" / "steered.parquet")
        assert back.schema.field("x0").type == pa.float64()
        assert back.column("id").equals(rows.column("id"))


@undrawn
@pytest.mark.parametrize("mode", ["blind", "given", "infer"])
def test_apply_reproduces_the_rows_that_the_fit_wrote(
    file: Path, tmp_path: Path, rows: pa.Table, mode: str
) -> None:
    assert steer(file, tmp_path / "out", "--mode", mode).exit_code == 0
    drop = ["y"] if mode == "given" else ["y", "sex"]
    pacsv.write_csv(rows.drop_columns(drop), tmp_path / "new.csv")
    artefact = str(tmp_path / "out" / "artefact.safetensors")
    shown = steer(tmp_path / "new.csv", tmp_path / "new", "--apply", artefact, usual=[])
    assert shown.exit_code == 0, shown.stderr
    assert names(tmp_path / "new") == ["steered.csv"]
    fitted = read_csv(tmp_path / "out" / "steered.csv")
    applied = read_csv(tmp_path / "new" / "steered.csv")
    assert "isonomy_weight" not in applied[0]
    for j in range(3):
        np.testing.assert_allclose(numbers(applied, f"x{j}"), numbers(fitted, f"x{j}"))


@undrawn
def test_apply_in_mode_given_needs_the_group_under_its_own_or_another_name(
    file: Path, tmp_path: Path, rows: pa.Table
) -> None:
    assert steer(file, tmp_path / "out", "--mode", "given").exit_code == 0
    artefact = ["--apply", str(tmp_path / "out" / "artefact.safetensors")]
    renamed = rows.rename_columns(["id", "x0", "x1", "x2", "town", "y", "gender"])
    pacsv.write_csv(renamed, tmp_path / "new.csv")
    lacking = steer(tmp_path / "new.csv", tmp_path / "new", *artefact, usual=[])
    assert lacking.exit_code == 2
    assert "'sex'" in lacking.stderr
    told = steer(tmp_path / "new.csv", tmp_path / "new", *artefact, "--group", "gender", usual=[])
    assert told.exit_code == 0, told.stderr
    changed = rows.set_column(6, "sex", pa.array(["somebody else"] * len(rows)))
    pacsv.write_csv(changed, tmp_path / "new.csv")
    unknown = steer(tmp_path / "new.csv", tmp_path / "other", *artefact, usual=[])
    assert unknown.exit_code == 2
    assert "somebody else" in unknown.stderr
    assert not (tmp_path / "other").exists()


@undrawn
def test_apply_refuses_what_it_would_ignore(file: Path, tmp_path: Path) -> None:
    assert steer(file, tmp_path / "out").exit_code == 0
    artefact = ["--apply", str(tmp_path / "out" / "artefact.safetensors")]
    ignored = steer(file, tmp_path / "new", *artefact)
    assert ignored.exit_code == 2
    assert "--label and --features must be left out" in ignored.stderr
    blind = steer(file, tmp_path / "new", *artefact, "--group", "sex", usual=[])
    assert blind.exit_code == 2
    assert "never reads the group of a row" in blind.stderr


@undrawn
@pytest.mark.parametrize("damage", ["cut", "altered", "other", "kind", "absent"])
def test_a_bad_artefact_is_one_line(file: Path, tmp_path: Path, damage: str) -> None:
    artefact = tmp_path / "a.safetensors"
    if damage in ("cut", "altered"):
        assert steer(file, tmp_path / "out").exit_code == 0
        raw = (tmp_path / "out" / "artefact.safetensors").read_bytes()
        changed = raw[:-9] if damage == "cut" else raw[:-9] + bytes(9)
        artefact.write_bytes(changed)
    elif damage == "other":
        artefact.write_text("not an artefact")
    elif damage == "kind":
        save_artefact(artefact, kind="recipe", config={}, tensors={})
    shown = steer(file, tmp_path / "new", "--apply", str(artefact), usual=[])
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@undrawn
def test_missing_features_stop_or_are_dropped_and_counted(tmp_path: Path, rows: pa.Table) -> None:
    holed = [None if i % 10 == 0 else v for i, v in enumerate(rows.column("x1").to_pylist())]
    pacsv.write_csv(rows.set_column(2, "x1", pa.array(holed)), tmp_path / "rows.csv")
    stopped = steer(tmp_path / "rows.csv", tmp_path / "out")
    assert stopped.exit_code == 2
    assert "'x1' (60): 60 of 600 rows" in stopped.stderr
    assert not (tmp_path / "out").exists()
    dropped = steer(tmp_path / "rows.csv", tmp_path / "out", "--drop-missing")
    assert dropped.exit_code == 0, dropped.stderr
    assert "Dropped 60 rows" in dropped.stdout
    assert len(read_csv(tmp_path / "out" / "steered.csv")) == 540


@undrawn
def test_missing_groups_become_a_group_that_apply_knows(tmp_path: Path, rows: pa.Table) -> None:
    holed = [None if i % 5 == 0 else v for i, v in enumerate(rows.column("sex").to_pylist())]
    pacsv.write_csv(rows.set_column(6, "sex", pa.array(holed)), tmp_path / "rows.csv")
    stopped = steer(tmp_path / "rows.csv", tmp_path / "out")
    assert stopped.exit_code == 2
    assert "120 missing of 600" in stopped.stderr
    more = ["--missing-groups", "own_group", "--mode", "given"]
    kept = steer(tmp_path / "rows.csv", tmp_path / "out", *more)
    assert kept.exit_code == 0, kept.stderr
    artefact = ["--apply", str(tmp_path / "out" / "artefact.safetensors")]
    applied = steer(tmp_path / "rows.csv", tmp_path / "new", *artefact, usual=[])
    assert applied.exit_code == 0, applied.stderr


@undrawn
def test_json_prints_the_comparison(file: Path, tmp_path: Path) -> None:
    printed = json.loads(steer(file, tmp_path / "out", "--json").stdout)
    assert printed == json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert printed["steered"]["untouched"] == ["id", "town, county", "y", "sex"]


@undrawn
@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX alone")
def test_a_file_name_that_is_no_text_can_be_written_into_the_report(
    file: Path, tmp_path: Path
) -> None:
    odd = file.rename(tmp_path / os.fsdecode(b"caf\xe9\n.csv"))
    shown = steer(odd, tmp_path / "out", "--json")
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(shown.stdout)["data"]["name"] == "caf\\udce9 .csv"


REFUSED = {
    "nothing": ([], "needs --label, --group, --features"),
    "no group": (["--label", "y", "--features", "numeric"], "needs --group"),
    "label twice": ([*USUAL, "--group", "y"], "--group must name columns once each"),
    "leak": (["--label", "y", "--group", "sex", "--features", "x0,y"], "would leak it"),
    "text": (["--label", "y", "--group", "sex", "--features", "id,town*"], "must hold numbers"),
    "typo": (["--label", "Y", "--group", "sex", "--features", "x*"], "Did you mean 'y'"),
    "one class": (["--label", "x0", "--group", "sex", "--features", "x1"], "fractional"),
}


@undrawn
@pytest.mark.parametrize(("usual", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_use_is_one_line_and_writes_nothing(
    file: Path, tmp_path: Path, usual: list[str], sentence: str
) -> None:
    shown = steer(file, tmp_path / "out", usual=usual)
    assert shown.exit_code == 2
    assert sentence in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert shown.stdout == ""
    assert names(tmp_path) == ["rows.csv"]


@undrawn
def test_an_output_that_cannot_be_written_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for place in (tmp_path / "taken", tmp_path / "taken" / "out"):
        shown = steer(file, place)
        assert shown.exit_code == 2
        assert shown.stderr.count("\n") == 1
        assert "written" in shown.stderr or "must be a folder" in shown.stderr
    assert names(tmp_path) == ["rows.csv", "taken"]


@undrawn
def test_a_second_run_replaces_its_files_and_keeps_others(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert steer(file, out).exit_code == 0
    assert steer(file, out).exit_code == 0
    assert names(out) == sorted([*FILES, "notes.txt"])


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "in").mkdir()
    pacsv.write_csv(table(20_000), tmp_path / "in" / "rows.csv")
    place = tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-m", "isonomy", "steer", str(tmp_path / "in" / "rows.csv"), *USUAL]
    program = subprocess.Popen(
        [*command, "-o", str(place / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not any(place.iterdir()) and time.monotonic() < deadline and program.poll() is None:
        time.sleep(0.01)
    assert any(place.iterdir()), "the run never began to write"
    program.send_signal(number)
    _, stderr = program.communicate(timeout=60)
    assert program.returncode == code, stderr
    assert names(place) == []
    assert b"Traceback" not in stderr
    if number == signal.SIGINT:
        assert stderr.decode() == "isonomy: interrupted; nothing was left half-written.\n"
