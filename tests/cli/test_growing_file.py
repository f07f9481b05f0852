"""A file that grows by parts ends as one file that others can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from isonomy.cli._growing_file import GrowingCsv, GrowingFile, GrowingParquet


def rows(n: int = 1000) -> pa.Table:
    table = pa.table(
        {
            "x": np.random.default_rng(0).normal(size=n).astype(np.float32),
            "name": [f"row {i % 7}" for i in range(n)],
            "pair": [[i, i + 1] for i in range(n)],
        }
    )
    return table.replace_schema_metadata({"made by": "a test"})


def grow(path: Path, end: int = 0, codec: str = "SNAPPY") -> GrowingParquet:
    return GrowingParquet(path, rows().schema, end=end, codec=codec, dictionary=["name"])


def write(out: GrowingFile, parts: list[tuple[int, int]]) -> int:
    end = 0
    for start, stop in parts:
        out.write(rows().slice(start, (stop - start) // 2))
        out.write(rows().slice(start + (stop - start) // 2, stop - start - (stop - start) // 2))
        end = out.close_part()
    return end


@pytest.mark.parametrize("codec", ["SNAPPY", "ZSTD", "NONE"])
def test_parts_make_one_parquet_file(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "rows.parquet"
    out = grow(path, codec=codec)
    write(out, [(0, 10), (10, 500), (500, 1000)])
    out.finish()
    found = pq.read_table(path)
    assert found.equals(rows())
    pq.write_table(rows(), tmp_path / "plain.parquet")
    plain = pq.read_schema(tmp_path / "plain.parquet")
    assert found.schema.equals(plain, check_metadata=True)
    assert pl.read_parquet(path)["x"].to_numpy().tolist() == rows()["x"].to_pylist()
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == 6
    assert file.metadata.row_group(5).column(0).statistics.has_min_max
    assert file.read_row_group(4).equals(rows().slice(500, 250))
    # nothing but rows between the two marks and the footer
    assert path.read_bytes().count(b"PAR1") == 2


def test_a_cut_off_part_is_written_again_to_the_same_bytes(tmp_path: Path) -> None:
    whole = grow(tmp_path / "whole.parquet")
    write(whole, [(0, 300), (300, 600), (600, 1000)])
    whole.finish()
    (tmp_path / "cut").mkdir()
    path = tmp_path / "cut" / "rows.parquet"
    stopped = grow(path)
    end = write(stopped, [(0, 300), (300, 600)])
    stopped.write(rows().slice(600, 200))
    stopped.close()
    with path.open("ab") as raw:
        raw.write(b"half a page")
    again = grow(path, end)
    write(again, [(600, 1000)])
    again.finish()
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_footer_far_behind_the_start_is_right(tmp_path: Path) -> None:
    # beyond 4 GB and many blocks of what is skipped: a sparse file, so no disk is used
    path = tmp_path / "rows.parquet"
    out = grow(path)
    write(out, [(0, 500)])
    out._end = 5 << 30
    write(out, [(500, 1000)])
    out.finish()
    assert path.stat().st_size > 5 << 30
    assert pq.read_table(path).equals(rows())


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_parts_make_one_csv_file(tmp_path: Path, compression: str | None) -> None:
    flat = rows().drop_columns(["pair"])
    path = tmp_path / "rows.csv"

    def grow_csv(end: int) -> GrowingCsv:
        return GrowingCsv(path, flat.schema, end=end, delimiter=";", compression=compression)

    out = grow_csv(0)
    out.write(flat.slice(0, 300))
    end = out.close_part()
    out.write(flat.slice(300, 100))
    out.close()
    again = grow_csv(end)
    again.write(flat.slice(300, 700))
    again.finish()
    with pa.input_stream(path, compression=compression) as stream:
        found = pacsv.read_csv(stream, parse_options=pacsv.ParseOptions(delimiter=";"))
    assert found.column("name").equals(flat.column("name"))
    assert found.num_rows == 1000
