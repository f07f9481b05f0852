"""Write a large table part by part, so that a stopped run can go on at the last part.

A Parquet file ends in a footer that says where every row group lies. Here each part is a
run of row groups behind the last one; its own footer is kept aside, and one footer for all
of them is written at the end. So no row is written twice, and a part that was cut off is
cut away.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

__all__ = ["GrowingCsv", "GrowingFile", "GrowingParquet"]

MAGIC = b"PAR1"

UNREAD = np.zeros(1 << 26, dtype=np.uint8)
"""Passed to Arrow in place of what lies in the file already; no page of it is touched."""


class GrowingFile(Protocol):
    """A table on disk to which batches are added."""

    def write(self, rows: pa.Table) -> None:
        """Add a batch."""

    def close_part(self) -> int:
        """Bring everything so far to the disk; return the length to go on from."""

    def finish(self) -> None:
        """Make the file whole and close it."""

    def close(self) -> None:
        """Let go of the file as it is, perhaps in the middle of a part."""


class _Tail:
    """The end of a file for Arrow, which counts from 0: what it skips is swallowed."""

    closed = False

    def __init__(self, raw: BinaryIO) -> None:
        self.raw, self.swallow, self.deaf = raw, len(MAGIC), False

    def write(self, data: Any) -> int:
        n = len(data)
        if self.swallow:
            assert n <= self.swallow
            self.swallow -= n
        elif not self.deaf:
            self.raw.write(data)
        return n

    def flush(self) -> None:
        """Leave it to `GrowingParquet.close_part`."""

    def close(self) -> None:
        """Leave the file open: its owner closes it."""


class GrowingParquet:
    """A Parquet file to be continued at byte ``end``; 0 begins a new one."""

    def __init__(
        self, path: Path, schema: pa.Schema, *, end: int, codec: str, dictionary: Sequence[str]
    ) -> None:
        self._schema, self._codec, self._dictionary = schema, codec, list(dictionary)
        self._path, self._end = path, end
        self._footer: Any = pq.read_metadata(self._aside(end)) if end else None
        self._raw: BinaryIO = path.open("r+b" if end else "w+b")
        if not end:
            self._raw.write(MAGIC)
            self._end = len(MAGIC)
        self._writer: Any = None
        self._tail = _Tail(self._raw)
        self._stream: Any = None

    def _aside(self, end: int) -> Path:
        return self._path.with_name(f"footer-{end}.parquet")

    def write(self, rows: pa.Table) -> None:
        """Add a batch as row groups."""
        if self._writer is None:
            self._open_part()
        self._writer.write_table(rows)

    def _open_part(self) -> None:
        self._raw.seek(self._end)
        self._raw.truncate()
        self._tail = tail = _Tail(self._raw)
        self._stream = pa.PythonFile(tail, mode="w")
        self._writer = pq.ParquetWriter(
            self._stream, self._schema, compression=self._codec, use_dictionary=self._dictionary
        )
        # Arrow notes where each column begins: let it count what is there already
        tail.swallow = left = self._end - len(MAGIC)
        while left:
            left -= self._stream.write(UNREAD[: min(left, len(UNREAD))])

    def close_part(self) -> int:
        """Bring the row groups so far to the disk; return the length to go on from."""
        if self._writer is None:
            return self._end
        self._end = int(self._stream.tell())
        self._close_writer()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._footer.write_metadata_file(str(self._aside(self._end)))
        return self._end

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        self._tail.deaf = True  # the part's own footer
        writer.close()
        if self._footer is None:
            self._footer = writer.writer.metadata
        else:
            self._footer.append_row_groups(writer.writer.metadata)

    def finish(self) -> None:
        """Write the footer of all parts behind them."""
        self.close_part()
        footer = io.BytesIO()
        self._footer.write_metadata_file(footer)
        self._raw.seek(self._end)
        self._raw.write(footer.getvalue()[len(MAGIC) :])
        self._raw.truncate()
        self.close()

    def close(self) -> None:
        """Let go of the file as it is, perhaps in the middle of a part."""
        if self._writer is not None:
            self._close_writer()
        self._raw.close()


class GrowingCsv:
    """A CSV file to be continued at byte ``end``; 0 begins a new one.

    A compressed one is a chain of gzip members, which readers take for one.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, *, end: int, delimiter: str, compression: str | None
    ) -> None:
        self._path, self._schema, self._end = path, schema, end
        self._delimiter, self._compression = delimiter, compression
        with path.open("r+b" if end else "wb") as raw:
            raw.truncate(end)
        self._open: ExitStack | None = None
        self._writer: Any = None

    def write(self, rows: pa.Table) -> None:
        """Add a batch as lines."""
        if self._open is None:
            self._open = ExitStack()
            raw = self._open.enter_context(self._path.open("ab"))
            sink = pa.output_stream(raw, compression=self._compression)
            options = pacsv.WriteOptions(include_header=not self._end, delimiter=self._delimiter)
            stream = self._open.enter_context(sink)
            self._writer = pacsv.CSVWriter(stream, self._schema, write_options=options)
            self._open.enter_context(self._writer)
        self._writer.write_table(rows)

    def close_part(self) -> int:
        """Bring the lines so far to the disk; return the length to go on from."""
        self.close()
        with self._path.open("r+b") as raw:
            os.fsync(raw.fileno())
        self._end = self._path.stat().st_size
        return self._end

    def finish(self) -> None:
        """Close the last part."""
        self.close_part()

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
            self._open = None
