"""``isonomy steer`` in batches: as in memory, whatever the cuts, and however often stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isonomy.cli import _steer_batches
from isonomy.cli._batches import open_batches
from isonomy.cli._reader import Reader
from isonomy.cli._steer_request import SteerRequest
from isonomy.cli.app import app
from isonomy.datasets import make_biased_normals
from isonomy.steering import IdealSteerer

runner = CliRunner()
USUAL = ["--label", "y", "--group", "sex", "--features", "x*"]
N = 3000


def table(n: int = N) -> pa.Table:
    """Columns of every kind that a Parquet file may hold, features of two widths."""
    X, y, group, _ = make_biased_normals(n, n_features=4, n_classes=3, random_state=0)
    towns = pa.array([("Riga", "Oslo", None)[i % 3] for i in range(n)])
    columns: dict[str, Any] = {"id": [f"{i:05d}" for i in range(n)]}
    columns |= {"x0": X[:, 0].astype(np.float32), "x1": X[:, 1].astype(np.float32)}
    columns |= {"town": towns.dictionary_encode(), "pair": [[i, i + 1] for i in range(n)]}
    columns |= {"x2": X[:, 2], "x3": np.round(100 * X[:, 3]).astype(np.int64)}
    columns |= {"y": y.astype(np.int8), "sex": [str(g) for g in group]}
    return pa.table(columns).replace_schema_metadata({"made by": "a test"})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(table(), path, row_group_size=700, compression="zstd")
    return path


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the comparison and its page out: they take longer than all the rest."""

    def compare(rows: Any, request: Any, *, description: str, progress: Any) -> dict[str, Any]:
        return {"description": description, "n_sample": len(rows.labels)}

    def write(result: Any, folder: Path) -> None:
        (folder / "report.json").write_text(json.dumps(result))

    monkeypatch.setattr(_steer_batches, "compare_rows", compare)
    monkeypatch.setattr(_steer_batches, "write_report_into", write)
    monkeypatch.setenv("ISONOMY_FINGERPRINT_KEY", "the same in every run")


quick = pytest.mark.usefixtures("unjudged")
Silent: Callable[..., None] = lambda *_: None  # noqa: E731


def steer(
    file: Path,
    out: Path,
    *,
    size: int = 250,
    resume: bool = False,
    progress: Any = Silent,
    groups: tuple[str, ...] = ("sex",),
    features: str = "x*",
    **more: Any,
) -> dict[str, Any]:
    request = SteerRequest("y", groups, features, batch_rows=size, **more)
    reader = Reader(file, batch_rows=size, resume=resume)
    return _steer_batches.steer_batches(
        open_batches(file), out, request, reader=reader, progress=progress
    )


def stop_at(text: str, n_rows: int) -> Callable[[str, int, int], None]:
    """Return a progress callback that is Ctrl-C in the middle of a pass."""

    def progress(doing: str, done: int, total: int) -> None:
        if doing == text and done >= n_rows:
            raise KeyboardInterrupt

    return progress


def written(out: Path) -> pa.Table:
    return pq.read_table(out / "steered.parquet")


@pytest.mark.usefixtures("undrawn_page")
@pytest.mark.parametrize("mode", ["blind", "given"])
def test_batches_give_what_memory_gives(file: Path, tmp_path: Path, mode: str) -> None:
    for rows in ("0", "400"):
        out = str(tmp_path / rows)
        command = ["steer", str(file), *USUAL, "--mode", mode, "-o", out, "--batch-rows", rows]
        shown = runner.invoke(app, command)
        assert shown.exit_code == 0, shown.stderr
    whole, batched = written(tmp_path / "0"), written(tmp_path / "400")
    assert batched.schema.equals(whole.schema, check_metadata=True)
    assert batched.schema.metadata[b"made by"] == b"a test"
    for name in ("id", "town", "pair", "y", "sex"):
        assert batched.column(name).equals(whole.column(name)), name
    # the fit of the group "given" iterates until its steps are below 1e-9 or so
    for name in ("x0", "x1", "x2", "x3", "isonomy_weight"):
        found, expected = (t.column(name).to_numpy() for t in (batched, whole))
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    reports = [
        json.loads((tmp_path / rows / "report.json").read_text(encoding="utf-8"))
        for rows in ("0", "400")
    ]
    # the sample is the whole file, so the same rows were judged
    assert [m["gap"]["rms_tpr_gap"]["value"] for m in reports[0]["methods"]] == [
        m["gap"]["rms_tpr_gap"]["value"] for m in reports[1]["methods"]
    ]
    assert reports[0]["steered"] == reports[1]["steered"]
    assert pq.ParquetFile(tmp_path / "400" / "steered.parquet").metadata.num_rows == N
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "400"]


@quick
@pytest.mark.parametrize("mode", ["blind", "given", "infer"])
def test_the_cuts_do_not_matter(file: Path, tmp_path: Path, mode: Any) -> None:
    for size in (170, 1000, 10_000):
        steer(file, tmp_path / str(size), size=size, mode=mode)
    first = written(tmp_path / "170")
    for size in ("1000", "10000"):
        other = written(tmp_path / size)
        for name in first.column_names:
            if not (name.startswith("x") or name == "isonomy_weight"):
                assert other.column(name).equals(first.column(name))
                continue
            found, expected = other.column(name).to_numpy(), first.column(name).to_numpy()
            np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@quick
@pytest.mark.parametrize(
    ("doing", "n_rows"),
    [("counting groups", 1500), ("learning", 2000), ("steering and writing", 2500)],
)
def test_a_stopped_run_goes_on_to_the_same_bytes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doing: str, n_rows: int
) -> None:
    for module in ("_distinct", "_learn_pass", "_write_pass"):
        monkeypatch.setattr(f"isonomy.cli.{module}.BATCHES_A_STATE", 3)
    steer(file, tmp_path / "whole", mode="given")
    with pytest.raises(KeyboardInterrupt, match="add --resume"):
        steer(file, tmp_path / "out", mode="given", progress=stop_at(doing, n_rows))
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.unfinished" / "state.json").exists()
    seen: list[int] = []

    def watch(text: str, done: int, total: int) -> None:
        if text == doing:
            seen.append(done)

    steer(file, tmp_path / "out", mode="given", resume=True, progress=watch)
    assert seen[0] > 750  # it did not begin anew
    for name in ("steered.parquet", "artefact.safetensors", "report.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


KILLED = """
import os, signal, sys
from pathlib import Path
from isonomy.cli import _learn_pass, _steer_batches, _write_pass
from isonomy.cli._batches import open_batches
from isonomy.cli._reader import Reader
from isonomy.cli._steer_request import SteerRequest

place, module, name = sys.argv[1:]
owner = {"_learn_pass": _learn_pass, "_write_pass": _write_pass}[module]
real, calls = getattr(owner, name), []

def deadly(*args, **named):
    calls.append(1)
    if len(calls) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **named)

setattr(owner, name, deadly)
_steer_batches.compare_rows = lambda rows, *_, **__: {"description": "", "n_sample": 0}
file = Path(place) / "rows.parquet"
request = SteerRequest("y", ("sex",), "x*", batch_rows=100)
reader = Reader(file, batch_rows=100)
_steer_batches.steer_batches(
    open_batches(file), Path(place) / "out", request, reader=reader, progress=lambda *_: None
)
"""


@quick
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("where", [("_learn_pass", "complete_rows"), ("_write_pass", "move_rows")])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, where: tuple[str, str]) -> None:
    pq.write_table(table(), tmp_path / "rows.parquet")
    program = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), *where], check=False)
    assert program.returncode == -signal.SIGKILL
    state = json.loads((tmp_path / ".out.unfinished" / "state.json").read_text())["state"]
    assert state["written" if where[0] == "_write_pass" else "learnt"]["n_rows"] == 1600
    steer(tmp_path / "rows.parquet", tmp_path / "out", size=100, resume=True)
    steer(tmp_path / "rows.parquet", tmp_path / "whole", size=100)
    for name in ("steered.parquet", "artefact.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@quick
def test_resume_refuses_another_file_or_other_options(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(table(), path)
    with pytest.raises(KeyboardInterrupt):
        steer(path, tmp_path / "out", progress=stop_at("learning", 500))
    state = (tmp_path / ".out.unfinished" / "state.json").read_bytes()
    with pytest.raises(ValueError, match="stopped before its end .* add --resume"):
        steer(path, tmp_path / "out")
    with pytest.raises(ValueError, match="this changed since: size, mode"):
        steer(path, tmp_path / "out", resume=True, mode="given", size=251)
    pq.write_table(table().slice(1), path)
    with pytest.raises(ValueError, match="file size, file modification time"):
        steer(path, tmp_path / "out", resume=True)
    assert (tmp_path / ".out.unfinished" / "state.json").read_bytes() == state


@quick
def test_resume_without_an_unfinished_run_begins_one(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steer(file, tmp_path / "out", resume=True)
    assert "there is no unfinished run" in capsys.readouterr().err
    assert written(tmp_path / "out").num_rows == N


@quick
def test_ctrl_c_says_how_to_go_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isonomy.cli._learn_pass.complete_rows", stop)
    command = ["steer", str(file), *USUAL, "-o", str(tmp_path / "out"), "--batch-rows", "500"]
    shown = runner.invoke(app, command)
    assert shown.exit_code == 130
    assert "what was done is kept in" in shown.stderr
    assert "add --resume to go on" in shown.stderr
    monkeypatch.undo()


@quick
def test_a_full_disk_leaves_a_run_to_go_on_with(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isonomy.cli._growing_file.GrowingParquet.write", full)
    with pytest.raises(RuntimeError, match="No space left .* free space or permissions"):
        steer(file, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(_steer_batches, "write_report_into", lambda *_: None)
    request = SteerRequest("y", ("sex",), "x*", batch_rows=250)
    reader = Reader(file, batch_rows=250, resume=True)
    monkeypatch.setattr(_steer_batches, "compare_rows", None)  # it is not done again
    _steer_batches.steer_batches(
        open_batches(file), tmp_path / "out", request, reader=reader, progress=Silent
    )
    assert written(tmp_path / "out").num_rows == N


@quick
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_says_how_to_go_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("isonomy.cli._learn_pass.complete_rows", stop)
    command = ["steer", str(file), *USUAL, "-o", str(tmp_path / "out"), "--batch-rows", "500"]
    shown = runner.invoke(app, command)
    assert shown.exit_code == 128 + signal.SIGTERM
    assert "stopped; what was done is kept in" in shown.stderr


@quick
def test_missing_features_stop_or_are_dropped_as_in_memory(tmp_path: Path) -> None:
    rows = table(600)
    x1 = [None if i % 10 == 0 else v for i, v in enumerate(rows.column("x1").to_pylist())]
    x2 = [float("nan") if i % 15 == 0 else v for i, v in enumerate(rows.column("x2").to_pylist())]
    rows = rows.set_column(2, "x1", pa.array(x1, pa.float32())).set_column(5, "x2", pa.array(x2))
    path = tmp_path / "rows.parquet"
    pq.write_table(rows, path)
    with pytest.raises(ValueError, match=r"'x1' \(60\), 'x2' \(40\): 80 of 600 rows"):
        steer(path, tmp_path / "out", size=70)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]
    result = steer(path, tmp_path / "out", size=70, drop_missing=True, mode="given")
    assert (result["steered"]["n_rows"], result["steered"]["n_dropped"]) == (520, 80)
    kept = np.array([i % 10 != 0 and i % 15 != 0 for i in range(600)])
    assert written(tmp_path / "out").column("id").to_pylist() == [
        f"{i:05d}" for i in np.flatnonzero(kept)
    ]
    complete = rows.filter(pa.array(kept))
    names = ["x0", "x1", "x2", "x3"]
    expected = IdealSteerer(groups="given", random_state=0)
    X = np.column_stack([complete.column(n).to_numpy() for n in names])
    groups = complete.column("sex").to_pylist()
    expected.fit(X, complete.column("y").to_numpy(), sensitive_features=groups)
    weights = written(tmp_path / "out").column("isonomy_weight").to_numpy()
    np.testing.assert_allclose(weights, expected.sample_weight_)


@quick
def test_no_row_left_is_one_sentence(file: Path, tmp_path: Path) -> None:
    steer(file, tmp_path / "out")
    rows = table(60).set_column(5, "x2", pa.nulls(60, pa.float64()))
    pq.write_table(rows, tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="--drop-missing leaves none"):
        steer(tmp_path / "rows.parquet", tmp_path / "new", size=20, drop_missing=True)
    (tmp_path / "rows.csv").write_text("x0,x1,x2,x3\n")
    artefact = str(tmp_path / "out" / "artefact.safetensors")
    for name, more, sentence in (
        ("rows.parquet", ["--drop-missing"], "leave the emptiest column out ('x2')"),
        ("rows.parquet", [], "missing values in 'x2' (60): 60 of 60 rows"),
        ("rows.csv", [], "but no rows"),
    ):
        command = ["steer", str(tmp_path / name), "--apply", artefact, "--batch-rows", "20"]
        shown = runner.invoke(app, [*command, *more, "-o", str(tmp_path / "new")])
        assert shown.exit_code == 2
        assert sentence in shown.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "rows.csv", "rows.parquet"]


@quick
def test_missing_labels_and_groups_are_counted_over_the_file(tmp_path: Path) -> None:
    rows, path = table(600), tmp_path / "rows.parquet"
    holed = pa.array([None if i % 5 == 0 else "f" for i in range(600)])
    pq.write_table(rows.set_column(8, "sex", holed), path)
    with pytest.raises(ValueError, match="'sex' .* got 120 missing of 600"):
        steer(path, tmp_path / "out", size=70)
    result = steer(path, tmp_path / "out", size=70, missing_groups="own_group", mode="given")
    assert result["steered"]["n_rows"] == 600
    labels = [None if i % 6 == 0 else 1.0 for i in range(600)]
    pq.write_table(rows.set_column(7, "y", pa.array(labels)), path)
    with pytest.raises(ValueError, match="'y' .* got 100 missing of 600"):
        steer(path, tmp_path / "new", size=70)
    assert not (tmp_path / ".new.unfinished").exists()


@quick
@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"groups": ("Sex",)}, "Did you mean 'sex'"),
        ({"groups": ("id",)}, "needs rows in every"),
        ({"features": "town"}, "must hold numbers"),
        ({"features": "id,nothing"}, "does not have"),
        ({"features": "pair"}, "must hold numbers"),
    ],
    ids=["typo", "group of one", "words", "absent", "lists"],
)
def test_wrong_use_is_one_sentence(
    file: Path, tmp_path: Path, request_: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        steer(file, tmp_path / "out", mode="given", **request_)
    assert list(tmp_path.iterdir()) == []


@quick
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv"])
def test_a_csv_streams_too(file: Path, tmp_path: Path, suffix: str) -> None:
    rows = table().drop_columns(["pair"])
    rows = rows.set_column(3, "town", rows.column("town").cast(pa.string()))
    path = tmp_path / f"rows.{suffix}"
    mark = "\t" if suffix == "tsv" else ","
    with pa.output_stream(path) as stream:
        pacsv.write_csv(rows, stream, pacsv.WriteOptions(delimiter=mark))
    result = steer(path, tmp_path / "out", mode="given", features="numeric")
    # an id of digits is a number to a CSV: the same columns are found as in memory
    assert result["steered"]["steered"] == ["id", "x0", "x1", "x2", "x3"]
    steer(path, tmp_path / "some", mode="given")
    steer(file, tmp_path / "parquet", mode="given")
    with pa.input_stream(tmp_path / "some" / f"steered.{suffix}") as stream:
        found = pacsv.read_csv(stream, parse_options=pacsv.ParseOptions(delimiter=mark))
    expected = written(tmp_path / "parquet")
    assert found.column_names == [n for n in expected.column_names if n != "pair"]
    assert found.num_rows == N
    for name in ("x0", "x2", "x3", "isonomy_weight"):
        np.testing.assert_allclose(
            found.column(name).to_numpy(), expected.column(name).to_numpy(), rtol=1e-5, atol=1e-5
        )


@quick
@pytest.mark.parametrize("mode", ["blind", "given"])
def test_apply_in_batches_reproduces_the_rows_of_the_fit(
    file: Path, tmp_path: Path, mode: Any
) -> None:
    steer(file, tmp_path / "out", mode=mode)
    artefact = str(tmp_path / "out" / "artefact.safetensors")
    command = ["steer", str(file), "--apply", artefact, "--batch-rows", "300"]
    shown = runner.invoke(app, [*command, "-o", str(tmp_path / "new")])
    assert shown.exit_code == 0, shown.stderr
    fitted, applied = written(tmp_path / "out"), written(tmp_path / "new")
    assert applied.column_names == fitted.column_names[:-1]
    for name in applied.column_names:
        assert applied.column(name).equals(fitted.column(name)), name
    strange = table().set_column(8, "sex", pa.array(["somebody else"] * N))
    pq.write_table(strange, tmp_path / "strange.parquet")
    command[1] = str(tmp_path / "strange.parquet")
    shown = runner.invoke(app, [*command, "-o", str(tmp_path / "other")])
    assert shown.exit_code == (2 if mode == "given" else 0)
    assert ("somebody else" in shown.stderr) == (mode == "given")


@quick
def test_a_sample_stands_for_a_larger_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = _steer_batches.sample_quota
    monkeypatch.setattr(_steer_batches, "sample_quota", lambda sizes: quota(sizes, 500))
    for size in (100, 900):
        result = steer(file, tmp_path / str(size), size=size, mode="given")
        assert 500 <= result["n_sample"] <= 500 + 6
        assert f"a sample of {result['n_sample']} rows" in result["description"]
        assert result["steered"]["n_sampled"] == result["n_sample"]
    # maps are of all rows, not of the sample
    whole = IdealSteerer(groups="given", random_state=0)
    X = np.column_stack([table().column(f"x{j}").to_numpy() for j in range(4)])
    whole.fit(X, table().column("y").to_numpy(), sensitive_features=table()["sex"].to_pylist())
    moved = [name for name in whole.groups_ if not whole.maps_[name].is_identity]
    assert moved
    for size in (100, 900):
        found = IdealSteerer.load(tmp_path / str(size) / "artefact.safetensors")
        for name in moved:
            expected = whole.maps_[name]
            np.testing.assert_allclose(found.maps_[name].matrix, expected.matrix, atol=1e-5)
            np.testing.assert_allclose(found.maps_[name].offset, expected.offset, atol=1e-5)
