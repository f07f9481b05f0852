"""Label bias by loops over rows and pairs of classes, straight from the definitions."""

from __future__ import annotations

import math
from typing import Any


def recalls(y_true: Any, y_pred: Any, weight: Any = None) -> dict[Any, float]:
    """Share of right predictions of every class that has rows."""
    weight = [1.0] * len(y_true) if weight is None else weight
    found = {}
    for label in sorted(set(y_true)):
        hit = total = 0.0
        for t, p, w in zip(y_true, y_pred, weight, strict=True):
            if t == label:
                total += w
                hit += w * (p == label)
        if total > 0:
            found[label] = hit / total
    return found


def cobias(y_true: Any, y_pred: Any, weight: Any = None) -> float:
    values = list(recalls(y_true, y_pred, weight).values())
    total = n = 0.0
    for i, a in enumerate(values):
        for b in values[i + 1 :]:
            total += abs(a - b)
            n += 1
    return total / n


def recall_rsd(y_true: Any, y_pred: Any, weight: Any = None) -> float:
    weight = [1.0] * len(y_true) if weight is None else weight
    values = list(recalls(y_true, y_pred, weight).values())
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    rows = zip(y_true, y_pred, weight, strict=True)
    return spread / (sum(w * (t == p) for t, p, w in rows) / sum(weight))


def bias_score(y_true: Any, scores: Any, n_classes: int, weight: Any = None) -> float:
    weight = [1.0] * len(y_true) if weight is None else weight
    means = []
    for label in range(n_classes):
        total, sums = 0.0, [0.0] * n_classes
        for t, row, w in zip(y_true, scores, weight, strict=True):
            if t == label:
                total += w
                for k in range(n_classes):
                    sums[k] += w * row[k]
        if total > 0:
            means.append([s / total for s in sums])
    mean = [sum(m[k] for m in means) / len(means) for k in range(n_classes)]
    return 0.5 * sum(abs(v - 1 / n_classes) for v in mean)


def thirds(y_true: Any, y_pred: Any, counts: dict[Any, float]) -> tuple[float, float, float]:
    """Mean recall of the most frequent, the middle and the rarest classes."""
    found = recalls(y_true, y_pred)
    order = sorted(counts, key=lambda label: -counts[label])  # sorted is stable: ties keep order
    n = max(1, round(len(order) / 3))

    def mean(labels: Any) -> float:
        values = [found[label] for label in labels if label in found]
        return sum(values) / len(values) if values else math.nan

    return mean(order[:n]), mean(order[n : len(order) - n]), mean(order[len(order) - n :])
