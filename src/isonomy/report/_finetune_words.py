"""Words and look-ups that the parts of a fine-tuning report share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MEASURES", "READING", "THIRDS", "after_of", "before_of", "measure_of", "thirds_of"]

Entry = Mapping[str, Any]

THIRDS = {"head": "Common classes", "medium": "Classes between", "tail": "Rare classes"}

MEASURES = {
    "head_tail_gap": "Common minus rare (head-tail gap)",
    "worst_class_recall": "Recall of the worst class",
    "cobias": "COBias: mean difference between two classes",
    "recall_rsd": "RSD: spread of recalls over accuracy",
    "bias_score": "BiasScore: distance of mean scores from uniform",
}

READING: tuple[tuple[str, str], ...] = (
    (
        "Common and rare classes.",
        "The third of the classes with most training rows (the head) and the third with fewest "
        "(the tail). Their figure is the mean of the recalls of the classes in it: every class "
        "counts the same.",
    ),
    (
        "Recall.",
        "Of the rows that truly belong to a class, the share that the classifier finds.",
    ),
    (
        "Common minus rare.",
        "The head-tail gap: 0 means that rare classes are found as often as common ones.",
    ),
    (
        "Macro F1.",
        "The harmonic mean of recall and precision, averaged over classes: a classifier that "
        "finds rare classes only by calling everything rare does badly.",
    ),
    (
        "Intervals.",
        "95% intervals over test rows, the number of rows of each class held fixed. They do not "
        "cover what another split or another seed would give.",
    ),
)


def after_of(result: Entry) -> Entry:
    """Return how the fine-tuned classifier was judged."""
    judged: Entry = list(result["judgements"])[-1]
    return judged


def before_of(result: Entry) -> Entry | None:
    """Return how it was before, or None where that was not judged."""
    judged = list(result["judgements"])
    return judged[0] if len(judged) > 1 else None


def measure_of(judged: Entry, name: str) -> Entry:
    """Return one measure over classes, empty where it is not there."""
    found = [m for m in judged.get("measures") or () if m.get("metric") == name]
    return found[0] if found else {}


def thirds_of(judged: Entry) -> dict[str, Entry]:
    """Return the figures of common, middle and rare classes by their key."""
    return {str(entry["group"]): entry for entry in judged.get("class_groups") or ()}
