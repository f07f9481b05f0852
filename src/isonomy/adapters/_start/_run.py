"""One start from its settings to what was written: read, measure, solve, write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from isonomy.adapters._start._class_means import ClassMeansHead, class_means_head
from isonomy.adapters._start._draw import Draw, Progress, draw_rows, rows_per_class
from isonomy.adapters._start._head_rows import Head, HeadRecorder, write_head
from isonomy.adapters._start._moments import MomentRecorder, Tokens
from isonomy.adapters._start._passes import Passes
from isonomy.adapters._start._session import accepted_by, main_input, measuring
from isonomy.adapters._start._solution import Solution, from_gradients, from_moments
from isonomy.adapters._start._targets import Target
from isonomy.adapters._start._writing import write_rows
from isonomy.distributions.shrinkage import Shrinkage
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._reduce import _is_offloaded as is_offloaded

__all__ = ["Init", "Run", "Settings"]

Init = Literal["tail_structure", "tail_gradient"]

_WHERE = "bias_aware_start"


@dataclass(frozen=True)
class Settings:
    """What `bias_aware_start` was asked for, checked."""

    init: Init
    counts: NDArray[np.float64]
    names: tuple[str, ...]
    n_per_class: int
    max_rows: int | None
    head_n_per_class: int | None
    shrinkage: Shrinkage
    tokens: Tokens
    adapter_name: str
    random_state: int

    def n_used(self, rare: NDArray[np.bool_] | None) -> int:
        """Return how many rows a class the directions come from."""
        if rare is None:
            return 0
        if self.init == "tail_gradient":  # a backward pass costs two forward ones
            rows = None if self.max_rows is None else self.max_rows // 3
            return rows_per_class(self.counts[rare], self.n_per_class, rows)
        return rows_per_class(self.counts, self.n_per_class, self.max_rows)

    def n_head(self) -> int:
        """Return how many rows a class the head comes from."""
        if self.head_n_per_class is not None:
            return self.head_n_per_class
        return rows_per_class(self.counts, self.n_per_class, self.max_rows)


@dataclass(frozen=True)
class Run:
    """One start: what is adapted, which classes are rare (None: none is), and how."""

    model: nn.Module
    targets: list[Target]
    head: Head | None
    rare: NDArray[np.bool_] | None
    settings: Settings

    def start(
        self, dataloader: Iterable[Any], progress: Progress | None
    ) -> tuple[Solution, Draw | None, ClassMeansHead | None]:
        """Read, solve and write; on an error nothing is left written."""
        if self.rare is None and self.head is None:
            return Solution({}, ()), None, None
        kept = [] if self.head is None else [p.detach().clone() for p in self._head_parameters()]
        done = False
        try:
            with measuring(
                self.model, self.settings.adapter_name, self.settings.random_state, where=_WHERE
            ):
                draw = self._draw(dataloader, progress)
                solution, new_head = self._solve(Passes(self.model, draw, progress, _WHERE))
            for target in self.targets:
                if target.name in solution.rows:
                    write_rows(target, solution.rows[target.name])
            done = True
        finally:
            if not done and self.head is not None:
                with torch.no_grad():
                    for parameter, before in zip(self._head_parameters(), kept, strict=True):
                        parameter.copy_(before)
        return solution, draw, new_head

    def _head_parameters(self) -> list[nn.Parameter]:
        assert self.head is not None
        return list(self.head.linear.parameters())

    def _draw(self, dataloader: Iterable[Any], progress: Progress | None) -> Draw:
        s = self.settings
        draw = draw_rows(
            dataloader,
            len(s.names),
            max(s.n_used(self.rare), s.n_head() if self.head is not None else 0),
            main_input=main_input(self.model),
            accepted=accepted_by(self.model),
            random_state=s.random_state,
            progress=progress,
            where=_WHERE,
        )
        if self.rare is not None and not draw.n_read[self.rare].any():
            tail = [name for name, rare in zip(s.names, self.rare, strict=True) if rare]
            raise InvalidInputError(
                f"`dataloader` passed to `{_WHERE}` must yield rows of the rare classes "
                f"({', '.join(tail[:5])}), got none in {int(draw.n_read.sum())} rows. Pass the "
                "training rows, or name other classes with `tail`."
            )
        return draw

    def _solve(self, passes: Passes) -> tuple[Solution, ClassMeansHead | None]:
        s, rare = self.settings, self.rare
        moments, new_head = None, None
        if rare is not None and s.init == "tail_structure":
            # hooks of accelerate's that bring weights in must also run after each module
            stop = self.head is None and not is_offloaded(self.model)
            moments = MomentRecorder(len(s.names), s.tokens, stop)
        recorder = None if self.head is None else HeadRecorder(self.head, _WHERE)
        if moments is not None or recorder is not None:
            states, labels = passes.measure(
                self.targets, moments, recorder, s.n_used(rare), s.n_head()
            )
            if self.head is not None:
                new_head = class_means_head(
                    states, labels, len(s.names), bias=self.head.linear.bias is not None
                )
                write_head(self.head, new_head)
        if rare is None:
            return Solution({}, ()), new_head
        if moments is not None:
            solution = from_moments(self.targets, moments, s.counts, rare, s.shrinkage)
        else:
            weight = _row_weight(passes.draw, s.counts, rare, s.n_used(rare))
            recorded = passes.gradients(self.targets, weight, len(s.names))
            solution = from_gradients(self.targets, recorded)
        if not solution.rows:
            reasons = sorted({str(module.reason) for module in solution.modules})
            raise InvalidInputError(
                f"No adapted layer of the model passed to `{_WHERE}` could be started: "
                f"{'; '.join(reasons)}."
            )
        return solution, new_head


def _row_weight(
    draw: Draw, counts: NDArray[np.float64], rare: NDArray[np.bool_], n_per_class: int
) -> NDArray[np.float64]:
    """Return the weight of every row in the tail's loss: 1 / n_class, equal within a class."""
    used = (draw.rank < n_per_class) & rare[draw.labels]
    n_used = np.bincount(draw.labels[used], minlength=len(counts))
    per_class = 1.0 / (np.maximum(counts, 1.0) * np.maximum(n_used, 1))
    weight = np.where(used, per_class[draw.labels], 0.0)
    scaled: NDArray[np.float64] = weight / weight.sum()
    return scaled
