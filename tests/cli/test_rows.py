"""Rows that can be steered, and their way back into a file of the same kind."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isonomy.cli._rows import read_rows
from isonomy.cli._write_table import replace_columns, write_table
from isonomy.cli.tables import DataTable, read_table
from isonomy.errors import DataFileError

CSV = 'zip,a,b,y,g,"no,te"\n00123,1,2,0,m,"x ""y"""\n01e2,,3,1,f,\n7,4,inf,1,m,""\n8,5,6,0,f,z\n'


@pytest.fixture
def table(tmp_path: Path) -> DataTable:
    path = tmp_path / "rows.csv"
    path.write_text(CSV)
    return read_table(path)


def test_missing_features_are_named_with_their_counts(table: DataTable) -> None:
    with pytest.raises(DataFileError, match=r"'a' \(1\), 'b' \(1\): 2 of 4 rows.*--drop-missing"):
        read_rows(table, label="y", groups=["g"], features="a,b")


def test_rows_with_missing_features_are_dropped_on_request_and_counted(table: DataTable) -> None:
    rows = read_rows(table, label="y", groups=["g"], features="a,b", drop_missing=True)
    assert rows.n_dropped == 2
    assert rows.features.to_pydict() == {"a": [1.0, 5.0], "b": [2.0, 6.0]}
    assert rows.table.columns.column("zip").to_pylist() == ["00123", "8"]
    assert rows.labels.tolist() == [0, 0]
    assert rows.untouched == ["zip", "y", "g", "no,te"]


def test_dropping_every_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,y,g\n,1,0,m\n,2,1,f\n")
    with pytest.raises(DataFileError, match=r"leaves none: leave the emptiest column out"):
        read_rows(
            read_table(tmp_path / "a.csv"),
            label="y",
            groups=["g"],
            features="[ab]",
            drop_missing=True,
        )


def test_a_column_of_ours_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y,g,isonomy_weight\n1,0,m,1\n")
    with pytest.raises(DataFileError, match=r"already has a column 'isonomy_weight'"):
        read_rows(read_table(tmp_path / "a.csv"), label="y", groups=["g"], features="a")


@pytest.mark.parametrize(
    ("option", "label", "group"), [("--label", "Y", "g"), ("--group", "y", "G")]
)
def test_a_missing_label_or_group_column_names_its_option(
    table: DataTable, option: str, label: str, group: str
) -> None:
    with pytest.raises(DataFileError, match=f"{option} names the column .*Did you mean"):
        read_rows(table, label=label, groups=[group], features="a")


def test_other_columns_come_back_as_the_same_text(table: DataTable, tmp_path: Path) -> None:
    steered = replace_columns(
        table, {"a": pa.array([0.1, 1e-20, -3.0, 4.5]), "w": pa.array([1.0] * 4)}
    )
    path = write_table(steered, table, tmp_path, stem="steered")
    assert path.name == "steered.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["zip", "a", "b", "y", "g", "no,te", "w"]
    assert [row[0] for row in rows[1:]] == ["00123", "01e2", "7", "8"]
    assert [float(row[1]) for row in rows[1:]] == [0.1, 1e-20, -3.0, 4.5]
    assert [row[5] for row in rows[1:]] == ['x "y"', "", "", "z"]


def test_gzip_and_parquet_come_back_as_gzip_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,t\n1,x\n"))
    table = read_table(tmp_path / "a.csv.gz")
    path = write_table(table.columns, table, tmp_path, stem="steered")
    assert path.name == "steered.csv.gz"
    assert read_table(path).columns.equals(table.columns)
    source = pa.table({"a": [1, 2], "t": pa.array(["x", "y"]).dictionary_encode()})
    pq.write_table(source, tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    path = write_table(
        replace_columns(table, {"a": pa.array([1.5, 2.5])}), table, tmp_path, stem="steered"
    )
    back = pq.read_table(path)
    assert back.schema.field("t").type == source.schema.field("t").type
    assert back.column("a").to_pylist() == [1.5, 2.5]
