"""A folder of results is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isonomy.cli._folder import whole_folder
from isonomy.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_new_folder_appears_at_once_with_all_its_files(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a" / "out") as folder:
        (folder / "report.json").write_text("{}")
        assert not (tmp_path / "a" / "out").exists()
    assert names(tmp_path / "a" / "out") == ["report.json"]
    assert names(tmp_path / "a") == ["out"]


def test_a_folder_that_exists_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "out" / "report.json").write_text("old")
    with whole_folder(tmp_path / "out") as folder:
        (folder / "report.json").write_text("new")
    assert names(tmp_path / "out") == ["mine.txt", "report.json"]
    assert (tmp_path / "out" / "report.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_the_report_is_put_in_place_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    replace = Path.replace

    def spy(self: Path, target: Path) -> Path:
        order.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as folder:
        for name in ("report.json", "steered.csv", "index.html"):
            (folder / name).write_text(name)
    assert order == ["index.html", "steered.csv", "report.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, error: type[BaseException]) -> None:
    def write_half() -> None:
        with whole_folder(tmp_path / "a" / "out") as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert names(tmp_path) == []


def test_a_file_in_the_way_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"must be a folder"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"cannot be written"),
        whole_folder(tmp_path / "file/out"),
    ):
        pytest.fail("the block must not run")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match=r"ermission"), whole_folder(tmp_path / "out"):
        pytest.fail("the block must not run")
