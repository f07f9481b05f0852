"""Audit a file, at once or from counts of it that are taken batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

from isonomy.cli._audit_file import audit_table, require_audited
from isonomy.cli._batches import BatchFile
from isonomy.cli._distinct import count_combinations
from isonomy.cli._reader import Reader
from isonomy.cli._unfinished import Unfinished, identity_of, unfinished
from isonomy.cli.progress import Report
from isonomy.cli.tables import DataTable
from isonomy.errors import InvalidInputError

__all__ = ["run_audit"]

NO_SCORES = {
    "what": "calibration, log loss and ROC area",
    "why": (
        "the file was read in batches, and intervals of these need all rows; audit a random "
        "part of the rows, or read them at once with --batch-rows 0"
    ),
}


def run_audit(
    reader: Reader,
    output: Path | None,
    *,
    progress: Report,
    label: str,
    prediction: str,
    groups: Sequence[str],
    score: str | None,
    control: Sequence[str],
    pos_label: str | None,
    missing_groups: Literal["raise", "own_group"],
    min_cell: int,
    random_state: int,
) -> dict[str, Any]:
    """Return the audit as JSON can hold it.

    All but scores follows from how often each combination of label, prediction, group and
    control occurs, so a large file gives what it would give in memory, number for number.
    """
    in_batches = reader.in_batches()
    if in_batches:
        table = _counted(
            reader,
            output,
            progress,
            label=label,
            prediction=prediction,
            groups=groups,
            control=control,
            score=score,
        )
    else:
        progress("reading", 0, 2)
        table = reader.at_once()
    progress("auditing", 1, 2)
    result = audit_table(
        table,
        label=label,
        prediction=prediction,
        groups=groups,
        score=None if in_batches else score,
        control=control,
        pos_label=pos_label,
        missing_groups=missing_groups,
        min_cell=min_cell,
        random_state=random_state,
    ).to_dict()
    if score and in_batches:
        result["not_computed"].append(dict(NO_SCORES))
    return result


def _counted(
    reader: Reader,
    output: Path | None,
    progress: Report,
    *,
    label: str,
    prediction: str,
    groups: Sequence[str],
    control: Sequence[str],
    score: str | None,
) -> DataTable:
    file = reader.batches()
    require_audited(
        file.table(file.schema.empty_table()),
        label=label,
        prediction=prediction,
        groups=groups,
        score=score,
        control=control,
    )
    names = [label, prediction, *groups, *control]
    with _kept(reader, file, output, names) as work:
        return count_combinations(
            file,
            names,
            size=reader.size,
            work=work,
            progress=lambda n: progress("counting", n, file.n_rows or n),
        )


def _kept(
    reader: Reader, file: BatchFile, output: Path | None, names: list[str]
) -> AbstractContextManager[Unfinished | None]:
    """Keep the counts so far beside the report, if there is to be one."""
    if output is not None:
        identity = identity_of(
            file,
            command="audit",
            size=reader.size,
            columns=names,
            encoding=file.encoding,
            delimiter=file.delimiter,
        )
        return unfinished(output, identity, resume=reader.resume)
    if reader.resume:
        raise InvalidInputError(
            "--resume needs -o: an audit that is only printed keeps nothing to go on from."
        )
    return nullcontext()
