"""The rows of one part as a data set of PyTorch, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.adapters._finetune._rows import LabelledRows
from isonomy.hidden_states._collect._batching import PictureBatcher
from isonomy.hidden_states._collect._text_data import Example

__all__ = ["GROUPS", "ROWS", "Collate", "EncodedRows", "RowReader", "batches_of"]

GROUPS, ROWS = "groups", "row"
_AT_ONCE = 1024


class RowReader(Protocol):
    """How a model reads rows: the batchers of `isonomy.hidden_states`, and the heads' own."""

    @property
    def reader(self) -> Any:
        """The tokenizer or image processor."""

    def encode(self, window: Sequence[Example]) -> Any:
        """Return what is kept of each row."""

    def length(self, encoded: Any) -> int:
        """Return the tokens of one row; 0 for pictures."""

    def collate(self, batch: Any) -> dict[str, torch.Tensor]:
        """Return the inputs of a batch."""


class EncodedRows(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows as the model reads them: tokens made once, pictures opened when they are asked for.

    Parameters
    ----------
    rows : LabelledRows
    index : (n,) array
        The rows of the part.
    batcher : RowReader
    group_names : sequence of str, optional
        In the order of the group codes.
    """

    def __init__(
        self,
        rows: LabelledRows,
        index: NDArray[np.intp],
        batcher: RowReader,
        group_names: Sequence[str] | None = None,
    ) -> None:
        self.index = index
        self.labels: NDArray[np.int64] = rows.labels[index]
        code = {name: k for k, name in enumerate(group_names or ())}
        has_groups = rows.groups is not None and group_names is not None
        self.groups = (
            np.array([code[str(g)] for g in np.asarray(rows.groups)[index]], dtype=np.int64)
            if has_groups
            else None
        )
        self._batcher = batcher
        self._numbers = [rows.number(int(i)) for i in index]
        self._examples = [
            Example(n, rows.inputs[i], None, None)
            for n, i in zip(self._numbers, index, strict=True)
        ]
        self._encoded: list[Any] = []
        if not isinstance(batcher, PictureBatcher):
            for start in range(0, len(self._examples), _AT_ONCE):
                self._encoded += batcher.encode(self._examples[start : start + _AT_ONCE])

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> dict[str, Any]:
        encoded = (
            self._encoded[i] if self._encoded else self._batcher.encode([self._examples[i]])[0]
        )
        item = {"encoded": encoded, "labels": int(self.labels[i]), ROWS: self._numbers[i]}
        return item if self.groups is None else item | {GROUPS: int(self.groups[i])}

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of every row; 0 for pictures."""
        if not self._encoded:
            return np.zeros(len(self), dtype=np.int64)
        return np.array([self._batcher.length(e) for e in self._encoded], dtype=np.int64)


@dataclass(frozen=True)
class Collate:
    """Make a batch of rows: padded tokens or pixels, labels, groups, and row numbers."""

    batcher: RowReader

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = dict(self.batcher.collate([item["encoded"] for item in items]))
        for name in ("labels", GROUPS, ROWS):
            if name in items[0]:
                batch[name] = torch.tensor([item[name] for item in items])
        return batch


def batches_of(
    data: EncodedRows, collate: Collate, batch_size: int, device: Any
) -> Iterator[tuple[NDArray[np.intp], dict[str, torch.Tensor]]]:
    """Yield all rows in batches of like length: their places in ``data``, and the inputs."""
    order = np.argsort(-data.lengths(), kind="stable")
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = collate([data[int(i)] for i in places])
        inputs = {k: v.to(device) for k, v in batch.items() if k not in ("labels", GROUPS, ROWS)}
        yield places, inputs
