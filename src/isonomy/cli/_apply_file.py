"""Steer the rows of a new file with an artefact that ``isonomy steer`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from isonomy._version import __version__
from isonomy.cli._rows import read_features
from isonomy.cli._write_table import replace_columns, write_table
from isonomy.cli.columns import read_groups, require_column
from isonomy.cli.exits import one_line
from isonomy.cli.tables import DataTable
from isonomy.errors import InvalidInputError
from isonomy.groups import MISSING_GROUP
from isonomy.steering import IdealSteerer

__all__ = ["apply_to_file"]


def apply_to_file(
    table: DataTable,
    folder: Path,
    *,
    artefact: Path,
    groups: Sequence[str] = (),
    drop_missing: bool = False,
) -> dict[str, Any]:
    """Write ``table`` into ``folder`` with its features steered, other columns untouched.

    ``groups`` renames the group columns, in the order of the fit; only mode "given" reads
    any.

    Raises
    ------
    ArtefactError
        If the artefact cannot be used.
    DataFileError
        If the file lacks a column that the artefact needs.
    """
    steerer = IdealSteerer.load(artefact)
    names = [str(name) for name in steerer.steered_columns_]
    for name in names:
        require_column(table, name, option=f"The artefact {artefact}")
    kept, features, n_dropped = read_features(table, names, drop_missing=drop_missing)
    frame = features.select(names)
    if steerer.groups == "given":
        for name, values in _groups(kept, steerer, groups).items():
            frame = frame.append_column(name, values)
    elif groups:
        raise InvalidInputError(
            f"--group is not needed with the artefact {artefact}: it was fitted with --mode "
            f"{steerer.groups} and never reads the group of a row. Leave it out."
        )
    moved = steerer.transform(frame)
    steered = replace_columns(kept, {name: moved.column(name) for name in names})
    written = write_table(steered, table, folder, stem="steered")
    return {
        "schema": 1,
        "kind": "applied",
        "isonomy_version": __version__,
        "artefact": one_line(str(artefact)),
        "mode": str(steerer.groups),
        "steered": {
            "n_rows": kept.n_rows,
            "n_dropped": n_dropped,
            "steered": names,
            "untouched": [name for name in table.names if name not in names],
            "file": written.name,
        },
    }


def _groups(
    table: DataTable, steerer: IdealSteerer, renamed: Sequence[str]
) -> dict[str, pa.ChunkedArray]:
    fitted = [str(name) for name in steerer.group_columns or ()]
    if renamed and len(renamed) != len(fitted):
        raise InvalidInputError(
            f"--group must be given {len(fitted)} times, once for each of "
            f"{', '.join(fitted)}, got {len(renamed)}."
        )
    found = list(renamed) or fitted
    for name in found:
        require_column(table, name, option="--group" if renamed else "The artefact")
    known_missing = any(MISSING_GROUP in str(group) for group in steerer.groups_)
    columns = read_groups(table, found, missing="own_group" if known_missing else "raise")
    return {name: columns.column(source) for name, source in zip(fitted, found, strict=True)}
