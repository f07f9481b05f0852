"""Accuracy by class group and by demographic group, from the definitions, with loops."""

from __future__ import annotations

import math


def mean(values):
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


def recall_and_f1(true, said, n_classes):
    """``true`` and ``said``: for every row the set of its classes."""
    recalls, f1s = [], []
    for k in range(n_classes):
        hits = sum(1 for t, s in zip(true, said, strict=True) if k in t and k in s)
        rows = sum(1 for t in true if k in t)
        calls = sum(1 for s in said if k in s)
        recalls.append(hits / rows if rows else math.nan)
        if rows + calls:
            f1s.append(2 * hits / (rows + calls))
    return recalls, f1s


def metrics(true, said, counts, groups, names):
    """Return what an evaluation adds, for rows whose labels are sets of classes."""
    n_classes = len(counts)
    recalls, f1s = recall_and_f1(true, said, n_classes)
    right = [t == s for t, s in zip(true, said, strict=True)]
    order = sorted(range(n_classes), key=lambda k: -counts[k])
    third = max(1, math.floor(n_classes / 3 + 0.5))
    found = {
        "accuracy": sum(right) / len(right),
        "macro_f1": sum(f1s) / len(f1s),
        "head_accuracy": mean([recalls[k] for k in order[:third]]),
        "medium_accuracy": mean([recalls[k] for k in order[third : n_classes - third]]),
        "tail_accuracy": mean([recalls[k] for k in order[n_classes - third :]]),
    }
    found["head_tail_gap"] = found["head_accuracy"] - found["tail_accuracy"]
    parts = [found[f"{part}_accuracy"] for part in ("head", "medium", "tail")]
    found["worst_class_group_accuracy"] = min(p for p in parts if not math.isnan(p))
    worst = []
    for code, name in enumerate(names):
        rows = [r for r, g in zip(right, groups, strict=True) if g == code]
        if rows:
            found[f"accuracy_group_{name}"] = sum(rows) / len(rows)
            worst.append(sum(rows) / len(rows))
    found["worst_group_accuracy"] = min(worst)
    return found
