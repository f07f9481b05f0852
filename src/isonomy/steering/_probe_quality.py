"""How well a probe knows the groups of rows it has not seen."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

__all__ = ["ProbeQuality", "measure_probe"]

Floats = NDArray[np.float64]

N_BINS = 10
"""Bins of the expected calibration error, of equal width."""

MIN_ROWS = 10
"""A group with fewer rows gets no recall of its own."""


@dataclass(frozen=True)
class ProbeQuality:
    """What a probe knew of the groups of held-out rows.

    Attributes
    ----------
    n : int
        Rows judged.
    accuracy : float
        Share whose most probable group is their own.
    base_rate : float
        The accuracy of always naming the largest group.
    auc : float
        Area under the ROC curve: for two groups, of the second; for more, the mean of
        each group against the rest. 0.5 is chance.
    calibration_error : float
        Expected calibration error of the largest posterior, over 10 bins: mean absolute
        difference between what the probe promised and how often it was right.
    log_loss : float
        Mean of -ln P(own group), in nats.
    recall : dict
        {group: share of its rows that the probe names rightly}, None for groups with
        fewer than 10 rows.
    rows : dict
        {group: rows}, None where ``recall`` is.
    """

    n: int
    accuracy: float
    base_rate: float
    auc: float
    calibration_error: float
    log_loss: float
    recall: dict[Hashable, float | None]
    rows: dict[Hashable, int | None]

    @property
    def sentence(self) -> str:
        """The bearing on a guarantee, in words."""
        parts = [
            f"{group!s} {_percent(share)} of {self.rows[group]:,}"
            for group, share in self.recall.items()
            if share is not None
        ]
        return (
            "Groups are inferred at deployment: the guarantee holds for rows whose group the "
            f"probe knows. Of {self.n:,} held-out rows it knew {_percent(self.accuracy)} "
            f"({', '.join(parts)}; always naming the largest group knows "
            f"{_percent(self.base_rate)})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "base_rate": self.base_rate,
            "auc": self.auc,
            "calibration_error": self.calibration_error,
            "log_loss": self.log_loss,
            "by_group": [
                {"group": str(g), "n": self.rows[g], "recall": r} for g, r in self.recall.items()
            ],
            "sentence": self.sentence,
        }


def measure_probe(
    posterior: Floats,
    codes: NDArray[np.intp],
    labels: Sequence[Hashable],
    weight: Floats | None = None,
) -> ProbeQuality:
    """Judge a posterior ``(n_samples, n_groups)`` against the true groups."""
    w = np.ones(len(codes)) if weight is None else weight
    n_groups = len(labels)
    known = posterior.argmax(axis=1) == codes
    mass = np.bincount(codes, weights=w, minlength=n_groups)
    rows = np.bincount(codes, minlength=n_groups)
    right = np.bincount(codes, weights=w * known, minlength=n_groups)
    own = posterior[np.arange(len(codes)), codes]
    shares = [float(right[a] / mass[a]) if rows[a] >= MIN_ROWS else None for a in range(n_groups)]
    return ProbeQuality(
        n=len(codes),
        accuracy=float(np.average(known, weights=w)),
        base_rate=float(mass.max() / mass.sum()),
        auc=_auc(posterior, codes, w),
        calibration_error=_calibration_error(posterior.max(axis=1), known, w),
        log_loss=-float(np.average(np.log(np.maximum(own, np.finfo(float).tiny)), weights=w)),
        recall=dict(zip(labels, shares, strict=True)),
        rows={g: int(r) if r >= MIN_ROWS else None for g, r in zip(labels, rows, strict=True)},
    )


def _auc(posterior: Floats, codes: NDArray[np.intp], w: Floats) -> float:
    present = np.unique(codes)
    if len(present) < 2:
        return float("nan")
    judged = present[1:] if posterior.shape[1] == 2 else present
    areas = [roc_auc_score(codes == a, posterior[:, a], sample_weight=w) for a in judged]
    return float(np.mean(areas))


def _calibration_error(promised: Floats, known: NDArray[np.bool_], w: Floats) -> float:
    bins = np.minimum((promised * N_BINS).astype(np.intp), N_BINS - 1)
    off = np.bincount(bins, weights=w * (promised - known), minlength=N_BINS)
    return float(np.abs(off).sum() / w.sum())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
