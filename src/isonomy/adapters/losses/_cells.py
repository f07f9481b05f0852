"""What a batch brings to the cells of running means: features, their sums, their dot products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CellFeatures", "CellKind", "ElementsInCells", "RowsInCells", "Slope"]


@dataclass(frozen=True)
class Slope:
    """How much a penalty moves with what a row brings, at frozen means.

    Attributes
    ----------
    table : (C, 2 f + 2)
        For every cell: the slope of its own f features, their means, the weight of
        ``shared`` there, and ``<shared, mean of the shared features>``.
    shared : (F - f,)
        The slope of the features of which only the mean over cells matters.
    """

    table: Tensor
    shared: Tensor


class CellFeatures(ABC):
    """Features of the rows of one batch, each in its cell or cells."""

    known: Tensor
    """Rows (n,) that have a label: bool. The others bring nothing."""

    @abstractmethod
    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Add rows to ``counts`` (C,) and features to ``sums`` (C, F), in place, in float64."""

    @abstractmethod
    def dot(self, slope: Slope) -> Tensor:
        """Return ``sum over a row's cells c of <slope_c, features - mean_c>`` (n,)."""

    @abstractmethod
    def detached(self) -> CellFeatures:
        """Return the same without the graph behind it."""


@dataclass(frozen=True)
class RowsInCells(CellFeatures):
    """A row lies in one cell or none: codes (n,), -1 for none, and features (n, F).

    ``shared`` are the last F - f features: a penalty depends on their mean over cells alone.
    """

    codes: Tensor
    own: Tensor
    known: Tensor
    shared: Tensor | None = None

    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Sum by a product with a 0/1 matrix: scattered additions have no promised order."""
        cells = torch.arange(len(counts), device=counts.device)
        member = (self.codes.to(counts.device)[:, None] == cells).to(torch.float64)
        counts.add_(member.sum(dim=0))
        parts = [self.own] if self.shared is None else [self.own, self.shared]
        features = torch.cat([part.to(sums.device).to(torch.float64) for part in parts], dim=1)
        sums.addmm_(member.T, features)

    def dot(self, slope: Slope) -> Tensor:
        """Gather each row's slope; a row of no cell gives 0."""
        inside, f = self.codes >= 0, self.own.shape[1]
        cell = self.codes.clamp_min(0).to(slope.table.device)
        row = _like(slope.table[cell], self.own)
        each = (row[:, :f] * (self.own - row[:, f : 2 * f])).sum(dim=1)
        if self.shared is not None:
            # no matrix product: autocast would take it down to half precision
            dots = (self.shared * _like(slope.shared, self.own)).sum(dim=1)
            each = each + row[:, -2] * (dots - row[:, -1])
        return torch.where(inside, each, torch.zeros_like(each))

    def detached(self) -> RowsInCells:
        """Return the same without the graph behind it."""
        shared = None if self.shared is None else self.shared.detach()
        return RowsInCells(self.codes, self.own.detach(), self.known, shared)


@dataclass(frozen=True)
class ElementsInCells(CellFeatures):
    """A row lies in many cells, with its own features in each: (n, C) and (n, C, F)."""

    member: Tensor
    own: Tensor
    known: Tensor

    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Sum the features of the rows that lie in each cell."""
        inside = torch.where(self.member[:, :, None], self.own, torch.zeros_like(self.own))
        counts.add_(self.member.to(counts.device).to(torch.float64).sum(dim=0))
        sums.add_(inside.to(sums.device).to(torch.float64).sum(dim=0))

    def dot(self, slope: Slope) -> Tensor:
        """Add over the cells that a row lies in."""
        f = self.own.shape[2]
        table = _like(slope.table, self.own)
        each = (table[:, :f] * (self.own - table[:, f : 2 * f])).sum(dim=2)
        return torch.where(self.member, each, torch.zeros_like(each)).sum(dim=1)

    def detached(self) -> ElementsInCells:
        """Return the same without the graph behind it."""
        return ElementsInCells(self.member, self.own.detach(), self.known)


class CellKind(ABC):
    """Which cells there are, and what is averaged in them.

    Attributes
    ----------
    name : str
        The penalty that these cells are for.
    n_cells, n_features : int
    n_shared : int
        How many of the features, the last ones, matter only by their mean over cells.
    multi_label : bool
        Whether labels are (n, K) of 0 and 1.
    """

    name: str
    n_cells: int
    n_features: int
    n_shared: int = 0
    multi_label: bool

    @abstractmethod
    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return the features of a batch, with gradient, after checking it."""


def _like(values: Tensor, like: Tensor) -> Tensor:
    # first the type, then the device: the other way round float64 may not exist there
    return values.to(like.dtype).to(like.device)
