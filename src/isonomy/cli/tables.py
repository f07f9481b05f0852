"""Read a user's CSV or Parquet file, or say in one sentence why it cannot be read.

A CSV stays text until a command asks for numbers, so that columns nobody steers come
out exactly as they went in (a postcode ``00123`` keeps its zeros).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from isonomy.errors import DataFileError

__all__ = ["DataTable", "check_file", "check_header", "open_csv", "read_table", "readable"]

Kind = Literal["csv", "parquet"]

SUFFIXES: dict[str, tuple[Kind, str]] = {
    ".csv": ("csv", ","),
    ".csv.gz": ("csv", ","),
    ".tsv": ("csv", "\t"),
    ".tsv.gz": ("csv", "\t"),
    ".parquet": ("parquet", ""),
    ".pq": ("parquet", ""),
}

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class DataTable:
    """The rows of one file: CSV columns as text, Parquet columns as stored.

    A batch of a larger file begins at its row ``first_row``; with ``copies`` each row
    stands for so many equal ones.
    """

    columns: pa.Table
    path: Path
    kind: Kind
    suffix: str
    delimiter: str
    first_row: int = 0
    copies: NDArray[np.intp] | None = None

    @property
    def names(self) -> list[str]:
        """Column names in the file's order."""
        return list(self.columns.column_names)

    @property
    def n_rows(self) -> int:
        """Rows below the header, copies included."""
        return int(self.columns.num_rows) if self.copies is None else int(self.copies.sum())

    def count(self, mask: NDArray[np.bool_]) -> int:
        """Return how many rows the mask picks, copies included."""
        return int(mask.sum() if self.copies is None else self.copies[mask].sum())

    def with_rows(self, columns: pa.Table, first_row: int = 0) -> DataTable:
        """Return other rows of the same file."""
        return DataTable(columns, self.path, self.kind, self.suffix, self.delimiter, first_row)


def check_file(path: Path, delimiter: str | None = None) -> tuple[Kind, str, str]:
    """Return kind, suffix and delimiter of a file that is there and not empty.

    Raises
    ------
    DataFileError
        If it is missing, empty, no file, or of a kind that is not read.
    """
    suffix = _suffix(path)
    kind, default = SUFFIXES[suffix]
    if not path.exists():
        raise DataFileError(f"The file {path} does not exist. Check the path.")
    if not path.is_file():
        raise DataFileError(f"{path} is not a file. Pass one CSV or Parquet file.")
    if path.stat().st_size == 0:
        raise DataFileError(f"The file {path} is empty (0 bytes): it needs a header and rows.")
    return kind, suffix, delimiter or default


def read_table(path: Path, *, encoding: str = "utf-8", delimiter: str | None = None) -> DataTable:
    """Return the table in ``path``: ``.csv``, ``.tsv`` (also ``.gz``) or ``.parquet``.

    Raises
    ------
    DataFileError
        If the file is missing, empty, of another kind, in another encoding, has no rows
        below its header, repeats a column name, or has rows of different length.
    """
    kind, suffix, separator = check_file(path, delimiter)
    with readable(path, encoding):
        if kind == "csv":
            table = _read_csv(path, suffix=suffix, encoding=encoding, delimiter=separator)
        else:
            table = _read_parquet(path)
    if table.num_rows == 0:
        raise DataFileError(
            f"The file {path} has a header ({len(table.column_names)} columns) but no rows."
        )
    return DataTable(table, path, kind, suffix, separator)


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise DataFileError(
        f"The file {path} must end in one of {', '.join(SUFFIXES)}, got "
        f"{path.suffix or 'no suffix'!r}. Save the table as CSV or Parquet first."
    )


@contextmanager
def readable(path: Path, encoding: str) -> Iterator[None]:
    """Turn what Python and Arrow raise while reading into one sentence."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _encoding_error(path, encoding) from error
    except PermissionError as error:
        raise DataFileError(f"The file {path} may not be read: {error.strerror}.") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataFileError(
            f"The file {path} is not a whole gzip file ({error}). Copy it again, or remove "
            "the suffix .gz if it is plain text."
        ) from error
    except (pa.ArrowException, csv.Error, OSError) as error:
        raise _arrow_error(path, encoding, str(error)) from error


def _encoding_error(path: Path, encoding: str) -> DataFileError:
    return DataFileError(
        f"The file {path} is not {encoding} text. Name its encoding with --encoding, for "
        "instance --encoding latin-1, cp1252 or utf-16."
    )


def _arrow_error(path: Path, encoding: str, text: str) -> DataFileError:
    if "UTF8" in text or "UTF-8" in text:
        return _encoding_error(path, encoding)
    first = " ".join(text.split())
    if "Expected" in text and "columns" in text:
        detail = first.split("CSV parse error: ")[-1][:160]
        return DataFileError(
            f"The file {path} has rows of different length: {detail}. Quote cells that hold "
            "the separator, or name another one with --delimiter."
        )
    return DataFileError(f"The file {path} cannot be read: {first[:200]}.")


def _read_parquet(path: Path) -> pa.Table:
    with path.open("rb") as raw, pq.ParquetFile(raw) as file:
        check_header(list(file.schema_arrow.names), path)
        return file.read()


def _read_csv(path: Path, *, suffix: str, encoding: str, delimiter: str) -> pa.Table:
    how = {"suffix": suffix, "encoding": encoding, "delimiter": delimiter}
    with open_csv(path, **how, read=pacsv.read_csv) as table:
        return table


@contextmanager
def open_csv(
    path: Path,
    *,
    suffix: str,
    encoding: str,
    delimiter: str,
    read: Callable[..., Any] = pacsv.open_csv,
) -> Iterator[Any]:
    """Yield what ``read`` makes of the file: by default a reader of record batches."""
    names = _read_header(path, suffix=suffix, encoding=encoding, delimiter=delimiter)
    check_header(names, path)
    # every column as text: an unquoted empty cell is null, a quoted one stays ""
    convert = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    compression = "gzip" if suffix.endswith(".gz") else None
    # an open file, not its name: Arrow takes no name that is not text
    with path.open("rb") as raw, pa.input_stream(raw, compression=compression) as stream:
        yield read(
            stream,
            read_options=pacsv.ReadOptions(encoding=encoding),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=convert,
        )


def _read_header(path: Path, *, suffix: str, encoding: str, delimiter: str) -> list[str]:
    """Read the first row ourselves: Arrow lets wrong encodings and copies through."""
    opener: Any = gzip.open if suffix.endswith(".gz") else open
    with opener(path, "rb") as raw:
        if encoding == "utf-8" and raw.read(2) in UTF16_MARKS:
            raise DataFileError(f"The file {path} is UTF-16 text: add --encoding utf-16.")
        raw.seek(0)
        signed = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
        try:
            text = io.TextIOWrapper(raw, encoding=signed, newline="")
        except LookupError as error:
            raise DataFileError(
                f"--encoding must be a text encoding that Python knows, got {encoding!r}. "
                "Try utf-8, latin-1, cp1252 or utf-16."
            ) from error
        rows = csv.reader(text, delimiter=delimiter)
        header = next((row for row in rows if row), [])
    if not header:
        raise DataFileError(f"The file {path} is empty: it needs a header and rows.")
    return header


def check_header(names: list[str], path: Path) -> None:
    """Raise if a column name occurs twice."""
    copies = sorted({name for name in names if names.count(name) > 1})
    if copies:
        shown = ", ".join(repr(name) for name in copies)
        raise DataFileError(
            f"The file {path} has more than one column named {shown}. Rename or drop the copies."
        )
