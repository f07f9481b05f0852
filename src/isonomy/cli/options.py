"""The options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from isonomy.cli.exits import DEBUG_KEY

__all__ = [
    "BatchRows",
    "DataFile",
    "Debug",
    "Delimiter",
    "Encoding",
    "Groups",
    "Json",
    "MissingGroups",
    "OptionalDataFile",
    "OptionalGroups",
    "OptionalLabel",
    "Quiet",
    "RandomState",
    "Resume",
]


def _remember_debug(ctx: Any, value: bool) -> bool:
    ctx.meta[DEBUG_KEY] = value
    return value


DataFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV, TSV (also .gz) or Parquet file.")
]
OptionalDataFile = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="CSV, TSV (also .gz) or Parquet file.")
]
Groups = Annotated[
    list[str],
    typer.Option(
        "--group", metavar="COL", help="Column of a protected attribute; repeat to cross several."
    ),
]
OptionalLabel = Annotated[
    str | None, typer.Option("--label", metavar="COL", help="Column of the class to be decided.")
]
OptionalGroups = Annotated[
    list[str] | None,
    typer.Option(
        "--group", metavar="COL", help="Column of a protected attribute; repeat to cross several."
    ),
]
MissingGroups = Annotated[
    Literal["raise", "own_group"],
    typer.Option(
        "--missing-groups", help="Rows without a group: stop, or keep them as their own group."
    ),
]
RandomState = Annotated[
    int, typer.Option("--random-state", metavar="N", min=0, help="Seed: same seed, same bytes.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the whole result to stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="On an error, print the Python traceback too.",
        callback=_remember_debug,
        is_eager=True,
    ),
]
Encoding = Annotated[
    str, typer.Option("--encoding", metavar="NAME", help="Text encoding of a CSV.")
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", metavar="CHAR", help="Separator of a CSV, when it is not the suffix's own."
    ),
]
BatchRows = Annotated[
    int | None,
    typer.Option(
        "--batch-rows",
        metavar="N",
        help="Read N rows at a time, in flat memory; 0: all at once. Large files: unasked.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
