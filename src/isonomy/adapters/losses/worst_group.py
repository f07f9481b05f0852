"""Group DRO: the weight of a group grows while its loss is high."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy._validation import check_real
from isonomy.adapters.losses._batch import Batch, check_batch, check_width
from isonomy.adapters.losses._cells import RowsInCells
from isonomy.adapters.losses.cross_entropies import cross_entropy
from isonomy.adapters.losses.demographics import check_groups
from isonomy.adapters.losses.objective import Objective
from isonomy.adapters.losses.running import Statistics
from isonomy.errors import InvalidInputError

__all__ = ["GroupWeights", "WorstGroupObjective", "group_dro"]


class GroupWeights(Statistics):
    """Weights of groups that move by the losses of a step: exponentiated gradient ascent.

    Parameters
    ----------
    n_groups : int
    by_label : bool, default False
        The groups are the classes: labels stand in for group codes.
    step_size : float, default 0.01
        Positive.
    prior_counts : (n_groups,) array, optional
        Training rows of every group, where known: the shares start there.

    Notes
    -----
    With L_g the mean loss of the rows of group g in a step (Sagawa et al., 2020,
    algorithm 1)::

        q_g <- q_g exp(step_size L_g) / sum_h q_h exp(step_size L_h)

    where groups that the step did not meet have L_g = 0 in the exponent, as in the
    authors' program. A mean that is not finite counts as not met.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> weights = running_means("group_dro", class_counts=[1, 1], step_size=1.0)
    >>> weights.observe(torch.zeros(1, 2), torch.tensor([1]))
    >>> weights.commit()
    >>> weights.weights  # exp(log 2) = 2 times the other
    tensor([0.3333, 0.6667], dtype=torch.float64)
    """

    def __init__(
        self,
        n_groups: int,
        *,
        by_label: bool = False,
        step_size: float = 0.01,
        prior_counts: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.n_groups, self.by_label = n_groups, by_label
        self.step_size = check_real("step_size", step_size, where="GroupWeights", low=0.0)
        rows = torch.zeros(n_groups) if prior_counts is None else torch.tensor(prior_counts)
        self._start({"log_weight": torch.zeros(n_groups), "cell_rows": rows}, 2 * n_groups)

    def observe(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        """Add the detached losses of a micro-batch to the pending sums.

        Parameters
        ----------
        logits : Tensor (n, K)
        labels : Tensor (n,)
        groups : Tensor (n,), optional
            Codes 0..G-1, -1 where not known; not used when the groups are the classes.
        """
        with torch.no_grad():
            codes, known = self.codes(logits, labels, groups)
            losses = cross_entropy(logits, labels)
            pending, g = self._sums_near(logits), self.n_groups
            RowsInCells(codes, losses[:, None], known).add_to(pending[:g], pending[g:, None])

    def codes(self, logits: Tensor, labels: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the group of every row (-1: none) and which rows have a label."""
        batch: Batch = check_batch(logits, labels, where="group_dro")
        none = torch.full_like(batch.labels, -1)
        if self.by_label:
            return torch.where(batch.known, batch.labels, none), batch.known
        codes = check_groups(groups, len(logits), self.n_groups, where="group_dro")
        return torch.where(batch.known, codes.to(logits.device), none), batch.known

    def _move(self, sums: Tensor) -> None:
        counts, losses = sums[: self.n_groups], sums[self.n_groups :]
        mean = losses / counts.clamp_min(1.0)
        mean = torch.where(torch.isfinite(mean), mean, torch.zeros_like(mean))
        moved = self["log_weight"] + self.step_size * mean
        self["log_weight"].copy_(torch.log_softmax(moved, dim=0))
        self["cell_rows"].add_(counts)

    @property
    def weights(self) -> Tensor:
        """Weights of the groups (G,), adding up to 1."""
        return torch.softmax(self["log_weight"], dim=0)

    def row_weights(self, max_weight: float | None = None) -> Tensor:
        """Return the weight of a row of each group: q_g over the share of the group (G,)."""
        shares = self["cell_rows"] / self["cell_rows"].sum().clamp_min(1.0)
        # a group of which no row was seen has no share yet: its rows count like any other
        inverse = torch.where(shares > 0, 1.0 / shares.clamp_min(1e-300), self.n_groups)
        if max_weight is not None:
            inverse = inverse.clamp_max(max_weight * self.n_groups)
        return self.weights * inverse


def group_dro(
    logits: Tensor,
    labels: Tensor,
    groups: Tensor | None = None,
    *,
    statistics: GroupWeights,
    max_weight: float | None = 100.0,
) -> Tensor:
    """Return the cross-entropy of every row, weighted for the group that fares worst.

    Parameters
    ----------
    logits : Tensor (n, K)
        Half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    groups : Tensor (n,), optional
        Codes 0..G-1; -1 where not known (weight 1). Not used when ``statistics`` take the
        classes as groups.
    statistics : GroupWeights
        Of `running_means("group_dro", ...)`; they stay frozen here.
    max_weight : float, optional, default 100.0
        Largest 1 / (G pi_g), which is 1 for a group of average share; None: no cap.

    Returns
    -------
    Tensor (n,)
        ``q_g / pi_g`` times the cross-entropy of the row, with q the weights and pi the
        shares of the groups: the mean over rows estimates ``sum_g q_g L_g``.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a code is out of range, or ``statistics`` are of another kind.

    Notes
    -----
    At the start q is uniform: the loss is the mean of the groups' mean losses.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> weights = running_means("group_dro", class_counts=[3, 1])
    >>> group_dro(torch.zeros(2, 2), torch.tensor([0, 1]), statistics=weights)
    tensor([0.4621, 1.3863])
    """
    if not isinstance(statistics, GroupWeights):
        raise InvalidInputError(
            "`statistics` of `group_dro` must come from `running_means('group_dro', ...)`, got "
            f"{type(statistics).__name__!r}."
        )
    codes, _ = statistics.codes(logits, labels, groups)
    losses = cross_entropy(logits, labels)
    row = statistics.row_weights(max_weight).to(losses.dtype).to(losses.device)
    weight = row[codes.clamp_min(0)]
    return torch.where(codes >= 0, weight, torch.ones_like(weight)) * losses


class WorstGroupObjective(Objective):
    """`group_dro` with its weights.

    Parameters
    ----------
    name : str
    n_classes : int
    settings : dict
    statistics : GroupWeights
    max_weight : float or None
    """

    def __init__(
        self,
        name: str,
        *,
        n_classes: int,
        settings: Mapping[str, Any],
        statistics: GroupWeights,
        max_weight: float | None,
    ) -> None:
        super().__init__(name, n_classes=n_classes, settings=settings, statistics=statistics)
        self._weights, self._max_weight = statistics, max_weight

    def per_sample(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return the weighted cross-entropy of every row.

        Parameters
        ----------
        logits : Tensor (n, K)
        labels : Tensor (n,)
        groups : Tensor (n,), optional

        Returns
        -------
        Tensor (n,)
        """
        check_width(logits, self.n_classes, where=f"the objective {self.name!r}")
        return group_dro(
            logits, labels, groups, statistics=self._weights, max_weight=self._max_weight
        )

    def values(self) -> dict[str, float]:
        """Return the largest weight of a group and which group has it."""
        weights = self._weights.weights
        return {"largest_weight": float(weights.max()), "worst_group": float(weights.argmax())}
