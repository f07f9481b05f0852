"""The only door: every public function checks its arguments here, inner ones trust them.

One message form: which argument of which function, what it must be, what it was,
what to try.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from isonomy.errors import InvalidInputError

__all__ = [
    "as_column",
    "check_choice",
    "check_count",
    "check_labels",
    "check_random_state",
    "check_real",
    "check_same_length",
    "check_sample_weight",
    "is_missing",
]


def as_column(values: Any) -> NDArray[Any]:
    """Return a list, array or series as a NumPy array, without copying where possible."""
    series = nw.from_native(values, series_only=True, pass_through=True)
    return series.to_numpy() if isinstance(series, nw.Series) else np.asarray(values)


def check_same_length(name: str, n: int, n_expected: int, *, where: str, of: str = "X") -> None:
    """Raise unless the argument ``name`` has as many rows as ``of``."""
    if n != n_expected:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must have as many rows as `{of}` ({n_expected}), "
            f"got {n}. Drop the same rows from all of them first."
        )


def check_labels(
    y: Any,
    *,
    where: str,
    name: str = "y",
    n_samples: int | None = None,
    min_classes: int = 1,
    of: str = "X",
) -> NDArray[Any]:
    """Return class labels ``(n_samples,)``: discrete, none missing, enough classes."""
    if y is None:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must be the class labels, got None: it requires y "
            f"to be passed, but the target {name} is None."
        )
    labels = as_column(y)
    if labels.dtype.kind == "U" and not hasattr(y, "dtype"):
        # a list of names and NaN: NumPy would spell the missing label as the name "nan"
        _check_discrete(np.asarray(y, dtype=object), name=name, where=where)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
        warnings.warn(
            f"A column-vector {name} was passed when a 1d array was expected by `{where}`; its "
            "only column is used.",
            DataConversionWarning,
            stacklevel=3,
        )
    if labels.ndim != 1:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must be 1-D, one label a row, got shape "
            f"{labels.shape}. Multi-label targets are not supported: take one label a row."
        )
    if n_samples is not None:
        check_same_length(name, len(labels), n_samples, where=where, of=of)
    if len(labels) == 0:
        raise InvalidInputError(f"`{name}` passed to `{where}` must have at least one row, got 0.")
    _check_discrete(labels, name=name, where=where)
    if min_classes > 1 and len(np.unique(labels)) < min_classes:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold at least {min_classes} classes, got one "
            f"class: {labels[:1].tolist()[0]!r}. With a single class there is nothing to decide."
        )
    return labels


def _check_discrete(labels: NDArray[Any], *, name: str, where: str) -> None:
    missing = _count_missing(labels)
    if missing:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must have no missing labels, got {missing} missing "
            "(None or NaN). Drop those rows."
        )
    if labels.dtype.kind == "O" and len({isinstance(v, str) for v in labels.flat}) > 1:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold labels of one kind, got text beside other "
            "values, which have no common order. Convert them all with `str`."
        )
    if labels.dtype.kind == "f" and type_of_target(labels) == "continuous":
        example = labels[labels != np.round(labels)][:1].tolist()[0]
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must be class labels (strings, integers or "
            f"booleans), got fractional numbers such as {example}: Unknown label type: "
            "continuous. Cut them into classes first, for instance with a threshold."
        )


def _count_missing(labels: NDArray[Any]) -> int:
    if labels.dtype.kind == "f":
        return int(np.isnan(labels).sum())
    if labels.dtype.kind == "O":
        return sum(is_missing(v) for v in labels.tolist())
    return 0


def is_missing(value: Any) -> bool:
    """Whether ``value`` is None, NaN, NaT or ``pandas.NA``."""
    # NaN and NaT differ from themselves; comparing pandas.NA gives NA, which has no truth value
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, *, where: str
) -> NDArray[np.float64] | None:
    """Return weights ``(n_samples,)``, finite, not negative, not all zero; or None."""
    if sample_weight is None:
        return None
    try:
        weight = np.asarray(as_column(sample_weight), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"`sample_weight` passed to `{where}` must hold one number a row: {error}."
        ) from error
    if weight.ndim == 0:
        weight = np.full(n_samples, float(weight))
    if weight.ndim != 1:
        raise InvalidInputError(
            f"`sample_weight` passed to `{where}` must be 1-D, got shape {weight.shape}: "
            "Sample weights must be 1D array or scalar."
        )
    check_same_length("sample_weight", len(weight), n_samples, where=where)
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise InvalidInputError(
            f"`sample_weight` passed to `{where}` must be finite and at least 0, with some "
            f"weight not zero, got values from {weight.min()} to {weight.max()}."
        )
    return weight


def check_choice(name: str, value: Any, choices: Collection[Any], *, where: str) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    plain = value.item() if isinstance(value, np.generic) else value
    if not any(plain is c or (type(plain) is type(c) and plain == c) for c in choices):
        shown = ", ".join(repr(c) for c in choices)
        raise InvalidInputError(f"`{name}` of `{where}` must be one of {shown}, got {value!r}.")


def check_real(
    name: str,
    value: Any,
    *,
    where: str,
    low: float = -np.inf,
    high: float = np.inf,
) -> float:
    """Return ``value`` as a float in ``[low, high]``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidInputError(f"`{name}` of `{where}` must be a number, got {value!r}.")
    if not low <= value <= high:
        raise InvalidInputError(
            f"`{name}` of `{where}` must lie in [{low:g}, {high:g}], got {value!r}."
        )
    return float(value)


def check_count(name: str, value: Any, *, where: str, low: int = 1) -> int:
    """Return ``value`` as an int that is at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise InvalidInputError(
            f"`{name}` of `{where}` must be a whole number of at least {low}, got {value!r}."
        )
    return int(value)
