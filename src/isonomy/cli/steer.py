"""``isonomy steer``: steer the rows of a file, or a language model, or apply what was learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isonomy.cli import options
from isonomy.cli._cost import Clock
from isonomy.cli._option_groups import option_groups
from isonomy.cli._reader import Reader
from isonomy.cli._steer_asked import model_request, needed_file, table_request, tables_alone
from isonomy.cli._steer_model_request import OfModel, refuse_without_model
from isonomy.cli._steer_model_run import steer_model
from isonomy.cli._steer_model_summary import model_lines
from isonomy.cli._steer_request import Mode
from isonomy.cli._steer_run import run_steer
from isonomy.cli._steer_summary import steer_lines
from isonomy.cli._steering_options import Steering
from isonomy.cli.printing import print_json, print_lines
from isonomy.cli.progress import show_progress

__all__ = ["steer"]


Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of all that is written.")
]
Features = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Columns to steer: 'a,b,c*', or 'numeric' for all."),
]
HowGroupsAreKnown = Annotated[
    Mode, typer.Option(help="Group of a row at use: unknown, in the data, or guessed.")
]
TestSize = Annotated[
    float, typer.Option(metavar="SHARE", min=0.05, max=0.95, help="Rows to judge on.")
]
Apply = Annotated[
    Path | None,
    typer.Option(metavar="ARTEFACT", help="Steer FILE with what an earlier run learnt."),
]
DropMissing = Annotated[
    bool, typer.Option("--drop-missing", help="Drop rows with a missing feature.")
]


@option_groups
def steer(
    *,
    file: options.OptionalDataFile = None,
    output: Output,
    label: options.OptionalLabel = None,
    group: options.OptionalGroups = None,
    features: Features = None,
    mode: HowGroupsAreKnown = "blind",
    steering: Steering,
    test_size: TestSize = 0.3,
    apply: Apply = None,
    drop_missing: DropMissing = False,
    missing_groups: options.MissingGroups = "raise",
    random_state: options.RandomState = 0,
    batch_rows: options.BatchRows = None,
    resume: options.Resume = False,
    encoding: options.Encoding = "utf-8",
    delimiter: options.Delimiter = None,
    of_model: OfModel,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Steer rows to equal laws.

    Learns from FILE how to carry the groups' rows to common distributions, judges it on
    rows kept apart, and writes the steered rows, an artefact and a report. With --apply,
    steers FILE by an artefact; no label is needed, and the groups only in mode given. A
    large FILE is read in batches: memory stays flat, and --resume goes on with a stopped run.

    With --model, FILE holds texts: a linear head learns the label from the model's hidden
    states, steering moves them, and artefact, classifier, adapters, report and model card
    are written. The options from --positions on belong to that.
    """
    clock = Clock()
    told = (label, group, mode, test_size, drop_missing, missing_groups, random_state)
    with show_progress(quiet=quiet) as progress:
        if of_model.model is not None:
            given = tables_alone(features, apply, batch_rows, encoding, delimiter, steering)
            asked = model_request(file, of_model, *told, given=given)
            result = steer_model(asked, output, resume=resume, progress=progress)
            lines = model_lines
        else:
            refuse_without_model(of_model)
            table = needed_file(file)
            request = table_request(features, apply, batch_rows, steering, *told)
            reader = Reader(table, encoding, delimiter, batch_rows, resume)
            result = run_steer(reader, output, request, progress=progress)
            lines = steer_lines
    if as_json:
        print_json(result)
        return
    print_lines(lines(result, name=str(file), folder=output, clock=clock))
