"""Take a share of the training rows, class by class, for another split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_real
from isonomy.errors import InvalidInputError

__all__ = ["carve", "check_share"]


def check_share(name: str, share: float | None, *, where: str) -> float:
    """Return a share in [0, 1); None is 0."""
    value = 0.0 if share is None else check_real(name, share, where=where, low=0.0, high=1.0)
    if value == 1.0:
        raise InvalidInputError(
            f"`{name}` of `{where}` must lie in [0, 1), got 1: no training rows would be left."
        )
    return value


def carve(
    labels: Sequence[Any],
    split: NDArray[np.str_],
    *,
    share: float,
    into: str,
    rng: np.random.RandomState,
) -> NDArray[np.str_]:
    """Return the splits with a share of each class's training rows moved to ``into``.

    ``share`` of each class, rounded; but of a class of two rows or more at least one row
    moves and at least one stays, so that both splits know it.
    """
    out = split.astype("<U16")
    if share == 0.0:
        return out
    by_class: dict[Any, list[int]] = {}
    for row in np.flatnonzero(split == "train").tolist():
        by_class.setdefault(labels[row], []).append(row)
    for label in sorted(by_class, key=str):  # the order of the draws is that of the names
        rows = by_class[label]
        n = min(max(int(np.floor(share * len(rows) + 0.5)), 1), len(rows) - 1)
        out[rng.permutation(rows)[:n]] = into
    return out
