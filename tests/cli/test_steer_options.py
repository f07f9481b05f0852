"""``isonomy steer --family --strength --protected ...``: what an IdealSteerer takes, by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isonomy.artefact import load_artefact
from isonomy.cli._steering_options import Steering
from isonomy.cli.app import app
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer

runner = CliRunner()
USUAL = ["--label", "y", "--group", "sex", "--features", "x*"]
undrawn = pytest.mark.usefixtures("undrawn_page")


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    X, y, group, _ = make_biased_normals(900, n_features=3, random_state=0)
    X = np.column_stack([np.exp(X[:, :2]), np.round(40 + 10 * np.abs(X[:, 2]))])
    return {f"x{j}": X[:, j] for j in range(3)} | {"y": y, "sex": [str(g) for g in group]}


@pytest.fixture
def file(tmp_path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def steer(file: Path, out: Path, *more: str, usual: list[str] = USUAL) -> Any:
    return runner.invoke(app, ["steer", str(file), *usual, "-o", str(out), *more])


def matrix(table: pa.Table) -> np.ndarray[Any, Any]:
    return np.column_stack([table.column(f"x{j}").to_numpy() for j in range(3)])


OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    (["--mode", "given", "--family", "lognormal"], {"family": "lognormal"}),
    (["--mode", "given", "--family", "nonparanormal"], {"family": "nonparanormal"}),
    (["--mode", "given", "--family", "student_t"], {"family": "student_t"}),
    (["--mode", "given", "--strength", "0.5"], {"strength": 0.5}),
    (["--mode", "given", "--map-family", "symmetric"], {"map_family": "symmetric"}),
    (
        ["--mode", "given", "--map-family", "diagonal"],
        {"map_family": "diagonal", "covariance": "diagonal"},
    ),
    (["--mode", "given", "--protected", "x2"], {"protected": ["x2"]}),
    (
        ["--mode", "given", "--bounds", "x0=0.1:", "--integer-columns", "x2"],
        {"bounds": {"x0": (0.1, None)}, "integer_columns": ["x2"]},
    ),
]


@undrawn
@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize(("words", "parameters"), OPTIONS)
def test_rows_are_those_of_a_steerer_with_these_parameters(
    file: Path, tmp_path: Path, words: list[str], parameters: dict[str, Any], batches: bool
) -> None:
    more = ["--batch-rows", "250"] if batches else []
    shown = steer(file, tmp_path / "out", *words, *more, "--json")
    assert shown.exit_code == 0, shown.stderr
    table = pq.read_table(file)
    X, group = table.select(["x0", "x1", "x2"]), table.column("sex").to_pylist()
    expected = IdealSteerer(groups="given", random_state=0, **parameters)
    expected.fit(X, table.column("y").to_numpy(), sensitive_features=group)
    moved = matrix(pq.read_table(tmp_path / "out" / "steered.parquet"))
    again = matrix(expected.transform(X, sensitive_features=group))
    # moments of batches are those of the rows but for rounding
    assert moved == pytest.approx(again, rel=1e-6, abs=1e-6)
    assert np.abs(moved - matrix(table)).max() > 0.01
    artefact = load_artefact(tmp_path / "out" / "artefact.safetensors")
    for name, value in parameters.items():
        stored = [["x0", 0.1, None]] if name == "bounds" else value
        assert artefact.config["parameters"][name] == stored
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["not_computed"] == []
    command = report["reproduce"]["command"]
    assert all(word in command for word in words)
    result = json.loads(shown.stdout)["steered"]
    assert result.get("family") == parameters.get("family")
    assert result.get("protected") == parameters.get("protected")
    assert ("feasibility" in result) == ("bounds" in parameters)


@undrawn
def test_auto_and_what_is_observed_are_written_and_applied(file: Path, tmp_path: Path) -> None:
    words = ["--family", "auto", "--bounds", "observed", "--integer-columns", "auto"]
    shown = steer(file, tmp_path / "out", "--mode", "given", *words)
    assert shown.exit_code == 0, shown.stderr
    assert "Family of the cells: " in shown.stdout
    assert "To keep bounds and whole numbers" in shown.stdout
    X = matrix(pq.read_table(file))
    moved = matrix(pq.read_table(tmp_path / "out" / "steered.parquet"))
    assert (moved.max(axis=0) <= X.max(axis=0)).all()
    assert (moved.min(axis=0) >= X.min(axis=0)).all()
    assert np.array_equal(moved[:, 2], np.round(moved[:, 2]))
    artefact = str(tmp_path / "out" / "artefact.safetensors")
    applied = steer(file, tmp_path / "new", "--apply", artefact, usual=[])
    assert applied.exit_code == 0, applied.stderr
    assert np.array_equal(matrix(pq.read_table(tmp_path / "new" / "steered.parquet")), moved)


@undrawn
@pytest.mark.parametrize("mode", ["blind", "infer"])
@pytest.mark.parametrize("batches", [False, True])
def test_protected_columns_stay_in_every_mode(
    file: Path, tmp_path: Path, mode: str, batches: bool
) -> None:
    words = ["--mode", mode, "--protected", "x0", "--strength", "0.9"]
    shown = steer(file, tmp_path / "out", *words, *(["--batch-rows", "250"] if batches else []))
    assert shown.exit_code == 0, shown.stderr
    moved = matrix(pq.read_table(tmp_path / "out" / "steered.parquet"))
    X = matrix(pq.read_table(file))
    assert np.array_equal(moved[:, 0], X[:, 0])
    assert "Protected, the same in every row: x0." in shown.stdout


WRONG: list[tuple[list[str], str]] = [
    (["--family", "gamma"], "Invalid value for '--family'"),
    (["--family", "student_t"], "--family student_t does nothing with --mode blind"),
    (["--mode", "given", "--family", "lognormal", "--features", "z"], "must be positive"),
    (["--map-family", "round"], "Invalid value for '--map-family'"),
    (["--map-family", "symmetric"], "--map-family symmetric does nothing with --mode blind"),
    (
        ["--mode", "given", "--map-family", "symmetric", "--protected", "x0"],
        '`map_family` of `IdealSteerer.fit` must be "affine" with `protected`',
    ),
    (["--strength", "1.5"], "Invalid value for '--strength'"),
    (["--strength", "half"], "Invalid value for '--strength'"),
    (["--strength", "nan"], "Invalid value for '--strength'"),
    (["--protected", "nobody"], "--protected must name columns among the features"),
    (["--protected", "sex"], "--protected must name columns among the features"),
    (["--protected", "x0", "--protected", "x1", "--protected", "x2"], "free to move, got all 3"),
    (["--bounds", "x0"], "--bounds must be COL=LOW:HIGH"),
    (["--bounds", "x0=one:2"], "--bounds must be COL=LOW:HIGH"),
    (["--bounds", "x0=2:1"], "must have the lower end first"),
    (["--bounds", "x9=0:1"], "--bounds must name columns among the features"),
    (["--bounds", "observed", "--bounds", "x0=0:1"], "must stand alone"),
    (["--bounds", "x0=0:1", "--bounds", "x0=0:2"], "must name each column once"),
    (["--bounds", "x0=0:1", "--protected", "x0"], "`bounds` .* that `protected` keeps"),
    (["--integer-columns", "x7"], "--integer-columns must name columns among the features"),
    (["--integer-columns", "auto", "--integer-columns", "x2"], "must stand alone"),
    (["--integer-columns", "x0", "--bounds", "x0=0.2:0.3"], "must hold a whole number"),
]


@undrawn
@pytest.mark.parametrize(("words", "message"), WRONG)
@pytest.mark.parametrize("batches", [False, True])
def test_wrong_options_are_one_sentence_and_leave_nothing(
    tmp_path: Path, columns: dict[str, Any], words: list[str], message: str, batches: bool
) -> None:
    file = tmp_path / "rows.csv"
    few = {name: values[:80] for name, values in columns.items()}
    pacsv.write_csv(pa.table({**few, "z": few["x0"] - 5.0}), file)
    more = ["--batch-rows", "50"] if batches else []
    shown = steer(file, tmp_path / "out", *words, *more, "--quiet")
    assert shown.exit_code == 2, shown.stderr
    said = " ".join(shown.stderr.split())
    assert len(re.findall(message.replace("(", r"\("), said)) == 1, said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_the_options_belong_to_a_fit_on_numbers(file: Path, tmp_path: Path) -> None:
    applied = steer(file, tmp_path / "out", "--apply", "x", "--strength", "0.5", usual=[])
    assert applied.exit_code == 2
    assert "--strength must be left out" in applied.stderr
    of_text = ["--model", "m", "--text", "t", "--protected", "x0", "--label", "y", "--group", "s"]
    modelled = steer(file, tmp_path / "out", *of_text, usual=[])
    assert modelled.exit_code == 2
    assert "--protected belong to a file of numbers" in modelled.stderr
    assert not (tmp_path / "out").exists()


def test_bounds_may_be_open_and_names_may_hold_the_sign() -> None:
    asked = Steering(bounds=["a=b=:3", "c=-1e3:", "d=:"])
    low, high, free = (None, 3.0), (-1000.0, None), (None, None)
    assert asked.parameters()["bounds"] == {"a=b": low, "c": high, "d": free}
    assert asked.parameters(["c", "d", "a=b"])["bounds"] == {2: low, 0: high, 1: free}
    assert asked.words()[:2] == ["--bounds", "a=b=:3"]
    assert Steering().words() == Steering().named() == []
