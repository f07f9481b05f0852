"""A model of P(group | row, class): what a decision may guess of a row's group.

A probe of the row alone says how groups differ at large. Decisions between classes need
how they differ within each class, so the class is handed to the probe as well; at
prediction it is asked once for every class that the row might have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from isonomy._cross_fit import class_probabilities
from isonomy._frames import is_frame, read_table
from isonomy._weighted_fit import accepts_sample_weight, fit_weighted
from isonomy.errors import InvalidInputError

__all__ = ["GroupModel", "choose_group_model", "default_group_model", "fit_group_model"]

Floats = NDArray[np.float64]

CLASS_SCALE = 5.0
"""Size of the class indicators beside standardised columns: hardly held back by a ridge."""


class GroupModel(Protocol):
    """Rows in, P(group | row, were its class k) out."""

    def posterior(self, X: Any) -> Floats:
        """Return probabilities ``(n_samples, n_classes, n_groups)``."""


def default_group_model() -> Any:
    """Return the default: a logistic regression, held back a little."""
    return LogisticRegression(C=0.1, max_iter=1000)


def choose_group_model(model: Any, X: Any, *, where: str) -> Any:
    """Return ``model``; for None "cells" where columns hold words or values are missing.

    The choice is made on all rows, so that every fold makes the same.

    Raises
    ------
    InvalidInputError
        If it is another word, or a classifier that cannot be handed these rows.
    """
    if isinstance(model, str):
        if model != "cells":
            raise InvalidInputError(
                f'`group_model` of `{where}` must be None, "cells" or a classifier, got {model!r}.'
            )
        return model
    if model is None:
        return None if _all_numbers(X) else "cells"
    read_table(X, where=where)
    return model


def fit_group_model(
    model: Any,
    estimator: Any,
    X: Any,
    y: NDArray[np.intp],
    groups: NDArray[np.intp],
    weight: Floats | None,
    *,
    n_classes: int,
    n_groups: int,
    where: str,
) -> GroupModel:
    """Fit ``model``: a probe given the class, or with "cells" a model of (class, group).

    None means the default probe; "cells" is what a clone of ``estimator`` learns from
    whatever rows it reads.

    Raises
    ------
    InvalidInputError
        If the model gives neither probabilities nor decision values, or takes no weights
        where there are some.
    """
    if isinstance(model, str):  # "cells"
        found = clone(estimator)
        fit_weighted(found, X, y * n_groups + groups, weight, where=where)
        return _Cells(found, n_classes, n_groups)
    probe = default_group_model() if model is None else clone(model)
    if not hasattr(probe, "predict_proba") and not hasattr(probe, "decision_function"):
        raise InvalidInputError(
            f"`group_model` of `{where}` must have `predict_proba` or `decision_function`, "
            f"and {type(probe).__name__} has neither."
        )
    if weight is not None and not accepts_sample_weight(probe):
        raise InvalidInputError(
            f"`group_model` of `{where}` must accept `sample_weight` in `fit`, because weights "
            f"were passed, but {type(probe).__name__} does not. Choose another model."
        )
    values = _values(X, where)
    scaler = StandardScaler().fit(values, sample_weight=weight)
    rows = _with_class(scaler.transform(values), y, n_classes)
    fit_weighted(probe, rows, groups, weight, where=where)
    asked = where.removesuffix("fit") + "predict"
    return _Probe(probe, scaler, n_classes, n_groups, asked)


@dataclass(frozen=True)
class _Probe:
    """A probe of standardised columns and class indicators, asked once a class."""

    model: Any
    scaler: Any
    n_classes: int
    n_groups: int
    where: str

    def posterior(self, X: Any) -> Floats:
        values = self.scaler.transform(_values(X, self.where))
        labels = np.arange(self.n_groups)
        asked = [
            class_probabilities(
                self.model,
                _with_class(values, np.full(len(values), k, dtype=np.intp), self.n_classes),
                labels,
            )
            for k in range(self.n_classes)
        ]
        return np.stack(asked, axis=1)


@dataclass(frozen=True)
class _Cells:
    """A model of the (class, group) cell, conditioned on the class by division."""

    model: Any
    n_classes: int
    n_groups: int

    def posterior(self, X: Any) -> Floats:
        cells = np.arange(self.n_classes * self.n_groups)
        found = class_probabilities(self.model, X, cells)
        joint = found.reshape(-1, self.n_classes, self.n_groups)
        # a class that is out of the question leaves its groups undecided, not undefined
        joint = joint + TINY
        return np.asarray(joint / joint.sum(axis=2, keepdims=True))


TINY = 1e-100
"""Far below any probability that matters, far above the smallest float."""


def _all_numbers(X: Any) -> bool:
    """Whether every column is numeric and every value is there."""
    if is_frame(X):
        kinds = nw.from_native(X, eager_only=True).schema.values()
        numeric = all(kind.is_numeric() for kind in kinds)
    else:
        numeric = np.asarray(X).dtype.kind in "biuf"
    if not numeric:
        return False
    try:
        read_table(X, where="SteeredClassifier.fit")
    except InvalidInputError:  # NaN or infinity, which the estimator may well read
        return False
    return True


def _values(X: Any, where: str) -> Floats:
    return read_table(X, where=where).values.astype(np.float64, copy=False)


def _with_class(values: Floats, y: NDArray[np.intp], n_classes: int) -> Floats:
    indicator = np.zeros((len(values), n_classes))
    indicator[np.arange(len(y)), y] = CLASS_SCALE
    return np.hstack([values, indicator])
