"""The passes over the draw: one for moments and the head's inputs, one for gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from isonomy.adapters._start._batches import Batch, batches, padding_token
from isonomy.adapters._start._draw import Draw, Progress
from isonomy.adapters._start._gradient import GradientRecorder, logits_of
from isonomy.adapters._start._head_rows import HeadRecorder
from isonomy.adapters._start._moments import EnoughRead, MomentRecorder
from isonomy.adapters._start._session import Runner
from isonomy.adapters._start._targets import Target

__all__ = ["Passes"]

Floats = NDArray[np.float64]

_WIDER = 4
"""Batches of the pass without gradients hold so many times the loader's rows: nothing of a layer
outlives the next one, where training keeps the activations of all layers."""


@dataclass(frozen=True)
class Passes:
    """A model, a draw, a callback that hears how many rows are done, and who asks."""

    model: nn.Module
    draw: Draw
    progress: Progress | None
    where: str

    def measure(
        self,
        targets: Sequence[Target],
        moments: MomentRecorder | None,
        head: HeadRecorder | None,
        n_per_class: int,
        head_n_per_class: int,
    ) -> tuple[Floats, NDArray[np.intp]]:
        """Fill ``moments`` and return what the head reads, (m, d), with the labels (m,).

        Only rows of a rank below ``n_per_class`` enter the moments, below
        ``head_n_per_class`` the head's; without a head nothing is returned of it.
        """
        draw = self.draw
        most = max(n_per_class if moments else 0, head_n_per_class if head else 0)
        at = np.flatnonzero(draw.rank < most)
        states: list[Floats] = []
        places: list[NDArray[np.intp]] = []
        handles = moments.attach(targets) if moments else []
        handles += head.attach() if head else []
        run = Runner.of(self.model)
        with _removed(handles), torch.no_grad():
            for batch in self._batches(at, f"{self._stage}: inputs", _WIDER * draw.batch_size):
                if moments:
                    moments.begin(batch, draw.labels[batch.at], draw.rank[batch.at] < n_per_class)
                output = _output(run, batch)
                if moments:
                    moments.end()
                if head:
                    kept = draw.rank[batch.at] < head_n_per_class
                    found = head.rows(batch, output).to(torch.float32).cpu().numpy()
                    states.append(found[kept].astype(np.float64))
                    places.append(batch.at[kept])
        if not head:
            return np.zeros((0, 0)), np.zeros(0, dtype=np.intp)
        # in the order of the draw: sums, and folds, do not depend on how it was batched
        where = np.concatenate(places)
        order = np.argsort(where)
        return np.concatenate(states)[order], draw.labels[where[order]]

    def gradients(
        self, targets: Sequence[Target], row_weight: Floats, n_classes: int
    ) -> GradientRecorder:
        """Return the gradients of the weighted cross-entropy over rows of positive weight."""
        recorder = GradientRecorder()
        at = np.flatnonzero(row_weight > 0)
        run = Runner.of(self.model)
        with _removed(recorder.attach(targets)), torch.enable_grad():
            for batch in self._batches(at, f"{self._stage}: gradients", self.draw.batch_size):
                logits = logits_of(run(batch.inputs), len(batch.at), n_classes, self.where)
                labels = torch.from_numpy(self.draw.labels[batch.at]).to(logits.device)
                losses = cross_entropy(logits, labels, reduction="none")
                weight = torch.from_numpy(row_weight[batch.at]).to(losses)
                recorder.add((weight * losses).sum())
        return recorder

    @property
    def _stage(self) -> str:
        return self.where.rpartition("_")[2]

    def _batches(self, at: NDArray[np.intp], stage: str, size: int) -> Iterator[Any]:
        done = 0
        for batch in batches(self.draw, at, padding_token(self.model), size, where=self.where):
            yield batch
            done += len(batch.at)
            if self.progress is not None:
                self.progress(stage, done, len(at))


def _output(run: Runner, batch: Batch) -> Any:
    try:
        return run(batch.inputs)
    except EnoughRead:
        return None


@contextmanager
def _removed(handles: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
