"""The matrices of a folded map, in float64: W M for a reader, M W for a writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap

__all__ = ["Folded", "fold_reader", "fold_writer", "is_translation"]

_BLOCK_ROWS = 8192
"""Rows of W taken to float64 at once: a head of 128,000 words is 4 GB in float64."""


@dataclass(frozen=True)
class Folded:
    """New weight ``(out, in)`` or None where it stays, and what the bias becomes or None."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None


def is_translation(affine: AffineMap) -> bool:
    """Return whether the linear part is the identity, to the last bit."""
    if affine.factors is not None and not (affine.factors[0].any() and affine.factors[1].any()):
        return True
    return bool(np.array_equal(affine.matrix, np.eye(affine.n_features)))


def fold_reader(weight: torch.Tensor, bias: torch.Tensor | None, affine: AffineMap) -> Folded:
    """Return W M and W b + c, so that ``W' x + c' = W (M x + b) + c``."""
    new = None if is_translation(affine) else _times(weight, _Factors.of(affine, weight))
    if not affine.offset.any():
        return Folded(new, None)
    offset = _double(affine.offset, weight)
    moved = torch.cat([rows.to(offset) @ offset for rows in _blocks(weight)])
    return Folded(new, moved if bias is None else bias.detach().to(moved) + moved)


def fold_writer(weight: torch.Tensor, bias: torch.Tensor | None, affine: AffineMap) -> Folded:
    """Return M W and M c + b, so that ``W' x + c' = M (W x + c) + b``."""
    linear = None if is_translation(affine) else _Factors.of(affine, weight).transposed()
    new = None if linear is None else _times(weight.T, linear).T
    if bias is None:
        moved = _double(affine.offset, weight) if affine.offset.any() else None
        return Folded(new, moved)
    offset = _double(affine.offset, weight)
    constant = bias.detach().to(offset)
    if linear is not None:
        constant = _exact_times(constant[None, :], linear)[0]
    return Folded(new, constant + offset)


@dataclass(frozen=True)
class _Factors:
    """M as I + left right', or whole."""

    left: torch.Tensor
    right: torch.Tensor | None

    @classmethod
    def of(cls, affine: AffineMap, like: torch.Tensor) -> _Factors:
        if affine.factors is None or affine.factors[0].shape[1] * 2 > affine.n_features:
            return cls(_double(affine.matrix, like), None)
        return cls(*(_double(factor, like) for factor in affine.factors))

    def transposed(self) -> _Factors:
        if self.right is None:
            return _Factors(self.left.T, None)
        return _Factors(self.right, self.left)


def _times(weight: torch.Tensor, by: _Factors) -> torch.Tensor:
    """Return ``weight @ M`` in the weight's dtype, by blocks of rows."""
    parts = [_exact_times(rows, by).to(weight.dtype) for rows in _blocks(weight)]
    return torch.cat(parts).to(weight.device)


def _blocks(weight: torch.Tensor) -> list[torch.Tensor]:
    starts = range(0, len(weight), _BLOCK_ROWS)
    return [weight[start : start + _BLOCK_ROWS] for start in starts]


def _exact_times(rows: torch.Tensor, by: _Factors) -> torch.Tensor:
    rows = rows.to(by.left)
    if by.right is None:
        return rows @ by.left
    return rows + (rows @ by.left) @ by.right.T


def _double(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    # an Apple GPU has no float64: the product is then made on the host
    device = like.device if like.device.type in ("cpu", "cuda") else torch.device("cpu")
    return torch.tensor(values, dtype=torch.float64, device=device)
