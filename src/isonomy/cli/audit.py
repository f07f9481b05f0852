"""``isonomy audit``: judge the predictions in a file, by group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isonomy.cli import options
from isonomy.cli._audit_run import run_audit
from isonomy.cli._audit_summary import print_audit
from isonomy.cli._cost import Clock
from isonomy.cli._criteria import parse_criterion
from isonomy.cli._outputs import check_can_draw, write_report
from isonomy.cli._reader import Reader
from isonomy.cli.exits import CRITERION, complain
from isonomy.cli.printing import print_json, print_lines
from isonomy.cli.progress import show_progress

__all__ = ["audit"]


Label = Annotated[str, typer.Option(metavar="COL", help="Column of the true class.")]
Prediction = Annotated[str, typer.Option(metavar="COL", help="Column of the predicted class.")]
Score = Annotated[
    str | None, typer.Option(metavar="COL", help="Column of the positive class's probability.")
]
Control = Annotated[
    list[str] | None,
    typer.Option(metavar="COL", help="Repeat the disparities within each value; repeatable."),
]
PosLabel = Annotated[
    str | None, typer.Option(metavar="V", help="Audit this class against all others.")
]
MinCell = Annotated[
    int, typer.Option(metavar="N", min=1, help="Withhold or pool groups with fewer rows.")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="PATH", help="Report: FILE.html, or a folder."),
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(metavar="CRITERION", help="Exit 1 if 'rms_tpr_gap>0.05' holds; repeatable."),
]


def audit(
    file: options.DataFile,
    label: Label,
    prediction: Prediction,
    group: options.Groups,
    score: Score = None,
    control: Control = None,
    pos_label: PosLabel = None,
    min_cell: MinCell = 10,
    output: Output = None,
    fail_if: FailIf = None,
    missing_groups: options.MissingGroups = "raise",
    random_state: options.RandomState = 0,
    batch_rows: options.BatchRows = None,
    resume: options.Resume = False,
    encoding: options.Encoding = "utf-8",
    delimiter: options.Delimiter = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Judge a classifier's predictions, by group.

    FILE holds one row a person: the true class, the predicted class, and groups. Prints the
    rates of every group and the gaps between groups, with intervals. A large FILE is read
    in batches: memory stays flat, and the numbers are the same.
    """
    criteria = [parse_criterion(text) for text in fail_if or ()]
    if output:
        check_can_draw()
    clock = Clock()
    reader = Reader(file, encoding, delimiter, batch_rows, resume)
    with show_progress(quiet=quiet) as report_progress:
        result = run_audit(
            reader,
            output,
            progress=report_progress,
            label=label,
            prediction=prediction,
            groups=group,
            score=score,
            control=control or (),
            pos_label=pos_label,
            missing_groups=missing_groups,
            min_cell=min_cell,
            random_state=random_state,
        )
        failed = [sentence for c in criteria if (sentence := c.judge(result))]
        page = write_report(result, output) if output else None
    if as_json:
        print_json(result)
    else:
        print_audit(result, name=str(file))
        print_lines([f"Report: {page}"] if page else [])
        print_lines([clock.cost(result["n_samples"])] if reader.in_batches() else [])
    for sentence in failed:
        complain(sentence)
    if failed:
        raise typer.Exit(CRITERION)
