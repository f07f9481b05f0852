"""A loss plus a penalty on running means: the objectives of equity and label balance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from isonomy.adapters.losses._batch import check_width
from isonomy.adapters.losses._cells import CellFeatures
from isonomy.adapters.losses.linearised import LinearPenalty, Penalty, linearise
from isonomy.adapters.losses.objective import Objective
from isonomy.adapters.losses.running import RunningMeans

__all__ = ["PenalisedObjective"]


@dataclass(frozen=True)
class FeaturesOf:
    """The features of one batch without their graph, and the tensors they were made of.

    The tensors are kept, so that no other can come to lie in their memory meanwhile.
    """

    features: CellFeatures
    made_of: tuple[Tensor | None, ...]
    versions: tuple[int, ...]

    @classmethod
    def batch(cls, found: CellFeatures, *made_of: Tensor | None) -> FeaturesOf | None:
        """Return the note of a batch; None where torch does not count changes in place."""
        if any(part is not None and part.is_inference() for part in made_of):
            return None
        kept = tuple(None if part is None else part.detach() for part in made_of)
        return cls(found.detached(), kept, _versions(kept))

    def is_of(self, *asked: Tensor | None) -> bool:
        """Whether ``asked`` are the same tensors, detached or not, unchanged since."""
        pairs = zip(self.made_of, asked, strict=True)
        return all(_same(a, b) for a, b in pairs) and self.versions == _versions(asked)


def _versions(tensors: tuple[Tensor | None, ...]) -> tuple[int, ...]:
    return tuple(-1 if t is None else t._version for t in tensors)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    if b.is_inference() or a.dtype != b.dtype or a.device != b.device:
        return False
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


class PenalisedObjective(Objective):
    """A per-sample loss plus ``weight`` times a penalty linearised at frozen means.

    Parameters
    ----------
    name : str
    n_classes : int
    settings : dict
    loss : callable
        ``(logits, labels) -> (n,)``.
    penalty : Penalty
        A function of the means that ``statistics`` keep.
    statistics : RunningMeans
    weight : float
    ramp : float
        Share of the training, in [0, 1], over which the weight grows from 0.
    max_weight : float or None
        Largest relative weight of a row; see `linearise`.
    """

    def __init__(
        self,
        name: str,
        *,
        n_classes: int,
        settings: Mapping[str, Any],
        loss: Callable[[Tensor, Tensor], Tensor],
        penalty: Penalty,
        statistics: RunningMeans,
        weight: float,
        ramp: float,
        max_weight: float | None,
    ) -> None:
        super().__init__(name, n_classes=n_classes, settings=settings, statistics=statistics)
        self._loss, self._penalty, self._means = loss, penalty, statistics
        self._weight, self._ramp, self._max_weight = weight, ramp, max_weight
        self._line: LinearPenalty | None = None
        self._last: FeaturesOf | None = None

    @property
    def weight(self) -> float:
        """The weight of the penalty now."""
        return self._weight * (min(1.0, self.progress / self._ramp) if self._ramp > 0 else 1.0)

    def per_sample(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
        """Return loss plus penalty of every row.

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
        loss = self._loss(logits, labels)
        if self.weight == 0.0:
            return loss
        found = self._means.kind.features(logits, labels, groups)
        self._last = FeaturesOf.batch(found, logits, labels, groups)
        return loss + self.weight * self._frozen().per_sample(found)

    def observe(self, logits: Tensor, labels: Tensor, groups: Tensor | None = None) -> None:
        """Add the sums of this micro-batch, detached, to the pending statistics.

        Parameters
        ----------
        logits : Tensor (n, K)
            The same that `per_sample` had, detached or not: its features are then used again.
        labels : Tensor (n,) or (n, K)
        groups : Tensor (n,), optional
        """
        last, self._last = self._last, None
        if last is not None and last.is_of(logits, labels, groups):
            self._means.add(last.features, logits)
        else:
            super().observe(logits, labels, groups)

    def commit(self, total: Tensor | None = None) -> None:
        """End a step of the optimiser: means move by the pending sums.

        Parameters
        ----------
        total : Tensor (m,), optional
            The sum over all processes of `pending`; by default this process's own.
        """
        super().commit(total)
        self._line = None

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state_dict` returned, to the bit.

        Parameters
        ----------
        state : mapping of str to Tensor
        """
        super().load_state_dict(state)
        self._line = None

    def values(self) -> dict[str, float]:
        """Return the penalty D at the running means, its parts, and its weight now."""
        found = self._penalty.at(self._means.summary())
        parts = {name: float(part) for name, part in found.parts.items()}
        return {"penalty": float(found.value), "penalty_weight": self.weight, **parts}

    def _frozen(self) -> LinearPenalty:
        if self._line is None:  # once a step: the means stay frozen until it ends
            self._line = linearise(self._penalty, self._means, max_weight=self._max_weight)
        return self._line
