"""Bootstrap every metric of one group's scores from one set of resampled rows.

A resampled data set is how often each row was drawn. Kept as such a count per row, the
metrics that are means (log loss, bias, the sums of every bin of the calibration error)
are one matrix product for all replicates, and the ROC area needs the rows sorted only
once. Drawing rows anew for every metric took four times as long.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from isonomy.metrics.scores import score_statistics

__all__ = ["TopScore", "score_replicates", "score_values", "top_score"]

Floats = NDArray[np.float64]
TopScore = tuple[Floats, NDArray[np.bool_]]

N_BINS = 10
CHUNK_NUMBERS = 1_000_000
"""Counts held at once: 8 MB, so that a chunk stays near the processor."""


def score_values(
    true: NDArray[np.intp],
    score: Floats,
    weight: Floats | None,
    bins: NDArray[np.intp] | None = None,
) -> dict[str, float]:
    """Return every metric that the scores of one group allow, NaN where undefined.

    ``bins`` are those of the calibration error, ``(n_rows,)`` from 0 to ``N_BINS``; by default
    ``N_BINS`` equal ones.
    """
    everyone = np.arange(len(true))[None]
    statistics = score_statistics(true, score, weight, n_bins=N_BINS)
    found = {name: float(statistic(everyone)[0]) for name, statistic in statistics.items()}
    if bins is not None:
        w = np.ones(len(true)) if weight is None else weight
        top, hit = top_score(true, score)
        sums = np.bincount(bins, w * (top - hit))
        found["calibration_error"] = float(np.abs(sums).sum() / w.sum())
    return found


def top_score(true: NDArray[np.intp], score: Floats) -> TopScore:
    """Return the score that calibration judges and whether it was right, each ``(n,)``.

    With two classes (1-D scores) that is the positive class's probability and whether the
    row is positive; with more, the largest probability and whether that class is true.
    """
    if score.ndim == 1:
        return score, true == 1
    best = score.argmax(axis=1)
    return score[np.arange(len(true)), best], best == true


def score_replicates(
    true: NDArray[np.intp],
    score: Floats,
    weight: Floats | None,
    *,
    n_boot: int,
    rng: np.random.Generator,
    bins: NDArray[np.intp] | None = None,
) -> dict[str, Floats]:
    """Return ``n_boot`` replicates of every metric of :func:`score_values`.

    Parameters
    ----------
    true : (n_rows,)
        Class codes.
    score : (n_rows,) or (n_rows, n_classes)
        As for :func:`isonomy.metrics.scores.score_statistics`.
    weight : (n_rows,) or None
    n_boot : int
    rng : Generator
        The rows of one replicate are the same for all metrics.
    bins : (n_rows,), optional
        As for :func:`score_values`.

    Returns
    -------
    dict
        Metric to replicates, ``(n_boot,)``; NaN where a replicate holds one class alone.
    """
    n, w = len(true), np.ones(len(true)) if weight is None else weight
    if score.ndim == 1:  # negatives, then positives, by score: the ROC area needs no sorting
        order = np.lexsort((score, true == 1))
        true, score, w = true[order], score[order], w[order]
        bins = None if bins is None else bins[order]
    judge = _judge(true, score, w, bins)
    size = max(1, min(n_boot, CHUNK_NUMBERS // max(n, 1)))
    parts = []
    for start in range(0, n_boot, size):
        some = min(size, n_boot - start)
        drawn = rng.integers(0, n, size=(some, n)) + n * np.arange(some)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=some * n).reshape(some, n)
        parts.append(judge(counts.astype(np.float64)))
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _judge(
    true: NDArray[np.intp], score: Floats, w: Floats, bins: NDArray[np.intp] | None
) -> Callable[[Floats], dict[str, Floats]]:
    """Return the function from counts ``(size, n_rows)`` to the metrics, each ``(size,)``."""
    area = _area(true, score, w) if score.ndim == 1 else None
    is_probability = score.min() >= 0 and score.max() <= 1
    columns = _columns(true, score, w, bins) if is_probability else None

    def metrics(counts: Floats) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        if area is not None:
            found["roc_auc"] = area(counts)
        if columns is not None:
            sums = counts @ columns
            total = sums[:, 0]
            found["log_loss"] = sums[:, 1] / total
            found["mean_score_minus_rate"] = sums[:, 2:].sum(axis=1) / total
            found["calibration_error"] = np.abs(sums[:, 2:]).sum(axis=1) / total
        return found

    return metrics


def _columns(
    true: NDArray[np.intp], score: Floats, w: Floats, bins: NDArray[np.intp] | None
) -> Floats:
    """Return weights, weighted log losses, and weighted biases with one column a bin."""
    rows = np.arange(len(true))
    own = np.where(true == 1, score, 1 - score) if score.ndim == 1 else score[rows, true]
    top, hit = top_score(true, score)
    if bins is None:
        bins = np.minimum((top * N_BINS).astype(np.intp), N_BINS - 1)
    columns = np.zeros((len(true), 3 + N_BINS))
    columns[:, 0] = w
    columns[:, 1] = -w * np.log(np.maximum(own, np.finfo(np.float64).eps))
    columns[rows, 2 + bins] = w * (top - hit)
    return columns


def _area(true: NDArray[np.intp], score: Floats, w: Floats) -> Callable[[Floats], Floats]:
    """Return P(score of a positive > score of a negative) + P(tie) / 2 as of counts.

    Rows are the negatives, then the positives, each in the order of their scores.
    """
    n_down = int((true != 1).sum())
    down, up = score[:n_down], score[n_down:]
    first, last = (np.searchsorted(down, up, side=s) for s in ("left", "right"))
    has_ties, is_plain = bool((first != last).any()), bool((w == 1).all())

    def area(counts: Floats) -> Floats:
        drawn = counts if is_plain else counts * w
        negative, positive = drawn[:, :n_down], drawn[:, n_down:]
        below = np.zeros((len(counts), n_down + 1))
        np.cumsum(negative, axis=1, out=below[:, 1:])
        won = np.einsum("ij,ij->i", positive, np.take(below, first, axis=1))
        if has_ties:  # a tie counts half: between what is strictly below and what is not above
            won += np.einsum("ij,ij->i", positive, np.take(below, last, axis=1))
            won /= 2
        pairs = positive.sum(axis=1) * below[:, -1]
        found = np.full(len(counts), np.nan)
        np.divide(won, pairs, out=found, where=pairs > 0)
        return found

    return area
