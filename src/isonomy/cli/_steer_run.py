"""Learn or apply, at once or in batches: the four ways of ``isonomy steer``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isonomy.cli._apply_batches import apply_batches
from isonomy.cli._apply_file import apply_to_file
from isonomy.cli._folder import whole_folder
from isonomy.cli._reader import Reader
from isonomy.cli._steer_batches import steer_batches
from isonomy.cli._steer_file import steer_file
from isonomy.cli._steer_request import ApplyRequest, SteerRequest
from isonomy.cli.progress import Report

__all__ = ["run_steer"]


def run_steer(
    reader: Reader, output: Path, request: SteerRequest | ApplyRequest, *, progress: Report
) -> dict[str, Any]:
    """Do what was asked and write it into the folder ``output``; return the result."""
    if reader.in_batches():
        file = reader.batches()
        if isinstance(request, SteerRequest):
            return steer_batches(file, output, request, reader=reader, progress=progress)
        return apply_batches(file, output, request, reader=reader, progress=progress)
    with whole_folder(output) as folder:
        table = reader.at_once()
        if isinstance(request, SteerRequest):
            return steer_file(table, folder, request, progress=progress)
        return apply_to_file(
            table,
            folder,
            artefact=request.artefact,
            groups=request.groups,
            drop_missing=request.drop_missing,
        )
