"""The first pass over a large file: moments of every cell, and a sample of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from isonomy.cli._batches import BatchFile
from isonomy.cli._cell_codes import FileCells
from isonomy.cli._feature_matrix import complete_rows
from isonomy.cli._row_sample import RowSample
from isonomy.cli._rows import refuse_gaps
from isonomy.cli._unfinished import BATCHES_A_STATE, Unfinished
from isonomy.distributions import CellMoments
from isonomy.steering._working_scale import WorkingScale

__all__ = ["Learnt", "learn"]


class Learnt:
    """What is known of the file so far: ``moments``, ``sample`` and what was dropped.

    ``gaps`` counts unknown features by column, ``n_dropped`` the rows that have any.
    """

    def __init__(self, cells: FileCells, moments: CellMoments, sample: RowSample) -> None:
        self.cells = cells
        self.moments = moments
        self.sample = sample
        self.n_rows = 0
        self.n_dropped = 0
        self.gaps: dict[str, int] = {}

    def save(self, work: Unfinished) -> None:
        """Make this the state to go on from."""
        arrays, header = self.moments.to_arrays()
        table, cells, draws = self.sample.state()
        arrays |= {"sample_cells": cells, "sample_draws": draws}
        numbers, rows = self._paths(work, self.n_rows)
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, numbers)
        pq.write_table(table, rows)
        work.save(
            learnt={
                "n_rows": self.n_rows,
                "n_dropped": self.n_dropped,
                "gaps": self.gaps,
                "header": header,
            }
        )
        work.keep_only("learnt-*.safetensors", numbers)
        work.keep_only("sample-*.parquet", rows)

    def restore(self, work: Unfinished) -> None:
        """Go on from the state that was saved, if there is one."""
        state = work.get("learnt")
        if state is None:
            return
        self.n_rows, self.n_dropped = state["n_rows"], state["n_dropped"]
        self.gaps = dict(state["gaps"])
        numbers, rows = self._paths(work, self.n_rows)
        arrays = load_file(numbers)
        self.sample.restore(
            pq.read_table(rows), arrays["sample_cells"].astype(np.intp), arrays["sample_draws"]
        )
        self.moments = CellMoments.from_arrays(arrays, state["header"])

    @staticmethod
    def _paths(work: Unfinished, n_rows: int) -> tuple[Any, Any]:
        folder = work.folder
        return folder / f"learnt-{n_rows}.safetensors", folder / f"sample-{n_rows}.parquet"


def learn(
    file: BatchFile,
    learnt: Learnt,
    work: Unfinished,
    *,
    names: Sequence[str],
    keys: Sequence[str],
    size: int,
    scale: WorkingScale,
    drop_missing: bool,
    progress: Callable[[int], None],
) -> None:
    """Fill ``learnt`` from all rows that it has not seen yet.

    Raises
    ------
    DataFileError
        If a feature is no number, or is missing and ``drop_missing`` is off.
    FamilyError
        If the scale is that of logarithms, and a feature is not positive.
    """
    wanted = list(dict.fromkeys([*keys, *names]))
    for i, batch in enumerate(file.batches(wanted, size=size, start=learnt.n_rows), start=1):
        rows = complete_rows(batch, names)
        for name, n in rows.gaps.items():
            learnt.gaps[name] = learnt.gaps.get(name, 0) + n
        learnt.n_dropped += batch.n_rows - rows.n_rows
        # once it is clear that the run must fail, only the missing values are counted on
        if rows.n_rows and (drop_missing or not learnt.gaps):
            _add(learnt, rows.table.columns.select(wanted), rows, names, scale)
        learnt.n_rows += batch.n_rows
        if i % BATCHES_A_STATE == 0 and learnt.sample.tables:
            learnt.save(work)
        progress(learnt.n_rows)
    whole = file.table(file.schema.empty_table())
    refuse_gaps(whole, learnt.gaps, learnt.n_dropped, learnt.n_rows, drop_missing=drop_missing)
    learnt.save(work)


def _add(
    learnt: Learnt, columns: pa.Table, rows: Any, names: Sequence[str], scale: WorkingScale
) -> None:
    cells = learnt.cells.codes(rows.table)
    y, a = np.divmod(cells, len(learnt.cells.groups))
    work = scale.ahead(rows.values, names, where="isonomy steer", numbers=rows.numbers)
    learnt.moments.add_coded(work, y, a)
    learnt.sample.add(columns, cells, rows.numbers)
