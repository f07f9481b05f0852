"""Groups, cells and weights: the one source of all three.

A *group* is one combination of the values of the sensitive features, a *cell* one
(label, group) pair. Kamiran-Calders weights make label and group independent.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import (
    check_labels,
    check_same_length,
    check_sample_weight,
    is_missing,
)
from isonomy.errors import EmptyCellError, InvalidInputError, MissingGroupValuesError

__all__ = [
    "MISSING_GROUP",
    "Cells",
    "GroupCodes",
    "MissingValues",
    "check_no_empty_cell",
    "encode_groups",
    "find_cells",
    "kamiran_calders_weights",
    "sort_labels",
]

MissingValues = Literal["raise", "own_group"]

MISSING_GROUP = "(missing)"
"""The name of the group that rows without a group value form on request."""


@dataclass(frozen=True)
class GroupCodes:
    """Which group each row is in: ``labels[codes[i]]`` is the group of row ``i``."""

    labels: tuple[Hashable, ...]
    codes: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        """Rows in each group, ``(n_groups,)``."""
        return np.bincount(self.codes, minlength=len(self.labels))

    @property
    def values(self) -> NDArray[Any]:
        """The group of every row by name, ``(n_samples,)``."""
        uniform = len({type(label) for label in self.labels}) == 1
        table = np.empty(len(self.labels), dtype=object)
        table[:] = self.labels
        return (np.array(table.tolist()) if uniform else table)[self.codes]


@dataclass(frozen=True)
class Cells:
    """Which (label, group) pair each row is in, with the weighted count of every cell.

    ``counts`` is the sum of the weights and ``n_rows`` the number of rows, both
    ``(n_classes, n_groups)``.
    """

    classes: NDArray[Any]
    groups: tuple[Hashable, ...]
    y_codes: NDArray[np.intp]
    group_codes: NDArray[np.intp]
    counts: NDArray[np.float64]
    n_rows: NDArray[np.intp]

    @property
    def codes(self) -> NDArray[np.intp]:
        """One number a cell: ``y_code * n_groups + group_code``, ``(n_samples,)``."""
        return self.y_codes * len(self.groups) + self.group_codes


def encode_groups(
    sensitive_features: Any,
    *,
    n_samples: int | None = None,
    missing: MissingValues = "raise",
    where: str,
    of: str = "X",
) -> GroupCodes:
    """Return the group of every row.

    Several sensitive columns make intersectional groups: their values are joined
    with ``", "``.

    Parameters
    ----------
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Array, series or data frame of labels.
    n_samples : int, optional
        Raise unless there are so many rows.
    missing : "raise" or "own_group"
        What to do with None, NaN and nulls: raise with their count, or keep those
        rows as a group of their own, named ``"(missing)"``.

    Raises
    ------
    MissingGroupValuesError
        If values are missing and ``missing="raise"``.
    InvalidInputError
        If the number of rows is wrong, there are none, or two different
        combinations of values would share one name.
    """
    columns = _columns(sensitive_features, where=where)
    n = len(columns[0])
    if n_samples is not None:
        check_same_length("sensitive_features", n, n_samples, where=where, of=of)
    if n == 0:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` must have at least one row, got 0."
        )
    encoded = [_encode_column(c, missing=missing, where=where) for c in columns]
    return encoded[0] if len(encoded) == 1 else _intersect(encoded, where=where)


def find_cells(
    y: Any,
    sensitive_features: Any,
    *,
    sample_weight: ArrayLike | None = None,
    missing: MissingValues = "raise",
    min_classes: int = 1,
    where: str,
) -> Cells:
    """Return the cell of every row and the counts of all cells, empty ones included.

    Parameters
    ----------
    y : (n_samples,)
        Class labels.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    sample_weight : (n_samples,), optional
        Weights; integer weights equal repeated rows.
    missing : "raise" or "own_group"
        What to do with rows without a group value; see `encode_groups`.
    min_classes : int
        Raise unless ``y`` holds at least so many classes.
    where : str
        Name of the calling function, for messages.

    Returns
    -------
    Cells
        Codes (n_samples,) and counts (n_classes, n_groups).

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, kind or value.

    Examples
    --------
    >>> find_cells([0, 1, 1], ["a", "a", "b"], where="example").n_rows
    array([[1, 0],
           [1, 1]])
    """
    labels = check_labels(y, where=where, min_classes=min_classes)
    found = encode_groups(
        sensitive_features, n_samples=len(labels), missing=missing, where=where, of="y"
    )
    weight = check_sample_weight(sample_weight, len(labels), where=where)
    classes, y_codes = np.unique(labels, return_inverse=True)
    shape = (len(classes), len(found.labels))
    codes = y_codes * shape[1] + found.codes
    n_rows = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
    rows = np.ones(len(codes)) if weight is None else weight
    counts = np.asarray(np.bincount(codes, weights=rows, minlength=n_rows.size), dtype=np.float64)
    return Cells(classes, found.labels, y_codes, found.codes, counts.reshape(shape), n_rows)


def check_no_empty_cell(cells: Cells, *, where: str) -> None:
    """Raise unless every cell has rows (and weight).

    Parameters
    ----------
    cells : Cells
        From `find_cells`.
    where : str
        Name of the calling function, for the message.

    Raises
    ------
    EmptyCellError
        If a cell is empty; the first five are named.
    """
    empty = np.argwhere(cells.counts <= 0)
    if len(empty) == 0:
        return
    shown = ", ".join(
        f"(label {cells.classes[y]!s}, group {cells.groups[a]!s})" for y, a in empty[:5]
    )
    raise EmptyCellError(
        f"`{where}` needs rows in every (label, group) cell, got none in {len(empty)} of "
        f"{cells.counts.size}: {shown}. Pool rare labels or groups, or drop them."
    )


def kamiran_calders_weights(
    y: Any,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
    missing: MissingValues = "raise",
) -> NDArray[np.float64]:
    """Return the weights under which label and group are independent.

    Parameters
    ----------
    y : (n_samples,)
        Class labels.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    sample_weight : (n_samples,), optional
        The caller's own weights; the result multiplies them.
    missing : "raise" or "own_group"
        What to do with rows without a group value; see `encode_groups`.

    Returns
    -------
    (n_samples,) array
        Caller's weight times ``P(y) P(a) / P(y, a)``; the total weight of every label
        and of every group stays what it was where no cell is empty.

    Raises
    ------
    InvalidInputError
        If lengths differ or labels are not discrete.

    Notes
    -----
    Source: Kamiran and Calders, Data preprocessing techniques for classification
    without discrimination (2012), section 4.3.

    Examples
    --------
    >>> kamiran_calders_weights([0, 0, 0, 1], sensitive_features=["a", "a", "b", "b"])
    array([0.75, 0.75, 1.5 , 0.5 ])
    """
    where = "kamiran_calders_weights"
    cells = find_cells(
        y, sensitive_features, sample_weight=sample_weight, missing=missing, where=where
    )
    weight = check_sample_weight(sample_weight, len(cells.y_codes), where=where)
    factor = cell_factors(cells.counts)[cells.y_codes, cells.group_codes]
    weighed: NDArray[np.float64] = factor if weight is None else factor * weight
    return weighed


def cell_factors(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``P(y) P(a) / P(y, a)`` for every cell; 0 where the cell is empty."""
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    factors: NDArray[np.float64] = np.divide(
        independent, joint, out=np.zeros_like(joint), where=joint > 0
    )
    return factors


def _columns(sensitive_features: Any, *, where: str) -> list[NDArray[Any]]:
    if sensitive_features is None:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` must hold one group a row, got None."
        )
    native = nw.from_native(
        sensitive_features, eager_only=True, allow_series=True, pass_through=True
    )
    if isinstance(native, nw.DataFrame):
        if not native.columns:
            raise InvalidInputError(
                f"`sensitive_features` passed to `{where}` must have at least one column, got 0."
            )
        return [_to_objects(native.get_column(c)) for c in native.columns]
    if isinstance(native, nw.Series):
        return [_to_objects(native)]
    array = np.asarray(sensitive_features)
    if array.dtype.kind in "US" and not hasattr(sensitive_features, "dtype"):
        # a list of names and NaN: NumPy would spell the missing value as the name "nan"
        array = np.asarray(sensitive_features, dtype=object)
    if array.ndim == 1:
        return [array]
    if array.ndim == 2 and array.shape[1] > 0:
        return [array[:, j] for j in range(array.shape[1])]
    raise InvalidInputError(
        f"`sensitive_features` passed to `{where}` must be 1-D or 2-D, got shape {array.shape}."
    )


def _to_objects(series: Any) -> NDArray[Any]:
    if series.dtype.is_numeric() and not series.is_null().any():
        array: NDArray[Any] = series.to_numpy()
        return array
    return np.array(series.to_list(), dtype=object)


def _encode_column(column: NDArray[Any], *, missing: MissingValues, where: str) -> GroupCodes:
    absent = _missing_mask(column)
    n_missing = int(absent.sum())
    if n_missing and missing == "raise":
        raise MissingGroupValuesError(
            f"`sensitive_features` passed to `{where}` must have a value in every row, got "
            f"{n_missing} missing of {len(column)}. Drop those rows, or keep them as a group "
            'of their own with `missing_groups="own_group"`.'
        )
    labels, codes = _unique(column[~absent])
    full = np.full(len(column), len(labels), dtype=np.intp)
    full[~absent] = codes
    if n_missing:
        if MISSING_GROUP in labels:
            raise InvalidInputError(
                f"`sensitive_features` passed to `{where}` holds both missing values and the "
                f"value {MISSING_GROUP!r}; rename that value."
            )
        labels = (*labels, MISSING_GROUP)
    return GroupCodes(labels, full)


def _missing_mask(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    if column.dtype.kind in "mM":
        return np.asarray(np.isnat(column))
    if column.dtype.kind == "O":
        return np.fromiter((is_missing(v) for v in column.tolist()), bool, len(column))
    return np.zeros(len(column), dtype=bool)


def _unique(column: NDArray[Any]) -> tuple[tuple[Hashable, ...], NDArray[np.intp]]:
    if column.dtype.kind != "O":
        values, codes = np.unique(column, return_inverse=True)
        found = values.tolist()
        if MISSING_GROUP not in found:  # already in the order of `sort_labels`
            return tuple(found), codes.astype(np.intp, copy=False)
        ordered = sort_labels(found)
        return ordered, np.array([ordered.index(v) for v in found], dtype=np.intp)[codes]
    rows: list[Any] = column.tolist()
    labels = sort_labels(dict.fromkeys(rows))
    position = {v: i for i, v in enumerate(labels)}
    return labels, np.fromiter((position[v] for v in rows), np.intp, len(rows))


def _intersect(encoded: Sequence[GroupCodes], *, where: str) -> GroupCodes:
    stacked = np.stack([e.codes for e in encoded], axis=1)
    combinations, codes = np.unique(stacked, axis=0, return_inverse=True)
    names = tuple(
        ", ".join(_name(e.labels[c]) for e, c in zip(encoded, row, strict=True))
        for row in combinations
    )
    if len(set(names)) < len(names):
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` has two different combinations of "
            "values with one joined name; remove the commas from the values."
        )
    ordered = sort_labels(names)
    place = np.array([ordered.index(name) for name in names], dtype=np.intp)
    return GroupCodes(ordered, place[codes.reshape(-1)])


def _name(label: Hashable) -> str:
    # a column of whole numbers becomes floating as soon as one row is missing
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def sort_labels(labels: Iterable[Any]) -> tuple[Hashable, ...]:
    """Return labels as plain values in the one order used everywhere.

    By the name of their type, then by value; rows without a group value come last.

    Parameters
    ----------
    labels : iterable
        Classes or groups, each once.

    Returns
    -------
    tuple
        The same labels as Python values, sorted.
    """
    plain = [v.item() if isinstance(v, np.generic) else v for v in labels]
    return tuple(sorted(plain, key=lambda v: (v == MISSING_GROUP, type(v).__name__, v)))
