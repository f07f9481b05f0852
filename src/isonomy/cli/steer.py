"""``isonomy steer``: steer the rows of a file, or apply what was learnt to another one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from isonomy.cli import options
from isonomy.cli._apply_file import apply_to_file
from isonomy.cli._folder import whole_folder
from isonomy.cli._steer_choice import Request
from isonomy.cli._steer_file import Mode, steer_file
from isonomy.cli._steer_summary import applied_lines, steered_lines
from isonomy.cli.printing import print_json, print_lines
from isonomy.cli.progress import show_progress
from isonomy.cli.tables import read_table

__all__ = ["steer"]


def steer(
    file: options.DataFile,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of all that is written.")
    ],
    label: options.OptionalLabel = None,
    group: options.OptionalGroups = None,
    features: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Columns to steer: 'a,b,c*', or 'numeric' for all."),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Group of a row at use: unknown, in the data, or guessed.")
    ] = "blind",
    test_size: Annotated[
        float, typer.Option(metavar="SHARE", min=0.05, max=0.95, help="Rows to judge on.")
    ] = 0.3,
    apply: Annotated[
        Path | None,
        typer.Option(metavar="ARTEFACT", help="Steer FILE with what an earlier run learnt."),
    ] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Drop rows with a missing feature.")
    ] = False,
    missing_groups: options.MissingGroups = "raise",
    random_state: options.RandomState = 0,
    encoding: options.Encoding = "utf-8",
    delimiter: options.Delimiter = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Steer rows to equal laws.

    Learns from FILE how to carry the groups' rows to common distributions, judges it on
    rows kept apart, and writes the steered rows, an artefact and a report. With --apply,
    steers FILE by an artefact; no label is needed, and the groups only in mode given.
    """
    raise NotImplementedError
