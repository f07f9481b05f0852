"""The second pass over a large file: every batch steered and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isonomy.cli._batches import BatchFile, no_rows
from isonomy.cli._feature_matrix import complete_rows
from isonomy.cli._growing_file import GrowingCsv, GrowingFile, GrowingParquet
from isonomy.cli._rows import WEIGHT_COLUMN, refuse_gaps
from isonomy.cli._unfinished import BATCHES_A_STATE, Unfinished
from isonomy.cli._write_table import replace_columns
from isonomy.cli.tables import DataTable
from isonomy.steering import IdealSteerer
from isonomy.steering._move import move_rows

__all__ = ["RowMover", "write_all"]


@dataclass(frozen=True)
class RowMover:
    """Steers batches: ``group_of`` and ``weight_of`` tell group and weight of their rows.

    Either is None where it is not needed or not written.
    """

    steerer: IdealSteerer
    names: tuple[str, ...]
    group_of: Callable[[DataTable], NDArray[np.intp]] | None
    weight_of: Callable[[DataTable], NDArray[np.float64]] | None

    def steered(self, batch: DataTable) -> tuple[pa.Table, dict[str, int]]:
        """Return the complete rows with their features steered, and the missing ones."""
        rows = complete_rows(batch, self.names)
        if not rows.n_rows:
            return self.schema(batch.columns.schema).empty_table(), rows.gaps
        codes = None if self.group_of is None else self.group_of(rows.table)
        moved = move_rows(self.steerer, rows.values, codes, where="IdealSteerer.transform")
        schema = batch.columns.schema
        columns = {
            name: pa.array(np.ascontiguousarray(moved[:, j]), _steered_type(schema, name))
            for j, name in enumerate(self.names)
        }
        if self.weight_of is not None:
            columns[WEIGHT_COLUMN] = pa.array(self.weight_of(rows.table))
        return replace_columns(rows.table, columns), rows.gaps

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns of the steered rows."""
        empty: dict[str, Any] = {n: pa.array([], _steered_type(schema, n)) for n in self.names}
        if self.weight_of is not None:
            empty[WEIGHT_COLUMN] = pa.array([], pa.float64())
        like = DataTable(schema.empty_table(), Path(), "parquet", "", "")
        return replace_columns(like, empty).schema


def _steered_type(schema: pa.Schema, name: str) -> pa.DataType:
    # as IdealSteerer.transform gives it back: whole numbers and text become float64
    kind = schema.field(name).type
    return pa.float32() if pa.types.is_float32(kind) else pa.float64()


def write_all(
    file: BatchFile,
    mover: RowMover,
    work: Unfinished,
    path: Path,
    *,
    size: int,
    drop_missing: bool,
    progress: Callable[[int], None],
) -> tuple[int, int]:
    """Write all rows that are not written yet; return how many there are and were dropped.

    Raises
    ------
    DataFileError
        If there are no rows, or a feature is missing and ``drop_missing`` is off.
    """
    state = work.get("written", {"n_rows": 0, "n_dropped": 0, "end": 0, "gaps": {}})
    n_rows, n_dropped, gaps = state["n_rows"], state["n_dropped"], dict(state["gaps"])
    out = _open(file, mover, path, state["end"])
    try:
        for i, batch in enumerate(file.batches(size=size, start=n_rows), start=1):
            rows, found = mover.steered(batch)
            for name, n in found.items():
                gaps[name] = gaps.get(name, 0) + n
            n_rows += batch.n_rows
            n_dropped += batch.n_rows - rows.num_rows
            if rows.num_rows and (drop_missing or not gaps):
                out.write(rows)
            if i % BATCHES_A_STATE == 0:
                end = out.close_part()
                work.save(written=_state(n_rows, n_dropped, end, gaps))
                work.keep_only("footer-*.parquet", work.folder / f"footer-{end}.parquet")
            progress(n_rows)
        if not n_rows:
            raise no_rows(file.path, len(file.names))
        whole = file.table(file.schema.empty_table())
        refuse_gaps(whole, gaps, n_dropped, n_rows, drop_missing=drop_missing)
        out.finish()
    finally:
        out.close()
    return n_rows, n_dropped


def _state(n_rows: int, n_dropped: int, end: int, gaps: dict[str, int]) -> dict[str, Any]:
    return {"n_rows": n_rows, "n_dropped": n_dropped, "end": end, "gaps": gaps}


def _open(file: BatchFile, mover: RowMover, path: Path, end: int) -> GrowingFile:
    schema = mover.schema(file.schema)
    if file.kind == "parquet":
        # steered numbers hardly repeat: a dictionary of them is built in vain
        repeating = [n for n in schema.names if n not in mover.names]
        return GrowingParquet(path, schema, end=end, codec=file.codec, dictionary=repeating)
    compression = "gzip" if file.suffix.endswith(".gz") else None
    return GrowingCsv(path, schema, end=end, delimiter=file.delimiter, compression=compression)
