"""Running sums of label scores over texts with and without each label: nothing else is kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import UndefinedRateWarning

__all__ = ["LabelMeans", "propensity_of"]

Array = NDArray[np.float64]


class LabelMeans:
    """Mean score of label k over rows with it, and over rows without, at every layer."""

    def __init__(self, n_layers: int, n_classes: int) -> None:
        self.n_rows = 0
        self.n = np.zeros(n_classes)
        self._with = np.zeros((n_layers, n_classes))
        self._without = np.zeros((n_layers, n_classes))

    def add(self, scores: Sequence[Array], carried: Array) -> None:
        """Count a batch: one (batch, K) array of scores a layer; ``carried`` (batch, K) of 0/1."""
        self.n_rows += len(carried)
        self.n += carried.sum(axis=0)
        for layer, own in enumerate(scores):
            self._with[layer] += (own * carried).sum(axis=0)
            self._without[layer] += (own * (1.0 - carried)).sum(axis=0)

    def means(self, classes: Sequence[str], *, where: str) -> tuple[Array, Array]:
        """Return (h_c, h_n), each (L, K); NaN, with a warning, where no row is counted."""
        rest = self.n_rows - self.n
        found = []
        for count, words in ((self.n, "no text carries"), (rest, "every text carries")):
            empty = [repr(name) for name, n in zip(classes, count, strict=True) if n == 0]
            found += [f"{words} {', '.join(empty)}"] if empty else []
        if found:
            warnings.warn(
                f"`{where}`: {'; '.join(found)}. One of the two means of such a label is NaN, and "
                "it does not count for discriminability.",
                UndefinedRateWarning,
                stacklevel=4,
            )
        with np.errstate(invalid="ignore"):
            return self._with / self.n, self._without / rest


def propensity_of(rest_mean: Array) -> Array:
    """Return std_k h_n[l, k] over the labels that have it (divisor: their number), (L,)."""
    return over_labels(np.std, rest_mean)


def over_labels(statistic: object, values: Array) -> Array:
    """Return a statistic of every row's numbers that are not NaN; NaN where there are none."""
    assert callable(statistic)
    known = [row[~np.isnan(row)] for row in values]
    return np.array([float(statistic(row)) if len(row) else np.nan for row in known])
