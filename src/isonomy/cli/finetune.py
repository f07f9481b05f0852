"""``isonomy finetune``: train a classifier so that rare classes are found like common ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isonomy.cli import options
from isonomy.cli._finetune_criteria import failed_criteria
from isonomy.cli._finetune_options import OfData, OfLoading, OfModel, OfTraining
from isonomy.cli._finetune_request import FinetuneRequest
from isonomy.cli._finetune_run import run_finetune, run_plan
from isonomy.cli._finetune_summary import print_finetuned, print_plan
from isonomy.cli._model_options import Model
from isonomy.cli._option_groups import option_groups
from isonomy.cli.exits import CRITERION, complain
from isonomy.cli.printing import print_json
from isonomy.cli.progress import show_progress

__all__ = ["finetune"]

Dataset = Annotated[
    str,
    typer.Option(metavar="NAME", help="File, folder, pattern or hub name of labelled rows."),
]
Text = Annotated[str | None, typer.Option(metavar="COL", help="Column of the texts.")]
Strategy = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="equity, intermediate, lora, full, layer_norms, or an objective to train LoRA by.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="Folder of all that is written."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print class counts and cost; train and write nothing.")
]
NoBefore = Annotated[bool, typer.Option("--no-before", help="Do not judge the untrained model.")]
MinCell = Annotated[
    int, typer.Option(metavar="N", min=1, help="Withhold or pool groups with fewer rows.")
]
Seed = Annotated[
    int, typer.Option("--seed", "--random-state", metavar="N", min=0, help="Of all chance.")
]
FailIf = Annotated[
    list[str] | None,
    typer.Option(metavar="CRITERION", help="Exit 1 if 'head_tail_gap>0.2' holds; repeatable."),
]


@option_groups
def finetune(
    *,
    model: Model,
    dataset: Dataset,
    text: Text = None,
    label: options.OptionalLabel = None,
    group: options.OptionalGroups = None,
    strategy: Strategy = "equity",
    output: Output = None,
    dry_run: DryRun = False,
    of_data: OfData,
    of_model: OfModel,
    of_training: OfTraining,
    of_loading: OfLoading,
    no_before: NoBefore = False,
    min_cell: MinCell = 10,
    seed: Seed = 0,
    fail_if: FailIf = None,
    resume: options.Resume = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fine-tune a classifier, rare classes like common ones.

    Checks the data and splits them by class, trains an adapter (or all weights), judges
    before and after on rows kept apart, and writes the adapter in PEFT's format with its
    model card and a report. A stopped run keeps its checkpoints beside DIR for --resume.
    """
    request = FinetuneRequest.of(
        model=model, dataset=dataset, text=text, label=label, group=group, strategy=strategy,
        of_data=of_data, of_model=of_model, of_training=of_training, of_loading=of_loading,
        no_before=no_before, min_cell=min_cell, seed=seed, fail_if=fail_if,
    )  # fmt: skip
    with show_progress(quiet=quiet) as progress:
        if dry_run:
            result = run_plan(request, progress=progress)
        else:
            result = run_finetune(request, output, resume=resume, progress=progress)
    if as_json:
        print_json(result)
    elif dry_run:
        print_plan(result, folder=output)
    else:
        print_finetuned(result, folder=output or Path())
    failed = failed_criteria(result, request.criteria) if request.criteria else []
    for sentence in failed:
        complain(sentence)
    if failed:
        raise typer.Exit(CRITERION)
