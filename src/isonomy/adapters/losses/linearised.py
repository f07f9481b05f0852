"""A penalty on running means, linearised at the means that are frozen for this step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from isonomy.adapters.losses._cells import CellFeatures, Slope
from isonomy.adapters.losses.running import CellMeans, RunningMeans

__all__ = ["LinearPenalty", "Penalty", "Tangent", "linearise"]


@dataclass(frozen=True)
class Tangent:
    """A penalty D at some means, in closed form: autograd would cost more than all the rest.

    Attributes
    ----------
    parts : dict
        Every part of D, a scalar each, not weighted.
    value : Tensor ()
        D, the weighted sum of the parts.
    own : (C, f)
        dD / d own means; 0 for cells that were not seen.
    shared : (F - f,)
        dD / d average.
    """

    parts: dict[str, Tensor]
    value: Tensor
    own: Tensor
    shared: Tensor


class Penalty(ABC):
    """A differentiable function D of the means of cells."""

    @abstractmethod
    def at(self, means: CellMeans) -> Tangent:
        """Return D, its parts and its slopes; cells that were not seen are left out."""


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
    slope: Slope

    def per_sample(self, found: CellFeatures) -> Tensor:
        """Return the contribution of every row (n,), 0 where it has no label."""
        change = found.dot(self.slope)
        level = self.value.to(change.dtype).to(change.device)
        return torch.where(found.known, level + change, torch.zeros_like(change))


def linearise(
    penalty: Penalty, statistics: RunningMeans, *, max_weight: float | None
) -> LinearPenalty:
    """Freeze ``penalty`` at the current means.

    ``max_weight`` caps 1 / (n_cells pi_c), which is 1 for a cell of average share: with a
    cell a hundred times rarer than average, the noise of one row would be the whole step.
    """
    means = statistics.summary()
    found = penalty.at(means)
    shares = statistics.shares
    inverse = torch.where(shares > 0, 1.0 / shares.clamp_min(1e-300), torch.zeros_like(shares))
    if max_weight is not None:
        inverse = inverse.clamp_max(max_weight * len(shares))
    weight = inverse * means.seen / means.seen.sum().clamp_min(1)
    columns = [
        found.own * inverse[:, None],
        means.own,
        weight[:, None],
        statistics.project(found.shared)[:, None],
    ]
    return LinearPenalty(found.value, Slope(torch.cat(columns, dim=1), found.shared))
