"""Rates per class and group, all from the confusion counts; undefined is NaN, never 0.

Multi-class labels are taken one class against the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice
from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics._counts import ConfusionCounts, confusion_counts
from isonomy.metrics.disparities import GroupMetric

__all__ = ["RATES", "RateTable", "group_rates", "rate_table"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RateTable:
    """One rate of every class in every group, with what it was computed from.

    ``values``, ``n_rows`` and ``n_effective`` are ``(n_classes, n_groups)``, or
    ``(1, n_groups)`` with ``classes == (None,)`` for a rate without a class. Values lie
    in [0, 1]; NaN where ``n_rows`` is 0. ``n_effective`` is Kish's size of weighted rows,
    (sum w)^2 / sum w^2, and equals ``n_rows`` without weights. ``overall`` is the rate
    over all rows, ``(n_classes,)``.
    """

    name: str
    classes: tuple[Hashable | None, ...]
    groups: tuple[Hashable, ...]
    values: Floats
    n_rows: NDArray[np.intp]
    n_effective: Floats
    overall: Floats
    reason: str

    def of_class(self, label: Hashable | None = None) -> GroupMetric:
        """Return the rate of one class by group, with its difference and ratio."""
        if label not in self.classes:
            shown = ", ".join(repr(c) for c in self.classes[:20])
            raise InvalidInputError(
                f"`label` passed to `RateTable.of_class` must be one of {shown}, got {label!r}."
            )
        y = self.classes.index(label)
        values = dict(zip(self.groups, self.values[y].tolist(), strict=True))
        return GroupMetric(
            name=self.name,
            by_group=values,
            n=dict(zip(self.groups, self.n_rows[y].tolist(), strict=True)),
            overall=float(self.overall[y]),
            reasons={g: self.reason for g, v in values.items() if np.isnan(v)},
        )


def _true_positive(m: NDArray[Any]) -> tuple[Any, Any]:
    return np.einsum("iig->ig", m), m.sum(axis=1)


def _false_positive(m: NDArray[Any]) -> tuple[Any, Any]:
    true, wrong = m.sum(axis=1), m.copy()
    k = np.arange(len(m))
    wrong[k, k] = 0
    others = np.stack([np.delete(true, i, axis=0).sum(axis=0) for i in k])
    return wrong.sum(axis=0), others


def _selected(m: NDArray[Any]) -> tuple[Any, Any]:
    chosen = m.sum(axis=0)
    return chosen, np.broadcast_to(m.sum(axis=(0, 1)), chosen.shape)


def _precise(m: NDArray[Any]) -> tuple[Any, Any]:
    return np.einsum("iig->ig", m), m.sum(axis=0)


def _right(m: NDArray[Any]) -> tuple[Any, Any]:
    return np.einsum("iig->g", m)[None], m.sum(axis=(0, 1))[None]


RATES: dict[str, tuple[Callable[[NDArray[Any]], tuple[Any, Any]], str]] = {
    "selection_rate": (_selected, "the group has no rows"),
    "true_positive_rate": (_true_positive, "no rows of this class in the group"),
    "false_positive_rate": (_false_positive, "no rows of the other classes in the group"),
    "precision": (_precise, "the class was never predicted in the group"),
    "accuracy": (_right, "the group has no rows"),
}
"""Every rate: (numerator, denominator) from counts [true, predicted, group], and why it
may be undefined."""


def rate_table(counts: ConfusionCounts, rate: str) -> RateTable:
    """Return one of :data:`RATES` from confusion counts, without warning."""
    check_choice("rate", rate, tuple(RATES), where="rate_table")
    parts, reason = RATES[rate]
    numerator, denominator = parts(counts.weights)
    n_rows = np.asarray(parts(counts.rows)[1])
    squares = np.asarray(parts(counts.squares)[1])
    values = _divide(numerator, denominator, n_rows > 0)
    effective = _divide(np.square(denominator), squares, n_rows > 0, empty=0.0)
    top, bottom = (np.asarray(p).sum(axis=-1) for p in (numerator, denominator))
    return RateTable(
        name=rate,
        classes=(None,) if rate == "accuracy" else counts.classes,
        groups=counts.groups,
        values=np.minimum(values, 1.0),
        n_rows=n_rows,
        n_effective=effective,
        overall=_divide(top, bottom, n_rows.sum(axis=-1) > 0),
        reason=reason,
    )


def group_rates(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    rate: str = "true_positive_rate",
    sample_weight: ArrayLike | None = None,
) -> RateTable:
    """Compute one rate for every class and group.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind; each class is taken against the rest.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    rate : str
        "selection_rate" P(predicted k | a), "true_positive_rate" P(predicted k | true k, a),
        "false_positive_rate" P(predicted k | true not k, a), "precision"
        P(true k | predicted k, a) or "accuracy" P(right | a).
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    RateTable
        ``values`` ``(n_classes, n_groups)`` in [0, 1], NaN where undefined.

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value.

    Warns
    -----
    UndefinedRateWarning
        If a rate has no rows to be computed from.

    Examples
    --------
    >>> table = group_rates([1, 1, 0, 1], [1, 0, 0, 1], rate="accuracy",
    ...                     sensitive_features=list("aabb"))
    >>> table.of_class().by_group
    {'a': 0.5, 'b': 1.0}
    """
    check_choice("rate", rate, tuple(RATES), where="group_rates")
    counts = confusion_counts(
        y_true, y_pred, sensitive_features=sensitive_features, sample_weight=sample_weight
    )
    table = rate_table(counts, rate)
    undefined = [
        f"({table.classes[y]!s}, {table.groups[a]!s})"
        for y, a in np.argwhere(np.isnan(table.values))
    ]
    warn_undefined(rate, undefined, table.reason, stacklevel=3)
    return table


def warn_undefined(what: str, cells: list[str], reason: str, *, stacklevel: int) -> None:
    """Warn once that ``what`` is NaN in the named cells, if there are any."""
    if not cells:
        return
    more = f" and {len(cells) - 5} more" if len(cells) > 5 else ""
    warnings.warn(
        f"{what} is NaN for (class, group) {', '.join(cells[:5])}{more}: {reason}.",
        UndefinedRateWarning,
        stacklevel=stacklevel,
    )


def _divide(top: Any, bottom: Any, defined: NDArray[np.bool_], empty: float = np.nan) -> Floats:
    out = np.full(np.shape(top), empty)
    np.divide(top, bottom, out=out, where=defined)
    return out
