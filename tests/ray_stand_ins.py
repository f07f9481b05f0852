"""Reducers for tests of the Ray pipeline that need no model."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from isonomy.distributed._moment_tables import Part, write_table
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError


def rows_of(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X = np.column_stack([np.asarray(table["x0"]), np.asarray(table["x1"])])
    return X, np.asarray(table["y"]), np.asarray(table["a"])


class Sums:
    """Reduce rows with columns x0, x1, y, a; log what is begun and ended, and by whom.

    The first to begin the block from row ``hold`` on stays at it, until it is killed.
    """

    def __init__(self, log: str | None = None, hold: int | None = None):
        self.log = None if log is None else Path(log)
        self.hold = hold

    def __call__(self, table: pa.Table) -> pa.Table:
        if table.num_rows == 0:
            return write_table({})
        first = table["id"][0].as_py()
        self._note("began", first)
        if first == self.hold and len(list(self.log.glob(f"began-{first}-*"))) == 1:
            time.sleep(120)
        X, y, a = rows_of(table)
        tied = CellMoments(2, covariance="tied").update(X, y, sensitive_features=a)
        full = CellMoments(2).update(X, y, sensitive_features=a)
        self._note("ended", first)
        about, tally = {"n_layers": 2, "model": "sums"}, {"n": float(len(y))}
        return write_table({None: Part(tied, tally, about), 3: Part(full, tally, about)})

    def _note(self, what: str, first: int) -> None:
        if self.log is not None:
            (self.log / f"{what}-{first}-{os.getpid()}").touch()


class Fails:
    """Raise as a replica does that meets bad rows."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise InvalidInputError("Row 3 of `data` has no text.")


class Dies:
    """End the process at every block, as one does that runs out of memory."""

    def __call__(self, table: pa.Table) -> pa.Table:
        os._exit(1)


class Odd:
    """Raise what is none of ours."""

    def __call__(self, table: pa.Table) -> pa.Table:
        raise TypeError("an odd weight\nand more")
