"""Every beginning of a label that the model must read to score the labels, each read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Branches", "Chunk", "LabelTree"]

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Branches:
    """Beginnings as the nodes of a tree, to be read side by side behind one prompt.

    Parameters
    ----------
    ids, depth : Tensor of shape (nodes,)
        The last token of each beginning, and how many tokens stand before it.
    sees : Tensor of shape (nodes, nodes)
        Whether a node is the other, or stands on the way to it.
    place, token, label : Tensor of shape (lookups,)
        Behind node ``place`` - 1 (the prompt for 0) the log-probability of ``token`` counts
        for ``label``.
    """

    ids: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor
    place: torch.Tensor
    token: torch.Tensor
    label: torch.Tensor

    def to(self, device: torch.device) -> Branches:
        """Return the branches on ``device``."""
        return Branches(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True)
class Chunk:
    """Some of the longest beginnings, one a row, and what is looked up behind them.

    Parameters
    ----------
    ids, mask : Tensor of shape (rows, length)
        Tokens to read behind the prompt, padded on the right; 1 where one is real.
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
    that.

    Parameters
    ----------
    labels : sequence of K tuples of int
        The scored tokens of each label, none empty.
    """

    def __init__(self, labels: Sequence[Tokens]) -> None:
        self.labels = list(labels)
        self.first = torch.tensor([tokens[0] for tokens in labels])
        self.longest = max(len(tokens) for tokens in labels) - 1
        self._branches: dict[int, list[Branches]] = {}

    def branches(self, size: int) -> list[Branches]:
        """Return all beginnings, in parts of about ``size`` nodes; a part holds whole labels."""
        if size not in self._branches:
            self._branches = {size: [_branches(p) for p in self._parts(size)]}
        return self._branches[size]

    def _parts(self, size: int) -> Iterator[list[tuple[int, Tokens]]]:
        """Yield labels with their codes, neighbours alike, each part with its own nodes."""
        part: list[tuple[int, Tokens]] = []
        nodes: set[Tokens] = set()
        for code, tokens in sorted(enumerate(self.labels), key=lambda one: one[1]):
            own = {tokens[:n] for n in range(1, len(tokens))}
            if part and len(nodes | own) > size:
                yield part
                part, nodes = [], set()
            part.append((code, tokens))
            nodes |= own
        yield part

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the longest beginnings as rows, longest first, ``size`` at a time."""
        rows, row_of = self._rows()
        lookups = [
            (row_of[tokens[:-1]], place, tokens[place + 1], label)
            for label, tokens in enumerate(self.labels)
            for place in range(len(tokens) - 1)
        ]
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            length = len(part[0])
            wanted = [one for one in lookups if start <= one[0] < start + size]
            row, place, token, label = torch.tensor(wanted).T
            yield Chunk(
                ids=torch.tensor([[*r, *[0] * (length - len(r))] for r in part]),
                mask=torch.tensor([[1] * len(r) + [0] * (length - len(r)) for r in part]),
                row=row - start, place=place, token=token, label=label,
            )  # fmt: skip

    def _rows(self) -> tuple[list[Tokens], dict[Tokens, int]]:
        """Return the beginnings that begin no other, and the row in which each is found."""
        rows: list[Tokens] = []
        row_of: dict[Tokens, int] = {}
        for tokens in sorted((t[:-1] for t in self.labels if len(t) > 1), key=len, reverse=True):
            if tokens not in row_of:
                rows.append(tokens)
                for n in range(1, len(tokens) + 1):
                    row_of.setdefault(tokens[:n], len(rows) - 1)
        return rows, row_of


def _branches(labels: Sequence[tuple[int, Tokens]]) -> Branches:
    number: dict[Tokens, int] = {}
    lookups = []
    for code, tokens in labels:
        for n in range(len(tokens)):
            if n:
                number.setdefault(tokens[:n], len(number))
            lookups.append((number[tokens[:n]] + 1 if n else 0, tokens[n], code))
    sees = torch.zeros(len(number), len(number), dtype=torch.bool)
    for tokens, node in number.items():
        sees[node, [number[tokens[:n]] for n in range(1, len(tokens) + 1)]] = True
    place, token, label = torch.tensor(lookups).T
    return Branches(
        ids=torch.tensor([tokens[-1] for tokens in number], dtype=torch.long),
        depth=torch.tensor([len(tokens) - 1 for tokens in number], dtype=torch.long),
        sees=sees, place=place, token=token, label=label,
    )  # fmt: skip
