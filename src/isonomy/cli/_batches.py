"""Read a file too large for memory: batches of its rows, always cut at the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from isonomy.cli.tables import DataTable, Kind, check_file, check_header, open_csv, readable
from isonomy.errors import DataFileError, InvalidInputError

__all__ = ["BATCH_ROWS", "BatchFile", "no_rows", "open_batches", "wants_batches"]

BATCH_ROWS = 65_536
"""Rows in memory at once where the user does not say: 16 MB a copy at 30 columns."""

LARGE_NUMBERS = 30_000_000
"""Numbers in a Parquet file beyond which it is read in batches unasked (240 MB as float64)."""

LARGE_BYTES = 256 << 20
"""Size of a CSV beyond which it is read in batches unasked."""

READ_BUFFER = 1 << 20
"""Bytes read ahead for each column: a row group is never held whole."""


@dataclass(frozen=True)
class BatchFile:
    """A file that was opened and looked at, but whose rows are still on disk.

    ``n_rows`` is None where only reading the whole file would tell (CSV).
    """

    path: Path
    kind: Kind
    suffix: str
    delimiter: str
    encoding: str
    schema: pa.Schema
    n_rows: int | None
    codec: str

    @property
    def names(self) -> list[str]:
        """Column names in the file's order."""
        return list(self.schema.names)

    def table(self, columns: pa.Table, first_row: int = 0) -> DataTable:
        """Return rows of this file as the rest of the command line knows them."""
        return DataTable(columns, self.path, self.kind, self.suffix, self.delimiter, first_row)

    def batches(
        self, columns: Sequence[str] | None = None, *, size: int, start: int = 0
    ) -> Iterator[DataTable]:
        """Yield the rows from ``start`` on, ``size`` at a time, the last batch shorter.

        Raises
        ------
        DataFileError
            If the file cannot be read to its end.
        """
        with readable(self.path, self.encoding):
            reader = (
                self._csv(columns, start)
                if self.kind == "csv"
                else self._parquet(columns, start, size)
            )
            first = start
            for rows in _regroup(reader, size):
                yield self.table(rows, first)
                first += rows.num_rows

    def _parquet(
        self, columns: Sequence[str] | None, start: int, size: int
    ) -> Iterator[pa.RecordBatch]:
        with _open_parquet(self.path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            ends = list(accumulate(sizes))
            groups = [i for i, end in enumerate(ends) if end > start]
            if not groups:
                return
            skip = start - (ends[groups[0]] - sizes[groups[0]])
            names = None if columns is None else list(columns)
            batches = file.iter_batches(batch_size=size, row_groups=groups, columns=names)
            yield from _without_first(batches, skip)

    def _csv(self, columns: Sequence[str] | None, start: int) -> Iterator[pa.RecordBatch]:
        with open_csv(
            self.path, suffix=self.suffix, encoding=self.encoding, delimiter=self.delimiter
        ) as reader:
            wanted = (b if columns is None else b.select(list(columns)) for b in reader)
            yield from _without_first(wanted, start)


def open_batches(path: Path, *, encoding: str = "utf-8", delimiter: str | None = None) -> BatchFile:
    """Return the file at ``path``, its columns known and no row read.

    Raises
    ------
    DataFileError
        If it is missing, empty, of another kind, or repeats a column name.
    """
    kind, suffix, separator = check_file(path, delimiter)
    with readable(path, encoding):
        if kind == "csv":
            with open_csv(path, suffix=suffix, encoding=encoding, delimiter=separator) as reader:
                schema = reader.schema
            return BatchFile(path, kind, suffix, separator, encoding, schema, None, "")
        with _open_parquet(path) as file:
            schema, n_rows = file.schema_arrow, file.metadata.num_rows
            check_header(list(schema.names), path)
            if n_rows == 0:
                raise no_rows(path, len(schema.names))
            codec = _codec(file.metadata)
    return BatchFile(path, kind, suffix, separator, encoding, schema, n_rows, codec)


def no_rows(path: Path, n_columns: int) -> DataFileError:
    """Return the error that says so."""
    return DataFileError(f"The file {path} has a header ({n_columns} columns) but no rows.")


def wants_batches(path: Path, batch_rows: int | None) -> bool:
    """Whether to read ``path`` in batches: as asked, or because it is large.

    Raises
    ------
    DataFileError
        If the file is missing, empty or of another kind.
    InvalidInputError
        If ``batch_rows`` is negative.
    """
    if batch_rows is not None and batch_rows < 0:
        raise InvalidInputError(
            f"--batch-rows must be at least 1, or 0 to read the file at once, got {batch_rows}."
        )
    kind, _, _ = check_file(path)
    if batch_rows is not None:
        return batch_rows > 0
    if kind == "csv":
        return path.stat().st_size > LARGE_BYTES
    with readable(path, "utf-8"), _open_parquet(path) as file:
        return bool(file.metadata.num_rows * file.metadata.num_columns > LARGE_NUMBERS)


def _open_parquet(path: Path) -> Any:
    # without a buffer size, Arrow would hold whole column chunks of a row group
    return pq.ParquetFile(path, buffer_size=READ_BUFFER, pre_buffer=False)


def _codec(metadata: Any) -> str:
    found = str(metadata.row_group(0).column(0).compression)
    return {"UNCOMPRESSED": "NONE", "UNKNOWN": "SNAPPY"}.get(found, found)


def _without_first(batches: Iterator[Any], n: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if n < batch.num_rows:
            yield batch.slice(n)
        n = max(n - batch.num_rows, 0)


def _regroup(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Cut at multiples of ``size``, wherever the file's own batches end."""
    held: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        held.append(batch)
        n += batch.num_rows
        while n >= size:
            rows = pa.Table.from_batches(held)
            yield rows.slice(0, size)
            held = rows.slice(size).to_batches()
            n -= size
    if n:
        yield pa.Table.from_batches(held)
