"""Metrics of scores per group: calibration, log loss, area under the ROC curve.

Scores are not counts, so their intervals resample rows, within each group, in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import (
    as_column,
    check_labels,
    check_real,
    check_same_length,
    check_sample_weight,
)
from isonomy.errors import InvalidInputError
from isonomy.groups import encode_groups
from isonomy.metrics.disparities import GroupMetric
from isonomy.metrics.rates import warn_undefined

__all__ = ["Calibration", "calibration", "row_bootstrap", "score_statistics"]

Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.intp]], Floats]

CHUNK_ROWS = 2_000_000
"""Row numbers held at once while rows are resampled: 16 MB."""


@dataclass(frozen=True)
class Calibration:
    """``error``: expected calibration error by group; ``bias``: mean score minus rate."""

    error: GroupMetric
    bias: GroupMetric


def calibration(
    y_true: Any,
    y_score: Any,
    *,
    sensitive_features: Any,
    pos_label: Hashable | None = None,
    n_bins: int = 10,
    sample_weight: ArrayLike | None = None,
) -> Calibration:
    """Compute how far scores are from rates within every group.

    Parameters
    ----------
    y_true : (n_samples,)
        Labels of two classes.
    y_score : (n_samples,)
        Probabilities of the positive class, in [0, 1].
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups.
    pos_label : label, optional
        The positive class; by default the larger in sorted order.
    n_bins : int
        Bins of equal width over [0, 1].
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    Calibration
        ``error`` sum_b (n_b / n) |mean score_b - rate_b| over bins b, in [0, 1] and biased
        upwards on few rows; ``bias`` mean score minus rate, in [-1, 1].

    Raises
    ------
    InvalidInputError
        If lengths differ, scores lie outside [0, 1] or are NaN, or there are more than two
        classes.

    Examples
    --------
    >>> found = calibration([0, 1, 0, 1], [0, 1, 0.5, 0.5], sensitive_features=list("aabb"))
    >>> found.error.by_group, found.bias.by_group
    ({'a': 0.0, 'b': 0.0}, {'a': 0.0, 'b': 0.0})
    """
    where = "calibration"
    true = check_labels(y_true, where=where, name="y_true")
    score = check_scores(y_score, len(true), 2, where=where)
    if score.ndim == 2:
        score = score[:, 1]
    if score.min() < 0 or score.max() > 1:
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must be probabilities in [0, 1], got values from "
            f"{score.min():g} to {score.max():g}. Calibrate the scores first."
        )
    check_real("n_bins", n_bins, where=where, low=1)
    groups = encode_groups(sensitive_features, n_samples=len(true), where=where, of="y_true")
    weight = check_sample_weight(sample_weight, len(true), where=where)
    positive = _positive(true, pos_label, where=where).astype(np.float64)
    weight = np.ones(len(true)) if weight is None else weight
    parts = {g: groups.codes == a for a, g in enumerate(groups.labels)}
    values = [_calibration(positive[m], score[m], weight[m], n_bins) for m in parts.values()]
    overall = _calibration(positive, score, weight, n_bins)
    lacking = [str(g) for g, v in zip(parts, values, strict=True) if np.isnan(v[0])]
    warn_undefined("calibration", lacking, "the group has no weight", stacklevel=3)
    n = dict(zip(groups.labels, groups.counts.tolist(), strict=True))
    reasons: dict[Hashable, str] = dict.fromkeys(lacking, "the group has no weight")
    first, second = (
        GroupMetric(
            name, {g: v[i] for g, v in zip(parts, values, strict=True)}, n, overall[i], reasons
        )
        for i, name in enumerate(("calibration_error", "mean_score_minus_rate"))
    )
    return Calibration(first, second)


def row_bootstrap(
    statistic: Statistic, n_rows: int, *, n_boot: int, rng: np.random.Generator
) -> Floats:
    """Return replicates ``(n_boot,)`` of ``statistic`` over rows drawn with replacement.

    ``statistic`` takes row numbers ``(size, n_rows)`` and returns one value a replicate.
    Call it once per group: that is resampling stratified by group.
    """
    size = max(1, min(n_boot, CHUNK_ROWS // max(n_rows, 1)))
    parts = [
        statistic(rng.integers(0, n_rows, size=(min(size, n_boot - start), n_rows)))
        for start in range(0, n_boot, size)
    ]
    return np.concatenate(parts)


def score_statistics(
    true: NDArray[np.intp], score: Floats, weight: Floats | None, *, n_bins: int = 10
) -> dict[str, Statistic]:
    """Return the statistics of one group's rows that its scores allow.

    ``true`` are class codes; ``score`` is 1-D for two classes (code 1 positive) or
    ``(n_rows, n_classes)``. Scores outside [0, 1] allow ``roc_auc`` alone. With several
    classes the calibration is that of the top score against being right.
    """
    w = np.ones(len(true)) if weight is None else weight
    found: dict[str, Statistic] = {}
    if score.ndim == 1:
        found["roc_auc"] = _auc_statistic(true, score, w)
    if score.min() < 0 or score.max() > 1:
        return found
    rows = np.arange(len(true))
    if score.ndim == 1:
        own, top, hit = np.where(true == 1, score, 1 - score), score, true == 1
    else:
        best = score.argmax(axis=1)
        own, top, hit = score[rows, true], score[rows, best], best == true
    loss = -np.log(np.maximum(own, np.finfo(np.float64).eps))
    bias = top - hit
    bins = np.minimum((top * n_bins).astype(np.intp), n_bins - 1)
    found["log_loss"] = lambda rows: _mean(loss, w, rows)
    found["mean_score_minus_rate"] = lambda rows: _mean(bias, w, rows)
    found["calibration_error"] = lambda rows: _binned(bias, w, bins, n_bins, rows)
    return found


def check_scores(y_score: Any, n: int, n_classes: int, *, where: str) -> Floats:
    """Return finite scores ``(n,)`` for two classes or ``(n, n_classes)``."""
    raw = y_score.to_numpy() if hasattr(y_score, "to_numpy") else as_column(y_score)
    try:
        score = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must be numbers, got something else: {error}."
        ) from error
    if score.ndim == 2 and score.shape[1] == 1:
        score = score[:, 0]
    wanted = (1, 2) if n_classes == 2 else (2,)
    if score.ndim not in wanted or (score.ndim == 2 and score.shape[1] != n_classes):
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must have one column for each of the {n_classes} "
            f"classes in sorted order (or be 1-D for two classes), got shape {score.shape}."
        )
    check_same_length("y_score", len(score), n, where=where, of="y_true")
    n_bad = int((~np.isfinite(score)).sum())
    if n_bad:
        raise InvalidInputError(
            f"`y_score` passed to `{where}` must be finite, got {n_bad} NaN or infinite "
            "value(s). Drop those rows."
        )
    return score


def _positive(true: NDArray[Any], pos_label: Hashable | None, *, where: str) -> NDArray[np.bool_]:
    classes = sorted(set(true.tolist()))
    if len(classes) > 2:
        raise InvalidInputError(
            f"`y_true` passed to `{where}` must hold two classes, got {len(classes)}. Compare "
            "one class with the rest: `y_true == label`."
        )
    if pos_label is not None and pos_label not in classes:
        raise InvalidInputError(
            f"`pos_label` of `{where}` must be one of the classes {classes}, got {pos_label!r}."
        )
    chosen = classes[-1] if pos_label is None else pos_label
    positive: NDArray[np.bool_] = np.asarray(true == chosen)
    return positive


def _calibration(positive: Floats, score: Floats, w: Floats, n_bins: int) -> tuple[float, float]:
    if w.sum() <= 0:
        return float("nan"), float("nan")
    bins = np.minimum((score * n_bins).astype(np.intp), n_bins - 1)
    gap = np.bincount(bins, w * (score - positive), minlength=n_bins)
    return float(np.abs(gap).sum() / w.sum()), float(gap.sum() / w.sum())


def _mean(values: Floats, w: Floats, rows: NDArray[np.intp]) -> Floats:
    mean: Floats = (values * w)[rows].sum(axis=1) / w[rows].sum(axis=1)
    return mean


def _binned(
    bias: Floats, w: Floats, bins: NDArray[np.intp], n_bins: int, rows: NDArray[np.intp]
) -> Floats:
    size = len(rows)
    at = (bins[rows] + n_bins * np.arange(size)[:, None]).ravel()
    sums = np.bincount(at, (w * bias)[rows].ravel(), minlength=size * n_bins)
    error: Floats = np.abs(sums.reshape(size, n_bins)).sum(axis=1) / w[rows].sum(axis=1)
    return error


def _auc_statistic(true: NDArray[np.intp], score: Floats, w: Floats) -> Statistic:
    """P(score of a positive > score of a negative) + P(tie) / 2, from rows sorted once."""
    _, level = np.unique(score, return_inverse=True)
    n_levels = int(level.max()) + 1
    positive = true == 1

    def auc(rows: NDArray[np.intp]) -> Floats:
        size = len(rows)
        at = (level[rows] + n_levels * np.arange(size)[:, None]).ravel()
        up, down = (
            np.bincount(at, (w * m)[rows].ravel(), minlength=size * n_levels).reshape(size, -1)
            for m in (positive, ~positive)
        )
        below = np.cumsum(down, axis=1) - down / 2
        pairs = up.sum(axis=1) * down.sum(axis=1)
        area = np.full(size, np.nan)
        np.divide((up * below).sum(axis=1), pairs, out=area, where=pairs > 0)
        return area

    return auc
