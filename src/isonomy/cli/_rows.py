"""The rows of a table that can be steered: numbers complete, label and groups known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isonomy.cli.columns import (
    find_columns,
    finite_cells,
    read_groups,
    read_labels,
    read_numbers,
    require_column,
)
from isonomy.cli.tables import DataTable
from isonomy.errors import DataFileError

__all__ = ["WEIGHT_COLUMN", "Rows", "choose_columns", "read_features", "read_rows", "refuse_gaps"]

WEIGHT_COLUMN = "isonomy_weight"


@dataclass(frozen=True)
class Rows:
    """What a steerer is fitted on, with the table that its rows came from.

    ``features`` and ``groups`` have one named column each; ``table`` has the same rows,
    those with missing values dropped and counted in ``n_dropped``.
    """

    table: DataTable
    features: pa.Table
    labels: NDArray[Any]
    groups: pa.Table
    n_dropped: int

    @property
    def untouched(self) -> list[str]:
        """Columns that are neither features, label nor groups: they pass as they are."""
        return [n for n in self.table.names if n not in self.features.column_names]


def read_rows(
    table: DataTable,
    *,
    label: str,
    groups: Sequence[str],
    features: str,
    drop_missing: bool = False,
    missing_groups: Literal["raise", "own_group"] = "raise",
) -> Rows:
    """Return features, labels and groups of ``table``.

    Raises
    ------
    DataFileError
        If a column is missing or holds the wrong kind of value, or a feature has missing
        values and ``drop_missing`` is off.
    """
    names = choose_columns(table, label=label, groups=groups, features=features)
    kept, numbers, n_dropped = read_features(table, names, drop_missing=drop_missing)
    (labels,) = read_labels(kept, [label])
    return Rows(kept, numbers, labels, read_groups(kept, groups, missing=missing_groups), n_dropped)


def choose_columns(
    table: DataTable, *, label: str, groups: Sequence[str], features: str
) -> list[str]:
    """Return the names of the feature columns, the other columns being there too.

    Raises
    ------
    DataFileError
        If a column is missing, or one has the name of what will be written.
    """
    require_column(table, label, option="--label")
    for name in groups:
        require_column(table, name, option="--group")
    if WEIGHT_COLUMN in table.names:
        raise DataFileError(
            f"{table.path} already has a column {WEIGHT_COLUMN!r}, which `isonomy steer` "
            "writes: rename it first."
        )
    return find_columns(table, features, exclude=[label, *groups])


def read_features(
    table: DataTable, names: Sequence[str], *, drop_missing: bool
) -> tuple[DataTable, pa.Table, int]:
    """Return the rows whose features are all known, those features, and how many rows went.

    Raises
    ------
    DataFileError
        If values are missing and ``drop_missing`` is off, or every row lacks one.
    """
    columns = {name: read_numbers(table, name) for name in names}
    known = np.ones(table.n_rows, dtype=bool)
    gaps: dict[str, int] = {}
    for name, column in columns.items():
        finite = finite_cells(column)
        known &= finite
        if not finite.all():
            gaps[name] = int((~finite).sum())
    n_dropped = int((~known).sum())
    refuse_gaps(table, gaps, n_dropped, table.n_rows, drop_missing=drop_missing)
    frame = pa.table(columns)
    if not n_dropped:
        return table, frame, 0
    mask = pa.array(known)
    return table.with_rows(table.columns.filter(mask)), frame.filter(mask), n_dropped


def refuse_gaps(
    table: DataTable, gaps: Mapping[str, int], n_incomplete: int, n_rows: int, *, drop_missing: bool
) -> None:
    """Raise if features are missing: ``gaps`` counts cells by column, the others rows.

    Raises
    ------
    DataFileError
        Unless ``drop_missing`` leaves some row.
    """
    if gaps and not drop_missing:
        shown = ", ".join(f"{name!r} ({n})" for name, n in list(gaps.items())[:8])
        raise DataFileError(
            f"Features of {table.path} must be finite numbers in every row, got missing values "
            f"in {shown}: {n_incomplete} of {n_rows} rows. Fill them, leave the columns out, "
            "or drop the rows with --drop-missing."
        )
    if n_incomplete == n_rows:
        raise DataFileError(
            f"Every row of {table.path} misses a feature, so --drop-missing leaves none: leave "
            f"the emptiest column out ({max(gaps, key=lambda name: gaps[name])!r})."
        )
