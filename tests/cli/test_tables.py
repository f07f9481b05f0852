"""Files as people have them: each bad one gets one sentence that says what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isonomy.cli.tables import read_table
from isonomy.errors import DataFileError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_csv_keeps_every_cell_as_its_own_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'zip,when,b,q\n00123,2020-01-02,TRUE,""\n1e3,,NA,x\n')
    columns = read_table(path).columns.to_pydict()
    assert columns == {
        "zip": ["00123", "1e3"],
        "when": ["2020-01-02", None],
        "b": ["TRUE", "NA"],
        "q": ["", "x"],
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"x,y\n1,2\n"),
        ("bom.csv", b"\xef\xbb\xbfx,y\n1,2\n"),
        ("crlf.csv", b"x,y\r\n1,2\r\n"),
        ("blank.csv", b"\n\nx,y\n1,2\n"),
        ("a.tsv", b"x\ty\n1\t2\n"),
        ("A.CSV.GZ", gzip.compress(b"x,y\n1,2\n", mtime=0)),  # no time: it names the test
    ],
)
def test_common_dialects_are_read_alike(tmp_path: Path, name: str, content: bytes) -> None:
    table = read_table(write(tmp_path / name, content))
    assert (table.names, table.n_rows) == (["x", "y"], 1)
    assert table.columns.column("x").to_pylist() == ["1"]


def test_cells_may_hold_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", '"a,b","c""d"\n"1\n2","3,4"\n'))
    assert table.columns.to_pydict() == {"a,b": ["1\n2"], 'c"d': ["3,4"]}


def test_a_line_break_in_a_cell_survives_the_end_of_a_block(tmp_path: Path) -> None:
    # Arrow reads a megabyte at a time; this is three of them
    path = write(tmp_path / "a.csv", "text,n\n" + '"one\ntwo\nthree",4\n' * 150_000)
    table = read_table(path)
    assert table.n_rows == 150_000
    assert set(table.columns.column("text").to_pylist()) == {"one\ntwo\nthree"}


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.5, None], "g": ["a", "b"]}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert table.kind == "parquet"
    assert table.columns.to_pydict() == {"x": [1.5, None], "g": ["a", "b"]}


def test_another_encoding_is_read_when_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "ville,n\nOrléans,1\n".encode("latin-1"))
    assert read_table(path, encoding="latin-1").columns.column(0).to_pylist() == ["Orléans"]
    path = write(tmp_path / "b.csv", "ville,n\nOrléans,1\n".encode("utf-16"))
    assert read_table(path, encoding="utf-16").names == ["ville", "n"]


def test_another_separator_is_read_when_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x;y\n1,5;2\n")
    assert read_table(path, delimiter=";").names == ["x", "y"]


BAD = {
    "empty": ("a.csv", b"", r"is empty \(0 bytes\)"),
    "blank lines only": ("a.csv", b"\n\n\n", "is empty: it needs a header"),
    "header only": ("a.csv", b"x,y\n", r"has a header \(2 columns\) but no rows"),
    "duplicate column": ("a.csv", b"x,y,x\n1,2,3\n", "more than one column named 'x'"),
    "ragged row": ("a.csv", b"x,y\n1,2\n3\n", "rows of different length: .*Expected 2 columns"),
    "long row": ("a.csv", b"x,y\n1,2\n3,4,5\n", "rows of different length: .*got 3"),
    "unclosed quote": ("a.csv", b'x,y\n"1,2\n3,4\n', "rows of different length"),
    "latin-1 cell": ("a.csv", "x,y\n1,é\n".encode("latin-1"), "not utf-8 text.*--encoding"),
    "latin-1 header": ("a.csv", "é,y\n1,2\n".encode("latin-1"), "not utf-8 text.*--encoding"),
    "utf-16": ("a.csv", "x,y\n1,2\n".encode("utf-16"), "--encoding utf-16"),
    "suffix": ("a.xlsx", b"PK", r"must end in one of .*\.parquet.*got '.xlsx'"),
    "no suffix": ("data", b"x,y\n1,2\n", "must end in one of .*no suffix"),
    "not gzip": ("a.csv.gz", b"x,y\n1,2\n", "not a whole gzip file"),
    "cut gzip": (
        "a.csv.gz",
        gzip.compress(b"x,y\n" + b"1,2\n" * 999, mtime=0)[:30],
        "not a whole gzip",
    ),
    "not parquet": ("a.parquet", b"PAR1 but not really", "cannot be read"),
}


@pytest.mark.parametrize(("name", "content", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_file_gets_one_clear_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    with pytest.raises(DataFileError, match=sentence):
        read_table(write(tmp_path / name, content))


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"nowhere\.csv does not exist"):
        read_table(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataFileError, match=r"is not a file"):
        read_table(tmp_path / "folder.csv")


def test_an_unknown_encoding_says_what_to_try(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"--encoding must be a text encoding .*'klingon'"):
        read_table(write(tmp_path / "a.csv", "x\n1\n"), encoding="klingon")


def test_a_wrong_encoding_is_noticed_behind_a_plain_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"x,y\n" + b"1,2\n" * 300_000 + "3,é\n".encode("latin-1"))
    with pytest.raises(DataFileError, match=r"not utf-8 text"):
        read_table(path)
    with pytest.raises(DataFileError, match=r"not ascii text"):
        read_table(write(tmp_path / "b.csv", "x,y\n1,é\n"), encoding="ascii")


def test_a_parquet_file_without_rows_or_with_copies_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    with pytest.raises(DataFileError, match=r"no rows"):
        read_table(tmp_path / "a.parquet")
    pq.write_table(pa.Table.from_arrays([[1], [2]], names=["x", "x"]), tmp_path / "b.parquet")
    with pytest.raises(DataFileError, match=r"more than one column named 'x'"):
        read_table(tmp_path / "b.parquet")
