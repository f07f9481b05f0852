"""Run ``isonomy finetune``: one call of the library, quiet, with its progress shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isonomy.cli._finetune_request import FinetuneRequest
from isonomy.cli._outputs import check_can_draw
from isonomy.cli._quiet_models import check_llm_extra, quiet_models
from isonomy.cli.progress import Report
from isonomy.errors import InvalidInputError

__all__ = ["run_finetune", "run_plan"]

_COMMAND = "`isonomy finetune`"


def run_plan(request: FinetuneRequest, *, progress: Report) -> dict[str, Any]:
    """Return what the run would cost; nothing is written.

    Raises
    ------
    MissingExtraError
        If the extra ``llm`` is not installed.
    InvalidInputError
        If model, data or options cannot be used, or a criterion was given: nothing is judged.
    """
    if request.criteria:
        raise InvalidInputError("--fail-if judges a trained model, and --dry-run trains none.")
    check_llm_extra(_COMMAND)
    from isonomy.adapters.finetuning import plan_finetuning

    with quiet_models():
        return plan_finetuning(
            request.model, request.dataset, progress=progress, **request.arguments()
        )


def run_finetune(
    request: FinetuneRequest, output: Path | None, *, resume: bool, progress: Report
) -> dict[str, Any]:
    """Train, judge and write into the folder ``output``; return the result.

    Raises
    ------
    MissingExtraError
        If the extras ``llm`` or ``report`` are not installed.
    InvalidInputError
        If model, data or options cannot be used; nothing is left behind then.
    """
    if output is None:
        raise InvalidInputError(
            f"{_COMMAND} needs -o, the folder of all that is written (or --dry-run)."
        )
    check_llm_extra(_COMMAND)
    check_can_draw()
    from isonomy.adapters.finetuning import finetune

    with quiet_models():
        found = finetune(
            request.model,
            request.dataset,
            output=output,
            resume=resume,
            command=request.command_line(),
            progress=progress,
            **request.arguments(),
        )
    return found.result
