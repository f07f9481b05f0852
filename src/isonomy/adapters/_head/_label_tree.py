"""Every beginning of a label that the model must read to score the labels, each read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Chunk", "LabelTree"]

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Chunk:
    """Some of the beginnings, padded on the right, and what is looked up behind them.

    Parameters
    ----------
    ids, mask : Tensor of shape (rows, length)
        Tokens to read behind the prompt; 1 where one is real.
    row, place, token, label : Tensor of shape (lookups,)
        After ``place`` + 1 tokens of ``row``, the log-probability of ``token`` counts for
        ``label``.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    row: torch.Tensor
    place: torch.Tensor
    token: torch.Tensor
    label: torch.Tensor

    def to(self, device: torch.device) -> Chunk:
        """Return the chunk on ``device``."""
        return Chunk(*(value.to(device) for value in vars(self).values()))


class LabelTree:
    """The labels as a tree of tokens: labels that begin alike share what is read.

    To score a label of T tokens the model reads its first T - 1. Two labels that differ in
    their last token alone read the same; a label that another one begins with reads part of
    that. So only the longest beginnings are read.

    Parameters
    ----------
    labels : sequence of K tuples of int
        The scored tokens of each label, none empty.
    """

    def __init__(self, labels: Sequence[Tokens]) -> None:
        self.first = torch.tensor([tokens[0] for tokens in labels])
        self.n_labels = len(labels)
        row_of: dict[Tokens, int] = {}
        self._rows: list[Tokens] = []
        for tokens in sorted((t[:-1] for t in labels if len(t) > 1), key=len, reverse=True):
            if tokens not in row_of:
                self._rows.append(tokens)
                for n in range(1, len(tokens) + 1):
                    row_of.setdefault(tokens[:n], len(self._rows) - 1)
        self._lookups = [
            (row_of[tokens[:-1]], place, tokens[place + 1], label)
            for label, tokens in enumerate(labels)
            for place in range(len(tokens) - 1)
        ]

    @property
    def longest(self) -> int:
        """Most tokens that are read behind the prompt."""
        return len(self._rows[0]) if self._rows else 0

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the beginnings, longest first, ``size`` at a time."""
        for start in range(0, len(self._rows), size):
            rows = self._rows[start : start + size]
            length = len(rows[0])
            lookups = [one for one in self._lookups if start <= one[0] < start + size]
            row, place, token, label = torch.tensor(lookups).T
            yield Chunk(
                ids=torch.tensor([[*r, *[0] * (length - len(r))] for r in rows]),
                mask=torch.tensor([[1] * len(r) + [0] * (length - len(r)) for r in rows]),
                row=row - start, place=place, token=token, label=label,
            )  # fmt: skip
