"""Columns by name: close matches for a slip, numbers, labels and groups as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isonomy.cli.columns import (
    count_missing,
    find_columns,
    read_groups,
    read_labels,
    read_numbers,
    require_column,
)
from isonomy.cli.tables import DataTable, read_table
from isonomy.errors import DataFileError, MissingGroupValuesError

CSV = """age,hours-week,hours-day,town,Income,sex,gap
31,40,8,Riga,1,F,
45,38,7,Oslo,0,M,2
28,20,4,Riga,1,F,NA
"""


@pytest.fixture
def table(tmp_path: Path) -> DataTable:
    path = tmp_path / "people.csv"
    path.write_text(CSV)
    return read_table(path)


def one_column(tmp_path: Path, values: list[object]) -> DataTable:
    pq.write_table(pa.table({"c": values}), tmp_path / "c.parquet")
    return read_table(tmp_path / "c.parquet")


def test_a_missing_column_lists_close_matches_and_all_columns(table: DataTable) -> None:
    with pytest.raises(
        DataFileError, match=r"--label names the column 'income'.*Did you mean 'Inc"
    ):
        require_column(table, "income", option="--label")
    with pytest.raises(DataFileError, match=r"Its columns: age, hours-week, hours-day, town, Inc"):
        require_column(table, "zzz", option="--label")


def test_a_wrong_separator_is_guessed_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x;y\n1;2\n")
    with pytest.raises(DataFileError, match=r"separator seems to be ';': name it with --delimiter"):
        require_column(read_table(path), "x", option="--label")


def test_numeric_takes_number_columns_alone_and_never_label_or_group(table: DataTable) -> None:
    found = find_columns(table, "numeric", exclude=["Income", "sex"])
    assert found == ["age", "hours-week", "hours-day", "gap"]


def test_names_and_globs_come_in_the_order_of_the_file(table: DataTable) -> None:
    assert find_columns(table, "hours-*, age", exclude=[]) == ["age", "hours-week", "hours-day"]
    assert find_columns(table, "*", exclude=["town", "sex"])[-1] == "gap"


def test_a_feature_that_is_the_label_or_fits_nothing_raises(table: DataTable) -> None:
    with pytest.raises(DataFileError, match=r"'Income', which is also the label or a group"):
        find_columns(table, "age,Income", exclude=["Income"])
    with pytest.raises(DataFileError, match=r"pattern 'x\*', which fits no column"):
        find_columns(table, "x*", exclude=[])
    with pytest.raises(DataFileError, match=r"at least one column"):
        find_columns(table, " , ", exclude=[])
    with pytest.raises(DataFileError, match=r"'agee'.*Did you mean 'age'"):
        find_columns(table, "agee", exclude=[])


def test_numeric_without_numbers_raises(tmp_path: Path) -> None:
    table = one_column(tmp_path, ["a", "b"])
    with pytest.raises(DataFileError, match=r"found no numeric column"):
        find_columns(table, "numeric", exclude=[])


def test_numbers_know_missing_cells_and_quote_what_is_no_number(table: DataTable) -> None:
    assert read_numbers(table, "gap").to_pylist() == [None, 2.0, None]
    assert count_missing(read_numbers(table, "gap")) == 2
    with pytest.raises(DataFileError, match=r"'town' .* must hold numbers, got 'Riga' in row 1"):
        read_numbers(table, "town")


def test_infinite_and_nan_cells_count_as_missing(tmp_path: Path) -> None:
    table = one_column(tmp_path, [1.0, float("inf"), float("nan"), None])
    assert count_missing(read_numbers(table, "c")) == 3


def test_numbers_of_parquet_keep_single_precision(tmp_path: Path) -> None:
    pq.write_table(pa.table({"c": pa.array([1.5], pa.float32())}), tmp_path / "f.parquet")
    assert read_numbers(read_table(tmp_path / "f.parquet"), "c").type == pa.float32()


def test_labels_and_predictions_written_apart_are_one_class(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("y,p,t\n1,1.0,yes\n0,0.0,no\n")
    y, p = read_labels(read_table(path), ["y", "p"])
    np.testing.assert_array_equal(y, p)
    assert y.dtype == p.dtype == np.int64
    y, t = read_labels(read_table(path), ["y", "t"])
    assert (y.tolist(), t.tolist()) == (["1", "0"], ["yes", "no"])


def test_missing_labels_are_counted(table: DataTable) -> None:
    with pytest.raises(DataFileError, match=r"'gap' .* 2 missing of 3"):
        read_labels(table, ["gap"])
    with pytest.raises(DataFileError, match=r"'gap' .* 2 missing of 3"):
        read_labels(table, ["town", "gap"])


def test_missing_groups_are_counted_or_kept(table: DataTable) -> None:
    with pytest.raises(
        MissingGroupValuesError, match=r"2 missing of 3.*--missing-groups own_group"
    ):
        read_groups(table, ["gap"])
    kept = read_groups(table, ["sex", "gap"], missing="own_group").to_pydict()
    assert kept == {"sex": ["F", "M", "F"], "gap": ["(missing)", "2", "(missing)"]}


def test_a_group_is_the_same_text_from_csv_and_parquet(tmp_path: Path) -> None:
    table = one_column(tmp_path, [1.0, None, 2.5])
    assert read_groups(table, ["c"], missing="own_group").to_pydict() == {
        "c": ["1", "(missing)", "2.5"]
    }
    categories = pa.chunked_array([pa.array(["a", "b"]).dictionary_encode()])
    pq.write_table(pa.table({"c": categories}), tmp_path / "d.parquet")
    assert read_groups(read_table(tmp_path / "d.parquet"), ["c"]).to_pydict() == {"c": ["a", "b"]}
