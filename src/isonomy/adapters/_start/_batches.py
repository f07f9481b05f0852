"""Put drawn rows back into batches of like length, padded on the right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from isonomy.adapters._start._draw import Draw, Row
from isonomy.errors import InvalidInputError

__all__ = ["Batch", "batches", "padding_token"]


@dataclass(frozen=True)
class Batch:
    """What the model gets, and which rows of the draw it is.

    Attributes
    ----------
    inputs : dict of tensors (b, ...)
    at : (b,) int
        Places in the draw.
    """

    inputs: Row
    at: NDArray[np.intp]

    @property
    def mask(self) -> torch.Tensor | None:
        """The attention mask (b, tokens), if the rows are texts."""
        found = self.inputs.get("attention_mask")
        return found if found is not None and found.ndim == 2 else None


def batches(
    draw: Draw, at: NDArray[np.intp], filler: int, size: int, *, where: str
) -> Iterator[Batch]:
    """Yield the rows ``at`` of the draw, the shortest first, ``size`` at once.

    Parameters
    ----------
    draw : Draw
    at : (m,) int
        Places in the draw.
    filler : int
        Token behind texts that are shorter than others of their batch.
    size : int
    where : str
        The caller, for messages.
    """
    lengths = np.array([_length(draw.rows[i]) for i in at])
    ordered = at[np.argsort(lengths, kind="stable")]
    for start in range(0, len(ordered), size):
        chosen = ordered[start : start + size]
        yield Batch(_collated([draw.rows[i] for i in chosen], filler, where), chosen)


def padding_token(model: Any) -> int:
    """Return the padding token of the model's configuration; 0 if it names none."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = getattr(text, "pad_token_id", None)
    return int(found) if isinstance(found, int) else 0


def _length(row: Row) -> int:
    tokens = row.get("input_ids", row.get("attention_mask"))
    return 0 if tokens is None or tokens.ndim == 0 else len(tokens)


def _collated(rows: list[Row], filler: int, where: str) -> Row:
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        raise InvalidInputError(
            f"`dataloader` passed to `{where}` must yield the same inputs in every batch, got "
            f"{sorted(names)} and others."
        )
    longest = max(_length(row) for row in rows)
    uneven = any(_length(row) != longest for row in rows)
    if uneven and "attention_mask" not in names:
        # without a mask every token that was there is real, and what is put behind is not
        rows = [{**row, "attention_mask": torch.ones_like(row["input_ids"])} for row in rows]
    return {name: _stacked(name, [row[name] for row in rows], filler, where) for name in rows[0]}


def _stacked(name: str, values: list[torch.Tensor], filler: int, where: str) -> torch.Tensor:
    shapes = {tuple(value.shape) for value in values}
    if len(shapes) > 1:
        if {len(shape) for shape in shapes} != {1}:
            raise InvalidInputError(
                f"`dataloader` passed to `{where}` must yield {name!r} of one shape, got rows of "
                f"{sorted(shapes)[:4]}. Only the number of tokens may differ."
            )
        longest = max(len(value) for value in values)
        fill = filler if name == "input_ids" else 0
        values = [pad(value, (0, longest - len(value)), value=fill) for value in values]
    return torch.stack(values)
