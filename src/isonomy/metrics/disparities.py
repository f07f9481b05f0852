"""Any metric per group, with its difference, ratio, least and greatest value."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from isonomy._validation import as_column, check_labels, check_same_length, check_sample_weight
from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.groups import encode_groups

__all__ = ["GroupMetric", "by_group"]

Metric = Callable[..., float]


@dataclass(frozen=True)
class GroupMetric:
    """One metric per group.

    ``by_group`` maps a group to its value (NaN where undefined, with the reason in
    ``reasons``), ``n`` to its number of rows; ``overall`` is the metric over all rows.
    The summaries are over the groups where the metric is defined, and NaN where fewer
    than two are (``min``, ``max``: none).
    """

    name: str
    by_group: Mapping[Hashable, float]
    n: Mapping[Hashable, int]
    overall: float
    reasons: Mapping[Hashable, str] = field(default_factory=dict)

    @property
    def min(self) -> float:
        """The least value."""
        defined = self._defined()
        return min(defined) if defined else float("nan")

    @property
    def max(self) -> float:
        """The greatest value."""
        defined = self._defined()
        return max(defined) if defined else float("nan")

    @property
    def difference(self) -> float:
        """Greatest minus least value; at least 0."""
        return self.max - self.min if len(self._defined()) > 1 else float("nan")

    @property
    def ratio(self) -> float:
        """Least over greatest value, in [0, 1]; NaN if the greatest is 0 or one is negative."""
        if len(self._defined()) < 2 or self.max <= 0 or self.min < 0:
            return float("nan")
        return self.min / self.max

    def _defined(self) -> list[float]:
        return [v for v in self.by_group.values() if not np.isnan(v)]


def by_group(
    metric: Metric,
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    sample_weight: ArrayLike | None = None,
) -> GroupMetric:
    """Compute any scikit-learn metric within every group.

    Parameters
    ----------
    metric : callable
        Called as ``metric(y_true, y_pred)``, with ``sample_weight=`` if weights are given.
        Bind other arguments with ``functools.partial``.
    y_true : (n_samples,)
        Labels or targets, whatever the metric takes.
    y_pred : (n_samples,) or (n_samples, n_columns)
        Predictions or scores, whatever the metric takes.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    sample_weight : (n_samples,), optional
        Passed on to the metric.

    Returns
    -------
    GroupMetric
        Values by group; NaN where scikit-learn calls the metric undefined, though it may
        return 0 there.

    Raises
    ------
    InvalidInputError
        If lengths differ, or weights are given to a metric that takes none.
    ValueError
        What the metric raises on all rows together.

    Warns
    -----
    UndefinedRateWarning
        Naming the groups where the metric is undefined.

    Examples
    --------
    >>> from sklearn.metrics import accuracy_score
    >>> by_group(accuracy_score, [1, 1, 0], [1, 0, 0], sensitive_features=["a", "a", "b"])
    ... # doctest: +ELLIPSIS
    GroupMetric(name='accuracy_score', by_group={'a': 0.5, 'b': 1.0}, n={'a': 2, 'b': 1}, ...)
    """
    where = "by_group"
    true = as_column(y_true)
    if true.ndim == 1 and true.dtype.kind in "OUSb":
        true = check_labels(true, where=where, name="y_true")
    n = len(true)
    predicted = _as_predictions(y_pred)
    check_same_length("y_pred", len(predicted), n, where=where, of="y_true")
    groups = encode_groups(sensitive_features, n_samples=n, where=where, of="y_true")
    weight = check_sample_weight(sample_weight, n, where=where)
    _check_takes_weight(metric, weight)
    overall, _ = _evaluate(metric, true, predicted, weight)
    values: dict[Hashable, float] = {}
    reasons: dict[Hashable, str] = {}
    for a, label in enumerate(groups.labels):
        rows = groups.codes == a
        part = None if weight is None else weight[rows]
        try:
            values[label], reason = _evaluate(metric, true[rows], predicted[rows], part)
        except ValueError as error:  # it worked on all rows: this group lacks what it needs
            values[label], reason = float("nan"), str(error).split("\n", maxsplit=1)[0]
        if reason is not None:
            reasons[label] = reason
    name = _metric_name(metric)
    if reasons:
        shown = "; ".join(f"{g!s}: {why}" for g, why in list(reasons.items())[:5])
        warnings.warn(
            f"{name} is NaN for {len(reasons)} group(s): {shown}",
            UndefinedRateWarning,
            stacklevel=2,
        )
    n_rows = dict(zip(groups.labels, groups.counts.tolist(), strict=True))
    return GroupMetric(name, values, n_rows, overall, reasons)


def _evaluate(
    metric: Metric, true: NDArray[Any], predicted: NDArray[Any], weight: NDArray[Any] | None
) -> tuple[float, str | None]:
    """Return (value, None), or (NaN, reason) where scikit-learn says it is undefined."""
    extra = {} if weight is None else {"sample_weight": weight}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UndefinedMetricWarning)
        try:
            value = float(metric(true, predicted, **extra))
        except UndefinedMetricWarning as warning:
            return float("nan"), str(warning)
    return value, "the metric returned NaN" if np.isnan(value) else None


def _check_takes_weight(metric: Metric, weight: NDArray[Any] | None) -> None:
    if weight is None:
        return
    known = inspect.signature(metric).parameters
    if "sample_weight" not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        raise InvalidInputError(
            f"`sample_weight` of `by_group` must be None for {_metric_name(metric)}, which takes "
            "no weights. Leave it out or choose another metric."
        )


def _metric_name(metric: Metric) -> str:
    inner = getattr(metric, "func", metric)
    return str(getattr(inner, "__name__", type(inner).__name__))


def _as_predictions(y_pred: Any) -> NDArray[Any]:
    if hasattr(y_pred, "to_numpy") and getattr(y_pred, "ndim", 1) != 1:
        frame: NDArray[Any] = y_pred.to_numpy()
        return frame
    column = as_column(y_pred)
    if column.ndim == 0:
        raise InvalidInputError("`y_pred` passed to `by_group` must hold one entry a row.")
    return column
