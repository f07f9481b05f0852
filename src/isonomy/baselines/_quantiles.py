"""The distribution of one column in one group, linear between the values seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quantiles"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quantiles:
    """Strictly rising ``values`` (k,) and their strictly rising ``levels`` in (0, 1)."""

    values: Floats
    levels: Floats

    @classmethod
    def of(cls, column: Floats, weight: Floats, n_quantiles: int | None) -> Self:
        """Return the mid-distribution of weighted values, thinned to ``n_quantiles``.

        The level of a value is the weight below it plus half its own, over the total.
        """
        values, place = np.unique(column, return_inverse=True)
        own = np.bincount(place, weights=weight, minlength=len(values))
        levels = (np.cumsum(own) - 0.5 * own) / own.sum()
        if n_quantiles is None or len(values) <= n_quantiles:
            return cls(values, levels)
        thinned = np.linspace(levels[0], levels[-1], n_quantiles)
        thinned[-1] = levels[-1]  # rounding must not cut the largest value off
        return cls(np.interp(thinned, levels, values), thinned)

    def level(self, values: Floats) -> Floats:
        """Return the level of every value, linear between those seen."""
        return np.asarray(np.interp(values, self.values, self.levels))

    def value(self, levels: Floats) -> Floats:
        """Return the value at every level; the first or last one beyond the ends."""
        return np.asarray(np.interp(levels, self.levels, self.values))
