"""``isonomy audit`` on files: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from isonomy.cli.app import app

runner = CliRunner()
COLUMNS = ["truth", "guess", "sex", "site", "p"]
USUAL = ["--label", "truth", "--prediction", "guess", "--group", "sex"]


def write_people(path: Path, rows: Sequence[Sequence[object]], header: Sequence[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def people(n: int = 400, seed: int = 0) -> list[list[object]]:
    """Half of the women's, a tenth of the men's members of "hired" are missed."""
    rng = np.random.default_rng(seed)
    rows: list[list[object]] = []
    for _ in range(n):
        sex, site = rng.choice(["f", "m"]), rng.choice(["north", "south"])
        truth = rng.choice(["hired", "refused"])
        missed = rng.random() < (0.5 if sex == "f" else 0.1)
        guess = "refused" if truth == "hired" and missed else truth
        rows.append([truth, guess, sex, site, f"{rng.random():.3f}"])
    return rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_people(tmp_path / "people.csv", people(), COLUMNS)


def audit(file: Path, *more: str, usual: Sequence[str] = USUAL) -> Any:
    return runner.invoke(app, ["audit", str(file), *usual, *more])


def test_the_summary_shows_groups_rates_and_gaps(file: Path) -> None:
    shown = audit(file, "--pos-label", "hired")
    assert shown.exit_code == 0, shown.stderr
    assert "400 rows, 2 classes, 2 groups (positive class: hired)" in shown.stdout
    assert "equal_opportunity_difference" in shown.stdout
    header = next(line for line in shown.stdout.splitlines() if "selected" in line)
    assert header.split() == ["group", "n", "selected", "TPR", "FPR", "accuracy"]
    assert "\x1b" not in shown.stdout
    assert "True" not in shown.stdout


def test_the_numbers_are_those_of_the_file(file: Path) -> None:
    rows = people()
    result = json.loads(audit(file, "--pos-label", "hired", "--json").stdout)
    for sex in ("f", "m"):
        hired = [r for r in rows if r[0] == "hired" and r[2] == sex]
        expected = sum(r[1] == "hired" for r in hired) / len(hired)
        found = next(
            r["value"]
            for r in result["by_group"]
            if (r["metric"], r["class"], r["group"]) == ("true_positive_rate", "hired", sex)
        )
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("value", ["hired", "refused"])
def test_pos_label_makes_that_class_the_positive_one(file: Path, value: str) -> None:
    result = json.loads(audit(file, "--pos-label", value, "--json").stdout)
    assert result["pos_label"] == value


def test_pos_label_judges_one_of_several_classes_against_the_rest(tmp_path: Path) -> None:
    rows = [[f"c{i % 3}", f"c{i % 3 if i % 5 else 0}", "mf"[i % 2]] for i in range(300)]
    file = write_people(tmp_path / "a.csv", rows, COLUMNS[:3])
    result = json.loads(audit(file, "--pos-label", "c1", "--json").stdout)
    assert result["classes"] == ["(not c1)", "c1"]
    assert len(json.loads(audit(file, "--json").stdout)["classes"]) == 3
    assert "Largest gaps in true positive rate" in audit(file).stdout


def test_a_class_that_sorts_before_its_complement_is_still_the_positive_one(
    tmp_path: Path,
) -> None:
    rows = [
        [("$50k", "low")[i % 2], ("$50k", "low")[i % 3 % 2], "mf"[i % 5 % 2]] for i in range(90)
    ]
    file = write_people(tmp_path / "a.csv", rows, COLUMNS[:3])
    assert json.loads(audit(file, "--pos-label", "$50k", "--json").stdout)["pos_label"] == "$50k"


def test_a_score_column_is_judged_too(file: Path) -> None:
    result = json.loads(audit(file, "--pos-label", "hired", "--score", "p", "--json").stdout)
    assert {row["metric"] for row in result["scores"]["by_group"]} >= {"roc_auc", "log_loss"}


def test_controls_repeat_the_disparities_in_each_level(file: Path) -> None:
    result = json.loads(audit(file, "--control", "site", "--json").stdout)
    assert [(c["column"], c["level"]) for c in result["controls"]] == [
        ("site", "north"),
        ("site", "south"),
    ]


def test_two_group_columns_are_crossed_and_told_apart(file: Path) -> None:
    result = json.loads(audit(file, "--group", "site", "--json").stdout)
    assert [g["name"] for g in result["groups"]] == ["f, north", "f, south", "m, north", "m, south"]
    assert [m["column"] for m in result["marginals"]] == ["sex", "site"]


def test_missing_groups_stop_or_become_a_group(tmp_path: Path) -> None:
    rows = [[*r[:2], r[2] if i % 4 else "", *r[3:]] for i, r in enumerate(people())]
    file = write_people(tmp_path / "people.csv", rows, COLUMNS)
    stopped = audit(file)
    assert stopped.exit_code == 2
    assert "100 missing of 400" in stopped.stderr
    assert "--missing-groups own_group" in stopped.stderr
    kept = json.loads(audit(file, "--missing-groups", "own_group", "--json").stdout)
    assert "(missing)" in [g["name"] for g in kept["groups"]]


@pytest.mark.usefixtures("undrawn_page")
def test_the_report_is_a_page_with_its_json_beside_it(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    assert audit(file, "-o", str(page)).exit_code == 0
    assert sorted(p.name for p in page.parent.iterdir()) == ["page.html", "page.json"]
    folder = tmp_path / "folder"
    assert audit(file, "-o", str(folder)).exit_code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["index.html", "report.json"]
    printed = json.loads(audit(file, "--json").stdout)
    assert json.loads((folder / "report.json").read_text()) == printed


def test_the_same_file_and_seed_give_the_same_bytes(file: Path) -> None:
    assert audit(file, "--json").stdout == audit(file, "--json").stdout


@pytest.mark.parametrize(
    ("criterion", "code"),
    [
        ("equal_opportunity_difference>0.2", 1),
        ("equal_opportunity_difference>0.9", 0),
        ("rms_tpr_gap_precision.high>0.05", 1),
        ("rms_tpr_gap<0.9", 1),
    ],
)
def test_fail_if_decides_the_exit_code(file: Path, criterion: str, code: int) -> None:
    shown = audit(file, "--pos-label", "hired", "--fail-if", criterion)
    assert shown.exit_code == code
    assert (f"--fail-if {criterion} holds" in shown.stderr) is bool(code)


@pytest.mark.usefixtures("undrawn_page")
def test_several_criteria_fail_if_any_holds(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--fail-if", "rms_tpr_gap>0.99", "--fail-if", "accuracy_difference>=0"]
    shown = audit(file, *more, "-o", str(out), "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.stdout)["kind"] == "audit"
    assert (out / "report.json").exists()


def test_an_unknown_disparity_is_wrong_use_and_writes_nothing(file: Path, tmp_path: Path) -> None:
    shown = audit(file, "--fail-if", "fairness>0.1", "-o", str(tmp_path / "out"))
    assert shown.exit_code == 2
    assert "it has: demographic_parity_difference" in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_badly_formed_criterion_fails_before_the_file_is_read() -> None:
    shown = audit(Path("nowhere.csv"), "--fail-if", "rms_tpr_gap")
    assert shown.exit_code == 2
    assert "must look like 'rms_tpr_gap>0.05'" in shown.stderr


REFUSED = {
    "label typo": (["--label", "Truth"], "--label names the column 'Truth'.*Did you mean 'truth'"),
    "prediction is a score": (["--prediction", "p"], "share no value.*goes to --score"),
    "pos label": (["--pos-label", "maybe"], "--pos-label names 'maybe', which .* never is"),
    "score is text": (["--score", "site"], "must hold numbers, got '(north|south)' in row"),
    "score missing": (["--score", "q"], "--score names the column 'q'"),
    "control missing": (["--control", "zip"], "--control names the column 'zip'"),
}


@pytest.mark.parametrize(("more", "sentence"), REFUSED.values(), ids=REFUSED)
def test_wrong_columns_get_one_line(file: Path, more: list[str], sentence: str) -> None:
    shown = audit(file, *more)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr.count("\n") == 1
    assert re.search(sentence, shown.stderr)


def test_one_group_is_one_line(tmp_path: Path) -> None:
    file = write_people(tmp_path / "a.csv", [["x", "x", "f"], ["y", "y", "f"]] * 20, COLUMNS[:3])
    shown = audit(file)
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1


def test_a_score_needs_two_classes(tmp_path: Path) -> None:
    rows = [[f"c{i % 3}", f"c{i % 3}", "mf"[i % 2], "x", "0.5"] for i in range(60)]
    file = write_people(tmp_path / "a.csv", rows, COLUMNS)
    shown = audit(file, "--score", "p")
    assert shown.exit_code == 2
    assert "Add --pos-label" in shown.stderr


def test_hostile_names_are_shown_as_they_are_and_escaped_in_the_page(tmp_path: Path) -> None:
    hostile = "[bold red]<script>alert(1)</script>\x1b[31m"
    header = ["truth", "guess", hostile]
    rows = [[r[0], r[1], f"{r[2]}[/]<b>"] for r in people()]
    file = write_people(tmp_path / "a.csv", rows, header)
    usual = ["--label", "truth", "--prediction", "guess", "--group", hostile]
    shown = audit(file, "-o", str(tmp_path / "out"), usual=usual)
    assert shown.exit_code == 0, shown.stderr
    assert "f[/]<b>" in shown.stdout
    assert "\x1b" not in shown.stdout
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "f[/]<b>" not in page
    missing = audit(file, usual=["--label", f"{hostile}x", *usual[2:]])
    assert missing.exit_code == 2
    assert "\x1b" not in missing.stderr


@pytest.mark.usefixtures("undrawn_page")
def test_a_page_that_cannot_be_written_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for place in (tmp_path / "taken", tmp_path / "taken" / "page.html"):
        shown = audit(file, "-o", str(place))
        assert shown.exit_code == 2
        assert shown.stderr.count("\n") == 1
