"""What is measured of one run, from its logits on the test rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import UndefinedRateWarning
from isonomy.metrics import (
    bias_score,
    class_group_accuracy,
    cobias,
    macro_f1,
    recall_rsd,
    rms_tpr_gap,
)

__all__ = ["SHOWN", "judge", "propensity"]

SHOWN = (
    "accuracy", "macro_f1", "head", "medium", "tail", "gap", "cobias", "rsd", "bias_score",
)  # fmt: skip
"""Metrics of the main tables, in their order."""

Floats = NDArray[np.floating[Any]]


def judge(
    logits: Floats, y: NDArray[np.intp], counts: NDArray[np.intp], group: Any = None
) -> dict[str, Any]:
    """Return all metrics of one run; plain numbers, NaN where undefined.

    ``counts`` (K,) are the training rows of each class: they say what head and tail are.
    """
    k = logits.shape[1]
    predicted = logits.argmax(axis=1)
    found: dict[str, Any] = {"accuracy": float((predicted == y).mean())}
    with warnings.catch_warnings():
        # no metric of a class without test rows is shown: the tables say how many rows there are
        warnings.simplefilter("ignore", UndefinedRateWarning)
        thirds = class_group_accuracy(y, predicted, class_counts=counts)
        found |= {
            "macro_f1": macro_f1(y, predicted),
            "head": thirds.head,
            "medium": thirds.medium,
            "tail": thirds.tail,
            "gap": thirds.gap,
            "cobias": cobias(y, predicted),
            "rsd": recall_rsd(y, predicted),
            "bias_score": bias_score(y, softmax(logits), classes=range(k)),
        }
        if group is not None:
            found["rms_tpr_gap"] = rms_tpr_gap(y, predicted, sensitive_features=group)
    hits = np.bincount(y[predicted == y], minlength=k)
    rows = np.bincount(y, minlength=k)
    found["recall"] = [h / n if n else None for h, n in zip(hits.tolist(), rows, strict=True)]
    return found | propensity(logits, y)


def propensity(logits: Floats, y: NDArray[np.intp]) -> dict[str, float]:
    """Return how unequal the levels of the labels are, and how well each is told apart.

    With h_c[k] and h_n[k] the mean logit of label k over rows with and without it (each row's
    logits less their mean, so that a constant added to all of a row's logits changes nothing):
    ``propensity`` is std_k h_n[k], ``discriminability`` the mean over k of h_c[k] - h_n[k], and
    ``discriminability_std``, ``discriminability_min`` its spread and minimum.
    """
    z = logits.astype(np.float64)
    z -= z.mean(axis=1, keepdims=True)
    k = z.shape[1]
    own = np.zeros(z.shape, dtype=bool)
    own[np.arange(len(y)), y] = True
    n = own.sum(axis=0)
    seen = (n > 0) & (n < len(y))
    with_label = (z * own).sum(axis=0)[seen] / n[seen]
    without = (z * ~own).sum(axis=0)[seen] / (len(y) - n[seen])
    if not seen.any() or k < 2:
        return {}
    apart = with_label - without
    return {
        "propensity": float(without.std()),
        "discriminability": float(apart.mean()),
        "discriminability_std": float(apart.std()),
        "discriminability_min": float(apart.min()),
    }


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Return probabilities (n, K)."""
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p: NDArray[np.float64] = e / e.sum(axis=1, keepdims=True)
    return p
