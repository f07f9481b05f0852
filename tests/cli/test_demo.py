"""``isonomy demo``: ten lines, one report, the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from isonomy.cli._demo_run import METHODS
from isonomy.cli.app import app

runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("demo") / "isonomy-report"
    return runner.invoke(app, ["demo", "--rows", "1500", "-o", str(folder)]), folder


def test_stdout_is_ten_lines_that_say_what_was_found(run: tuple[Any, Path]) -> None:
    shown, folder = run
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("1500 generated biographies: 28 occupations, 2 genders")
    assert lines[2].startswith("Untouched (before)")
    assert "Certificate" in lines[7]
    assert str(folder / "index.html") in lines[8]
    assert lines[9].startswith("Cost: ")


def test_the_lines_of_the_methods_are_aligned(run: tuple[Any, Path]) -> None:
    lines = run[0].stdout.splitlines()[2:7]
    assert len({line.index("  gap ") for line in lines}) == 1


def test_the_report_holds_every_method_judged_on_the_same_rows(run: tuple[Any, Path]) -> None:
    _, folder = run
    assert sorted(p.name for p in folder.iterdir()) == ["index.html", "report.json"]
    result = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    computed = [m["name"] for m in result["methods"]]
    assert set(computed) <= set(METHODS)
    assert len(computed) + len(result["not_computed"]) == len(METHODS)
    assert {m["audit"]["n_samples"] for m in result["methods"]} == {result["data"]["n_test"]}
    assert result["reproduce"]["command"] == (
        "isonomy demo --rows 1500 --random-state 0 --bias 1.0"
    )


def test_no_path_of_this_machine_is_in_the_report(run: tuple[Any, Path]) -> None:
    _, folder = run
    for file in folder.iterdir():
        assert str(folder.parent) not in file.read_text(encoding="utf-8")


def test_impossible_settings_are_wrong_use(tmp_path: Path) -> None:
    for more in (["--rows", "10"], ["--bias", "3"], ["--random-state", "-1"]):
        shown = runner.invoke(app, ["demo", *more, "-o", str(tmp_path / "out")])
        assert shown.exit_code == 2
    assert list(tmp_path.iterdir()) == []
