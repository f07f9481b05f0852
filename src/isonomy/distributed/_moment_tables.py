"""Moments as Arrow tables, one row a layer, so that they travel between machines uncopied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isonomy.distributions import CellMoments

__all__ = ["Part", "Parts", "merge_tables", "read_table", "write_table"]


class Part(NamedTuple):
    """The moments of some rows at one layer.

    ``tally`` holds numbers that add up, ``about`` what is the same for all parts; both
    hold only what JSON can.
    """

    moments: CellMoments
    tally: dict[str, float]
    about: dict[str, Any]

    def merge(self, other: Part) -> Part:
        """Return the part of the rows of both."""
        names = {*self.tally, *other.tally}
        tally = {n: self.tally.get(n, 0) + other.tally.get(n, 0) for n in sorted(names)}
        return Part(self.moments.merge(other.moments), tally, self.about)


Parts = dict[int | None, Part]
"""Parts by layer; the head's input has the one key None."""

_KINDS = {"weight": np.float64, "n_rows": np.int64, "mean": np.float64, "scatter": np.float64}
# 64-bit offsets: one covariance a cell can be more than 2 GiB
_SCHEMA = pa.schema(
    [("layer", pa.int64()), ("header", pa.string())]
    + [(name, pa.large_binary()) for name in _KINDS]
)


def write_table(parts: Mapping[int | None, Part]) -> pa.Table:
    """Return the table of ``parts``, one row a layer; without parts, a table without rows."""
    rows = [_one_row(layer, part) for layer, part in parts.items()]
    return pa.concat_tables([_SCHEMA.empty_table(), *rows])


def _one_row(layer: int | None, part: Part) -> pa.Table:
    arrays, header = part.moments.to_arrays()
    shapes = {name: array.shape for name, array in arrays.items()}
    note = {"moments": header, "shapes": shapes, "tally": part.tally, "about": part.about}
    columns = [
        pa.array([layer], pa.int64()), pa.array([json.dumps(note)]),
        *(_one_value(arrays[name].astype(kind, copy=False)) for name, kind in _KINDS.items()),
    ]  # fmt: skip
    return pa.table(columns, schema=_SCHEMA)


def _one_value(array: NDArray[Any]) -> Any:
    # pa.array would copy the bytes twice
    data = np.ascontiguousarray(array)
    ends = pa.py_buffer(np.array([0, data.nbytes], dtype=np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(data)])


def read_table(table: pa.Table) -> Parts:
    """Return the parts of a table, merged where a layer has several rows."""
    parts: Parts = {}
    for i in range(table.num_rows):
        row = {name: table.column(name)[i] for name in table.column_names}
        _add(parts, row["layer"].as_py(), _part(row))
    return parts


def merge_tables(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the table of the rows of all tables, which are read one at a time.

    Associative and commutative, to rounding, as `CellMoments.merge` is; a table without
    rows changes nothing.
    """
    merged: Parts = {}
    for table in tables:
        for layer, part in read_table(table).items():
            _add(merged, layer, part)
    return write_table(merged)


def _add(parts: Parts, layer: int | None, part: Part) -> None:
    parts[layer] = parts[layer].merge(part) if layer in parts else part


def _part(row: Mapping[str, Any]) -> Part:
    note = json.loads(row["header"].as_py())
    arrays = {
        name: np.frombuffer(row[name].as_buffer(), dtype=kind).reshape(note["shapes"][name])
        for name, kind in _KINDS.items()
    }
    moments = CellMoments.from_arrays(arrays, note["moments"])
    return Part(moments, note["tally"], note["about"])
