"""Count how often each combination of values occurs: all that labels and groups need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isonomy.cli._batches import BatchFile, no_rows
from isonomy.cli._unfinished import BATCHES_A_STATE, Unfinished
from isonomy.cli.tables import DataTable
from isonomy.errors import DataFileError

__all__ = ["MAX_COMBINATIONS", "Tally", "count_combinations", "plain_column"]

MAX_COMBINATIONS = 200_000
"""More combinations than this are no groups, and would fill the memory."""

COUNT = "count_all"


class Tally:
    """Running counts of the combinations of some columns, in order of appearance."""

    def __init__(self, names: Sequence[str], counted: pa.Table | None = None) -> None:
        self.names = list(names)
        self.counted = counted

    def add(self, batch: DataTable) -> None:
        """Count the rows of a batch.

        Raises
        ------
        DataFileError
            If there are more than `MAX_COMBINATIONS`.
        """
        columns = [plain_column(batch.columns.column(name)) for name in self.names]
        # numbers as names: a column may be called anything, also like the count
        rows = pa.table(columns, names=self._keys)
        found = rows.group_by(self._keys, use_threads=False).aggregate([([], COUNT)])
        found = found.select([*self._keys, COUNT])
        if self.counted is not None:
            both = pa.concat_tables([self.counted, found])
            summed = both.group_by(self._keys, use_threads=False).aggregate([(COUNT, "sum")])
            found = summed.select([*self._keys, f"{COUNT}_sum"])
            found = found.rename_columns([*self._keys, COUNT])
        if found.num_rows > MAX_COMBINATIONS:
            raise DataFileError(
                f"The columns {', '.join(map(repr, self.names))} of {batch.path} take more than "
                f"{MAX_COMBINATIONS:,} combinations of values, too many to be labels and groups. "
                "A number a row goes to --score or --features."
            )
        self.counted = found

    @property
    def _keys(self) -> list[str]:
        return [str(j) for j in range(len(self.names))]

    def table(self, like: DataTable) -> DataTable:
        """Return one row a combination, with its number of copies."""
        assert self.counted is not None
        columns = self.counted.select(self._keys).rename_columns(self.names)
        for j, name in enumerate(self.names):
            if pa.types.is_dictionary(like.columns.schema.field(name).type):
                # as it is in the file, so that it is read as the file's own rows would be
                columns = columns.set_column(j, name, columns.column(j).dictionary_encode())
        copies = self.counted.column(COUNT).to_numpy().astype(np.intp)
        return replace(like, columns=columns, first_row=0, copies=copies)


def count_combinations(
    file: BatchFile,
    names: Sequence[str],
    *,
    size: int,
    also: Sequence[str] = (),
    keep: Callable[[DataTable], DataTable] | None = None,
    work: Unfinished | None = None,
    progress: Callable[[int], None],
) -> DataTable:
    """Return the distinct combinations of the columns ``names``, each with its copies.

    ``keep`` may drop rows by what is in the columns ``also`` before they are counted. With
    ``work`` the counting goes on from where it was stopped, and its end is kept.

    Raises
    ------
    DataFileError
        If the file cannot be read, has no rows, or has too many combinations.
    """
    n_rows = work.get("counted", 0) if work else 0
    saved = pq.read_table(_path(work, n_rows)) if work and n_rows else None
    tally = Tally(list(dict.fromkeys(names)), saved)
    if work is None or not work.get("counted_all"):
        wanted = list(dict.fromkeys([*tally.names, *also]))
        for i, batch in enumerate(file.batches(wanted, size=size, start=n_rows), start=1):
            rows = batch if keep is None else keep(batch)
            if rows.columns.num_rows:
                tally.add(rows)
            n_rows += batch.n_rows
            if work and i % BATCHES_A_STATE == 0:
                _save(tally, work, n_rows)
            progress(n_rows)
        if work and tally.counted is not None:
            _save(tally, work, n_rows)
            work.save(counted_all=True)
    if tally.counted is None and n_rows:
        raise DataFileError(
            f"Every row of {file.path} misses a feature, so --drop-missing leaves none: leave "
            "the emptiest column out."
        )
    if tally.counted is None:
        raise no_rows(file.path, len(file.names))
    return tally.table(file.table(file.schema.empty_table()))


def _path(work: Unfinished, n_rows: int) -> Path:
    return work.folder / f"counted-{n_rows}.parquet"


def _save(tally: Tally, work: Unfinished, n_rows: int) -> None:
    if tally.counted is not None:
        pq.write_table(tally.counted, _path(work, n_rows))
        work.save(counted=n_rows)
        work.keep_only("counted-*.parquet", _path(work, n_rows))


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in a type that can be grouped: no dictionaries, no views."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        # in memory, a dictionary is text whatever it holds
        return column if _is_text(column.type) else column.cast(pa.string())
    return column.cast(pa.string()) if kind == pa.string_view() else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
