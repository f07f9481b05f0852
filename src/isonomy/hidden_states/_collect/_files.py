"""Read CSV, TSV, JSON Lines and Parquet files piece by piece: memory does not grow with them."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isonomy.errors import DataFileError

__all__ = ["KINDS", "kind_of", "open_files"]

KINDS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
_BLOCK = 4096
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?")

Read = Callable[[Sequence[str]], Iterator[tuple[Any, ...]]]


def kind_of(path: Path) -> str:
    """Return the ending that says how to read ``path``, without ``.gz``; "" if none does."""
    name = path.name.lower().removesuffix(".gz")
    return next((kind for kind in KINDS if name.endswith(kind)), "")


def open_files(
    files: Sequence[Path], *, text: str, labels: Sequence[str], where: str
) -> tuple[tuple[str, ...], int | None, Read]:
    """Return the columns, the number of rows if the files say, and how to read them.

    Raises
    ------
    DataFileError
        If a file is of another kind or cannot be read, or columns differ between files.
    """
    kinds = sorted({kind_of(path) or path.suffix for path in files})
    if len(kinds) > 1 or not kind_of(files[0]):
        raise DataFileError(
            f"`data` passed to `{where}` must be files of one kind, ending in {', '.join(KINDS)} "
            f"(or .gz), got {', '.join(kinds)}."
        )
    readers: dict[str, Callable[..., Any]] = {".parquet": _parquet, ".pq": _parquet}
    if kinds[0] in (".csv", ".tsv"):
        readers[kinds[0]] = _csv
    opened = []
    for path in files:
        with _in_one_sentence(path):
            opened.append(readers.get(kinds[0], _json_lines)(path, text, labels))
    columns = opened[0][0]
    for path, (others, _, _) in zip(files, opened, strict=True):
        if set(others) != set(columns):
            raise DataFileError(
                f"The files passed to `{where}` must have the same columns: {files[0].name!r} has "
                f"{', '.join(columns)}, {path.name!r} has {', '.join(others)}."
            )
    sizes = [n for _, n, _ in opened]

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for path, (_, _, rows) in zip(files, opened, strict=True):
            with _in_one_sentence(path):
                yield from rows(wanted)

    return columns, None if None in sizes else sum(sizes), read


@contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    # pyarrow's errors are ValueErrors, an unreadable file is an OSError
    try:
        yield
    except DataFileError:
        raise
    except (OSError, ValueError, EOFError, UnicodeError, csv.Error) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataFileError(f"The file {str(path)!r} cannot be read: {first}") from error


def _parquet(path: Path, text: str, labels: Sequence[str]) -> tuple[tuple[str, ...], int, Read]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        columns, n_rows = tuple(file.schema_arrow.names), file.metadata.num_rows

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BLOCK, columns=list(dict.fromkeys(wanted))):
                yield from zip(*(batch.column(n).to_pylist() for n in wanted), strict=True)

    return columns, n_rows, read


def _csv(path: Path, text: str, labels: Sequence[str]) -> tuple[tuple[str, ...], None, Read]:
    separator = "\t" if kind_of(path) == ".tsv" else ","
    with _opened(path) as file:
        columns = tuple(next(csv.reader(file, delimiter=separator, strict=True), ()))
    if not columns or len(set(columns)) < len(columns):
        raise DataFileError(
            f"The file {str(path)!r} must begin with a line of distinct column names, got "
            f"{', '.join(columns) or 'nothing'}."
        )
    convert = _spellings(path, separator, columns, [n for n in labels if n in columns])

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        places = [(columns.index(n), convert.get(n) if n != text else None) for n in wanted]
        for row in _csv_rows(path, separator, len(columns)):
            values = ((row[i], made) for i, made in places)
            # an empty field is a missing value
            yield tuple((made(v) if made else v) if v else None for v, made in values)

    return columns, None, read


def _csv_rows(path: Path, separator: str, width: int) -> Iterator[list[str]]:
    with _opened(path) as file:
        # strict: a quote that is never closed would swallow the rows behind it in silence
        reader = csv.reader(file, delimiter=separator, strict=True)
        next(reader, None)
        try:
            for row in reader:
                if len(row) not in (0, width):
                    raise DataFileError(
                        f"Line {reader.line_num} of {str(path)!r} has {len(row)} fields where the "
                        f"header has {width}. Quote fields that hold {separator!r}."
                    )
                if row:
                    yield row
        except csv.Error as error:
            raise DataFileError(
                f"Line {reader.line_num} of {str(path)!r} cannot be read: {error}. Double the "
                "quotes inside quoted fields; for very long texts use JSON Lines or Parquet."
            ) from error


def _spellings(
    path: Path, separator: str, columns: Sequence[str], names: Sequence[str]
) -> dict[str, Callable[[str], Any]]:
    """Return how to read each column: as numbers or booleans if all of its fields are such.

    A pass over the whole file: a kind guessed from its first rows may be wrong later.
    """
    kinds: dict[str, list[Callable[[str], Any]]] = {n: [int, float, _boolean] for n in names}
    for row in _csv_rows(path, separator, len(columns)):
        for name, left in kinds.items():
            value = row[columns.index(name)]
            if value:
                left[:] = [made for made in left if _reads(made, value)]
        if not any(kinds.values()):
            break
    return {name: left[0] for name, left in kinds.items() if left}


def _reads(made: Callable[[str], Any], value: str) -> bool:
    # "007" and "1_0" are names, not numbers
    if made is not _boolean and not _NUMBER.fullmatch(value):
        return False
    try:
        made(value)
    except ValueError:
        return False
    return True


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return value.lower() == "true"


def _json_lines(path: Path, text: str, labels: Sequence[str]) -> tuple[tuple[str, ...], None, Read]:
    columns: dict[str, None] = {}
    for i, row in enumerate(_json_rows(path)):
        columns.update(dict.fromkeys(row))
        if i >= _BLOCK:
            break

    def read(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        # a key that a row leaves out is a missing value
        return (tuple(row.get(name) for name in wanted) for row in _json_rows(path))

    return tuple(columns), None, read


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with _opened(path) as file:
        if kind_of(path) == ".json":
            whole = file.read()
            if whole.lstrip().startswith("["):
                yield from (_record(row, path, i) for i, row in enumerate(json.loads(whole)))
                return
            # not `splitlines`: JSON keeps other separators, such as U+2028, as they are
            lines: Any = whole.split("\n")
        else:
            lines = file
        for i, line in enumerate(lines):
            if line.strip():
                yield _record(_parsed(line, path, i + 1), path, i)


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataFileError(
            f"Line {number} of {str(path)!r} is no JSON: {error.msg} at character {error.pos}."
        ) from error


def _record(row: Any, path: Path, index: int) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataFileError(
            f"Row {index} of {str(path)!r} (counted from 0) must be a JSON object of columns, got "
            f"{type(row).__name__}."
        )
    return row


def _opened(path: Path) -> Any:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
