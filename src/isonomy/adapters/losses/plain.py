"""Objectives without statistics: a loss of logits and labels, perhaps with a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from isonomy.adapters.losses._batch import check_width
from isonomy.adapters.losses.objective import Objective

__all__ = ["PlainObjective"]

Loss = Callable[[Tensor, Tensor], Tensor]


class PlainObjective(Objective):
    """A per-sample loss, and another one from a share of the training on.

    Parameters
    ----------
    name : str
    n_classes : int
    settings : dict
    loss : callable
        ``(logits, labels) -> (n,)``.
    late_loss : callable, optional
        Takes over once the progress reaches ``deferred``.
    deferred : float, default 1.0
        In [0, 1].
    """

    def __init__(
        self,
        name: str,
        *,
        n_classes: int,
        settings: Mapping[str, Any],
        loss: Loss,
        late_loss: Loss | None = None,
        deferred: float = 1.0,
    ) -> None:
        super().__init__(name, n_classes=n_classes, settings=settings)
        self._loss, self._late_loss, self._deferred = loss, late_loss, deferred

    def per_sample(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return the loss of every row; ``groups`` are not used.

        Parameters
        ----------
        logits : Tensor (n, K)
        labels : Tensor (n,) or (n, K)
        groups : Tensor (n,), optional

        Returns
        -------
        Tensor (n,)
        """
        check_width(logits, self.n_classes, where=f"the objective {self.name!r}")
        late = self._late_loss is not None and self.progress >= self._deferred
        loss = self._late_loss if late and self._late_loss is not None else self._loss
        return loss(logits, labels)

    def values(self) -> dict[str, float]:
        """Return whether the late loss acts, where there is one."""
        if self._late_loss is None:
            return {}
        return {"deferred_weights": float(self.progress >= self._deferred)}
