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

__all__ = [
    "applied",
    "apply_to_file",
    "artefact_columns",
    "group_columns_of",
    "read_known_groups",
]


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
    names = artefact_columns(table, steerer, artefact)
    columns = group_columns_of(table, steerer, artefact, groups)
    kept, features, n_dropped = read_features(table, names, drop_missing=drop_missing)
    frame = features.select(names)
    if columns:
        found = read_known_groups(kept, steerer, columns)
        for name in found.column_names:
            frame = frame.append_column(name, found.column(name))
    moved = steerer.transform(frame)
    steered = replace_columns(kept, {name: moved.column(name) for name in names})
    written = write_table(steered, table, folder, stem="steered")
    return applied(steerer, artefact, table.names, names, kept.n_rows, n_dropped, written.name)


def artefact_columns(table: DataTable, steerer: IdealSteerer, artefact: Path) -> list[str]:
    """Return the names of the columns to steer, all of which ``table`` has.

    Raises
    ------
    DataFileError
        If one is not there.
    """
    names = [str(name) for name in steerer.steered_columns_]
    for name in names:
        require_column(table, name, option=f"The artefact {artefact}")
    return names


def group_columns_of(
    table: DataTable, steerer: IdealSteerer, artefact: Path, renamed: Sequence[str]
) -> list[str]:
    """Return the columns of ``table`` that hold the groups; none unless mode is "given".

    Raises
    ------
    DataFileError
        If one is not there.
    InvalidInputError
        If ``renamed`` names too many, too few or needless columns.
    """
    if steerer.groups != "given":
        if renamed:
            raise InvalidInputError(
                f"--group is not needed with the artefact {artefact}: it was fitted with --mode "
                f"{steerer.groups} and never reads the group of a row. Leave it out."
            )
        return []
    fitted = [str(name) for name in steerer.group_columns or ()]
    if renamed and len(renamed) != len(fitted):
        raise InvalidInputError(
            f"--group must be given {len(fitted)} times, once for each of "
            f"{', '.join(fitted)}, got {len(renamed)}."
        )
    found = list(renamed) or fitted
    for name in found:
        require_column(table, name, option="--group" if renamed else "The artefact")
    return found


def read_known_groups(table: DataTable, steerer: IdealSteerer, columns: Sequence[str]) -> pa.Table:
    """Return the groups of ``table`` under the names that ``steerer`` was fitted with."""
    known_missing = any(MISSING_GROUP in str(group) for group in steerer.groups_)
    found = read_groups(table, columns, missing="own_group" if known_missing else "raise")
    return found.rename_columns([str(name) for name in steerer.group_columns or ()])


def applied(
    steerer: IdealSteerer,
    artefact: Path,
    columns: Sequence[str],
    names: Sequence[str],
    n_rows: int,
    n_dropped: int,
    file: str,
) -> dict[str, Any]:
    """Return what was done, as JSON can hold it."""
    return {
        "schema": 1,
        "kind": "applied",
        "isonomy_version": __version__,
        "artefact": one_line(str(artefact)),
        "mode": str(steerer.groups),
        "steered": {
            "n_rows": n_rows,
            "n_dropped": n_dropped,
            "steered": list(names),
            "untouched": [name for name in columns if name not in names],
            "file": file,
        },
    }
