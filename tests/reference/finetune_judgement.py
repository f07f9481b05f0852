"""Recall, thirds of the classes and macro F1 by the book, with loops."""

from __future__ import annotations

from collections.abc import Sequence


def recall_of(labels: Sequence[int], predicted: Sequence[int], k: int) -> float | None:
    right = rows = 0
    for y, p in zip(labels, predicted, strict=True):
        if y == k:
            rows += 1
            right += p == k
    return right / rows if rows else None


def thirds(counts: Sequence[int]) -> list[str]:
    """The most frequent third is the head, the rarest the tail; ties keep their order."""
    n = len(counts)
    if len(set(counts)) == 1:
        return ["medium"] * n
    order = sorted(range(n), key=lambda k: (-counts[k], k))
    size = max(1, round(n / 3))
    names = ["medium"] * n
    for place, k in enumerate(order):
        if place < size:
            names[k] = "head"
        elif place >= n - size:
            names[k] = "tail"
    return names


def mean_recall(
    labels: Sequence[int], predicted: Sequence[int], classes: Sequence[int]
) -> float | None:
    found = [r for k in classes if (r := recall_of(labels, predicted, k)) is not None]
    return sum(found) / len(found) if found else None


def macro_f1(labels: Sequence[int], predicted: Sequence[int], n_classes: int) -> float:
    values = []
    for k in range(n_classes):
        true = sum(y == k for y in labels)
        named = sum(p == k for p in predicted)
        right = sum(y == p == k for y, p in zip(labels, predicted, strict=True))
        if true + named:
            values.append(2 * right / (true + named))
    return sum(values) / len(values)
