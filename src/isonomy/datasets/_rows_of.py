"""Labels and splits of whatever holds rows, and how to keep some of the rows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from isonomy._frames import is_frame
from isonomy._validation import as_column, check_labels, check_same_length
from isonomy.errors import InvalidInputError

__all__ = ["RowsOf", "rows_of"]

Indices = NDArray[np.intp]

_ABOUT_COLUMNS = frozenset(
    {"classes", "class_names", "target_names", "label_names", "feature_names", "groups"}
)
"""Entries of a Bunch that describe it: as long as the data only by accident."""


@dataclass(frozen=True)
class RowsOf:
    """Labels (n_samples,), splits (None: all is training) and the way back.

    ``classes`` are the names that the data gives to its labels, if it does; ``take`` returns
    the same kind of object with the rows of the given indices.
    """

    labels: NDArray[Any]
    split: NDArray[Any] | None
    classes: tuple[Any, ...] | None
    take: Callable[[Indices], Any]


def rows_of(dataset: Any, *, label: str, split: str | None, where: str) -> RowsOf:
    """Open a data set of any kind that `long_tail` knows.

    Raises
    ------
    InvalidInputError
        If it is of no such kind, or lacks the column of labels or splits.
    """
    if is_frame(dataset):
        return _from_frame(dataset, label, split, where)
    if _is_table(dataset):
        return _from_table(dataset, label, split, where)
    if isinstance(dataset, Mapping) and dataset and all(map(_is_part, dataset.values())):
        return _from_parts(dataset, label, split, where)
    if isinstance(dataset, Mapping):
        return _from_columns(dataset, label, split, where)
    if isinstance(dataset, tuple | list) and len(dataset) in {2, 3}:
        return _from_pair(dataset, where)
    raise InvalidInputError(
        f"`dataset` passed to `{where}` must be a Bunch or dict of columns, a data frame, an "
        "ImageIndex, a `datasets` data set (not a streaming one) or dict of its splits, or a "
        f"tuple (X, y), got {type(dataset).__name__}."
    )


def _is_table(dataset: Any) -> bool:
    """Whether it is a `datasets.Dataset`, an `ImageIndex` or anything made like them."""
    return callable(getattr(dataset, "select", None)) and hasattr(dataset, "column_names")


def _is_part(value: Any) -> bool:
    return is_frame(value) or _is_table(value)


def _from_frame(dataset: Any, label: str, split: str | None, where: str) -> RowsOf:
    frame = nw.from_native(dataset, eager_only=True)
    names = _check_columns(list(frame.columns), label, split, where)
    splits = frame.get_column(names[1]).to_numpy() if names[1] is not None else None
    labels = check_labels(frame.get_column(label).to_numpy(), name=label, where=where, of="dataset")
    return RowsOf(labels, splits, None, lambda rows: nw.to_native(frame[rows]))


def _from_table(dataset: Any, label: str, split: str | None, where: str) -> RowsOf:
    names = _check_columns(list(dataset.column_names), label, split, where)
    labels = _labels(list(dataset[label]), label, where)
    splits = np.asarray(list(dataset[names[1]]), dtype=object) if names[1] is not None else None
    classes = getattr(dataset, "classes", None)
    if classes is None:
        features = getattr(dataset, "features", None) or {}
        classes = getattr(features.get(label), "names", None)
    kept = None if classes is None else tuple(classes)
    return RowsOf(labels, splits, kept, lambda rows: dataset.select(rows.tolist()))


def _from_parts(dataset: Mapping[str, Any], label: str, split: str | None, where: str) -> RowsOf:
    """Take the splits' names from the keys: rows are numbered through all of them."""
    parts = {
        key: rows_of(part, label=label, split=None, where=where) for key, part in dataset.items()
    }
    sizes = [len(part.labels) for part in parts.values()]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    classes = next((part.classes for part in parts.values() if part.classes), None)

    def take(rows: Indices) -> Any:
        kept = {}
        for i, (key, part) in enumerate(parts.items()):
            inside = rows[(rows >= starts[i]) & (rows < starts[i + 1])] - starts[i]
            # an untouched split stays the very object that it was
            kept[key] = dataset[key] if len(inside) == sizes[i] else part.take(inside)
        return type(dataset)(kept)  # type: ignore[call-arg]

    return RowsOf(
        np.concatenate([part.labels for part in parts.values()]),
        np.repeat(np.array(list(parts), dtype=object), sizes),
        classes,
        take,
    )


def _from_columns(dataset: Mapping[str, Any], label: str, split: str | None, where: str) -> RowsOf:
    names = _check_columns(list(dataset), label, split, where)
    labels = _labels(dataset[label], label, where)
    splits = None if names[1] is None else as_column(dataset[names[1]])
    if splits is not None:
        check_same_length(str(split), len(splits), len(labels), where=where, of=label)
    classes = dataset.get("classes")
    if classes is None and label == "target":
        classes = dataset.get("target_names")

    def take(rows: Indices) -> Any:
        kept = {
            key: value if key in _ABOUT_COLUMNS else _take(value, rows, len(labels))
            for key, value in dataset.items()
        }
        return Bunch(**kept) if isinstance(dataset, Bunch) else type(dataset)(kept)  # type: ignore[call-arg]

    return RowsOf(labels, splits, None if classes is None else tuple(classes), take)


def _from_pair(dataset: Sequence[Any], where: str) -> RowsOf:
    labels = _labels(dataset[1], "y", where)
    for i, part in enumerate(dataset):
        check_same_length(f"dataset[{i}]", _n_rows(part) or 0, len(labels), where=where, of="y")
    n = len(labels)
    make = type(dataset)
    return RowsOf(labels, None, None, lambda rows: make(_take(part, rows, n) for part in dataset))  # type: ignore[call-arg]


def _check_columns(
    columns: Sequence[Any], label: str, split: str | None, where: str
) -> tuple[str, str | None]:
    shown = ", ".join(map(repr, columns[:20]))
    if label not in columns:
        raise InvalidInputError(
            f"`label` of `{where}` must name a column of `dataset`, got {label!r}; it has {shown}."
        )
    if split is None or split in columns:
        return label, split
    if split != "split":
        raise InvalidInputError(
            f"`split` of `{where}` must name a column of `dataset`, got {split!r}; it has {shown}. "
            "Pass split=None if all rows are training rows."
        )
    return label, None


def _labels(values: Any, name: str, where: str) -> NDArray[Any]:
    first = next(iter(values), None) if not hasattr(values, "dtype") else None
    if isinstance(first, list | tuple | set | np.ndarray):
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold one label a row, got {first!r} in the first: "
            "a row of several labels has no one class to be thinned with. Keep the rows of one "
            "label first."
        )
    return check_labels(values, name=name, where=where, of="dataset")


def _n_rows(value: Any) -> int | None:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    return len(value) if isinstance(value, list | tuple) or hasattr(value, "__array__") else None


def _take(value: Any, rows: Indices, n_rows: int) -> Any:
    """Return the rows of one column; what is not as long as the data is returned as it is."""
    if isinstance(value, Mapping):
        if not value or any(_n_rows(v) != n_rows for v in value.values()):
            return value
        return type(value)({k: _take(v, rows, n_rows) for k, v in value.items()})  # type: ignore[call-arg]
    if _n_rows(value) != n_rows:
        return value
    if isinstance(value, list | tuple):
        return type(value)(value[i] for i in rows.tolist())
    native = nw.from_native(value, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series | nw.DataFrame):
        return nw.to_native(native[rows])
    return value[rows]
