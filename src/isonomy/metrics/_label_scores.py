"""The door for one distribution over classes a row, and its mean in every class."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_labels, check_same_length, check_sample_weight
from isonomy.errors import InvalidInputError

__all__ = ["ScoredRows", "check_class_scores", "mean_scores"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredRows:
    """Codes of the true classes, a distribution and a weight for each row."""

    classes: tuple[Hashable, ...]
    true: NDArray[np.intp]
    score: Floats
    weight: Floats


def check_class_scores(
    y_true: Any,
    y_score: Any,
    classes: Sequence[Hashable] | None,
    sample_weight: ArrayLike | None,
    *,
    where: str,
) -> ScoredRows:
    """Return checked rows: every label has a column, every row of scores sums to 1."""
    labels = check_labels(y_true, where=where, name="y_true")
    raw = y_score.to_numpy() if hasattr(y_score, "to_numpy") else np.asarray(y_score)
    if raw.ndim != 2 or raw.shape[1] < 2 or raw.dtype.kind not in "fiub":
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must be numbers with one column for each of at least "
            f"two classes, got shape {raw.shape} of {raw.dtype}. Pass `predict_proba`'s result."
        )
    score = raw.astype(np.float64)
    check_same_length("y_score", len(score), len(labels), where=where, of="y_true")
    total = score.sum(axis=1)
    # half a percent: probabilities stored in float16 or printed with three digits pass
    if not (np.isfinite(score).all() and score.min() >= 0 and np.abs(total - 1).max() < 5e-3):
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must hold probabilities, each row summing to 1, got "
            f"values from {score.min():g} to {score.max():g}. Apply a softmax to logits first."
        )
    names = _columns(labels, classes, score.shape[1], where=where)
    position = {name: k for k, name in enumerate(names)}
    unknown = sorted({str(v) for v in labels.tolist() if v not in position})
    if unknown:
        raise InvalidInputError(
            f"`y_true` passed to `{where}` must hold labels that have a column, got "
            f"{unknown[0]!r} beside {len(unknown) - 1} more. Name the columns by `classes`."
        )
    codes = np.fromiter((position[v] for v in labels.tolist()), np.intp, len(labels))
    weight = check_sample_weight(sample_weight, len(labels), where=where)
    weight = np.ones(len(labels)) if weight is None else weight
    return ScoredRows(names, codes, score / total[:, None], weight)


def mean_scores(rows: ScoredRows) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the mean distribution of every class ``(K, K)``, and which classes have rows."""
    k = len(rows.classes)
    weight = np.bincount(rows.true, rows.weight, minlength=k)
    sums = np.stack(
        [np.bincount(rows.true, rows.weight * column, minlength=k) for column in rows.score.T],
        axis=1,
    )
    present = weight > 0
    return sums / np.where(present, weight, 1.0)[:, None], present


def _columns(
    labels: NDArray[Any], classes: Sequence[Hashable] | None, k: int, *, where: str
) -> tuple[Hashable, ...]:
    if classes is None:
        if labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < k:
            return tuple(range(k))
        classes = sorted(set(labels.tolist()))
    names = tuple(classes)
    if len(names) != k or len(set(names)) != k:
        raise InvalidInputError(
            f"`classes` of `{where}` must name each of the {k} columns of `y_score` once, got "
            f"{len(names)}. Pass the labels in the order of the columns."
        )
    return names
