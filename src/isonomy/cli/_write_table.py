"""Write steered rows in the format that the rows came in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from isonomy.cli.tables import DataTable

__all__ = ["replace_columns", "write_table"]


def replace_columns(table: DataTable, columns: Mapping[str, Any]) -> pa.Table:
    """Return the table with ``columns`` in their old places, new ones at the end."""
    result = table.columns
    for name, values in columns.items():
        position = result.column_names.index(name) if name in result.column_names else None
        if position is None:
            result = result.append_column(name, values)
        else:
            result = result.set_column(position, name, values)
    return result


def write_table(rows: pa.Table, source: DataTable, folder: Path, *, stem: str) -> Path:
    """Write ``rows`` to ``folder`` with the suffix of ``source``; return the path."""
    path = folder / f"{stem}{source.suffix}"
    if source.kind == "parquet":
        with path.open("wb") as raw:
            pq.write_table(rows, raw)
        return path
    compression = "gzip" if source.suffix.endswith(".gz") else None
    with path.open("wb") as raw, pa.output_stream(raw, compression=compression) as stream:
        pacsv.write_csv(rows, stream, pacsv.WriteOptions(delimiter=source.delimiter))
    return path
