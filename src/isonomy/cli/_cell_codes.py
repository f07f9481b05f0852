"""Give every row of a batch the number of its (label, group) cell."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from isonomy._group_codes import resolve_groups
from isonomy._validation import check_labels
from isonomy.cli._distinct import plain_column
from isonomy.cli.columns import read_groups, read_labels
from isonomy.cli.tables import DataTable
from isonomy.errors import DataFileError
from isonomy.groups import find_cells

__all__ = ["FileCells", "RowCoder"]

DIRECT = 1 << 20
"""Products of numbers of values up to which combinations are looked up, not searched."""


@dataclass(frozen=True)
class RowCoder:
    """Tells which row of a counted table has the values of a batch's row.

    ``values`` are the distinct values of every column; a row's positions among them,
    read as one number of mixed base, are looked up in ``packed`` (sorted).
    """

    names: tuple[str, ...]
    values: tuple[pa.Array, ...]
    packed: NDArray[np.int64]
    order: NDArray[np.intp]
    direct: NDArray[np.intp] | None

    @classmethod
    def of(cls, counted: DataTable) -> Self:
        """Return the coder of a table of distinct combinations."""
        plain = [plain_column(c) for c in counted.columns.columns]
        values = tuple(pc.unique(c) for c in plain)
        positions = [pc.index_in(c, value_set=v) for c, v in zip(plain, values, strict=True)]
        packed = _pack(positions, values)
        order = np.argsort(packed)
        n_packed = int(np.prod([len(v) for v in values], dtype=np.float64))
        direct = None
        if n_packed <= DIRECT:
            direct = np.zeros(n_packed, dtype=np.intp)
            direct[packed] = np.arange(len(packed))
        return cls(tuple(counted.names), values, packed[order], order, direct)

    def rows(self, batch: DataTable) -> NDArray[np.intp]:
        """Return the row of the counted table for every row of ``batch``.

        Raises
        ------
        DataFileError
            If a value is not in the table that was counted.
        """
        found = [
            pc.index_in(plain_column(batch.columns.column(name)), value_set=values)
            for name, values in zip(self.names, self.values, strict=True)
        ]
        if any(positions.null_count for positions in found):
            raise DataFileError(
                f"The file {batch.path} changed while it was read: a value turned up that was "
                "not there before. Run again when nobody writes to it."
            )
        packed = _pack(found, self.values)
        if self.direct is not None:
            return self.direct[packed]
        return self.order[np.searchsorted(self.packed, packed)]


def _pack(positions: Sequence[pa.ChunkedArray], values: Sequence[pa.Array]) -> NDArray[np.int64]:
    packed = np.zeros(len(positions[0]), dtype=np.int64)
    for found, known in zip(positions, values, strict=True):
        packed *= len(known)
        packed += found.to_numpy()
    return packed


@dataclass(frozen=True)
class FileCells:
    """The (label, group) cells of a whole file, and the way from a row to its cell.

    ``cell_of`` gives each counted combination the code ``y * n_groups + a``; ``sizes``
    counts the rows of every cell, ``(n_classes * n_groups,)``.
    """

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    coder: RowCoder
    cell_of: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        counted: DataTable,
        *,
        label: str,
        groups: Sequence[str],
        missing_groups: Literal["raise", "own_group"],
    ) -> Self:
        """Return the cells of a table of distinct combinations.

        Raises
        ------
        DataFileError
            If a label is missing.
        InvalidInputError
            If a group is missing, or there is but one class or group.
        """
        (labels,) = read_labels(counted, [label])
        found = read_groups(counted, groups, missing=missing_groups)
        where = "IdealSteerer.fit"
        resolve_groups(found, n_samples=len(labels), missing_groups="raise", where=where)
        check_labels(labels, where=where, min_classes=2)
        cells = find_cells(labels, found, where=where)
        size = len(cells.classes) * len(cells.groups)
        sizes = np.bincount(cells.codes, counted.copies, minlength=size).astype(np.intp)
        classes = tuple(cells.classes.tolist())
        return cls(classes, cells.groups, RowCoder.of(counted), cells.codes, sizes)

    def codes(self, batch: DataTable) -> NDArray[np.intp]:
        """Return the cell of every row of ``batch``."""
        return self.cell_of[self.coder.rows(batch)]
