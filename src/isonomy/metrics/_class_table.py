"""Confusion over classes alone, and the training rows of each class: what label bias reads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import as_column
from isonomy.errors import InvalidInputError
from isonomy.metrics._counts import read_rows

__all__ = ["ClassCounts", "ClassTable", "check_counts", "read_table"]

Floats = NDArray[np.float64]
ClassCounts = Mapping[Any, Any] | Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class ClassTable:
    """Weights [true, predicted] over ``classes``."""

    classes: tuple[Hashable, ...]
    matrix: Floats

    @property
    def recall(self) -> Floats:
        """Recall of each class; NaN without true rows."""
        true = self.matrix.sum(axis=1)
        out = np.full(len(true), np.nan)
        np.divide(np.diagonal(self.matrix), true, out=out, where=true > 0)
        return out

    @property
    def present_recall(self) -> Floats:
        """Recall of the classes that have true rows."""
        found = self.recall
        return found[~np.isnan(found)]

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return float(np.trace(self.matrix) / self.matrix.sum())


def read_table(y_true: Any, y_pred: Any, sample_weight: Any, where: str) -> ClassTable:
    """Check labels, predictions and weights, and count them."""
    n = 0 if y_true is None else len(as_column(y_true))
    # one group for all rows: the door and the counting are those of the rates per group
    rows = read_rows(y_true, y_pred, np.zeros(max(n, 1)), sample_weight, where=where)
    return ClassTable(rows.classes, rows.count().weights[:, :, 0])


def check_counts(
    class_counts: ClassCounts, labels: tuple[Hashable, ...], where: str
) -> dict[Hashable, float]:
    """Return the training rows of every label, in the order given."""
    if isinstance(class_counts, Mapping):
        names, values = list(class_counts), list(class_counts.values())
        coded = all(isinstance(label, int) for label in labels)
        if coded and all(isinstance(name, str) for name in names):
            names = list(range(len(names)))
    else:
        values = as_column(class_counts).ravel().tolist()
        names = list(range(len(values)))
    numbers = [isinstance(v, int | float | np.integer | np.floating) for v in values]
    if len(values) < 2 or not all(numbers) or not all(np.isfinite(v) and v >= 0 for v in values):
        raise InvalidInputError(
            f"`class_counts` passed to `{where}` must hold the training rows of at least two "
            f"classes, each a number of at least 0, got {class_counts!r}."
        )
    return {name: float(v) for name, v in zip(names, values, strict=True)}
