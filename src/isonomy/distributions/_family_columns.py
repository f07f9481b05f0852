"""Which columns have a density: atoms are found, and rounding is undone by noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnKind", "dequantised", "kind_of_column"]

Floats = NDArray[np.float64]

_FEW_VALUES = 20
"""At most so many distinct values, each met twice on average, are no continuous column."""

_LEAST_ATOM = 10.0
"""Rows that one value must hold to be called an atom, whatever their share."""

_ATOM_SHARE = 0.002
_ROUNDED_ATOM_SHARE = 0.01
"""Share of the rows that makes one value an atom: of a column not rounded, or rounded."""

_HEAP = 4.0
"""A value of a rounded column is an atom where it holds so many times what its six nearest
places on the grid hold on average."""

_LEAST_STEP = 1e-4
"""Rounding to less than this share of the middle 80 % of a column is left as it is: no
candidate can see it."""

_DIGITS = 9
"""Decimals behind the point that a rounding step may have."""


@dataclass(frozen=True)
class ColumnKind:
    """Whether a column is discrete, and the step it is rounded to (0 where it is not)."""

    discrete: bool
    step: float


def kind_of_column(x: NDArray[Any], weight: Floats) -> ColumnKind:
    """Return the kind of one finite column (n,) with weights (n,)."""
    values, inverse = np.unique(x, return_inverse=True)
    mass = np.bincount(inverse, weights=weight)
    total = float(mass.sum())
    if len(values) <= min(_FEW_VALUES, total / 2.0):
        return ColumnKind(True, 0.0)
    upto = np.cumsum(mass)
    low, high = values[np.searchsorted(upto, [0.1 * total, 0.9 * total])]
    step = _grid_step(values)
    # half of the rows or more at one value leave no middle: then every step is a wide one
    if step < _LEAST_STEP * float(high - low):
        step = 0.0
    share = _ROUNDED_ATOM_SHARE if step else _ATOM_SHARE
    suspects = np.flatnonzero(mass >= max(_LEAST_ATOM, share * total))
    if step:
        around = _neighbours(values, mass, step, suspects)
        suspects = suspects[mass[suspects] > _HEAP * around]
    return ColumnKind(len(suspects) > 0, step)


def dequantised(x: Floats, step: float, random: np.random.RandomState) -> Floats:
    """Return ``x`` plus uniform noise of one rounding step, centred.

    The log-density of what results is at most, on average, the logarithm of the
    probability of the rounded value divided by the step (Theis, van den Oord and Bethge
    2016): no candidate gains by a spike at the grid.
    """
    return x + step * (random.random_sample(len(x)) - 0.5)


def _grid_step(values: NDArray[Any]) -> float:
    """Return the largest step of which all differences are multiples; 0 if none is found.

    Steps are whole multiples of a power of ten: cents, quarters, fives, integers.
    """
    precision = 4.0 * np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps
    exact = values.astype(np.float64)
    largest = float(np.abs(exact).max())
    for digits in range(_DIGITS + 1):
        scaled = exact * 10.0**digits
        if largest * 10.0**digits > 2.0**52:
            return 0.0
        whole = np.round(scaled)
        # rounding of the values themselves, which must stay well below half a step
        slack = precision * np.abs(scaled)
        if slack.max() < 0.25 and (np.abs(scaled - whole) <= slack).all():
            return float(np.gcd.reduce(np.diff(whole).astype(np.int64))) / 10.0**digits
    return 0.0


def _neighbours(
    values: NDArray[Any], mass: NDArray[Any], step: float, at: NDArray[np.intp]
) -> Floats:
    """Return the mean mass of the six nearest places of the grid, zeros included.

    Beyond the smallest and the largest value there are no places.
    """
    cells = np.round((values - values[0]) / step).astype(np.int64)
    found = np.zeros(len(at))
    places = np.zeros(len(at))
    for offset in (-3, -2, -1, 1, 2, 3):
        wanted = cells[at] + offset
        near = np.minimum(np.searchsorted(cells, wanted), len(cells) - 1)
        found += np.where(cells[near] == wanted, mass[near], 0.0)
        places += (wanted >= 0) & (wanted <= cells[-1])
    return found / np.maximum(places, 1.0)
