"""Label balance: logit levels alike over labels, and a gap between texts with and without."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from isonomy._validation import check_real
from isonomy.adapters.losses._batch import check_batch
from isonomy.adapters.losses._cells import CellFeatures, CellKind, ElementsInCells
from isonomy.adapters.losses._matching import check_statistics
from isonomy.adapters.losses.linearised import Penalty, Tangent, linearise
from isonomy.adapters.losses.multi_labels import check_multi_label
from isonomy.adapters.losses.running import CellMeans, RunningMeans

__all__ = ["LevelAndGap", "LevelCells", "gap_penalty", "level_penalty"]

Cap = float | None


class LevelCells(CellKind):
    """A cell for rows with label k and one for rows without: the logit z_k in each."""

    def __init__(self, n_classes: int, *, multi_label: bool) -> None:
        self.name, self.multi_label = "label_balance", multi_label
        self.n_cells, self.n_features = 2 * n_classes, 1

    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return the logit of every label of every row, with and without the label."""
        if self.multi_label:
            many = check_multi_label(logits, labels, where="label_balance")
            z, known, rows, carries = many.logits, many.known, many.rows, many.labels > 0
        else:
            one = check_batch(logits, labels, where="label_balance")
            z, rows = one.logits, one.known
            known = one.known[:, None].expand_as(z)
            carries = torch.zeros_like(known).scatter(1, one.labels[:, None], True)
        member = torch.cat([carries & known, ~carries & known], dim=1)
        return ElementsInCells(member, torch.cat([z, z], dim=1)[:, :, None], rows)


@dataclass(frozen=True, eq=False)
class LevelAndGap(Penalty):
    """D = beta L_level + gamma L_gap; see `level_penalty` and `gap_penalty`."""

    beta: float
    gamma: float
    margin: float

    def at(self, means: CellMeans) -> Tangent:
        """Return L_level and L_gap over labels seen with and without their texts, and slopes."""
        both = means.seen.view(2, -1).all(dim=0)
        n = both.sum().clamp_min(1).to(means.own.dtype)
        levels = means.own.view(2, -1) * both  # with the label, without it
        centres = levels.sum(dim=1) / n
        deviations = (levels - centres[:, None]) * both
        norms = vector_norm(deviations, dim=1) * n**0.5
        gap = (self.margin - (centres[0] - centres[1])).clamp_min(0.0) * both.any()
        parts = {"level": norms.sum() / n, "gap": gap}
        # where all levels are equal the slope is 0
        slopes = self.beta * deviations / norms.clamp_min(1e-300)[:, None]
        lift = self.gamma / n * (gap > 0) * both
        slopes += torch.stack([-lift, lift])
        value = self.beta * parts["level"] + self.gamma * gap
        return Tangent(parts, value, slopes.view(-1, 1), means.average)


def level_penalty(
    logits: Tensor, labels: Tensor, *, statistics: RunningMeans, max_weight: Cap = 100.0
) -> Tensor:
    """Return every row's share of the spread of logit levels over labels.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of the labels' words or of a classification head; half precision is computed in
        float32.
    labels : Tensor (n,) or (n, K)
        Codes 0..K-1; 0 and 1 for every label if ``statistics`` are multi-label. -100 is
        ignored.
    statistics : RunningMeans
        Of `running_means("label_balance", ...)`; they stay frozen here.
    max_weight : float, optional, default 100.0
        Largest weight of a row relative to a cell of average share; None: no cap.

    Returns
    -------
    Tensor (n,)
        Mean: the first-order value of L_level; gradient: a sum over rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a label is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    With h_c[k] and h_n[k] the running means of logit k over rows with and without label k,
    over the K labels of which both kinds of rows were seen::

        L_level = ||h_c - mean(h_c)|| / sqrt(K) + ||h_n - mean(h_n)|| / sqrt(K)

    that is, two standard deviations over labels (divisor K). Adding one number to all
    logits of all rows changes nothing.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> means = running_means("label_balance", class_counts=[1, 1])
    >>> z, y = torch.tensor([[4.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1])
    >>> means.observe(z, y)
    >>> means.commit()
    >>> level_penalty(z, y, statistics=means).mean()  # h_c = (4, 2), h_n = (0, 1)
    tensor(1.5000)
    """
    return _penalty(logits, labels, statistics, LevelAndGap(1.0, 0.0, 0.0), max_weight)


def gap_penalty(
    logits: Tensor,
    labels: Tensor,
    *,
    statistics: RunningMeans,
    margin: float = 5.0,
    max_weight: Cap = 100.0,
) -> Tensor:
    """Return every row's share of what the label logits lack in telling texts apart.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of the labels' words or of a classification head; half precision is computed in
        float32.
    labels : Tensor (n,) or (n, K)
        Codes 0..K-1; 0 and 1 for every label if ``statistics`` are multi-label. -100 is
        ignored.
    statistics : RunningMeans
        Of `running_means("label_balance", ...)`; they stay frozen here.
    margin : float, default 5.0
        The gap beyond which nothing is asked, in units of the logits; at least 0.
    max_weight : float, optional, default 100.0
        Largest weight of a row relative to a cell of average share; None: no cap.

    Returns
    -------
    Tensor (n,)
        Mean: the first-order value of L_gap; gradient: a sum over rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a label is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    With h_c[k] and h_n[k] as in `level_penalty`::

        L_gap = max(0, margin - (mean_k h_c[k] - mean_k h_n[k]))

    Without the hinge it would fall for ever as the logits grow.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> means = running_means("label_balance", class_counts=[1, 1])
    >>> z, y = torch.tensor([[4.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1])
    >>> means.observe(z, y)
    >>> means.commit()
    >>> gap_penalty(z, y, statistics=means).mean()  # 5 - (3 - 0.5)
    tensor(2.5000)
    """
    margin = check_real("margin", margin, where="gap_penalty", low=0.0)
    return _penalty(logits, labels, statistics, LevelAndGap(0.0, 1.0, margin), max_weight)


def _penalty(
    logits: Tensor, labels: Tensor, statistics: RunningMeans, penalty: LevelAndGap, cap: Cap
) -> Tensor:
    where = "gap_penalty" if penalty.gamma else "level_penalty"
    check_statistics(statistics, "label_balance", labels, where=where)
    line = linearise(penalty, statistics, max_weight=cap)
    return line.per_sample(statistics.kind.features(logits, labels))
