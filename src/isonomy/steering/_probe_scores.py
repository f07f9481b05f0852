"""What a fitted probe says about the groups of rows, one column a group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from isonomy.errors import InvalidInputError

__all__ = ["check_probe", "probabilities", "raw_scores"]

Floats = NDArray[np.float64]

SMALLEST = 1e-4
"""Where probabilities are cut before their logarithm: forests say 0 and 1 of few trees."""


def check_probe(model: Any, calibration: str | None, *, where: str) -> None:
    """Raise unless ``model`` can say how likely each group is.

    Raises
    ------
    InvalidInputError
        If it has neither probabilities nor scores, or scores alone and no calibration
        to turn them into probabilities.
    """
    name = type(model).__name__
    if hasattr(model, "predict_proba"):
        return
    if not hasattr(model, "decision_function"):
        raise InvalidInputError(
            f"`probe` of `{where}` must be a classifier with `predict_proba` or "
            f"`decision_function`, got {name}. Choose a classifier that scores its classes."
        )
    if calibration is None:
        raise InvalidInputError(
            f"`probe` of `{where}` must have `predict_proba` where `probe_calibration` is None, "
            f'got {name}, which has scores alone. Set `probe_calibration="sigmoid"`.'
        )


def raw_scores(
    model: Any, values: NDArray[Any], labels: Sequence[Hashable], *, method: str, where: str
) -> Floats:
    """Return uncalibrated scores, ``(n_samples, n_groups)``: higher means likelier.

    The decision function where there is one (for two groups: minus and plus its value),
    else log-odds; for "temperature" log-probabilities, which the softmax takes back.
    """
    rows = values.astype(np.float64, copy=False)
    if not hasattr(model, "decision_function"):
        found = np.clip(np.asarray(model.predict_proba(rows), np.float64), SMALLEST, 1 - SMALLEST)
        spread = np.log(found)
        scores = spread if method == "temperature" else spread - np.log1p(-found)
        return _by_group(scores, model, labels, where=where, absent=None)
    decision = np.asarray(model.decision_function(rows), dtype=np.float64)
    if decision.ndim == 1:
        decision = np.column_stack([-decision, decision])
    return _by_group(decision, model, labels, where=where, absent=None)


def probabilities(
    model: Any, values: NDArray[Any], labels: Sequence[Hashable], *, where: str
) -> Floats:
    """Return the model's own ``predict_proba``, ``(n_samples, n_groups)``."""
    found = model.predict_proba(values.astype(np.float64, copy=False))
    return _by_group(np.asarray(found, dtype=np.float64), model, labels, where=where, absent=0.0)


def _by_group(
    found: Floats, model: Any, labels: Sequence[Hashable], *, where: str, absent: float | None
) -> Floats:
    """Put the model's columns where the groups are; ``absent`` None: the row's lowest."""
    columns = _columns(model, labels, where=where)
    if found.shape[1] != len(columns) or not np.isfinite(found).all():
        what = "values that are not finite" if found.shape[1] == len(columns) else found.shape[1]
        raise InvalidInputError(
            f"`probe` of `{where}` must give one finite column a group ({len(columns)}), got "
            f"{what} from {type(model).__name__}. For a support vector machine set "
            '`decision_function_shape="ovr"`.'
        )
    out = np.full((len(found), len(labels)), 0.0 if absent is None else absent)
    if absent is None and len(columns) < len(labels):
        out += found.min(axis=1, keepdims=True)
    out[:, columns] = found
    return out


def _columns(model: Any, labels: Sequence[Hashable], *, where: str) -> NDArray[np.intp]:
    """Return which group each of the model's columns speaks of.

    Probes learn the groups' numbers; one that was fitted elsewhere and frozen has names.
    """
    classes = np.asarray(model.classes_)
    if not isinstance(model, FrozenEstimator):
        return classes.astype(np.intp)
    position = {str(label): a for a, label in enumerate(labels)}
    names = [str(c) for c in classes.tolist()]
    strange = [n for n in names if n not in position]
    if strange or len(names) < 2:
        raise InvalidInputError(
            f"`probe` of `{where}` is frozen and must have been fitted to tell the groups "
            f"({', '.join(position)}), got one that tells {', '.join(names)}. Fit it on the same "
            "names, or pass it without `FrozenEstimator`."
        )
    return np.array([position[n] for n in names], dtype=np.intp)
