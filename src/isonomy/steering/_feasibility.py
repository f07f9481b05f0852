"""What it cost to keep rows possible: how many values were changed, how far, in which groups."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeasibilityReport", "feasibility_report"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FeasibilityReport:
    """The size of a correction to bounds and whole numbers.

    Attributes
    ----------
    columns : tuple of d names
    n_rows : int
    touched, clipped : (d,)
        Shares of rows whose value was changed at all, and that lay outside the bounds; NaN
        without rows.
    mean, largest : (d,)
        Mean (over all rows) and largest absolute change, in standard deviations of the
        training column; infinite where that did not vary.
    groups : tuple of G names
    group_shift : (G, d)
        By how much the correction moved the mean of a group, in the same unit; NaN for a
        group without rows.
    """

    columns: tuple[Hashable, ...]
    n_rows: int
    touched: Floats
    clipped: Floats
    mean: Floats
    largest: Floats
    groups: tuple[Hashable, ...]
    group_shift: Floats

    @property
    def moved_apart(self) -> Floats:
        """By how much the correction moved group means against each other, (d,).

        The largest difference of ``group_shift`` between two groups; 0 for fewer than two.
        """
        seen = self.group_shift[~np.isnan(self.group_shift).any(axis=1)]
        if len(seen) < 2:
            return np.zeros(len(self.columns))
        shift: Floats = seen.max(axis=0) - seen.min(axis=0)
        return shift

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, one entry a column."""
        by_column = {
            str(name): {
                "touched": float(self.touched[j]),
                "clipped": float(self.clipped[j]),
                "mean": float(self.mean[j]),
                "largest": float(self.largest[j]),
                "group_shift": {
                    str(g): float(self.group_shift[a, j]) for a, g in enumerate(self.groups)
                },
            }
            for j, name in enumerate(self.columns)
        }
        return {"schema": 1, "kind": "feasibility", "n_rows": self.n_rows, "columns": by_column}

    def sentence(self) -> str:
        """Return the report in a sentence or two."""
        changed = np.flatnonzero(self.touched > 0.0)
        if len(changed) == 0:
            return f"All {self.n_rows} rows kept bounds and whole numbers as they were steered."
        worst = int(changed[self.largest[changed].argmax()])
        said = (
            f"To keep bounds and whole numbers, values were changed in {len(changed)} of "
            f"{len(self.columns)} columns, in up to {self.touched.max():.1%} of {self.n_rows} "
            f"rows ({self.clipped.max():.1%} outside the bounds), by {self.mean.max():.3g} "
            "standard deviations on average in the column changed most, and by "
            f"{self.largest[worst]:.3g} at most (column {self.columns[worst]!r})."
        )
        apart = self.moved_apart
        if len(self.groups) < 2:
            return said
        where = int(apart.argmax())
        return (
            f"{said} It moved group means against each other by up to {apart[where]:.3g} "
            f"standard deviations (column {self.columns[where]!r})."
        )


def feasibility_report(
    correction: Floats,
    clipped: NDArray[np.bool_],
    scale: Floats,
    columns: tuple[Hashable, ...],
    codes: NDArray[Any] | None,
    groups: tuple[Hashable, ...],
) -> FeasibilityReport:
    """Return the report of a correction (n, d), values outside the bounds (n, d) marked."""
    n, d = correction.shape
    size = np.abs(correction)
    none = np.full(d, np.nan)
    shift = np.full((len(groups), d), np.nan)
    for a in range(len(groups)):
        rows = np.zeros(n, dtype=bool) if codes is None else codes == a
        if rows.any():
            shift[a] = _in_units(correction[rows].mean(axis=0), scale)
    return FeasibilityReport(
        columns,
        n,
        (size > 0.0).mean(axis=0) if n else none,
        clipped.mean(axis=0) if n else none,
        _in_units(size.mean(axis=0), scale) if n else none,
        _in_units(size.max(axis=0), scale) if n else none,
        groups,
        shift,
    )


def _in_units(values: Floats, scale: Floats) -> Floats:
    """Return values in units of ``scale``: 0 stays 0, the rest is infinite where that is 0."""
    unit = np.where(scale > 0.0, scale, 1.0)
    found: Floats = values / unit
    return np.where((scale > 0.0) | (values == 0.0), found, np.copysign(np.inf, values))
