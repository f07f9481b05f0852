"""Read categorical columns from arrays and frames, and give back the caller's own kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._frames import check_matrix, is_frame
from isonomy._validation import is_missing
from isonomy.errors import InvalidInputError

__all__ = ["CategoryTable", "read_categories", "two_dimensional", "wide_array"]


@dataclass(frozen=True)
class CategoryTable:
    """Categorical columns as lists of plain values, with the way back to the caller's X."""

    values: tuple[list[Any], ...]
    names: tuple[Any, ...]
    source: Any

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.values[0])

    def rebuild(self, values: Sequence[list[Any]]) -> Any:
        """Return X with these columns replaced: same kind, dtypes, order and index."""
        if not is_frame(self.source):
            return self._rebuild_array(values)
        frame = nw.from_native(self.source, eager_only=True)
        native = nw.to_native(frame)
        backend = nw.get_native_namespace(frame).__name__
        columns = []
        for name, column in zip(self.names, values, strict=True):
            if hasattr(native, "index"):
                series = _widened(native[name].copy(), column)
                series[:] = column
                columns.append(nw.from_native(series, series_only=True))
            else:
                dtype = _wide_dtype(frame.schema[name], column)
                columns.append(nw.new_series(name, column, dtype, backend=backend))
        return nw.to_native(frame.with_columns(*columns))

    def _rebuild_array(self, values: Sequence[list[Any]]) -> NDArray[Any]:
        array = two_dimensional(self.source)
        array = wide_array(array, sorted({v for column in values for v in column}, key=str))
        for j, column in zip(self.names, values, strict=True):
            array[:, j] = column
        given = np.asarray(self.source)
        return array[:, 0] if given.ndim == 1 else array


def wide_array(array: NDArray[Any], values: list[Any]) -> NDArray[Any]:
    """Return a copy that can hold these values too: numpy cuts text to the width it has."""
    if array.dtype.kind not in "US" or not values:
        return np.array(array)
    wide: NDArray[Any] = array.astype(np.result_type(array.dtype, np.array(values)))
    return wide


def _widened(series: Any, column: list[Any]) -> Any:
    """Return a pandas series whose categories, if it has a list of them, hold these values."""
    known = getattr(series.dtype, "categories", None)
    if known is None:
        return series
    return series.cat.add_categories([v for v in dict.fromkeys(column) if v not in known])


def _wide_dtype(dtype: Any, column: list[Any]) -> Any:
    if not isinstance(dtype, nw.Enum):
        return dtype
    known = list(dtype.categories)
    return nw.Enum([*known, *(v for v in dict.fromkeys(column) if v not in known)])


def read_categories(X: Any, columns: Sequence[Any] | None, *, where: str) -> CategoryTable:
    """Return the named columns (default: all): by name in a frame, by index in an array.

    Raises
    ------
    InvalidInputError
        If a column is missing, holds missing values, or there is none or no row.
    """
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        names = list(frame.columns) if columns is None else list(columns)
        _check_known(names, frame.columns, where=where)
        values = [frame.get_column(name).to_list() for name in names]
    else:
        array = two_dimensional(X)
        check_matrix(array, where=where)
        names = list(range(array.shape[1])) if columns is None else list(columns)
        _check_known(names, range(array.shape[1]), where=where)
        values = [array[:, j].tolist() for j in names]
    if not names or not values[0]:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have at least one categorical column and one row, got "
            f"{len(values[0]) if values else 0} rows and {len(names)} columns."
        )
    for name, column in zip(names, values, strict=True):
        absent = sum(1 for v in column if is_missing(v))
        if absent:
            raise InvalidInputError(
                f"`X` passed to `{where}` must have a category in every row, got {absent} missing "
                f"in column {name!r}. Drop those rows, or name the missing value, for instance "
                "'unknown'."
            )
    return CategoryTable(tuple(values), tuple(names), X)


def two_dimensional(X: Any) -> NDArray[Any]:
    """Return rows as a 2-D array, one column if there is no second axis; lists keep types."""
    array = np.asarray(X)
    if array.dtype.kind in "US" and not hasattr(X, "dtype"):
        array = np.asarray(X, dtype=object)  # a list may mix text with numbers
    return array[:, None] if array.ndim == 1 else array


def _check_known(names: Sequence[Any], available: Any, *, where: str) -> None:
    missing = [name for name in names if name not in available]
    if missing or len(set(names)) < len(names):
        shown = ", ".join(str(name) for name in list(available)[:20])
        raise InvalidInputError(
            f"`columns` of `{where}` must be distinct columns of `X` (names for data frames, "
            f"indices for arrays), got {list(names)!r}; `X` has: {shown}."
        )
