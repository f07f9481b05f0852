"""One step of the optimiser: its rows, its losses, its sums over all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from isonomy.adapters._train._labels import IGNORED
from isonomy.errors import TrainingStoppedError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from isonomy.adapters.losses import Objective

__all__ = ["MicroBatch", "Step", "check_weights", "count_labelled", "gradient_error"]


def count_labelled(labels: Tensor) -> Tensor:
    """Return how many rows have a label: those that are not -100 throughout."""
    known = labels != IGNORED
    return (known if known.ndim == 1 else known.any(dim=1)).sum()


@dataclass(frozen=True)
class MicroBatch:
    """What the guard looks at if a loss is not finite."""

    losses: Tensor
    logits: Tensor
    rows: Sequence[Any] | Tensor | None


class Step:
    """Collects micro-batches until the optimiser moves, on every process alike.

    Notes
    -----
    With S rows that have a label in the micro-batches of all P processes, the loss of a
    micro-batch is ``P / S`` times the sum over its rows. DDP averages gradients over the P
    processes, so that what the optimiser gets is the gradient of the mean over all S rows,
    as if they had been one batch of one process.
    """

    def __init__(self, objective: Objective, accelerator: Accelerator) -> None:
        self.objective = objective
        self.accelerator = accelerator
        self._batches: list[MicroBatch] = []
        self._total: Tensor | None = None

    @property
    def n_processes(self) -> int:
        """How many processes share the rows of a step."""
        return int(self.accelerator.num_processes)

    def count(self, batches: Sequence[Mapping[str, Any]]) -> Tensor | None:
        """Start a step of these micro-batches; return the labelled rows of all processes."""
        self._batches, self._total = [], None
        known = [batch["labels"] for batch in batches if "labels" in batch]
        if not known or len(known) < len(batches):
            return None
        n = torch.stack([count_labelled(labels) for labels in known]).sum()
        return self._sum(n).clamp_min(1)  # a step without any label has loss 0, not 0 / 0

    def loss(self, losses: Tensor, labels: Tensor, n_rows: Tensor | int | None) -> Tensor:
        """Return the share of a micro-batch in the mean over the rows of the step."""
        if n_rows is None:
            return losses.sum() / count_labelled(labels).clamp_min(1)
        return losses.sum() / n_rows * self.n_processes  # in this order: in the losses' precision

    def add(self, batch: MicroBatch) -> None:
        """Keep what a message would name."""
        self._batches.append(batch)

    def close(self, *, global_step: int) -> None:
        """Add up the sums of all processes, and stop if a loss was not finite on any."""
        losses = torch.cat([batch.losses for batch in self._batches])
        bad = (~torch.isfinite(losses)).any()
        if self.n_processes > 1:
            pending = self.objective.pending()
            # both in one message: every process must learn of a stop before the next step
            both = torch.cat([bad[None].to(pending), pending]).to(losses.device)
            both = self._sum(both)
            bad, self._total = both[0] > 0, both[1:]
        if bool(bad):
            raise TrainingStoppedError(self._say(global_step))
        self._batches = []

    def commit(self) -> None:
        """Move the running statistics: the optimiser has made its step."""
        self.objective.commit(self._total)
        self._total = None

    def _sum(self, values: Tensor) -> Tensor:
        if self.n_processes == 1:
            return values
        summed: Tensor = self.accelerator.reduce(values, reduction="sum")
        return summed

    def _say(self, global_step: int) -> str:
        where = f"step {global_step + 1} of the optimiser"
        of = f" on process {self.accelerator.process_index}" if self.n_processes > 1 else ""
        found = [
            (i, batch)
            for i, batch in enumerate(self._batches)
            if not bool(torch.isfinite(batch.losses).all())
        ]
        if not found:
            return _stopped(f"the loss of another process became NaN or infinite in {where}")
        index, batch = found[0]
        bad = torch.nonzero(~torch.isfinite(batch.losses)).flatten()
        return _stopped(
            f"the loss became NaN or infinite in {where} (global_step {global_step}), batch "
            f"{index} of {len(self._batches)} in it{of}, {_rows(bad, batch.rows)}: "
            f"{self._term(batch, bad)}"
        )

    def _term(self, batch: MicroBatch, bad: Tensor) -> str:
        if not bool(torch.isfinite(batch.logits[bad]).all()):
            return "the logits of the model are not finite there"
        parts = [k for k, v in self.objective.values().items() if not abs(v) < float("inf")]
        if parts:
            return f"the logits are finite, {', '.join(parts)} of {self.objective.name!r} is not"
        return f"the logits are finite, the objective {self.objective.name!r} of them is not"


def _rows(bad: Tensor, rows: Sequence[Any] | Tensor | None) -> str:
    at = bad.tolist()
    what = "rows" if rows is not None else "positions"
    shown = at if rows is None else [rows[i] for i in at]
    texts = [str(v.item() if isinstance(v, Tensor) else v) for v in shown[:10]]
    more = f" and {len(at) - 10} more" if len(at) > 10 else ""
    return f"{what} {', '.join(texts)}{more}"


def _stopped(reason: str) -> str:
    return (
        f"Training stopped: {reason}. The weights are those before this step, and checkpoints "
        "on disk are as they were. Lower the learning rate, look at those rows, or resume from "
        "the last checkpoint."
    )


def gradient_error(global_step: int, norm: float) -> TrainingStoppedError:
    """Return the error of a gradient that is not finite although the loss was."""
    return TrainingStoppedError(
        _stopped(
            f"the gradient became NaN or infinite (norm {norm}) in step {global_step + 1} of the "
            f"optimiser (global_step {global_step}), while the loss was finite"
        )
    )


def check_weights(model: nn.Module, global_step: int) -> None:
    """Raise if a step with a finite gradient left a trained weight that is not finite."""
    for name, weight in model.named_parameters():
        if weight.requires_grad and not bool(torch.isfinite(weight).all()):
            raise TrainingStoppedError(
                f"Training stopped: {name} became NaN or infinite by the optimiser's step "
                f"{global_step}, while loss and gradient were finite. No checkpoint of it was "
                "written, those on disk are as they were. Lower the learning rate."
            )
