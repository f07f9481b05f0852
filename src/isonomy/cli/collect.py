"""``isonomy collect``: run texts through a language model and keep the moments of its states."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isonomy.cli import options
from isonomy.cli._collect_run import CollectRequest, collect_lines, run_collect
from isonomy.cli._cost import Clock
from isonomy.cli._model_options import Model, Reading, Rows, Site
from isonomy.cli._option_groups import option_groups
from isonomy.cli.printing import print_json, print_lines
from isonomy.cli.progress import show_progress

__all__ = ["collect"]

Dataset = Annotated[
    str,
    typer.Option(metavar="NAME", help="File, folder, pattern or hub name of labelled texts."),
]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of all that is written.")
]
Layers = Annotated[
    str, typer.Option(metavar="LIST", help="Blocks to read: 'all', 'auto' (8 of them), or 0,4,8.")
]
Kept = Annotated[Rows, typer.Option(help="Keep every text's state too, in files of this kind.")]
TextColumn = Annotated[str | None, typer.Option("--text", metavar="COL", help="Column of texts.")]


@option_groups
def collect(
    *,
    model: Model,
    dataset: Dataset,
    output: Output,
    text: TextColumn = None,
    label: options.OptionalLabel = None,
    group: options.OptionalGroups = None,
    layers: Layers = "all",
    site: Annotated[Site, typer.Option(help="Where in a block.")] = "residual",
    rows: Kept = "none",
    reading: Reading,
    resume: options.Resume = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Reduce a language model's hidden states to moments.

    Runs every text through the model and keeps counts, means and covariances of each (label,
    group) cell, per layer: all that steering needs. Memory does not grow with the texts;
    --resume goes on with a stopped run and gives the same numbers.
    """
    clock = Clock()
    request = CollectRequest.of(
        model,
        dataset,
        text,
        label,
        group or (),
        layers=layers,
        site=site,
        rows=rows,
        reading=reading,
    )
    with show_progress(quiet=quiet) as progress:
        result = run_collect(request, output, resume=resume, progress=progress)
    if as_json:
        print_json(result)
        return
    cost = clock.cost(result["n_rows"])
    print_lines(collect_lines(result, folder=output, cost=cost))
