"""Rates and gaps by counting rows one at a time, straight from their definitions."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any


def conditional(y_true: Any, y_pred: Any, groups: Any, weight: Any = None) -> dict[Any, float]:
    """P(predicted k | true j, group a) for every (j, k, a) with rows of j in a."""
    weight = [1.0] * len(y_true) if weight is None else weight
    classes = sorted(set(y_true) | set(y_pred))
    found = {}
    for a in sorted(set(groups)):
        for j in classes:
            total = sum(
                w for y, g, w in zip(y_true, groups, weight, strict=True) if y == j and g == a
            )
            if total == 0:
                continue
            for k in classes:
                hit = 0.0
                for y, p, g, w in zip(y_true, y_pred, groups, weight, strict=True):
                    if y == j and p == k and g == a:
                        hit += w
                found[j, k, a] = hit / total
    return found


def selection(y_pred: Any, groups: Any, weight: Any = None) -> dict[Any, float]:
    """P(predicted k | group a) for every (k, a)."""
    weight = [1.0] * len(y_pred) if weight is None else weight
    found = {}
    for a in sorted(set(groups)):
        total = sum(w for g, w in zip(groups, weight, strict=True) if g == a)
        for k in sorted(set(y_pred)):
            hit = sum(
                w for p, g, w in zip(y_pred, groups, weight, strict=True) if p == k and g == a
            )
            found[k, a] = hit / total
    return found


def rms_gap(
    y_true: Any,
    y_pred: Any,
    groups: Any,
    *,
    corrected: bool = False,
    weighting: str = "equal",
) -> float:
    """The rms gap in true-positive rate of the pair of groups that has the largest."""
    rate = conditional(y_true, y_pred, groups)
    best = -math.inf
    for a, b in combinations(sorted(set(groups)), 2):
        total, weights = 0.0, 0.0
        for y in sorted(set(y_true)):
            n = {
                g: sum(t == y and h == g for t, h in zip(y_true, groups, strict=True))
                for g in (a, b)
            }
            if min(n.values()) < (2 if corrected else 1):
                continue
            w = 1.0 if weighting == "equal" else n[a] * n[b] / (n[a] + n[b])
            square = (rate[y, y, a] - rate[y, y, b]) ** 2
            if corrected:
                for g in (a, b):
                    square -= rate[y, y, g] * (1 - rate[y, y, g]) / (n[g] - 1)
            total += w * square
            weights += w
        if weights:
            best = max(best, total / weights)
    return math.copysign(math.sqrt(abs(best)), best)


def largest_difference(rates: dict[Any, float]) -> float:
    """max - min over groups (the last part of each key), the largest over the rest."""
    by_rest: dict[Any, list[float]] = {}
    for key, value in rates.items():
        by_rest.setdefault(key[:-1], []).append(value)
    return max(max(v) - min(v) for v in by_rest.values() if len(v) > 1)
