"""Read class scores: probabilities or logits, two classes or many, into log-scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import as_column
from isonomy.errors import InvalidInputError

__all__ = [
    "ScoreKind",
    "finite_scores",
    "group_probabilities",
    "log_scores",
    "positive_class",
    "resolve_classes",
    "resolve_kind",
]

ScoreKind = Literal["auto", "probability", "logit"]

Floats = NDArray[np.float64]

LARGEST_LOGIT = 700.0
"""Log-probabilities below -700 would underflow as probabilities."""


def finite_scores(scores: Any, *, where: str) -> Floats:
    """Return the scores as floats, (n_samples,) or (n_samples, n_classes), without NaN."""
    raw = np.asarray(scores, dtype=np.float64)
    if raw.ndim not in (1, 2) or len(raw) == 0:
        raise InvalidInputError(
            f"`scores` passed to `{where}` must be (n_samples, n_classes) or (n_samples,) with "
            f"at least one row, got shape {raw.shape}."
        )
    if np.isnan(raw).any() or np.isposinf(raw).any():
        raise InvalidInputError(
            f"`scores` passed to `{where}` must hold no NaN and no positive infinity, got "
            f"{int((np.isnan(raw) | np.isposinf(raw)).sum())} such value(s)."
        )
    return raw


def resolve_kind(raw: Floats, kind: ScoreKind) -> ScoreKind:
    """Return what the scores are: "auto" looks whether rows lie in [0, 1] and sum to 1."""
    if kind != "auto":
        return kind
    within = bool((raw >= 0).all() and (raw <= 1).all())
    if raw.ndim == 2 and raw.shape[1] > 1:
        within = within and bool(np.allclose(raw.sum(axis=1), 1, atol=1e-3))
    return "probability" if within else "logit"


def resolve_classes(labels: NDArray[Any], classes: Any, *, where: str) -> NDArray[Any]:
    """Return the class of every score column."""
    found = np.unique(labels)
    if classes is None:
        return found
    named = as_column(classes)
    strangers = [c for c in found if c not in named]
    if strangers or len(np.unique(named)) < len(named):
        raise InvalidInputError(
            f"`classes` of `{where}` must name every class of `y` once, one a score "
            f"column; missing or repeated: {strangers or named.tolist()}."
        )
    return named


def positive_class(classes: NDArray[Any], pos_label: Any, *, where: str) -> int | None:
    """Return the column of the positive class, None for three or more classes."""
    if len(classes) > 2:
        return None
    if pos_label is None:
        return int(np.argmax(classes == np.sort(classes)[-1]))
    matches = np.flatnonzero(classes == pos_label)
    if len(matches) == 0:
        raise InvalidInputError(
            f"`pos_label` of `{where}` must be one of {classes.tolist()}, got {pos_label!r}."
        )
    return int(matches[0])


def log_scores(
    raw: Floats, classes: NDArray[Any], *, kind: ScoreKind, asked: ScoreKind, where: str
) -> Floats:
    """Return log-scores (n_samples, n_classes) of scores of the ``kind`` that ``fit`` saw.

    Raises
    ------
    InvalidInputError
        If the values are not of that kind, or the columns not one a class.
    """
    n_classes = len(classes)
    if kind == "probability" and not (raw >= 0).all() & (raw <= 1 + 1e-3).all():
        raise InvalidInputError(
            f"`scores` passed to `{where}` must be probabilities in [0, 1]"
            f"{'' if asked == 'probability' else ' as in `fit`'}, got values from "
            f'{raw.min():g} to {raw.max():g}. Set `score_kind="logit"` for other scores.'
        )
    if raw.ndim == 1 or raw.shape[1] == 1:
        if n_classes != 2:
            raise InvalidInputError(
                f"`scores` passed to `{where}` must have one column a class ({n_classes}); "
                "1-D scores are for two classes."
            )
        flat = raw.reshape(-1)
        if kind == "probability":
            return _log(np.column_stack([1 - flat, flat]))
        return _floored(np.column_stack([np.zeros(len(flat)), flat]))
    if raw.shape[1] != n_classes:
        raise InvalidInputError(
            f"`scores` passed to `{where}` must have one column a class ({n_classes}: "
            f"{', '.join(map(str, classes[:8]))}), got {raw.shape[1]}. Say which "
            "column is which with `classes=`."
        )
    return _log(raw) if kind == "probability" else _floored(raw)


def group_probabilities(
    group_proba: ArrayLike | None,
    *,
    n_samples: int,
    n_classes: int,
    groups: Sequence[Any],
    where: str,
) -> Floats:
    """Return P(group | row, class) as (n_samples, n_classes or 1, n_groups).

    Raises
    ------
    InvalidInputError
        If it is missing, has another shape, or its last axis does not hold probabilities
        that sum to 1.
    """
    n_groups = len(groups)
    wanted = f"({n_samples}, {n_groups}) or ({n_samples}, {n_classes}, {n_groups})"
    if group_proba is None:
        raise InvalidInputError(
            f"`group_proba` passed to `{where}` must hold the groups' probabilities, {wanted}, "
            'because `groups="infer"`, got None. `SteeredClassifier` makes them itself.'
        )
    found = np.asarray(group_proba, dtype=np.float64)
    if found.ndim == 2:
        found = found[:, None, :]
    if found.shape not in ((n_samples, 1, n_groups), (n_samples, n_classes, n_groups)):
        raise InvalidInputError(
            f"`group_proba` passed to `{where}` must have shape {wanted}, the last axis in the "
            f"order of the groups ({', '.join(map(str, groups))}), got "
            f"{np.asarray(group_proba).shape}."
        )
    sums = found.sum(axis=2)
    # float32 posteriors sum to 1 within some 1e-6
    strange = ~(np.isfinite(sums) & (found >= 0).all(axis=2) & (np.abs(sums - 1) <= 1e-3))
    if strange.any():
        row, k = (int(i) for i in np.argwhere(strange)[0])
        raise InvalidInputError(
            f"`group_proba` passed to `{where}` must hold probabilities that sum to 1 over the "
            f"groups, got {found[row, k].tolist()} in row {row}. Divide by the sum."
        )
    return found


def _floored(logits: Floats) -> Floats:
    """Lift scores that lie more than 700 below the largest of their row, -inf too."""
    top = logits.max(axis=1, keepdims=True)
    return np.maximum(logits, np.where(np.isfinite(top), top, 0.0) - LARGEST_LOGIT)


def _log(probability: Floats) -> Floats:
    logs: Floats = np.log(np.clip(probability, np.exp(-LARGEST_LOGIT), None))
    return logs
