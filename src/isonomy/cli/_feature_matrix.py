"""The features of a batch as one matrix, its rows complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isonomy.cli.columns import finite_cells, read_numbers
from isonomy.cli.tables import DataTable

__all__ = ["CompleteRows", "complete_rows"]

BLOCK = 4096
"""Rows turned from columns into a matrix at a time: both sides stay in the cache."""


@dataclass(frozen=True)
class CompleteRows:
    """The rows of a batch whose features are all known.

    ``values`` (n, d) is float32 if every feature is, else float64; ``numbers`` are the
    rows' places in the file, ``gaps`` counts unknown cells by column.
    """

    table: DataTable
    values: NDArray[Any]
    numbers: NDArray[np.int64]
    gaps: dict[str, int]

    @property
    def n_rows(self) -> int:
        """How many rows are complete."""
        return len(self.values)


def complete_rows(batch: DataTable, names: Sequence[str]) -> CompleteRows:
    """Return the rows of ``batch`` whose features ``names`` are finite numbers.

    Raises
    ------
    DataFileError
        If a cell of a feature is not a number.
    """
    columns = [read_numbers(batch, name) for name in names]
    numbers = np.arange(batch.first_row, batch.first_row + batch.n_rows)
    if not any(column.null_count for column in columns):
        values = _matrix(columns)
        # the sum of all is finite if they are, and costs a tenth of looking at each
        with np.errstate(invalid="ignore", over="ignore"):
            whole = bool(np.isfinite(values.sum(dtype=np.float64)))
        if whole:
            return CompleteRows(batch, values, numbers, {})
    finite = [finite_cells(column) for column in columns]
    gaps = {n: int((~f).sum()) for n, f in zip(names, finite, strict=True) if not f.all()}
    known = np.logical_and.reduce(finite)
    mask = pa.array(known)
    values = _matrix([column.filter(mask) for column in columns])
    kept = batch.with_rows(batch.columns.filter(mask), batch.first_row) if gaps else batch
    return CompleteRows(kept, values, numbers[known], gaps)


def _matrix(columns: Sequence[pa.ChunkedArray]) -> NDArray[Any]:
    single = all(pa.types.is_float32(column.type) for column in columns)
    arrays = [column.to_numpy() for column in columns]
    values = np.empty((len(arrays[0]), len(arrays)), dtype=np.float32 if single else np.float64)
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        for j, array in enumerate(arrays):
            block[:, j] = array[start : start + BLOCK]
    return values
