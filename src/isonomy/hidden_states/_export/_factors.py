"""LoRA factors of a steering map: delta W = (M - I) W or W (M - I) as B A, exact in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy.distributions._linalg import rank_tolerance
from isonomy.hidden_states._fold._algebra import fold_reader, fold_writer, is_translation
from isonomy.hidden_states._fold._layers import as_out_in

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap
    from isonomy.hidden_states._fold._plan import Plan

__all__ = ["Lora", "balanced_factors", "lora_of"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Lora:
    """What one layer gets: ``A`` (r, in), ``B`` (out, r), and what its bias gains, (out,)."""

    A: torch.Tensor
    B: torch.Tensor
    bias: torch.Tensor | None

    @property
    def rank(self) -> int:
        """Number of rows of ``A``."""
        return len(self.A)

    def padded(self, rank: int) -> Lora:
        """Return the same change with zero rows and columns up to ``rank``."""
        missing = rank - self.rank
        rows = self.A.new_zeros(missing, self.A.shape[1])
        columns = self.B.new_zeros(len(self.B), missing)
        return Lora(torch.cat([self.A, rows]), torch.cat([self.B, columns], dim=1), self.bias)


def balanced_factors(affine: AffineMap) -> tuple[Matrix, Matrix]:
    """Return U, V, both (d, r), with ``U V' = M - I``, of the smallest r and of like size.

    The singular values that ``rank_tolerance`` calls zero are left out; the root of each
    other one goes to either side, so that neither factor is large in float32.
    """
    d = affine.n_features
    if is_translation(affine):
        return np.zeros((d, 0)), np.zeros((d, 0))
    if affine.factors is None or affine.factors[0].shape[1] >= d:
        left, values, right = np.linalg.svd(affine.matrix - np.eye(d))
        turned = right.T
    else:
        (qu, ru), (qv, rv) = (np.linalg.qr(factor) for factor in affine.factors)
        inner_left, values, inner_right = np.linalg.svd(ru @ rv.T)
        left, turned = qu @ inner_left, qv @ inner_right.T
    kept = values > rank_tolerance(values, size=d)
    root = np.sqrt(values[kept])
    return left[:, kept] * root, turned[:, kept] * root


def lora_of(module: Any, plan: Plan, affine: AffineMap) -> Lora:
    """Return the layer's factors; ``bias`` None where the change needs none."""
    weight = as_out_in(module)
    bias = getattr(module, "bias", None)
    left, right = (torch.from_numpy(factor) for factor in balanced_factors(affine))
    exact = weight.detach().to(device="cpu", dtype=torch.float64)
    if plan.kind == "readers":
        a, b = right.T, exact @ left
        new = fold_reader(weight, bias, affine).bias
        # what rounding leaves of W b where it is 0: an offset that the layer does not see
        scale = exact.abs() @ torch.from_numpy(np.abs(affine.offset))
    else:
        a, b = right.T @ exact, left
        new = fold_writer(weight, bias, affine).bias
        scale = torch.zeros(len(exact), dtype=torch.float64)
    gain = None
    if new is not None:
        old = 0.0 if bias is None else bias.detach().to(device="cpu", dtype=torch.float64)
        gain = new.cpu() - old
        if bool((gain.abs() <= 1e-12 * scale).all()):
            gain = None
    return _smallest(a, b, gain)


def _smallest(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None) -> Lora:
    """Return factors of at most as many columns as the layer is wide."""
    if len(a) > len(b):  # fewer outputs than directions: a head of few classes
        a, b = b @ a, torch.eye(len(b), dtype=a.dtype)
    elif len(a) > a.shape[1]:
        a, b = torch.eye(a.shape[1], dtype=a.dtype), b @ a
    return Lora(a, b, bias)
