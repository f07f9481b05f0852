"""Which groups and cells are too small to be shown.

A mean over one row *is* that person. Groups under ``min_cell`` rows are pooled, or their
rows left out of everything, so that no number is found by subtraction from a total.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isonomy.metrics._counts import LabelledRows

__all__ = ["SMALL_GROUPS", "Shown", "hidden_cells", "show_groups"]

SMALL_GROUPS = "(small groups)"
"""The name of the group that small groups form together."""


@dataclass(frozen=True)
class Shown:
    """The rows to be used, with small groups pooled or gone.

    ``kept`` is the mask of rows, ``pooled`` and ``withheld`` the names of small groups.
    """

    rows: LabelledRows
    kept: NDArray[np.bool_]
    pooled: tuple[str, ...]
    withheld: tuple[str, ...]


def show_groups(rows: LabelledRows, min_cell: int) -> Shown:
    """Pool the groups under ``min_cell`` rows if they reach it together, else leave them out."""
    sizes = rows.group_sizes
    small = np.flatnonzero(sizes < min_cell)
    if len(small) == 0:
        return Shown(rows, np.ones(len(rows.true), dtype=bool), (), ())
    names = tuple(str(rows.groups[int(a)]) for a in small)
    in_small = np.isin(rows.group, small)
    if len(small) < 2 or sizes[small].sum() < min_cell:
        return Shown(rows.take(~in_small), ~in_small, (), names)
    pooled = LabelledRows(
        rows.classes,
        (*rows.groups, SMALL_GROUPS),
        rows.true,
        rows.predicted,
        np.where(in_small, len(rows.groups), rows.group),
        rows.weight,
        rows.copies,
    )
    everything = np.ones(len(rows.true), dtype=bool)
    return Shown(pooled.take(everything), everything, names, ())


def hidden_cells(n_rows: NDArray[np.intp], min_cell: int) -> NDArray[np.bool_]:
    """Return which (class, group) cells must not be shown, ``(n_classes, n_groups)``.

    Those with 1 to ``min_cell - 1`` rows and, while the hidden cells of a group hold fewer
    than ``min_cell`` rows together, its next smallest: else the group's accuracy less its
    other classes would give them away.
    """
    hidden = (n_rows > 0) & (n_rows < min_cell)
    for a in np.flatnonzero(hidden.any(axis=0)):
        by_size = [y for y in np.argsort(n_rows[:, a], kind="stable") if n_rows[y, a] >= min_cell]
        for y in by_size:
            if n_rows[hidden[:, a], a].sum() >= min_cell:
                break
            hidden[y, a] = True
    return hidden
