"""Penalties between demographic groups: predictions, or hits, alike in every group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isonomy.adapters.losses._batch import check_batch, check_codes
from isonomy.adapters.losses._cells import CellFeatures, CellKind, ElementsInCells, RowsInCells
from isonomy.adapters.losses._matching import check_statistics
from isonomy.adapters.losses.linearised import Penalty, Tangent, linearise
from isonomy.adapters.losses.multi_labels import check_multi_label
from isonomy.adapters.losses.running import CellMeans, RunningMeans
from isonomy.errors import GroupsRequiredError, InvalidInputError

__all__ = [
    "GroupHits",
    "GroupRates",
    "HitGap",
    "RateGap",
    "check_groups",
    "demographic_parity_penalty",
    "equal_opportunity_penalty",
]

UNKNOWN = -1
"""The code of rows whose group is not known: no penalty is felt by them."""


def check_groups(groups: Tensor | None, n_rows: int, n_groups: int, *, where: str) -> Tensor:
    """Return group codes (n,) in 0..n_groups-1 or -1, or say what is wrong with them."""
    if groups is None:
        raise GroupsRequiredError(
            f"`groups` of `{where}` must be the codes 0..{n_groups - 1} of demographic groups "
            f"(-1 where not known), got None. Pass the group column of the batch."
        )
    if not isinstance(groups, Tensor) or tuple(groups.shape) != (n_rows,):
        got = f"shape {tuple(groups.shape)}" if isinstance(groups, Tensor) else repr(type(groups))
        raise InvalidInputError(
            f"`groups` of `{where}` must be a tensor of {n_rows} codes, one a row, got {got}."
        )
    return check_codes(groups, n_groups, name="groups", where=where, none=UNKNOWN)


class GroupRates(CellKind):
    """One cell a group: the mean prediction of its rows."""

    def __init__(self, n_classes: int, n_groups: int, *, multi_label: bool = False) -> None:
        self.name, self.multi_label = "demographic_parity", multi_label
        self.n_cells, self.n_features = n_groups, n_classes

    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return the probabilities of every row, in the cell of its group."""
        codes = check_groups(groups, len(logits), self.n_cells, where=self.name).to(logits.device)
        if self.multi_label:
            many = check_multi_label(logits, labels, where=self.name)
            # a prediction counts also where the row's label is not known
            known, p = many.rows, torch.sigmoid(many.raw)
        else:
            one = check_batch(logits, labels, where=self.name)
            known, p = one.known, torch.softmax(one.logits, dim=1)
        return RowsInCells(torch.where(known, codes, UNKNOWN), p, known)


class GroupHits(CellKind):
    """One cell a (label, group): the mean probability of the label where it is true."""

    def __init__(self, n_classes: int, n_groups: int, *, multi_label: bool = False) -> None:
        self.name, self.multi_label = "equal_opportunity", multi_label
        self.n_classes, self.n_groups = n_classes, n_groups
        self.n_cells, self.n_features = n_classes * n_groups, 1

    def features(
        self, logits: Tensor, labels: Tensor, groups: Tensor | None = None
    ) -> CellFeatures:
        """Return the probability of the true label(s), in the cell of label and group."""
        codes = check_groups(groups, len(logits), self.n_groups, where=self.name)
        codes = codes.to(logits.device)
        if self.multi_label:
            return self._elements(logits, labels, codes)
        one = check_batch(logits, labels, where=self.name)
        hit = one.of_label(torch.softmax(one.logits, dim=1))
        cell = one.labels * self.n_groups + codes
        inside = one.known & (codes != UNKNOWN)
        return RowsInCells(torch.where(inside, cell, UNKNOWN), hit[:, None], one.known)

    def _elements(self, logits: Tensor, labels: Tensor, codes: Tensor) -> CellFeatures:
        many = check_multi_label(logits, labels, where=self.name)
        carries = many.known & (many.labels > 0)
        in_group = codes[:, None] == torch.arange(self.n_groups, device=codes.device)
        member = (carries[:, :, None] & in_group[:, None, :]).flatten(1)
        p = torch.sigmoid(many.logits).repeat_interleave(self.n_groups, dim=1)
        return ElementsInCells(member, p[:, :, None], many.rows)


@dataclass(frozen=True, eq=False)
class RateGap(Penalty):
    """D of `demographic_parity_penalty`."""

    multi_label: bool = False

    def at(self, means: CellMeans) -> Tangent:
        """Return the mean squared difference of predictions over pairs of groups."""
        rates = means.own.T
        gaps, slopes, _ = _pair_gaps(rates, means.seen.expand(len(rates), -1))
        factor = 1.0 / len(rates) if self.multi_label else 0.5
        value = factor * gaps.sum()
        return Tangent({"rate_gap": value}, value, factor * slopes.T, means.average)


@dataclass(frozen=True, eq=False)
class HitGap(Penalty):
    """D of `equal_opportunity_penalty`."""

    n_groups: int

    def at(self, means: CellMeans) -> Tangent:
        """Return the mean squared difference of hits over pairs of groups and classes."""
        hits = means.own.reshape(-1, self.n_groups)
        gaps, slopes, defined = _pair_gaps(hits, means.seen.reshape(-1, self.n_groups))
        n = defined.sum().clamp_min(1)
        value = gaps.sum() / n
        return Tangent({"hit_gap": value}, value, slopes.reshape(-1, 1) / n, means.average)


def _pair_gaps(rates: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for every row of (K, G), the mean squared difference of pairs of groups seen.

    It is twice the variance over groups with divisor G - 1; its slopes (K, G) are second.
    Rows with fewer than two groups give 0 and are not ``defined``, third.
    """
    n = seen.sum(dim=1)
    rates = rates * seen
    centre = rates.sum(dim=1) / n.clamp_min(1)
    spread = (rates - centre[:, None]) * seen
    pairs = (n - 1).clamp_min(1)
    return 2.0 * (spread**2).sum(dim=1) / pairs, 4.0 * spread / pairs[:, None], n >= 2


def demographic_parity_penalty(
    logits: Tensor,
    labels: Tensor,
    groups: Tensor,
    *,
    statistics: RunningMeans,
    max_weight: float | None = 100.0,
) -> Tensor:
    """Return every row's share of the difference in predictions between groups.

    Parameters
    ----------
    logits : Tensor (n, K)
        Half precision is computed in float32.
    labels : Tensor (n,) or (n, K)
        Used only to leave out rows of label -100.
    groups : Tensor (n,)
        Codes 0..G-1; -1 where not known.
    statistics : RunningMeans
        Of `running_means("demographic_parity", ...)`; they stay frozen here.
    max_weight : float, optional, default 100.0
        Largest weight of a row relative to a group of average share; None: no cap.

    Returns
    -------
    Tensor (n,)
        Mean: the first-order value of D; gradient: a sum over rows. Rows of unknown group
        have the constant D(s) and no gradient.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a code is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    With r_a the running mean of the prediction p over the rows of group a, and pairs over
    groups seen so far::

        D = 1/2 sum_k mean_{a<b} (r_a[k] - r_b[k])^2

    For two classes and two groups it is the squared difference of the two selection
    rates, as probabilities. Multi-label: the mean over labels of the same mean over pairs.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> means = running_means("demographic_parity", class_counts=[1, 1], groups=["a", "b"])
    >>> z, y, a = torch.tensor([[0.0, 0.0], [0.0, 9e9]]), torch.tensor([0, 1]), torch.tensor([0, 1])
    >>> means.observe(z, y, a)
    >>> means.commit()
    >>> demographic_parity_penalty(z, y, a, statistics=means).mean()  # (1/2 - 1)^2
    tensor(0.2500)
    """
    where = "demographic_parity_penalty"
    check_statistics(statistics, "demographic_parity", labels, where=where)
    line = linearise(RateGap(statistics.kind.multi_label), statistics, max_weight=max_weight)
    return line.per_sample(statistics.kind.features(logits, labels, groups))


def equal_opportunity_penalty(
    logits: Tensor,
    labels: Tensor,
    groups: Tensor,
    *,
    statistics: RunningMeans,
    max_weight: float | None = 100.0,
) -> Tensor:
    """Return every row's share of the difference in true-positive rates between groups.

    Parameters
    ----------
    logits : Tensor (n, K)
        Half precision is computed in float32.
    labels : Tensor (n,) or (n, K)
        Codes 0..K-1; 0 and 1 for every label if ``statistics`` are multi-label. -100 is
        ignored.
    groups : Tensor (n,)
        Codes 0..G-1; -1 where not known.
    statistics : RunningMeans
        Of `running_means("equal_opportunity", ...)`; they stay frozen here.
    max_weight : float, optional, default 100.0
        Largest weight of a row relative to a (label, group) cell of average share; None:
        no cap.

    Returns
    -------
    Tensor (n,)
        Mean: the first-order value of D; gradient: a sum over rows. Rows of unknown group
        have the constant D(s) and no gradient.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a code is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    With t_ya the running mean of the probability p_y over rows of label y and group a, the
    mean over labels of which two groups or more were seen, and pairs of these groups::

        D = mean_y mean_{a<b} (t_ya - t_yb)^2

    the square of the root-mean-square gap, with probabilities in place of decisions.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> means = running_means("equal_opportunity", class_counts=[1, 1], groups=["a", "b"])
    >>> z, y, a = torch.tensor([[0.0, 0.0], [0.0, 9e9]]), torch.tensor([1, 1]), torch.tensor([0, 1])
    >>> means.observe(z, y, a)
    >>> means.commit()
    >>> equal_opportunity_penalty(z, y, a, statistics=means).mean()  # (1/2 - 1)^2
    tensor(0.2500)
    """
    where = "equal_opportunity_penalty"
    check_statistics(statistics, "equal_opportunity", labels, where=where)
    kind = statistics.kind
    assert isinstance(kind, GroupHits)
    line = linearise(HitGap(kind.n_groups), statistics, max_weight=max_weight)
    return line.per_sample(kind.features(logits, labels, groups))
