"""What a batch brings to the cells of running means: features, their sums, their dot products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["CellFeatures", "CellKind", "ElementsInCells", "RowsInCells"]


class CellFeatures(ABC):
    """Features of the rows of one batch, each in its cell or cells."""

    known: Tensor
    """Rows (n,) that have a label: bool. The others bring nothing."""

    @abstractmethod
    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Add rows to ``counts`` (C,) and features to ``sums`` (C, F), in place, in float64."""

    @abstractmethod
    def dot(self, coefficients: Tensor, origin: Tensor) -> Tensor:
        """Return ``sum over a row's cells c of <coefficients_c, features - origin_c>`` (n,)."""


@dataclass(frozen=True)
class RowsInCells(CellFeatures):
    """A row lies in one cell or none: codes (n,), -1 for none, and features (n, F)."""

    codes: Tensor
    features: Tensor
    known: Tensor

    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Sum by a product with a 0/1 matrix: scattered additions have no promised order."""
        cells = torch.arange(len(counts), device=counts.device)
        member = (self.codes.to(counts.device)[:, None] == cells).to(torch.float64)
        counts.add_(member.sum(dim=0))
        sums.addmm_(member.T, self.features.to(sums.device).to(torch.float64))

    def dot(self, coefficients: Tensor, origin: Tensor) -> Tensor:
        """Gather each row's coefficients; a row of no cell gives 0."""
        inside = self.codes >= 0
        cell = torch.where(inside, self.codes, torch.zeros_like(self.codes))
        g, s = (_like(v[cell.to(v.device)], self.features) for v in (coefficients, origin))
        each = (g * (self.features - s)).sum(dim=1)
        return torch.where(inside, each, torch.zeros_like(each))


@dataclass(frozen=True)
class ElementsInCells(CellFeatures):
    """A row lies in many cells, with its own features in each: (n, C) and (n, C, F)."""

    member: Tensor
    features: Tensor
    known: Tensor

    def add_to(self, counts: Tensor, sums: Tensor) -> None:
        """Sum the features of the rows that lie in each cell."""
        zero = torch.zeros_like(self.features)
        inside = torch.where(self.member[:, :, None], self.features, zero)
        counts.add_(self.member.to(counts.device).to(torch.float64).sum(dim=0))
        sums.add_(inside.to(sums.device).to(torch.float64).sum(dim=0))

    def dot(self, coefficients: Tensor, origin: Tensor) -> Tensor:
        """Add over the cells that a row lies in."""
        g, s = _like(coefficients, self.features), _like(origin, self.features)
        each = (g * (self.features - s)).sum(dim=2)
        return torch.where(self.member, each, torch.zeros_like(each)).sum(dim=1)


class CellKind(ABC):
    """Which cells there are, and what is averaged in them.

    Attributes
    ----------
    name : str
        The penalty that these cells are for.
    n_cells, n_features : int
    multi_label : bool
        Whether labels are (n, K) of 0 and 1.
    """

    name: str
    n_cells: int
    n_features: int
    multi_label: bool

    @abstractmethod
    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return the features of a batch, with gradient, after checking it."""


def _like(values: Tensor, like: Tensor) -> Tensor:
    # first the type, then the device: the other way round float64 may not exist there
    return values.to(like.dtype).to(like.device)
