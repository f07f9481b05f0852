"""``isonomy audit`` in batches: number for number the audit in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isonomy.cli import _audit_run
from isonomy.cli._reader import Reader
from isonomy.cli.app import app

runner = CliRunner()
USUAL = ["--label", "y", "--prediction", "guess"]
N = 1500
TOWNS = ("Riga", "Oslo", None, "Rome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, N)
    table = pa.table(
        {
            "y": y,
            "guess": np.where(rng.random(N) < 0.7, y, rng.integers(0, 3, N)).astype(float),
            "sex": [("f", "m")[i] for i in rng.integers(0, 2, N)],
            "town": [TOWNS[i] for i in rng.choice(4, N, p=[0.5, 0.3, 0.199, 0.001])],
            "score": rng.random(N),
        }
    )
    place = tmp_path_factory.mktemp("files")
    pq.write_table(table, place / "rows.parquet", row_group_size=400)
    pacsv.write_csv(table, place / "rows.csv")
    return place


def audit(file: Path, *more: str, usual: list[str] = USUAL) -> Any:
    return runner.invoke(app, ["audit", str(file), *usual, *more])


CASES = {
    "one group": ["--group", "sex"],
    "crossed, small and missing": ["--group", "sex", "--group", "town", "--missing-groups",
                                   "own_group"],
    "controlled": ["--group", "sex", "--control", "town", "--missing-groups", "own_group"],
    "one class": ["--group", "sex", "--pos-label", "2", "--random-state", "7"],
}  # fmt: skip


@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_batches_give_what_memory_gives(folder: Path, name: str, more: list[str]) -> None:
    whole = audit(folder / name, *more, "--json", "--batch-rows", "0")
    assert whole.exit_code == 0, whole.stderr
    for size in ("37", "1000"):
        assert audit(folder / name, *more, "--json", "--batch-rows", size).stdout == whole.stdout


def test_scores_are_said_not_to_be_computed(folder: Path) -> None:
    more = ["--group", "sex", "--pos-label", "1", "--score", "score"]
    shown = audit(folder / "rows.parquet", *more, "--batch-rows", "400")
    assert shown.exit_code == 0, shown.stderr
    assert "Not computed: calibration, log loss and ROC area" in shown.stdout
    assert "rows a second" in shown.stdout.splitlines()[-1]
    absent = audit(folder / "rows.parquet", "--group", "sex", "--score", "s", "--batch-rows", "9")
    assert absent.exit_code == 2
    assert "--score names the column 's'" in absent.stderr


REFUSED = {
    "typo": (["--group", "Sex"], "Did you mean 'sex'"),
    "missing": (["--group", "town"], "must have a value in every row"),
    "score as group": (["--group", "score"], "more than 100 combinations"),
    "resume without a report": (["--group", "sex", "--resume"], "--resume needs -o"),
    "negative": (["--group", "sex", "--batch-rows", "-3"], "--batch-rows must be at least 1"),
}


@pytest.mark.parametrize(("more", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_use_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], sentence: str
) -> None:
    monkeypatch.setattr("isonomy.cli._distinct.MAX_COMBINATIONS", 100)
    shown = audit(folder / "rows.parquet", "--batch-rows", "200", *more)
    assert shown.exit_code == 2
    assert sentence in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_the_missing_are_counted_as_in_memory(folder: Path) -> None:
    shown = [
        audit(folder / "rows.parquet", "--group", "town", "--batch-rows", size).stderr
        for size in ("0", "100")
    ]
    assert shown[0] == shown[1]
    assert f"missing of {N}" in shown[0]


@pytest.mark.usefixtures("undrawn_page")
def test_a_stopped_audit_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isonomy.cli._distinct.BATCHES_A_STATE", 3)
    options: dict[str, Any] = {"label": "y", "prediction": "guess", "groups": ["sex"]}
    options |= {"score": None, "control": [], "pos_label": None, "missing_groups": "raise"}
    options |= {"min_cell": 10, "random_state": 0}

    def stop(text: str, done: int, total: int) -> None:
        if text == "counting" and done >= 1000:
            raise KeyboardInterrupt

    file, out = folder / "rows.parquet", tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match="add --resume"):
        _audit_run.run_audit(Reader(file, batch_rows=100), out, progress=stop, **options)
    left = ["--group", "sex", "--batch-rows", "100", "-o", str(out)]
    refused = audit(file, *left)
    assert refused.exit_code == 2
    assert "add --resume to go on" in refused.stderr
    seen: list[int] = []
    result = _audit_run.run_audit(
        Reader(file, batch_rows=100, resume=True),
        out,
        progress=lambda text, done, _: seen.append(done) if text == "counting" else None,
        **options,
    )
    assert seen[0] == 1000
    assert result == json.loads(audit(file, "--group", "sex", "--json").stdout)
    assert list(tmp_path.iterdir()) == []
