"""How many rows every class has in every part, and whether it is common or rare."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.adapters._finetune._split import Parts
from isonomy.errors import UndefinedRateWarning
from isonomy.metrics.label_bias import class_group_accuracy

__all__ = ["class_table", "imbalance_ratio", "third_of_classes"]


def third_of_classes(counts: Sequence[int] | NDArray[Any]) -> list[str]:
    """Return "head", "medium" or "tail" of every class, by its training rows.

    Head and tail are the thirds of `isonomy.metrics.label_bias.class_group_accuracy`; all
    classes are "medium" where all have one count.

    Examples
    --------
    >>> third_of_classes([5, 100, 20])
    ['tail', 'head', 'medium']
    """
    codes = np.arange(len(counts))
    with warnings.catch_warnings():  # equal counts are said by the checks, in words
        warnings.simplefilter("ignore", UndefinedRateWarning)
        found = class_group_accuracy(codes, codes, class_counts=[int(n) for n in counts])
    named = {int(str(k)): "head" for k in found.head_classes}
    named |= {int(str(k)): "tail" for k in found.tail_classes}
    return [named.get(int(k), "medium") for k in codes]


def imbalance_ratio(counts: Sequence[int] | NDArray[Any]) -> float:
    """Return the rows of the most frequent class over those of the rarest.

    Examples
    --------
    >>> imbalance_ratio([5, 100, 20])
    20.0
    """
    return float(max(counts) / min(counts))


def class_table(rows: LabelledRows, parts: Parts) -> list[dict[str, Any]]:
    """Return one entry a class, the most frequent in training first."""
    train, validation, test = (rows.counts(p) for p in (parts.train, parts.validation, parts.test))
    third = third_of_classes(train)
    order = np.argsort(-train, kind="stable")
    return [
        {
            "class": rows.classes[k],
            "third": third[k],
            "n_train": int(train[k]),
            "n_validation": int(validation[k]),
            "n_test": int(test[k]),
        }
        for k in order
    ]
