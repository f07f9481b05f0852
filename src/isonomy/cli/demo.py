"""``isonomy demo``: audit, steer and audit again, on generated biographies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from isonomy.cli import options
from isonomy.cli._demo_run import compare_on_biographies
from isonomy.cli._demo_summary import demo_lines
from isonomy.cli._folder import whole_folder
from isonomy.cli._outputs import PAGE, check_can_draw, write_report_into
from isonomy.cli.printing import print_json, print_lines
from isonomy.cli.progress import show_progress

__all__ = ["demo"]


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the report.")
    ] = Path("isonomy-report"),
    rows: Annotated[
        int, typer.Option(metavar="N", min=1000, help="Biographies to generate.")
    ] = 8000,
    bias: Annotated[
        float,
        typer.Option(metavar="B", min=0.0, max=2.0, help="Strength of the planted bias."),
    ] = 1.0,
    random_state: options.RandomState = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Steer generated biographies, and see before and after.

    Writes biographies of 28 occupations with a known gender bias, fits a classifier, steers
    it in several ways beside the usual baselines, and audits all of them on the same rows.
    Nothing is downloaded.
    """
    start = time.perf_counter()
    check_can_draw()
    with show_progress(quiet=quiet) as progress, whole_folder(output) as folder:
        result = compare_on_biographies(
            n_rows=rows, bias=bias, random_state=random_state, progress=progress
        )
        write_report_into(result, folder)
    if as_json:
        print_json(result)
        return
    seconds = time.perf_counter() - start
    print_lines(demo_lines(result, page=output / PAGE, seconds=seconds))
