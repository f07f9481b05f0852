"""Labelled texts as the commands read them: missing values, codes, and what tells data apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_model_files import biographies, write_rows
from isonomy.cli._text_rows import data_identity, read_text_rows
from isonomy.errors import InvalidInputError
from isonomy.groups import MISSING_GROUP


def test_rows_with_something_missing_can_be_dropped_or_kept_as_a_group(tmp_path: Path) -> None:
    rows = biographies(20)
    rows[3]["bio"], rows[5]["sex"] = "", ""
    path = str(write_rows(rows, tmp_path / "rows.csv"))
    how: dict[str, Any] = {"text": "bio", "label": "job", "groups": ["sex"]}
    dropped = read_text_rows(path, drop_missing=True, **how)
    assert (len(dropped.texts), dropped.n_dropped) == (18, 2)
    rows[3]["bio"] = "She reads."
    path = str(write_rows(rows, tmp_path / "rows.csv"))
    kept = read_text_rows(path, missing_groups="own_group", **how)
    assert len(kept.texts) == 20
    assert len(set(kept.groups)) == 3


def test_codes_are_named_and_minus_one_is_no_label(tmp_path: Path) -> None:
    """A ClassLabel of -1 stands for none, and is not the last class."""
    datasets = pytest.importorskip("datasets")
    rows: dict[str, list[Any]] = {"bio": [f"Text {i}" for i in range(12)]}
    rows |= {"job": [i % 3 - 1 for i in range(12)], "sex": [i % 2 for i in range(12)]}
    kinds = datasets.Features(
        bio=datasets.Value("string"),
        job=datasets.ClassLabel(names=["nurse", "judge"]),
        sex=datasets.ClassLabel(names=["F", "M"]),
    )
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(tmp_path / "set")
    datasets.enable_progress_bars()
    how: dict[str, Any] = {"text": "bio", "label": "job", "groups": ["sex"]}
    with pytest.raises(InvalidInputError, match="Row 0 .* has no label in 'job'"):
        read_text_rows(str(tmp_path / "set"), **how)
    found = read_text_rows(str(tmp_path / "set"), drop_missing=True, **how)
    assert found.n_dropped == 4
    assert found.labels.tolist() == ["nurse", "judge"] * 4
    assert found.groups.tolist() == ["M", "F", "F", "M"] * 2


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_numbers_of_groups_bear_a_group_of_the_missing(tmp_path: Path, ending: str) -> None:
    rows = [row | {"sex": i % 2} for i, row in enumerate(biographies(20))]
    frame = pytest.importorskip("pandas").DataFrame(rows)
    frame.loc[5, "sex"] = None
    path = tmp_path / f"rows.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    how: dict[str, Any] = {"text": "bio", "label": "job", "groups": ["sex"]}
    kept = read_text_rows(str(path), missing_groups="own_group", **how)
    assert set(kept.groups) == {"0", "1", MISSING_GROUP}
    assert set(read_text_rows(str(path), drop_missing=True, **how).groups) == {"0", "1"}
    swapped = read_text_rows(str(path), drop_missing=True, text="bio", label="sex", groups=["job"])
    assert set(swapped.labels.tolist()) == {0, 1} and swapped.labels.dtype.kind == "i"


def test_files_behind_a_pattern_or_in_folders_tell_whether_data_changed(tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    for name in (str(tmp_path / "*.csv"), str(tmp_path / "set")):
        before = data_identity(name)
        write_rows(biographies(3), tmp_path / "rows.csv")
        write_rows(biographies(3), tmp_path / "set" / "train" / "rows.csv")
        assert data_identity(name) != before
        assert data_identity(name) == data_identity(name)
        (tmp_path / "rows.csv").unlink()
    before = data_identity(str(tmp_path / "set"))
    (tmp_path / "set" / ".out.unfinished").mkdir()  # a run that writes below what it reads
    (tmp_path / "set" / ".out.unfinished" / "state.json").write_text("{}")
    assert data_identity(str(tmp_path / "set")) == before
