"""Pick columns of a table by name, and read them as labels, groups or numbers."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isonomy.cli.tables import DataTable
from isonomy.errors import DataFileError, MissingGroupValuesError
from isonomy.groups import MISSING_GROUP

__all__ = [
    "count_missing",
    "find_columns",
    "finite_cells",
    "is_number_text",
    "is_text",
    "read_groups",
    "read_labels",
    "read_numbers",
    "require_column",
]

MISSING = ("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "<NA>")
"""Text that counts as a missing value in a CSV, as in other table libraries."""

LISTED = 30
"""Column names shown in an error before the list is cut."""


def require_column(table: DataTable, name: str, *, option: str) -> str:
    """Return ``name`` if the table has it; else say which columns it has.

    Raises
    ------
    DataFileError
        Naming close matches, and the columns of the file.
    """
    if name in table.names:
        return name
    close = difflib.get_close_matches(name, table.names, n=3, cutoff=0.6)
    lower = {known.lower(): known for known in table.names}
    if name.lower() in lower and lower[name.lower()] not in close:
        close.insert(0, lower[name.lower()])
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    raise DataFileError(
        f"{option} names the column {name!r}, which {table.path} does not have.{hint} "
        f"Its columns: {_list(table.names)}.{_delimiter_hint(table)}"
    )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown}, and {len(names) - LISTED} more"


def _delimiter_hint(table: DataTable) -> str:
    if table.kind == "csv" and len(table.names) == 1:
        for mark, word in ((";", "';'"), ("\t", "tab"), (",", "','"), ("|", "'|'")):
            if mark in table.names[0]:
                return f" The separator seems to be {word}: name it with --delimiter."
    return ""


def find_columns(
    table: DataTable, features: str, *, exclude: Sequence[str], option: str = "--features"
) -> list[str]:
    """Return the numeric feature columns that ``features`` names, in the file's order.

    Parameters
    ----------
    features : str
        ``"numeric"`` for every numeric column, or names and globs with commas between
        (``"age,hours-*"``); a column whose name holds a comma is given by a glob.
    exclude : sequence of str
        Label and group columns: left out of globs, an error when named outright.
    """
    if features.strip() == "numeric" and "numeric" not in table.names:
        found = [n for n in table.names if n not in exclude and _is_numeric(table, n)]
        if not found:
            raise DataFileError(
                f'{option} "numeric" found no numeric column in {table.path} beside '
                f"{_list(list(exclude))}. Encode categories as numbers first."
            )
        return found
    wanted: set[str] = set()
    for part in (p.strip() for p in features.split(",")):
        if part:
            wanted.update(_match(table, part, exclude=exclude, option=option))
    if not wanted:
        raise DataFileError(f'{option} must name at least one column, or be "numeric".')
    return [name for name in table.names if name in wanted]


def _match(table: DataTable, part: str, *, exclude: Sequence[str], option: str) -> list[str]:
    if part in table.names:
        if part in exclude:
            raise DataFileError(
                f"{option} names {part!r}, which is also the label or a group. A feature that "
                "is the answer or the group would leak it: leave it out."
            )
        return [part]
    if any(mark in part for mark in "*?["):
        found = [n for n in table.names if fnmatch.fnmatchcase(n, part) and n not in exclude]
        if found:
            return found
        raise DataFileError(
            f"{option} holds the pattern {part!r}, which fits no column of {table.path}. "
            f"Its columns: {_list(table.names)}."
        )
    return [require_column(table, part, option=option)]


def read_numbers(table: DataTable, name: str) -> pa.ChunkedArray:
    """Return a column as numbers, missing values as null.

    Raises
    ------
    DataFileError
        If a cell is not a number; the message quotes the first one.
    """
    column = table.columns.column(name)
    if _is_number_type(column.type):
        return column if pa.types.is_floating(column.type) else column.cast(pa.float64())
    if not is_text(column.type):
        raise DataFileError(
            f"The column {name!r} of {table.path} must hold numbers, got {column.type}."
        )
    try:
        return _blank_to_null(column).cast(pa.float64())
    except pa.ArrowInvalid as error:
        row, cell = _first_text(column)
        raise DataFileError(
            f"The column {name!r} of {table.path} must hold numbers, got {cell!r} in row "
            f"{table.first_row + row}. Leave it out of --features (it then passes untouched) or "
            "encode it."
        ) from error


def _first_text(column: pa.ChunkedArray) -> tuple[int, str]:
    for row, cell in enumerate(_blank_to_null(column).to_pylist(), start=1):
        try:
            float(cell) if cell is not None else None
        except ValueError:
            return row, cell
    return 0, ""


def _is_numeric(table: DataTable, name: str) -> bool:
    column = table.columns.column(name)
    if not is_text(column.type):
        return _is_number_type(column.type)
    return is_number_text(column) is True


def is_number_text(column: pa.ChunkedArray) -> bool | None:
    """Whether every known cell of a column of text is a number; None if none is known."""
    filled = _blank_to_null(column)
    if filled.null_count == len(filled):
        return None
    try:
        filled.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_number_type(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _blank_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    known = pa.array(MISSING, pa.string())
    return pc.if_else(pc.is_in(text, value_set=known), pa.scalar(None, pa.string()), text)


def read_labels(table: DataTable, names: Sequence[str]) -> list[NDArray[Any]]:
    """Return label columns that share one set of values.

    All become numbers if every one of them holds only numbers, else all become text, so
    that a label ``1`` and a prediction ``1.0`` are the same class.

    Raises
    ------
    DataFileError
        If a label is missing; the message counts them.
    """
    if all(_is_numeric(table, name) for name in names):
        numbers = [read_numbers(table, name) for name in names]
        for name, column in zip(names, numbers, strict=True):
            _refuse_missing(table, name, table.count(~finite_cells(column)))
        return [_plain_numbers(column) for column in numbers]
    found = [_as_text(table.columns.column(name)) for name in names]
    for name, values in zip(names, found, strict=True):
        _refuse_missing(table, name, table.count(_absent(values)))
    return found


def count_missing(column: pa.ChunkedArray) -> int:
    """Return how many cells of a column of numbers are null, NaN or infinite."""
    return int((~finite_cells(column)).sum())


def finite_cells(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which cells of a column of numbers are known and finite."""
    finite: NDArray[np.bool_] = pc.fill_null(pc.is_finite(column), False).to_numpy()
    return finite


def _refuse_missing(table: DataTable, name: str, n_missing: int) -> None:
    if n_missing:
        raise DataFileError(
            f"The column {name!r} of {table.path} must have a value in every row, got "
            f"{n_missing} missing of {table.n_rows}. Drop or fill those rows."
        )


def _plain_numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy().astype(np.float64, copy=False)
    whole = (values == np.round(values)) & (np.abs(values) < 2**53)
    return values.astype(np.int64) if whole.all() else values


def _as_text(column: pa.ChunkedArray) -> NDArray[Any]:
    cells = _blank_to_null(column) if is_text(column.type) else column
    return np.array([_cell_text(cell) for cell in cells.to_pylist()], dtype=object)


def _absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.fromiter((v is None for v in values.tolist()), bool, len(values))


def _cell_text(cell: Any) -> str | None:
    if cell is None or cell != cell:
        return None
    # Parquet keeps whole numbers with gaps as floats: 1.0 there is the 1 of a CSV
    whole = isinstance(cell, float) and cell.is_integer()
    return str(int(cell) if whole else cell)


def read_groups(
    table: DataTable, names: Sequence[str], *, missing: Literal["raise", "own_group"] = "raise"
) -> pa.Table:
    """Return group columns as text under their own names.

    Raises
    ------
    MissingGroupValuesError
        If a value is missing and ``missing="raise"``.
    """
    columns = {}
    for name in names:
        values = _as_text(table.columns.column(name))
        absent = _absent(values)
        if absent.any() and missing == "raise":
            raise MissingGroupValuesError(
                f"The group column {name!r} of {table.path} must have a value in every row, got "
                f"{table.count(absent)} missing of {table.n_rows}. Drop those rows, or keep them "
                "as a group of their own with --missing-groups own_group."
            )
        values[absent] = MISSING_GROUP
        columns[name] = pa.array(values.tolist(), pa.string())
    return pa.table(columns)
