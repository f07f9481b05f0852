"""Confusion counts per group: the one statistic that every rate and gap comes from."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_labels, check_sample_weight
from isonomy.errors import InvalidInputError
from isonomy.groups import MissingValues, encode_groups

__all__ = ["ConfusionCounts", "LabelledRows", "confusion_counts", "read_rows"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ConfusionCounts:
    """Weighted rows of every (true class, predicted class, group).

    ``weights``, ``squares`` (sums of squared weights) and ``rows`` are
    ``(n_classes, n_classes, n_groups)``, indexed [true, predicted, group].
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    weights: Floats
    squares: Floats
    rows: NDArray[np.intp]

    @property
    def n_true(self) -> Floats:
        """Weight of every cell (true class, group), ``(n_classes, n_groups)``."""
        total: Floats = self.weights.sum(axis=1)
        return total

    @property
    def n_predicted(self) -> Floats:
        """Weight of every (predicted class, group), ``(n_classes, n_groups)``."""
        total: Floats = self.weights.sum(axis=0)
        return total

    @property
    def n_group(self) -> Floats:
        """Weight of every group, ``(n_groups,)``."""
        total: Floats = self.weights.sum(axis=(0, 1))
        return total

    @property
    def correct(self) -> Floats:
        """Weight of the right predictions of every cell, ``(n_classes, n_groups)``."""
        return _diagonal(self.weights)

    @property
    def is_weighted(self) -> bool:
        """Whether some row has a weight other than 1."""
        return not np.array_equal(self.weights, self.rows)

    def present(self) -> NDArray[np.bool_]:
        """Whether a class has true rows at all, ``(n_classes,)``."""
        found: NDArray[np.bool_] = self.rows.sum(axis=(1, 2)) > 0
        return found


@dataclass(frozen=True)
class LabelledRows:
    """Checked rows: codes into ``classes`` and ``groups``; rows of weight 0 are gone.

    With ``copies`` every entry stands for so many equal rows, each of weight 1.
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    true: NDArray[np.intp]
    predicted: NDArray[np.intp]
    group: NDArray[np.intp]
    weight: Floats | None
    copies: NDArray[np.intp] | None = None

    @property
    def n_rows(self) -> int:
        """How many rows there are, copies included."""
        return len(self.true) if self.copies is None else int(self.copies.sum())

    @property
    def group_sizes(self) -> NDArray[np.intp]:
        """Rows of every group, ``(n_groups,)``."""
        return self._tally(self.group, len(self.groups))

    def _tally(self, codes: NDArray[np.intp], size: int) -> NDArray[np.intp]:
        # sums of whole numbers are exact in float64 up to 2^53 rows
        tally = np.bincount(codes, self.copies, minlength=size)
        return tally.astype(np.intp, copy=False)

    def count(self, group: NDArray[np.intp] | None = None) -> ConfusionCounts:
        """Return the confusion counts, with other group codes for the rows if given."""
        k, g = len(self.classes), len(self.groups)
        codes = (self.true * k + self.predicted) * g + (self.group if group is None else group)
        shape = (k, k, g)
        rows = self._tally(codes, k * k * g).reshape(shape)
        if self.weight is None:
            ones = rows.astype(np.float64)
            return ConfusionCounts(self.classes, self.groups, ones, ones, rows)
        sums = [np.bincount(codes, w, minlength=k * k * g) for w in (self.weight, self.weight**2)]
        weights, squares = (total.astype(np.float64).reshape(shape) for total in sums)
        return ConfusionCounts(self.classes, self.groups, weights, squares, rows)

    def take(self, keep: NDArray[np.bool_]) -> LabelledRows:
        """Return the rows of the mask ``keep``, with the groups that are left."""
        left, group = np.unique(self.group[keep], return_inverse=True)
        return LabelledRows(
            self.classes,
            tuple(self.groups[int(a)] for a in left),
            self.true[keep],
            self.predicted[keep],
            group.astype(np.intp, copy=False),
            None if self.weight is None else self.weight[keep],
            None if self.copies is None else self.copies[keep],
        )


def read_rows(
    y_true: Any,
    y_pred: Any,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
    *,
    where: str,
    min_groups: int = 1,
    missing: MissingValues = "raise",
) -> LabelledRows:
    """Check labels, predictions, groups and weights, and code them.

    A label that only ``y_pred`` holds becomes a class without true rows: it has a
    selection rate, and no true-positive rate. Rows of weight 0 are dropped.

    Raises
    ------
    InvalidInputError
        If lengths differ, there are no rows or too few groups, labels are fractional
        or missing, or ``y_true`` and ``y_pred`` hold labels of different kinds.
    """
    true = check_labels(y_true, where=where, name="y_true")
    n = len(true)
    predicted = check_labels(y_pred, where=where, name="y_pred", n_samples=n, of="y_true")
    found = encode_groups(
        sensitive_features, n_samples=n, missing=missing, where=where, of="y_true"
    )
    weight = check_sample_weight(sample_weight, n, where=where)
    classes, codes = _code_labels(true, predicted, where=where)
    rows = LabelledRows(classes, found.labels, codes[:n], codes[n:], found.codes, weight)
    if weight is not None and not weight.all():
        rows = rows.take(weight > 0)
    if len(rows.groups) < min_groups:
        raise InvalidInputError(
            f"`sensitive_features` passed to `{where}` must hold at least {min_groups} groups, "
            f"got only {rows.groups[0]!r}. With one group there is nothing to compare."
        )
    return rows


def confusion_counts(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
) -> ConfusionCounts:
    """Count the rows of every (true class, predicted class, group).

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind. A label that only ``y_pred`` holds becomes a class without
        true rows.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    ConfusionCounts
        Arrays ``(n_classes, n_classes, n_groups)`` over the sorted classes and groups.

    Raises
    ------
    InvalidInputError
        If lengths differ, labels are fractional or missing, or there are no rows.

    Examples
    --------
    >>> counts = confusion_counts([0, 1, 1], [0, 1, 0], sensitive_features=["a", "a", "b"])
    >>> counts.correct
    array([[1., 0.],
           [1., 0.]])
    """
    rows = read_rows(y_true, y_pred, sensitive_features, sample_weight, where="confusion_counts")
    return rows.count()


def _code_labels(
    true: NDArray[Any], predicted: NDArray[Any], *, where: str
) -> tuple[tuple[Hashable, ...], NDArray[np.intp]]:
    kinds = [_label_kind(true), _label_kind(predicted)]
    if len(set(kinds)) > 1:
        raise InvalidInputError(
            f"`y_pred` passed to `{where}` must hold labels of the same kind as `y_true` "
            f"({kinds[0]}), got {kinds[1]}. Convert one of them."
        )
    if kinds[0] != "other":
        if true.dtype.kind == "O" or predicted.dtype.kind == "O":
            true, predicted = np.asarray(true.tolist()), np.asarray(predicted.tolist())
        values, codes = np.unique(np.concatenate([true, predicted]), return_inverse=True)
        return tuple(values.tolist()), codes.astype(np.intp, copy=False)
    rows: list[Any] = [*true.tolist(), *predicted.tolist()]
    labels = sorted(dict.fromkeys(rows), key=lambda v: (type(v).__name__, v))
    position = {v: i for i, v in enumerate(labels)}
    return tuple(labels), np.fromiter((position[v] for v in rows), np.intp, len(rows))


def _label_kind(labels: NDArray[Any]) -> str:
    kind = labels.dtype.kind
    if kind in "biuf":
        return "numbers"
    if kind in "US":
        return "strings"
    found = {type(v) for v in labels.tolist()}
    if found <= {str, np.str_}:
        return "strings"
    return "numbers" if all(issubclass(t, int | float | np.number) for t in found) else "other"


def _diagonal(array: NDArray[Any]) -> Floats:
    """Entries [i, i, group] of ``(..., n_classes, n_classes, n_groups)``."""
    diagonal: Floats = np.einsum("...iig->...ig", array)
    return diagonal
