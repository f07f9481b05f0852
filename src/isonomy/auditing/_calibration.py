"""Reliability of the scores of every group, bin by bin, small bins withheld."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.auditing._rates import withheld_reason
from isonomy.auditing._score_bootstrap import N_BINS, top_score
from isonomy.auditing._small_groups import hidden_cells
from isonomy.metrics._counts import LabelledRows
from isonomy.metrics.intervals import wilson_interval

__all__ = ["calibration_curve", "score_bins"]

Floats = NDArray[np.float64]


def calibration_curve(
    rows: LabelledRows, score: Floats, *, min_cell: int, confidence: float
) -> dict[str, Any] | None:
    """Return how often scores of every size came true in every group; None for non-scores.

    Parameters
    ----------
    rows : LabelledRows
    score : (n_rows,) or (n_rows, n_classes)
        Probabilities. With several classes it is the largest one that is judged, against
        whether its class is the true one: one curve a group, whatever the number of classes.
    min_cell : int
        Bins of fewer rows are withheld and, while the withheld bins of a group hold fewer
        rows than this together, its next smallest: the group's size would give them away.
        With two classes the same holds among the rows of each decision, whose number and
        rate are known.
    confidence : float
        Of the Wilson intervals, on Kish's effective sizes.

    Returns
    -------
    dict or None
        ``{"of": class or null, "n_bins", "bins": [{"group", "low_edge", "high_edge",
        "mean_score", "value", "low", "high", "n", "reason"}]}``; bins without rows are left
        out. There is no curve over everyone: less the shown groups it would be the curve of
        the withheld bins.
    """
    if score.min() < 0 or score.max() > 1:
        return None
    top, hit = top_score(rows.true, score)
    weight = np.ones(len(top)) if rows.weight is None else rows.weight
    code, hidden = _bins(rows, score, top, min_cell)
    shape = (N_BINS, len(rows.groups))
    cell = code * shape[1] + rows.group

    def total(values: Floats | None) -> Floats:
        sums = np.bincount(cell, values, minlength=N_BINS * shape[1]).astype(np.float64)
        return sums.reshape(shape)

    n, w = total(None).astype(np.intp), total(weight)
    held = np.where(w > 0, w, 1.0)
    value = total(weight * hit) / held
    mean = total(weight * top) / held
    low, high = wilson_interval(
        value, np.maximum(w**2 / _positive(total(weight**2)), 1), confidence
    )
    bins = []
    for a, b in zip(*np.nonzero(n.T), strict=True):
        shown = not hidden[b, a]
        bins.append(
            {
                "group": str(rows.groups[a]),
                "low_edge": b / N_BINS,
                "high_edge": (b + 1) / N_BINS,
                "mean_score": float(mean[b, a]) if shown else None,
                "value": float(value[b, a]) if shown else None,
                "low": float(low[b, a]) if shown else None,
                "high": float(high[b, a]) if shown else None,
                "n": int(n[b, a]) if shown else None,
                "reason": None if shown else withheld_reason(min_cell),
            }
        )
    of = str(rows.classes[1]) if score.ndim == 1 else None
    return {"of": of, "n_bins": N_BINS, "bins": bins}


def score_bins(rows: LabelledRows, score: Floats, *, min_cell: int) -> NDArray[np.intp] | None:
    """Return the bin of every row, ``(n_rows,)``: ``N_BINS`` for all that are withheld.

    None for scores that are no probabilities. A calibration error takes the withheld bins
    as one: less the shown bins, a sum of their absolute values would tell them apart.
    """
    if score.min() < 0 or score.max() > 1:
        return None
    code, hidden = _bins(rows, score, top_score(rows.true, score)[0], min_cell)
    return np.where(hidden[code, rows.group], N_BINS, code)


def _bins(
    rows: LabelledRows, score: Floats, top: Floats, min_cell: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the bin of every row, and which (bin, group) are withheld."""
    code = np.minimum((top * N_BINS).astype(np.intp), N_BINS - 1)
    n_groups = len(rows.groups)
    # scores of two classes are mostly cut where a decision begins: bins are of one decision
    side = rows.predicted if score.ndim == 1 else np.zeros(len(top), dtype=np.intp)
    n = np.zeros((N_BINS, n_groups, 2), dtype=np.intp)
    np.add.at(n, (code, rows.group, side), 1)
    hidden = hidden_cells(n.sum(axis=2), min_cell)
    for a in np.flatnonzero(hidden.any(axis=0)):
        _hide_by_decision(n[:, a], hidden[:, a], min_cell)
    return code, hidden | _bares_a_class(rows, score, min_cell)


def _hide_by_decision(n: NDArray[np.intp], hidden: NDArray[np.bool_], min_cell: int) -> None:
    """Withhold more bins of one group while few withheld rows are of one decision."""
    for b in np.argsort(n.sum(axis=1), kind="stable"):
        held = n[hidden].sum(axis=0)
        few = (held > 0) & (held < min_cell)
        if not few.any():
            return
        if n[b, few].any():
            hidden[b] = True


def _bares_a_class(rows: LabelledRows, score: Floats, min_cell: int) -> NDArray[np.bool_]:
    """Return the groups, ``(n_groups,)``, whose curve would add up to a withheld cell."""
    if score.ndim == 2:
        return np.zeros(len(rows.groups), dtype=bool)
    sizes = np.stack(
        [np.bincount(rows.group[rows.true == y], minlength=len(rows.groups)) for y in (0, 1)]
    )
    few: NDArray[np.bool_] = (sizes > 0) & (sizes < min_cell)
    bare: NDArray[np.bool_] = np.logical_or(few[0], few[1])
    return bare


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, 1.0)
