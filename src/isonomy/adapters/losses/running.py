"""Statistics that are frozen inside a step of the optimiser and move when it ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy.adapters.losses._cells import CellFeatures, CellKind
from isonomy.adapters.losses._state import check_state
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._device_moments import accumulation_device

__all__ = ["CellMeans", "RunningMeans", "Statistics"]


@dataclass(frozen=True)
class CellMeans:
    """What a penalty is a function of.

    Attributes
    ----------
    own : (C, f)
        Means of every cell's own features, 0 where no row was seen.
    average : (F - f,)
        The mean over cells seen of the means of the shared features.
    seen : (C,) bool
    """

    own: Tensor
    average: Tensor
    seen: Tensor


class Statistics(ABC):
    """Named float64 tensors that move by the sums of a step.

    Subclasses register the tensors in ``self._tensors`` and the length of the sums in
    ``_start``. They live where the logits are, or on the host where that device has no
    float64.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._pending = torch.zeros(0, dtype=torch.float64)

    def _start(self, tensors: Mapping[str, Tensor], n_sums: int) -> None:
        self._tensors = {n: v.to(torch.float64).clone() for n, v in tensors.items()}
        self._pending = torch.zeros(n_sums, dtype=torch.float64)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    @abstractmethod
    def observe(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        """Add the detached sums of a micro-batch to the pending ones."""

    @abstractmethod
    def _move(self, sums: Tensor) -> None:
        """Move the tensors, in place, by the sums of a whole step."""

    def _sums_near(self, logits: Tensor) -> Tensor:
        """Return the pending sums, to add to in place, after moving to where ``logits`` are."""
        device = accumulation_device(logits.device)
        if self._pending.device != device:
            self._pending = self._pending.to(device)
            self._tensors = {name: value.to(device) for name, value in self._tensors.items()}
        return self._pending

    def pending(self) -> Tensor:
        """Return a copy of the sums since the last `commit`, (m,) float64."""
        return self._pending.clone()

    def commit(self, total: Tensor | None = None) -> None:
        """Move by ``total``, by default the pending sums, and clear these.

        Parameters
        ----------
        total : Tensor (m,), optional
            The sum over all processes of `pending`.

        Raises
        ------
        InvalidInputError
            If ``total`` has another shape than `pending`.
        """
        if total is not None and total.shape != self._pending.shape:
            raise InvalidInputError(
                f"`total` of `commit` must be the sum over processes of `pending()`, of shape "
                f"{tuple(self._pending.shape)}, got {tuple(total.shape)}."
            )
        self._move(self._pending if total is None else total.detach().to(self._pending))
        self._pending.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of the tensors on the host."""
        return {n: v.detach().cpu().clone().contiguous() for n, v in self._tensors.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state (further names are left alone); pending sums are dropped.

        Parameters
        ----------
        state : mapping of str to Tensor

        Raises
        ------
        InvalidInputError
            If a name is missing or a shape differs.
        """
        mine = {name: value for name, value in state.items() if name in self._tensors}
        check_state(mine, self._tensors, where="load_state_dict")
        for name, value in self._tensors.items():
            value.copy_(mine[name])
        self._pending.zero_()


class RunningMeans(Statistics):
    """Means of per-row features in every cell (of a label, a group, or both).

    Parameters
    ----------
    kind : CellKind
        Which cells there are and what is averaged in them.
    momentum : float, default 0.9
        How much of a cell's mean one new row of that cell leaves, in [0, 1).
    prior_counts : (n_cells,) array, optional
        Rows of each cell among the training rows, where they are known: the shares then
        start there, with the weight of ``prior_rows`` rows.
    prior_rows : float, default 0.0

    Notes
    -----
    A step brings n_c rows of cell c with mean x. With momentum m (per row, so that a rare
    cell remembers as many of its own rows as a frequent one)::

        w_c <- m^n_c w_c + (1 - m^n_c),   t_c <- m^n_c t_c + (1 - m^n_c) x,   s_c = t_c / w_c

    The first rows of a cell are its mean; until then the cell is not ``seen``. The rows of
    one step weigh alike, however they were split. The share of a cell counts all rows so
    far, without forgetting. A cell whose sums of a step are not finite keeps its mean.

    Examples
    --------
    >>> from isonomy.adapters.losses import running_means
    >>> means = running_means("label_balance", class_counts=[3, 1])
    >>> means.observe(torch.tensor([[4.0, 1.0], [2.0, 3.0]]), torch.tensor([0, 0]))
    >>> means.commit()
    >>> means.means.ravel().tolist()  # logits of 0, 1 with the label; of 0, 1 without
    [3.0, 0.0, 0.0, 2.0]
    """

    def __init__(
        self,
        kind: CellKind,
        *,
        momentum: float = 0.9,
        prior_counts: NDArray[np.float64] | None = None,
        prior_rows: float = 0.0,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.momentum = momentum
        c, f = kind.n_cells, kind.n_features
        rows = torch.zeros(c) if prior_counts is None else torch.tensor(prior_counts)
        tensors = {
            "cell_weight": torch.zeros(c),
            "cell_total": torch.zeros(c, f),
            "cell_rows": rows,
            "rows": torch.tensor(prior_rows),
        }
        self._start(tensors, 1 + c + c * f)

    def observe(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        """Add the detached features of a micro-batch to the pending sums.

        Parameters
        ----------
        logits : Tensor (n, K)
        labels : Tensor (n,) or (n, K)
        groups : Tensor (n,), optional
        """
        with torch.no_grad():
            self.add(self.kind.features(logits, labels, groups), logits)

    def add(self, found: CellFeatures, like: Tensor) -> None:
        """Add features, without a graph, of a micro-batch that lies where ``like`` does."""
        pending, c = self._sums_near(like), self.kind.n_cells
        pending[0].add_(found.known.sum().to(pending.device))
        found.add_to(pending[1 : 1 + c], pending[1 + c :].view(c, -1))

    def _move(self, sums: Tensor) -> None:
        c = self.kind.n_cells
        counts, totals = sums[1 : 1 + c], sums[1 + c :].view(c, -1)
        self["rows"].add_(sums[0])
        self["cell_rows"].add_(counts)
        met = torch.nonzero(counts)[:, 0]  # few of many cells: the others are not touched
        mean = totals[met] / counts[met, None]
        sound = torch.isfinite(mean).all(dim=1)
        met, mean = met[sound], mean[sound]
        keep = self.momentum ** counts[met]
        weight, total = self["cell_weight"], self["cell_total"]
        weight[met] = keep * weight[met] + (1.0 - keep)
        total[met] = keep[:, None] * total[met] + (1.0 - keep[:, None]) * mean

    @property
    def seen(self) -> Tensor:
        """Cells that have a mean: (n_cells,) bool."""
        return self["cell_weight"] > 0

    @property
    def means(self) -> Tensor:
        """Mean features of every cell, 0 where none was seen: (n_cells, n_features)."""
        return self["cell_total"] / self._divisor[:, None]

    @property
    def _divisor(self) -> Tensor:
        return torch.where(self.seen, self["cell_weight"], 1.0)

    def summary(self) -> CellMeans:
        """Return the means as a penalty takes them: (n_cells, n_features) is never formed."""
        seen, f = self.seen, self.kind.n_features - self.kind.n_shared
        total, divisor = self["cell_total"], self._divisor
        # a cell without rows has the total 0
        each = 1.0 / (divisor * seen.sum().clamp_min(1))
        return CellMeans(total[:, :f] / divisor[:, None], each @ total[:, f:], seen)

    def project(self, direction: Tensor) -> Tensor:
        """Return ``<direction, mean of the shared features>`` of every cell: (n_cells,)."""
        f = self.kind.n_features - self.kind.n_shared
        projected: Tensor = self["cell_total"][:, f:] @ direction / self._divisor
        return projected

    @property
    def shares(self) -> Tensor:
        """Share of all labelled rows that lie in each cell: (n_cells,), 0 where none."""
        return self["cell_rows"] / self["rows"].clamp_min(1.0)
