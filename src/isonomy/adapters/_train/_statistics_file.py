"""The running statistics of an objective in a checkpoint, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from isonomy._plain import plain_json
from isonomy.artefact import load_artefact, save_artefact
from isonomy.errors import InvalidInputError

if TYPE_CHECKING:
    from isonomy.adapters._train._task import Task
    from isonomy.adapters.losses import Objective

__all__ = ["STATISTICS", "load_statistics", "save_statistics"]

STATISTICS = "isonomy_statistics.safetensors"
KIND = "training_statistics"
_SPOKEN = {
    "objective": "objective",
    "settings": "settings of the objective",
    "n_classes": "number of classes",
    "classes": "classes",
    "class_counts": "training rows of the classes",
    "groups": "groups",
}


def _owner(objective: Objective, task: Task) -> dict[str, Any]:
    counts = None if task.class_counts is None else task.class_counts.tolist()
    known = {
        "objective": objective.name,
        "settings": objective.settings,
        "n_classes": objective.n_classes,
        "classes": list(task.classes),
        "class_counts": counts,
        "groups": None if task.groups is None else list(task.groups),
    }
    plain: dict[str, Any] = plain_json(known, name="settings", where="BiasAwareTrainer")
    return plain


def save_statistics(folder: Path, objective: Objective, task: Task, *, global_step: int) -> None:
    """Write the statistics into ``folder``, with all that they depend on in the header."""
    tensors = {name: value.numpy() for name, value in objective.state_dict().items()}
    config = {**_owner(objective, task), "global_step": global_step}
    save_artefact(folder / STATISTICS, kind=KIND, config=config, tensors=tensors)


def load_statistics(folder: Path, objective: Objective, task: Task) -> None:
    """Put the statistics of ``folder`` into ``objective``.

    Raises
    ------
    InvalidInputError
        If they are those of another objective, of other classes, counts or groups.
    ArtefactError
        If the file is damaged.
    """
    found = load_artefact(folder / STATISTICS, kind=KIND)
    for key, mine in _owner(objective, task).items():
        theirs = found.config.get(key)
        if theirs != mine:
            raise InvalidInputError(
                f"`resume_from_checkpoint` of `BiasAwareTrainer.train` must be a checkpoint of the "
                f"same run, but the {_SPOKEN[key]} of {str(folder)!r} were {_brief(theirs)}, and "
                f"are {_brief(mine)} now. Resume with the same arguments, or start anew in "
                "another `output_dir`."
            )
    objective.load_state_dict({name: torch.from_numpy(v) for name, v in found.tensors.items()})


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
