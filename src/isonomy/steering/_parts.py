"""Fit and apply the parts of a SteeredClassifier, whatever transformer it was given."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from isonomy._cross_fit import class_probabilities
from isonomy._frames import is_frame
from isonomy._group_transformer import GroupAwareTransformer
from isonomy._weighted_fit import fit_weighted
from isonomy.errors import EmptyCellError, InvalidInputError, UnknownGroupError

__all__ = [
    "Recipe",
    "Rows",
    "check_served_names",
    "fit_parts",
    "held_out_scores",
    "steered",
    "uses_groups",
]


@dataclass(frozen=True)
class Rows:
    """Training rows: ``groups`` are names or None, ``weight`` already reweighed or None."""

    X: Any
    y: NDArray[Any]
    groups: NDArray[Any] | None
    user_weight: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None

    @property
    def counted(self) -> NDArray[np.intp]:
        """Which rows have weight above 0; the others are as if absent."""
        if self.user_weight is None:
            return np.arange(len(self.y))
        return np.flatnonzero(self.user_weight)

    def take(self, index: NDArray[np.intp]) -> Rows:
        """Return the rows at ``index``."""

        def pick(values: Any) -> Any:
            return None if values is None else values[index]

        return Rows(
            _safe_indexing(self.X, index),
            self.y[index],
            pick(self.groups),
            pick(self.user_weight),
            pick(self.weight),
        )


@dataclass(frozen=True)
class Recipe:
    """An unfitted steerer (None: rows stay) and an unfitted estimator."""

    steerer: Any | None
    estimator: Any


def fit_parts(recipe: Recipe, rows: Rows, *, where: str) -> tuple[Any | None, Any]:
    """Return the fitted steerer and the estimator fitted on the steered rows."""
    steerer = None if recipe.steerer is None else clone(recipe.steerer)
    moved = rows.X if steerer is None else _fit_steerer(steerer, rows)
    estimator = fit_weighted(clone(recipe.estimator), moved, rows.y, rows.weight, where=where)
    return steerer, estimator


def _fit_steerer(steerer: Any, rows: Rows) -> Any:
    """Fit the steerer in place and return the training rows as the estimator is to see them."""
    extra = {"sensitive_features": rows.groups, "sample_weight": rows.user_weight}
    accepted = signature(steerer.fit).parameters
    passed = {k: v for k, v in extra.items() if k in accepted and v is not None}
    if isinstance(steerer, GroupAwareTransformer):
        # where groups are inferred, training rows may be moved otherwise than new ones
        return steerer.fit_transform(rows.X, rows.y, **passed)
    steerer.fit(rows.X, rows.y, **passed)
    return steered(steerer, rows.X, rows.groups)


def steered(steerer: Any | None, X: Any, groups: Any) -> Any:
    """Return the rows as ``steerer`` leaves them, passing groups where it takes them."""
    if steerer is None:
        return X
    if "sensitive_features" in signature(steerer.transform).parameters:
        return steerer.transform(X, sensitive_features=groups)
    return steerer.transform(X)


def uses_groups(steerer: Any | None) -> bool:
    """Whether the steerer needs to know the group of every row to move it."""
    if steerer is None:
        return False
    if isinstance(steerer, GroupAwareTransformer):
        return steerer._uses_groups_at_transform()
    return "sensitive_features" in signature(steerer.transform).parameters


def check_served_names(known: Any, X: Any, dropped: Any, *, where: str) -> None:
    """Raise unless ``X``, without the group columns, has the other columns of ``fit`` in order.

    Parameters
    ----------
    known : (n_features,) or None
        Names seen in ``fit``.
    X : frame or array
    dropped : sequence
        The group columns.
    """
    if known is None or not is_frame(X):
        return
    expected = [str(name) for name in known if name not in dropped]
    found = [str(name) for name in nw.from_native(X, eager_only=True).columns]
    if found != expected:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have the columns seen in `fit`, in that order "
            f"({', '.join(expected[:20])}), got {', '.join(found[:20])}."
        )


def held_out_scores(
    recipe: Recipe,
    rows: Rows,
    classes: NDArray[Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    where: str,
) -> NDArray[np.float64]:
    """Fit on ``train`` and return the class probabilities of ``test``.

    Raises
    ------
    EmptyCellError
        If the steerer needs rows of a group or cell that ``train`` has none of.
    """
    part = rows.take(test)
    try:
        steerer, estimator = fit_parts(recipe, rows.take(train), where=where)
        moved = steered(steerer, part.X, part.groups)
    except (EmptyCellError, UnknownGroupError) as error:
        raise EmptyCellError(
            f"`{where}` fits every part again in each fold of `cv`, and in one fold a group or a "
            "(label, group) cell had no row to learn from. Pool cells of a single row, use a "
            f"group-blind steerer, or set `calibrator=None`. In that fold: {error}"
        ) from error
    return class_probabilities(estimator, moved, classes)
