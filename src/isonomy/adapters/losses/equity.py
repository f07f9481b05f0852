"""The equity penalty: margins of two groups of classes alike, predictions spread alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy.adapters.losses._batch import check_batch
from isonomy.adapters.losses._cells import CellFeatures, CellKind, ElementsInCells, RowsInCells
from isonomy.adapters.losses._matching import check_statistics
from isonomy.adapters.losses.class_grouping import ClassGroups
from isonomy.adapters.losses.linearised import Penalty, Tangent, linearise
from isonomy.adapters.losses.multi_labels import check_multi_label
from isonomy.adapters.losses.running import CellMeans, RunningMeans

__all__ = ["EquityCells", "EquityElements", "EquityPenalty", "equity_penalty"]

SMOOTHING = 1e-3
"""Share of the target mixed into the predicted histogram: the divergence stays below
log(1000) and its gradient bounded, also where the model never predicts a class."""


class EquityCells(CellKind):
    """One cell a label: the margin log p_y / (1 - p_y) and the whole prediction p."""

    def __init__(self, n_classes: int) -> None:
        self.name, self.multi_label = "equity", False
        self.n_cells, self.n_features = n_classes, 1 + n_classes
        self.n_shared = n_classes

    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return margin and probabilities of every row, in the cell of its label."""
        batch = check_batch(logits, labels, where="equity_penalty")
        own = batch.of_label(batch.logits)
        margin = own - torch.logsumexp(batch.of_others(batch.logits), dim=1)
        codes = torch.where(batch.known, batch.labels, -1)
        p = torch.softmax(batch.logits, dim=1)
        return RowsInCells(codes, margin[:, None], batch.known, p)


class EquityElements(CellKind):
    """Multi-label: a cell for rows with label k, one for rows without; z_k and sigmoid(z_k)."""

    def __init__(self, n_classes: int) -> None:
        self.name, self.multi_label = "equity", True
        self.n_cells, self.n_features = 2 * n_classes, 2

    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return logit and probability of every label of every row."""
        batch = check_multi_label(logits, labels, where="equity_penalty")
        carries = batch.labels > 0
        member = torch.cat([carries & batch.known, ~carries & batch.known], dim=1)
        found = torch.stack([batch.logits, torch.sigmoid(batch.logits)], dim=2)
        return ElementsInCells(member, torch.cat([found, found], dim=1), batch.rows)


@dataclass(frozen=True, eq=False)
class EquityPenalty(Penalty):
    """D of the equity penalty; see `equity_penalty` for the formula."""

    privileged: NDArray[np.bool_]
    unprivileged: NDArray[np.bool_]
    margin_weight: float = 1.0
    histogram_weight: float = 1.0
    lift_only: bool = False

    def at(self, means: CellMeans) -> Tangent:
        """Return the squared difference of mean margins, the divergence, and their slopes."""
        k = len(self.privileged)
        seen, shared = means.seen[:k], means.average
        slopes = torch.zeros_like(means.own)
        margin, slopes[:k, 0] = self._margin(means.own[:k, 0], seen)
        if len(means.own) == k:
            divergence, slope = _divergence(shared, seen)
            shared = self.histogram_weight * slope
        else:  # multi-label: of every label rows with and without it
            both = seen & means.seen[k:]
            rates = (means.own[:k, 1] + means.own[k:, 1]) * both
            total = rates.sum().clamp_min(1e-300)
            divergence, slope = _divergence(rates / total, both)
            slope = (slope - (slope * rates).sum() / total) * both / total
            slopes[:, 1] = self.histogram_weight * slope.repeat(2)
        value = self.margin_weight * margin + self.histogram_weight * divergence
        return Tangent({"margin": margin, "histogram": divergence}, value, slopes, shared)

    def _margin(self, margins: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        high = torch.as_tensor(self.privileged, device=seen.device) & seen
        low = torch.as_tensor(self.unprivileged, device=seen.device) & seen
        n_high, n_low = high.sum(), low.sum()
        low_mean = low.to(margins.dtype) / n_low.clamp_min(1)
        contrast = high.to(margins.dtype) / n_high.clamp_min(1) - low_mean
        gap = (contrast * margins).sum() * ((n_high > 0) & (n_low > 0))
        if self.lift_only:
            gap, contrast = gap.clamp_min(0.0), -low_mean
        return gap**2, 2.0 * self.margin_weight * gap * contrast


def _divergence(histogram: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return KL(uniform over the labels seen || smoothed histogram) in nats, and its slope."""
    n = seen.sum().clamp_min(1)
    # in this order: a float times a tensor of integers would be float32
    over_share = (1.0 - SMOOTHING) * (n * histogram) + SMOOTHING
    return -(torch.log(over_share) * seen).sum() / n, (SMOOTHING - 1.0) / over_share * seen


def equity_penalty(
    logits: Tensor,
    labels: Tensor,
    *,
    statistics: RunningMeans,
    class_groups: ClassGroups,
    margin_weight: float = 1.0,
    histogram_weight: float = 1.0,
    lift_only: bool = False,
    max_weight: float | None = 100.0,
) -> Tensor:
    """Return every row's share of the difference between privileged and unprivileged classes.

    Parameters
    ----------
    logits : Tensor (n, K)
        Half precision is computed in float32.
    labels : Tensor (n,) or (n, K)
        Codes 0..K-1; 0 and 1 for every label if ``statistics`` are multi-label. -100 is
        ignored.
    statistics : RunningMeans
        Of `running_means("equity", ...)`; they stay frozen here.
    class_groups : ClassGroups
        Which classes are compared.
    margin_weight, histogram_weight : float, default 1.0
        Weights of the two parts.
    lift_only : bool, default False
        Count only a lag of the unprivileged classes, and let only their rows feel it: the
        privileged margins are not pulled down. `make_objective("equity")` has True.
    max_weight : float, optional, default 100.0
        Largest weight of a row relative to a row of a label of average share; None: no cap.

    Returns
    -------
    Tensor (n,)
        Mean: the first-order value of D; gradient: a sum over rows. 0 for ignored rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a label is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    With s_k the mean over rows of label k of the margin log p_y / (1 - p_y), P and U the
    privileged and unprivileged labels seen so far, h the mean over labels of the mean
    prediction p of their rows, and u the uniform distribution over labels seen::

        D = margin_weight (mean_P s - mean_U s)^2
            + histogram_weight KL(u || (1 - e) h + e u),   e = 0.001

    Logarithms are natural. Every row contributes ``D(s) + <dD/ds_y, phi - s_y> / pi_y`` with
    phi its margin and prediction, pi_y the share of its label: see `LinearPenalty`. In
    multi-label form the margin of a label is its logit on rows that carry it, and h_k is
    proportional to the mean of the predicted probability over rows with the label plus that
    over rows without.

    It does not promise equal accuracy on new rows: D is about the training rows, whose
    margins a model can fit without knowing the class any better.

    Examples
    --------
    >>> from isonomy.adapters.losses import class_groups, running_means
    >>> counts = [3, 1]
    >>> means = running_means("equity", class_counts=counts)
    >>> z, y = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])
    >>> means.observe(z, y)
    >>> means.commit()
    >>> part = {"histogram_weight": 0.0, "class_groups": class_groups(counts)}
    >>> equity_penalty(z, y, statistics=means, **part).mean()  # (2 - (-2))^2
    tensor(16.)
    """
    check_statistics(statistics, "equity", labels, where="equity_penalty")
    penalty = EquityPenalty(
        class_groups.privileged,
        class_groups.unprivileged,
        margin_weight,
        histogram_weight,
        lift_only,
    )
    line = linearise(penalty, statistics, max_weight=max_weight)
    return line.per_sample(statistics.kind.features(logits, labels))
