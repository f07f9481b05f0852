"""Read a matrix or data frame into numbers, and give back the caller's own kind.

NumPy in, NumPy out; pandas or polars in (through narwhals), the same kind out with its
column names, order and index. Numeric columns are steered, all others pass untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from isonomy.errors import InvalidInputError, SparseInputError

__all__ = [
    "Table",
    "check_matrix",
    "column_list",
    "is_frame",
    "n_columns",
    "read_table",
    "split_groups",
    "take_columns",
    "without_columns",
]


@dataclass(frozen=True)
class Table:
    """The numeric part of a caller's matrix or frame, with the way back.

    ``values`` is ``(n_samples, n_numeric)``, float32 or float64 as the caller had it.
    """

    values: NDArray[Any]
    names: tuple[str, ...]
    untouched: tuple[str, ...]
    frame: Any | None

    @property
    def column_names(self) -> tuple[str, ...]:
        """All columns in the caller's order, numeric or not."""
        return self.names if self.frame is None else tuple(self.frame.columns)

    def rebuild(self, values: NDArray[Any]) -> Any:
        """Return ``values`` in the caller's kind and dtype, other columns untouched."""
        if self.frame is None:
            return values.astype(self.values.dtype, copy=False)
        native = nw.get_native_namespace(self.frame)
        columns = [
            nw.new_series(
                name,
                values[:, j].astype(_numpy_float(self.frame.schema[name])),
                backend=native.__name__,
            )
            for j, name in enumerate(self.names)
        ]
        return nw.to_native(_with_columns(self.frame, columns))


def is_frame(X: Any) -> bool:
    """Whether ``X`` is an eager data frame that narwhals knows."""
    try:
        native = nw.from_native(X, eager_only=True, pass_through=True)
    except DuplicateError as error:
        raise InvalidInputError(
            f"A data frame must have distinct column names: {' '.join(str(error).split())}. "
            "Rename or drop the copies."
        ) from error
    return isinstance(native, nw.DataFrame)


def column_list(columns: Any) -> list[Any]:
    """Return ``group_columns`` as a list, each once: none, one name or index, or several."""
    if columns is None:
        return []
    if isinstance(columns, str | int | np.integer):
        return [columns]
    return list(dict.fromkeys(columns))


def n_columns(X: Any) -> int:
    """Return the number of columns of a 2-D array, list of rows or data frame."""
    shape = getattr(X, "shape", None)
    return int(shape[1] if shape is not None else np.asarray(X).shape[1])


def read_table(X: Any, *, where: str, estimator: Any = None) -> Table:
    """Return the numeric columns of ``X``, checked for shape and finite values.

    Raises
    ------
    SparseInputError
        If ``X`` is sparse.
    InvalidInputError
        If ``X`` is not 2-D, has no rows or numeric columns, or holds NaN or infinity.
    """
    check_matrix(X, where=where)
    if is_frame(X):
        return _read_frame(nw.from_native(X, eager_only=True), where=where)
    try:
        values = check_array(
            X,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )
    except ValueError as error:
        raise InvalidInputError(
            f"`X` passed to `{where}` must be a 2-D array of numbers with at least one "
            f"row and one column: {error}"
        ) from error
    names = tuple(f"x{j}" for j in range(values.shape[1]))
    _check_finite(values, names, where=where)
    return Table(values, names, (), None)


def take_columns(X: Any, columns: Sequence[Any], *, where: str) -> tuple[Any, Any]:
    """Split ``X`` into (the rest, the named columns): names for frames, indices else."""
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        _check_named(columns, frame.columns, where=where)
        rest = [c for c in frame.columns if c not in columns]
        return _select(frame, rest), _select(frame, columns)
    array = np.asarray(X)
    if array.ndim != 2:
        raise InvalidInputError(
            f"`X` passed to `{where}` must be 2-D to take `group_columns` out of it, "
            f"got {array.ndim} dimension(s)."
        )
    width = array.shape[1]
    _check_named(columns, range(-width, width), where=where)
    picked = array[:, list(columns)]
    others = np.delete(array, list(columns), axis=1)
    return (_as_numbers(others, where=where) if others.dtype == object else others), picked


def without_columns(X: Any, columns: Sequence[Any], *, where: str) -> Any:
    """Return a frame less those of ``columns`` that it has; anything else as it is."""
    if not columns or not is_frame(X):
        return X
    # a pyarrow table's own `columns` are its data, not its names
    known = nw.from_native(X, eager_only=True).columns
    present = [c for c in columns if c in known]
    return take_columns(X, present, where=where)[0] if present else X


def split_groups(
    X: Any,
    sensitive_features: Any,
    columns: Sequence[Any],
    *,
    n_in_fit: int | None = None,
    needed: bool = True,
    where: str,
) -> tuple[Any, Any]:
    """Return ``X`` less the ``columns`` that hold the groups, and the groups.

    ``n_in_fit`` is how many columns ``fit`` saw, None inside ``fit``. Afterwards rows may
    come without the columns, and a frame's are not read where groups are not ``needed``.

    Raises
    ------
    InvalidInputError
        If ``fit`` gets groups both ways, or columns are missing.
    """
    if not columns:
        return X, sensitive_features
    if n_in_fit is None:
        if sensitive_features is not None:
            raise InvalidInputError(
                f"`{where}` got both `sensitive_features` and `group_columns`; give one."
            )
    elif is_frame(X):
        rest = without_columns(X, columns, where=where)
        if rest is X or not needed:
            return rest, sensitive_features
    elif n_columns(X) == n_in_fit - len(columns):
        return X, sensitive_features
    return take_columns(X, columns, where=where)


def check_matrix(X: Any, *, where: str) -> None:
    """Raise unless ``X`` is dense and 2-D; its values are not looked at."""
    if sparse.issparse(X):
        raise SparseInputError(
            f"`X` passed to `{where}` must be dense, got a sparse matrix. Steering mixes "
            "columns and would fill it: reduce it first with "
            "`sklearn.decomposition.TruncatedSVD`."
        )
    if is_frame(X):
        return
    if isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame):
        raise InvalidInputError(
            f"`X` passed to `{where}` must be an eager data frame, got a lazy one. Call "
            "`.collect()` on it first."
        )
    n_dimensions = len(X.shape) if hasattr(X, "shape") else np.asarray(X).ndim
    if n_dimensions != 2:
        raise InvalidInputError(
            f"`X` passed to `{where}` must be 2-D, got {n_dimensions} dimension(s). Reshape your "
            "data: `X.reshape(-1, 1)` for one feature, `X.reshape(1, -1)` for one row."
        )


def _select(frame: Any, columns: Sequence[Any]) -> Any:
    # by expression: pandas columns may be named by integers, which narwhals takes for rows
    return nw.to_native(frame.select(*[nw.col(c) for c in columns]))


def _as_numbers(array: NDArray[Any], *, where: str) -> NDArray[np.float64]:
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"`X` passed to `{where}` must hold numbers in every column that is not in "
            f"`group_columns`: {error}. Pass a data frame to leave other columns untouched."
        ) from error


def _check_named(columns: Sequence[Any], available: Any, *, where: str) -> None:
    missing = [c for c in columns if c not in available]
    if missing:
        known = [c for c in available if not isinstance(available, range) or c >= 0]
        shown = ", ".join(str(c) for c in known[:20])
        raise InvalidInputError(
            f"`group_columns` of `{where}` must name columns of `X` (names for data "
            f"frames, indices for arrays), got {missing!r}; `X` has: {shown}."
        )


def _read_frame(frame: Any, *, where: str) -> Table:
    duplicated = sorted({str(c) for c in frame.columns if list(frame.columns).count(c) > 1})
    if duplicated:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have distinct column names, got "
            f"{', '.join(duplicated)} more than once. Rename or drop the copies."
        )
    schema = frame.schema
    names = tuple(c for c in frame.columns if schema[c].is_numeric())
    untouched = tuple(c for c in frame.columns if c not in set(names))
    if not names:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have at least one numeric column, got only "
            f"{', '.join(map(str, untouched)) or 'none'}. Encode them first, for instance "
            "with `sklearn.preprocessing.OneHotEncoder`."
        )
    if len(frame) == 0:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have at least one row, got 0 rows: "
            "Found array with 0 sample(s)."
        )
    single = all(_numpy_float(schema[c]) == np.float32 for c in names)
    dtype = np.float32 if single else np.float64
    values = np.empty((len(frame), len(names)), dtype=dtype)
    for j, name in enumerate(names):
        values[:, j] = frame.get_column(name).cast(nw.Float64).to_numpy()
    _check_finite(values, names, where=where)
    return Table(values, names, untouched, frame)


def _numpy_float(dtype: Any) -> type[np.floating[Any]]:
    return np.float32 if dtype == nw.Float32 else np.float64


def _with_columns(frame: Any, columns: list[Any]) -> Any:
    native = nw.to_native(frame)
    if hasattr(native, "index"):  # pandas aligns on the index: give the new columns ours
        columns = [nw.from_native(_like(c, frame, native), series_only=True) for c in columns]
    return frame.with_columns(*columns)


def _like(column: Any, frame: Any, native: Any) -> Any:
    series = nw.to_native(column)
    series.index = native.index
    # nullable and Arrow-backed floats keep their kind; integers have become floats
    kept = frame.schema[column.name].is_float()
    return series.astype(native[column.name].dtype) if kept else series


def _check_finite(values: NDArray[Any], names: Sequence[str], *, where: str) -> None:
    if np.isfinite(values.sum(dtype=np.float64)):
        return
    bad = ~np.isfinite(values)
    if not bad.any():  # only the sum overflowed
        return
    row, column = np.argwhere(bad)[0]
    raise InvalidInputError(
        f"`X` passed to `{where}` must be finite, got {int(bad.sum())} NaN or infinite "
        f"value(s), the first in column {names[column]!r}, row {row}. Impute or drop those "
        "rows, for instance with `sklearn.impute.SimpleImputer`."
    )
