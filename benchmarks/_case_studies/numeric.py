"""The columns of a table that a continuous law can be fitted to, ties drawn apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["continuous_columns", "drawn_apart"]

_FEWEST_VALUES = 10
_MOST_OF_ONE = 0.5


def continuous_columns(columns: Mapping[str, NDArray[np.generic]]) -> list[str]:
    """Return the numeric columns with at least 10 values, none of them held by half the rows.

    A density cannot describe a column that is mostly one number: what is left out here is
    left out of the law, not of anybody's data.
    """
    found = []
    for name, values in columns.items():
        if values.dtype.kind != "f":
            continue
        counts = np.unique(values, return_counts=True)[1]
        if len(counts) >= _FEWEST_VALUES and counts.max() < _MOST_OF_ONE * len(values):
            found.append(name)
    return found


def drawn_apart(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return a column of which equal numbers are spread evenly up to the next larger number.

    A number v with next larger number w becomes uniform on [v, w), at most the median step
    wide: whole years are spread over the year. A density at ties would be infinite; of the
    spread column, the mean log-density is a lower bound of that of the numbers themselves.
    """
    known, place = np.unique(values, return_inverse=True)
    steps = np.diff(known)
    usual = float(np.median(steps))
    widths = np.minimum(np.append(steps, usual), usual)
    spread: NDArray[np.float64] = values + widths[place] * np.random.default_rng(seed).random(
        len(values)
    )
    return spread
