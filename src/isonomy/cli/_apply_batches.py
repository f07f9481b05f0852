"""Steer the rows of a large new file with an artefact that ``isonomy steer`` wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_codes import match_groups
from isonomy.cli._apply_file import applied, artefact_columns, group_columns_of, read_known_groups
from isonomy.cli._batches import BatchFile
from isonomy.cli._cell_codes import RowCoder
from isonomy.cli._distinct import count_combinations
from isonomy.cli._feature_matrix import complete_rows
from isonomy.cli._folder import check_folder, whole_folder
from isonomy.cli._reader import Reader
from isonomy.cli._steer_request import ApplyRequest
from isonomy.cli._unfinished import Unfinished, identity_of, unfinished
from isonomy.cli._write_pass import RowMover, write_all
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.steering import IdealSteerer

__all__ = ["apply_batches"]


def apply_batches(
    file: BatchFile, output: Path, request: ApplyRequest, *, reader: Reader, progress: Report
) -> dict[str, Any]:
    """Write what ``apply_to_file`` writes, without ever holding the file in memory.

    Raises
    ------
    ArtefactError
        If the artefact cannot be used.
    DataFileError
        If the file lacks a column that the artefact needs, or there is an unfinished run.
    """
    check_folder(output)
    steerer = IdealSteerer.load(request.artefact)
    empty = file.table(file.schema.empty_table())
    names = artefact_columns(empty, steerer, request.artefact)
    columns = group_columns_of(empty, steerer, request.artefact, request.groups)
    identity = identity_of(
        file,
        command="apply",
        size=reader.size,
        artefact=_stamp(request.artefact),
        groups=list(request.groups),
        drop_missing=request.drop_missing,
        encoding=file.encoding,
        delimiter=file.delimiter,
    )
    with unfinished(output, identity, resume=reader.resume) as work:
        group_of = None
        if columns:
            group_of = _group_coder(
                file, steerer, columns, names, request, work, reader.size, progress
            )
        path = work.folder / f"steered{file.suffix}"
        n_rows, n_dropped = write_all(
            file,
            RowMover(steerer, tuple(names), group_of, None),
            work,
            path,
            size=reader.size,
            drop_missing=request.drop_missing,
            progress=lambda n: progress("steering and writing", n, file.n_rows or n),
        )
        with whole_folder(output) as folder:
            path.rename(folder / path.name)
    return applied(
        steerer, request.artefact, file.names, names, n_rows - n_dropped, n_dropped, path.name
    )


def _stamp(artefact: Path) -> list[Any]:
    found = artefact.stat()
    return [artefact.name, found.st_size, found.st_mtime_ns]


def _group_coder(
    file: BatchFile,
    steerer: IdealSteerer,
    columns: Sequence[str],
    names: Sequence[str],
    request: ApplyRequest,
    work: Unfinished,
    size: int,
    progress: Report,
) -> Callable[[DataTable], NDArray[np.intp]]:
    """Look at all groups first: a group that the artefact never saw ends the run here."""
    counted = count_combinations(
        file,
        columns,
        size=size,
        also=names if request.drop_missing else (),
        keep=(lambda b: complete_rows(b, names).table) if request.drop_missing else None,
        work=work,
        progress=lambda n: progress("counting groups", n, file.n_rows or n),
    )
    found = read_known_groups(counted, steerer, columns)
    codes = match_groups(
        found,
        steerer.groups_,
        n_samples=found.num_rows,
        missing_groups=steerer.missing_groups,
        unknown_group=steerer.unknown_group,
        where="IdealSteerer.transform",
    )
    coder = RowCoder.of(counted)
    return lambda batch: codes[coder.rows(batch)]
