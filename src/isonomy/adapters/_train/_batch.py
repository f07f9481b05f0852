"""Part a batch into what the model reads and what the loss reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from isonomy.errors import InvalidInputError

if TYPE_CHECKING:
    from isonomy.adapters.arguments import BiasAwareArguments

__all__ = ["Batch", "logits_of", "part_batch", "without_loss"]


class Batch(NamedTuple):
    """``inputs`` for the model's forward; labels (n,) or (n, K), group codes (n,), rows (n,)."""

    inputs: dict[str, Any]
    labels: Tensor
    groups: Tensor | None
    rows: Any


def part_batch(inputs: Mapping[str, Any], args: BiasAwareArguments) -> Batch:
    """Take labels, groups and row numbers out: the model must not compute its own loss too."""
    kept = dict(inputs)
    if "labels" not in kept:
        raise InvalidInputError(
            "`data_collator` passed to `BiasAwareTrainer` must return a batch with 'labels', got "
            f"{', '.join(sorted(kept))}. Name the column of the data set 'labels' or 'label'."
        )
    labels = kept.pop("labels")
    return Batch(kept, labels, _take(kept, args.group_column), _take(kept, args.row_column))


def _take(inputs: dict[str, Any], column: str | None) -> Any:
    return None if column is None else inputs.pop(column, None)


def logits_of(outputs: Any) -> Tensor:
    """Return the logits of what a model returned."""
    if isinstance(outputs, Mapping):
        found = outputs.get("logits")
    else:
        found = getattr(outputs, "logits", None)
        if found is None and isinstance(outputs, tuple) and outputs:
            found = outputs[0]
    if not isinstance(found, Tensor) or found.ndim != 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(outputs).__name__
        raise InvalidInputError(
            "`model` passed to `BiasAwareTrainer` must return `.logits` of shape (n, n_classes), "
            f"got {shape}. Use a sequence classification model, LabelWords or ClassNamePrompts."
        )
    return found


def without_loss(outputs: Any) -> Any:
    """Return outputs as the Trainer's evaluation reads them: it skips a tuple's first entry."""
    return (None, *outputs) if isinstance(outputs, tuple) else outputs
