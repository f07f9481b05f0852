"""A penalty on running means, linearised at the means that are frozen for this step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from isonomy.adapters.losses._cells import CellFeatures
from isonomy.adapters.losses.running import RunningMeans

__all__ = ["LinearPenalty", "Penalty", "linearise"]


class Penalty(ABC):
    """A differentiable function D of the means of cells.

    ``coefficients`` weighs the parts: D is their weighted sum.
    """

    coefficients: Mapping[str, float]

    @abstractmethod
    def parts(self, means: Tensor, seen: Tensor) -> dict[str, Tensor]:
        """Return every part of D, a scalar each; cells not ``seen`` are left out."""

    def value(self, means: Tensor, seen: Tensor) -> Tensor:
        """Return D, a scalar."""
        parts = self.parts(means, seen)
        return sum((self.coefficients[k] * v for k, v in parts.items()), means.new_zeros(()))


@dataclass(frozen=True)
class LinearPenalty:
    """D and its gradient at frozen means s: what a row contributes does not depend on others.

    Notes
    -----
    With phi_i the features of row i in its cells c, pi_c the frozen share of a cell among
    all rows, a row contributes::

        D(s) + sum_c <dD/ds_c, phi_ic - s_c> / pi_c

    Its mean over rows that have the shares pi is the first-order value of D at their own
    means, and its gradient, where those means are s, is that of D.
    """

    value: Tensor
    coefficients: Tensor
    means: Tensor

    def per_sample(self, found: CellFeatures) -> Tensor:
        """Return the contribution of every row (n,), 0 where it has no label."""
        change = found.dot(self.coefficients, self.means)
        level = self.value.to(change.dtype).to(change.device)
        return torch.where(found.known, level + change, torch.zeros_like(change))


def linearise(
    penalty: Penalty, statistics: RunningMeans, *, max_weight: float | None
) -> LinearPenalty:
    """Freeze ``penalty`` at the current means.

    ``max_weight`` caps 1 / (n_cells pi_c), which is 1 for a cell of average share: with a
    cell a hundred times rarer than average, the noise of one row would be the whole step.
    """
    with torch.inference_mode(False), torch.enable_grad():
        means = statistics.means.detach().clone().requires_grad_(True)
        value = penalty.value(means, statistics.seen)
        gradient = torch.zeros_like(means)
        if value.requires_grad:
            gradient = torch.autograd.grad(value, means)[0]
    shares = statistics.shares
    inverse = torch.where(shares > 0, 1.0 / shares.clamp_min(1e-300), torch.zeros_like(shares))
    if max_weight is not None:
        inverse = inverse.clamp_max(max_weight * len(shares))
    return LinearPenalty(value.detach(), gradient * inverse[:, None], means.detach())
