"""What a training loop asks of a loss: per-sample values, and statistics that move by steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from isonomy._validation import check_real
from isonomy.adapters.losses._state import check_state
from isonomy.adapters.losses.running import Statistics

__all__ = ["Objective"]


class Objective(ABC):
    """A loss and the running statistics it depends on, made by `make_objective`.

    Attributes
    ----------
    name : str
        The name it was made by.
    n_classes : int
        Columns of the logits.
    settings : dict
        Every setting with its value; JSON-able.
    progress : float
        Share of the training that is over, in [0, 1]; set by `set_progress`.

    Notes
    -----
    A step of the optimiser, over any number of micro-batches and processes::

        for micro-batch:  sum(per_sample(...)) / n  -> backward;  observe(...)
        optimiser step;   commit()    # or commit(sum over processes of pending())

    Statistics move at `commit` alone: inside a step they are frozen, and value and
    gradient are sums over samples. So gradient accumulation and data-parallel processes
    give what one process with the whole batch gives, to rounding.

    The mean over rows divides by the rows that have a label: those of label -100 (and of
    a row of -100 in multi-label form) contribute 0.
    """

    def __init__(
        self,
        name: str,
        *,
        n_classes: int,
        settings: Mapping[str, Any],
        statistics: Statistics | None = None,
    ) -> None:
        self.name = name
        self.n_classes = n_classes
        self.settings = dict(settings)
        self.progress = 0.0
        self._statistics = statistics

    def __repr__(self) -> str:
        shown = "".join(f", {key}={value!r}" for key, value in self.settings.items())
        return f"<objective {self.name!r} of {self.n_classes} classes{shown}>"

    @abstractmethod
    def per_sample(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return the loss of every row, with its gradient.

        Parameters
        ----------
        logits : Tensor (n, K)
            Half precision is computed in float32.
        labels : Tensor (n,) or (n, K)
            Codes 0..K-1, or 0 and 1 for every label of a multi-label objective; -100 is
            ignored.
        groups : Tensor (n,), optional
            Codes of demographic groups, -1 where not known; needed by some objectives.

        Returns
        -------
        Tensor (n,)
            Its sum over the number of labelled rows is the loss.

        Raises
        ------
        InvalidInputError
            If shapes disagree, a code is out of range, or groups are needed and missing.
        """

    def observe(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        """Add the sums of this micro-batch, detached, to the pending statistics.

        Parameters
        ----------
        logits : Tensor (n, K)
            The same that `per_sample` had; no gradient is kept.
        labels : Tensor (n,) or (n, K)
        groups : Tensor (n,), optional
        """
        if self._statistics is not None:
            with torch.no_grad():
                self._statistics.observe(logits, labels, groups)

    def pending(self) -> Tensor:
        """Return the sums since the last `commit`: what processes add up, (m,) float64.

        Empty (m = 0) for objectives without statistics: there is nothing to add up.
        """
        if self._statistics is None:
            return torch.zeros(0, dtype=torch.float64)
        return self._statistics.pending()

    def commit(self, total: Tensor | None = None) -> None:
        """End a step of the optimiser: statistics move by the pending sums.

        Parameters
        ----------
        total : Tensor (m,), optional
            The sum over all processes of `pending`; by default this process's own.

        Raises
        ------
        InvalidInputError
            If ``total`` has another shape than `pending`.
        """
        if self._statistics is not None:
            self._statistics.commit(total)

    def set_progress(self, fraction: float) -> None:
        """Say which share of the training is over; schedules depend on it.

        Parameters
        ----------
        fraction : float
            In [0, 1].

        Raises
        ------
        InvalidInputError
            If ``fraction`` lies outside [0, 1].
        """
        where = "Objective.set_progress"
        self.progress = check_real("fraction", fraction, where=where, low=0.0, high=1.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that training changed, as tensors on the host.

        Pending sums are not part of it: save after `commit`.
        """
        state = {"progress": torch.tensor(self.progress, dtype=torch.float64)}
        if self._statistics is not None:
            state |= self._statistics.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state_dict` returned, to the bit; pending sums are dropped.

        Parameters
        ----------
        state : mapping of str to Tensor

        Raises
        ------
        InvalidInputError
            If names or shapes are not those of this objective; nothing is changed then.
        """
        check_state(state, self.state_dict(), where=f"load_state_dict of {self.name!r}")
        if self._statistics is not None:
            self._statistics.load_state_dict(state)
        self.set_progress(float(state["progress"]))

    def values(self) -> dict[str, float]:
        """Return what is worth a line in the log: the penalty's value and its parts."""
        return {}
