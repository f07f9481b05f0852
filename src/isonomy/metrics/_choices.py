"""Which rows, classes and reference group a gap is about."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.metrics._counts import ConfusionCounts, read_rows

__all__ = ["class_rows", "count_rows", "reference_code"]


def count_rows(
    y_true: Any, y_pred: Any, sensitive_features: Any, sample_weight: Any, *, where: str
) -> ConfusionCounts:
    """Check the rows of at least two groups and count them."""
    rows = read_rows(y_true, y_pred, sensitive_features, sample_weight, where=where, min_groups=2)
    return rows.count()


def class_rows(
    counts: ConfusionCounts, pos_label: Hashable | None, *, where: str
) -> NDArray[np.intp]:
    """Return the codes of the classes to look at: one if binary or asked for, else all."""
    if pos_label is None:
        k = len(counts.classes)
        return np.array([k - 1]) if k <= 2 else np.arange(k)
    if pos_label not in counts.classes:
        shown = ", ".join(repr(c) for c in counts.classes[:20])
        raise InvalidInputError(
            f"`pos_label` of `{where}` must be one of the classes ({shown}), got {pos_label!r}."
        )
    return np.array([counts.classes.index(pos_label)])


def reference_code(counts: ConfusionCounts, reference_group: Hashable | None, *, where: str) -> int:
    """Return the code of the reference: the group asked for, else the largest."""
    if reference_group is None:
        return int(np.argmax(counts.n_group))
    if reference_group not in counts.groups:
        shown = ", ".join(repr(g) for g in counts.groups[:20])
        raise InvalidInputError(
            f"`reference_group` of `{where}` must be one of the groups ({shown}), got "
            f"{reference_group!r}."
        )
    return counts.groups.index(reference_group)
