"""A file read in batches: the same rows, cut where we say, whatever its own pieces."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.cli._batches import _regroup, open_batches, wants_batches
from isonomy.cli._cell_codes import FileCells, RowCoder
from isonomy.cli._distinct import Tally, count_combinations
from isonomy.cli._feature_matrix import complete_rows
from isonomy.cli._number_text import as_read
from isonomy.cli.tables import DataTable, read_table
from isonomy.errors import DataFileError, InvalidInputError


def rows(n: int = 100) -> pa.Table:
    return pa.table(
        {
            "n": np.arange(n),
            "half": np.arange(n) / 2,
            "sex": [("f", "m", None)[i % 3] for i in range(n)],
            "y": [float(i % 2) for i in range(n)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    pq.write_table(rows(), place / "rows.parquet", row_group_size=33, compression="gzip")
    pacsv.write_csv(rows(), place / "rows.csv")
    (place / "rows.csv.gz").write_bytes(gzip.compress((place / "rows.csv").read_bytes()))
    return place


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.csv.gz"])
@pytest.mark.parametrize("start", [0, 7, 33, 66, 99, 100])
def test_batches_are_the_rows_from_start_on(folder: Path, name: str, start: int) -> None:
    file = open_batches(folder / name)
    whole = read_table(folder / name).columns
    for size in (1, 10, 33, 1000):
        found = list(file.batches(size=size, start=start))
        assert [b.first_row for b in found] == list(range(start, 100, size))
        assert all(b.n_rows == size for b in found[:-1])
        if found:
            joined = pa.concat_tables([b.columns for b in found])
            assert joined.combine_chunks().equals(whole.slice(start).combine_chunks())


@given(lengths=st.lists(st.integers(0, 9), max_size=12), size=st.integers(1, 12))
def test_regrouping_neither_loses_nor_moves_a_row(lengths: list[int], size: int) -> None:
    whole = pa.table({"n": np.arange(sum(lengths))})
    starts = np.cumsum([0, *lengths])
    pieces = (
        whole.slice(s, n).combine_chunks().to_batches()[0]
        if n
        else whole.schema.empty_table().to_batches(1)
        for s, n in zip(starts, lengths, strict=False)
    )
    batches = [p for p in pieces if isinstance(p, pa.RecordBatch)]
    found = list(_regroup(iter(batches), size))
    assert all(t.num_rows == size for t in found[:-1])
    assert [v for t in found for v in t.column("n").to_pylist()] == list(range(sum(lengths)))


def test_only_the_columns_asked_for_are_read(folder: Path) -> None:
    for name in ("rows.parquet", "rows.csv"):
        (found,) = open_batches(folder / name).batches(["y", "n"], size=1000)
        assert sorted(found.names) == ["n", "y"]


def test_large_files_are_read_in_batches_unasked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rows.parquet", "rows.csv"):
        assert not wants_batches(folder / name, None)
        assert wants_batches(folder / name, 5)
        monkeypatch.setattr("isonomy.cli._batches.LARGE_NUMBERS", 399)
        monkeypatch.setattr("isonomy.cli._batches.LARGE_BYTES", 10)
        assert wants_batches(folder / name, None)
        assert not wants_batches(folder / name, 0)
        monkeypatch.undo()
    with pytest.raises(InvalidInputError, match="--batch-rows must be at least 1"):
        wants_batches(folder / "rows.csv", -1)


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "header.csv", "header.parquet"])
def test_a_file_without_rows_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "header.csv":
        path.write_text("a,b\n")
    elif name == "header.parquet":
        pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    with pytest.raises(DataFileError, match="does not exist|no rows"):
        count_combinations(open_batches(path), ["a"], size=5, progress=lambda _: None)


def test_a_file_that_ends_too_early_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,2\n" * 50 + "1,2,3\n")
    with pytest.raises(DataFileError, match="rows of different length"):
        list(open_batches(path).batches(size=10))
    pq.write_table(rows(), tmp_path / "rows.parquet")
    cut = (tmp_path / "rows.parquet").read_bytes()[:-20]
    (tmp_path / "rows.parquet").write_bytes(cut)
    with pytest.raises(DataFileError, match="cannot be read"):
        open_batches(tmp_path / "rows.parquet")


def test_combinations_are_counted_whatever_the_cuts(folder: Path) -> None:
    file = open_batches(folder / "rows.parquet")
    for size in (1, 7, 100):
        found = count_combinations(file, ["sex", "y"], size=size, progress=lambda _: None)
        assert found.copies is not None
        assert found.n_rows == 100
        counts = {
            (r["sex"], r["y"]): int(n)
            for r, n in zip(found.columns.to_pylist(), found.copies, strict=True)
        }
        expected: dict[tuple[str | None, float], int] = {}
        for row in rows().to_pylist():
            key = (row["sex"], row["y"])
            expected[key] = expected.get(key, 0) + 1
        assert counts == expected
        assert list(counts) == list(expected)  # in order of appearance


def test_too_many_combinations_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isonomy.cli._distinct.MAX_COMBINATIONS", 50)
    with pytest.raises(DataFileError, match="more than 50 combinations"):
        count_combinations(
            open_batches(folder / "rows.parquet"), ["n"], size=30, progress=lambda _: None
        )


def like(columns: pa.Table, first_row: int = 0) -> DataTable:
    return DataTable(columns, Path("rows.parquet"), "parquet", ".parquet", "", first_row)


@pytest.mark.parametrize("direct", [True, False], ids=["looked up", "searched"])
def test_each_row_finds_its_combination(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not direct:
        monkeypatch.setattr("isonomy.cli._cell_codes.DIRECT", 0)
    odd = pa.array([1.5, float("nan"), None, -0.5] * 25)
    town = pa.array(["Riga", "Oslo", None, "Oslo", "Rome"] * 20).dictionary_encode()
    table = like(rows().append_column("odd", odd).append_column("town", town))
    tally = Tally(["sex", "odd", "town", "y"])
    tally.add(table)
    counted = tally.table(table)
    coder = RowCoder.of(counted)
    found = counted.columns.take(pa.array(coder.rows(table)))
    for name in counted.names:
        assert str(found.column(name).to_pylist()) == str(table.columns.column(name).to_pylist())


def test_a_file_that_changes_while_it_is_read_is_one_sentence() -> None:
    tally = Tally(["sex"])
    tally.add(like(rows()))
    coder = RowCoder.of(tally.table(like(rows())))
    with pytest.raises(DataFileError, match="changed while it was read"):
        coder.rows(like(pa.table({"sex": ["f", "x"]})))


def test_a_coded_category_stays_text() -> None:
    codes = pa.array(["1", "0"] * 50).dictionary_encode()
    table = like(rows().append_column("code", codes))
    tally = Tally(["code", "sex"])
    tally.add(table)
    cells = FileCells.of(
        tally.table(table), label="code", groups=["sex"], missing_groups="own_group"
    )
    assert cells.classes == ("0", "1")
    assert cells.groups == ("f", "m", "(missing)")
    assert cells.sizes.sum() == 100


def test_a_batch_numbers_its_rows_in_the_file() -> None:
    table = like(pa.table({"x": [1.0, None, 3.0], "z": [1.0, 2.0, float("inf")]}), first_row=40)
    found = complete_rows(table, ["x", "z"])
    assert found.numbers.tolist() == [40]
    assert found.gaps == {"x": 1, "z": 1}
    assert found.values.tolist() == [[1.0, 1.0]]
    with pytest.raises(DataFileError, match="'oops' in row 43"):
        complete_rows(like(pa.table({"x": ["1", "2", "oops"]}), first_row=40), ["x"])


def test_columns_of_number_text_are_found_over_all_batches(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{i},{i},{'' if i < 30 else 'word'},," for i in range(40)]
    path.write_text("a,late,word,empty,y\n" + "\n".join(lines) + "\nb1,2,,,\n")
    file = open_batches(path)
    found = as_read(file, "numeric", exclude=["y"], size=10)
    types = {f.name: str(f.type) for f in found.columns.schema}
    assert types == {
        "a": "string", "late": "double", "word": "string", "empty": "string", "y": "string"
    }  # fmt: skip
