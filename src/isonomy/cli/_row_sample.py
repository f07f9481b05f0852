"""A sample of a file's rows, the same however the file is cut into batches.

Each row draws a number from its place in the file; the rows with the smallest numbers of
every (label, group) cell are the sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["SAMPLE_ROWS", "RowSample", "draw_of_rows", "sample_quota"]

SAMPLE_ROWS = 100_000
"""Rows that a comparison is judged on, and that a rank or a probe is chosen on."""

Floats = NDArray[np.float64]


def draw_of_rows(rows: NDArray[np.int64], seed: int) -> Floats:
    """Return one number in [0, 1) for every row number: SplitMix64's mixing of it.

    Examples
    --------
    >>> bool(0.49 < draw_of_rows(np.arange(100_000), seed=0).mean() < 0.51)
    True
    """
    # the seed is mixed first: neighbouring seeds must not shift the same sequence
    start = _mix(np.array([seed], dtype=np.uint64) + GOLDEN)
    mixed = _mix((rows.astype(np.uint64) + np.uint64(1)) * GOLDEN + start)
    draws: Floats = (mixed >> np.uint64(11)).astype(np.float64)
    draws *= 2.0**-53
    return draws


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def sample_quota(sizes: NDArray[np.intp], n_rows: int = SAMPLE_ROWS) -> NDArray[np.intp]:
    """Return how many rows of every cell to take: its share, rounded up, so none is lost."""
    share = min(1.0, n_rows / max(int(sizes.sum()), 1))
    quota: NDArray[np.intp] = np.minimum(np.ceil(sizes * share - 1e-9), sizes).astype(np.intp)
    return quota


@dataclass
class RowSample:
    """Candidates so far: a few more than the ``quota`` of every cell, in row order."""

    sizes: NDArray[np.intp]
    quota: NDArray[np.intp]
    seed: int
    tables: list[pa.Table] = field(default_factory=list)
    cells: list[NDArray[np.intp]] = field(default_factory=list)
    draws: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        # six standard deviations and ten: the quota is filled but once in 10^8 files
        wanted = self.quota + 6 * np.sqrt(self.quota) + 10
        self._limit = wanted / np.maximum(self.sizes, 1)

    def add(self, table: pa.Table, cells: NDArray[np.intp], rows: NDArray[np.int64]) -> None:
        """Look at rows of the file, given their cells and their numbers in the file."""
        draws = draw_of_rows(rows, self.seed)
        chosen = np.flatnonzero(draws < self._limit[cells])
        if len(chosen):
            self.tables.append(table.take(pa.array(chosen)))
            self.cells.append(cells[chosen])
            self.draws.append(draws[chosen])

    def state(self) -> tuple[pa.Table, NDArray[np.intp], Floats]:
        """Return the candidates: their rows, cells and draws."""
        table = pa.concat_tables(self.tables).combine_chunks()
        return table, np.concatenate(self.cells), np.concatenate(self.draws)

    def restore(self, table: pa.Table, cells: NDArray[np.intp], draws: Floats) -> None:
        """Go on from what `state` returned."""
        self.tables, self.cells, self.draws = [table], [cells], [draws]

    def finish(self) -> tuple[pa.Table, NDArray[np.intp]]:
        """Return the sampled rows in the file's order, and their cells."""
        table, cells, draws = self.state()
        order = np.lexsort((draws, cells))
        sizes = np.bincount(cells, minlength=len(self.quota))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        kept = np.sort(order[rank < np.repeat(self.quota, sizes)])
        return table.take(pa.array(kept)), cells[kept]
