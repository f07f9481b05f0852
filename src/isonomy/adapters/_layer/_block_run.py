"""See what every block of a model writes, and run the model on from any block.

Running on from a block with another state is the model's own code: its blocks up to there
pass their input through, a hook puts the state behind the last of them, and whatever
follows runs as it does. So the logit lens of a layer is the model itself from behind its
last block, whatever norm, pooler, scaling or head that is, and nothing about a family of
models is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._reduce import accepted_inputs, input_device
from isonomy.hidden_states._model._layout import find_spot, n_blocks

__all__ = ["BlockRun", "Passed"]

Inputs = Mapping[str, torch.Tensor]
Gather = Callable[[torch.Tensor], torch.Tensor]

_ABSENT: Any = object()


@dataclass(frozen=True)
class Passed:
    """One pass: what the first block read, what every block wrote, and the logits."""

    entry: torch.Tensor
    states: list[torch.Tensor]
    logits: torch.Tensor


class BlockRun:
    """Run a model over batches; nothing of it is left changed.

    Use it within :meth:`ready`, which keeps the model in evaluation mode.
    """

    def __init__(self, model: nn.Module, *, where: str) -> None:
        self.model = model
        self.where = where
        self.n_layers = n_blocks(model)
        self.spots = [find_spot(model, "residual", i, where=where) for i in range(self.n_layers)]
        self.device = input_device(model)
        # keys and values of past tokens are never used: one batch is one pass
        self._settings = {"use_cache": False} if "use_cache" in accepted_inputs(model) else {}
        self._forms: list[int | None] = [None] * self.n_layers

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Keep the model in evaluation mode without gradients; put the modes back afterwards."""
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            self.model.eval()
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training

    def moved(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the inputs where the model is, pixels in its dtype."""
        dtype = getattr(self.model, "dtype", torch.float32)
        return {
            name: value.to(self.device, dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def through(self, inputs: Inputs, gather: Gather | None = None) -> Passed:
        """Return what a pass over moved inputs writes; ``gather`` picks tokens of every state."""
        kept: dict[int, torch.Tensor] = {}
        pick = gather if gather is not None else _whole

        def keep(place: int) -> Callable[[torch.Tensor], None]:
            def read(hidden: torch.Tensor) -> None:
                kept[place] = pick(hidden.detach())

            return read

        first = replace(self.spots[0], reads="input")
        handles = [first.hook(keep(-1))]
        try:
            for i, spot in enumerate(self.spots):
                handles.append(spot.hook(keep(i)))
                handles.append(spot.module.register_forward_hook(self._form_hook(i)))
            logits = self.logits(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return Passed(kept[-1], [kept[i] for i in range(self.n_layers)], logits)

    def on_from(self, inputs: Inputs, layer: int, state: torch.Tensor) -> torch.Tensor:
        """Return the logits with ``state`` for what block ``layer`` writes; after a `through`."""
        spot = self.spots[layer]
        modules = [s.module for s in self.spots[: layer + 1]]
        before = [module.__dict__.get("forward", _ABSENT) for module in modules]
        handle = spot.hook(lambda hidden: state.to(hidden.device))
        try:
            for module, form in zip(modules, self._forms, strict=False):
                module.__dict__["forward"] = _passing_on(form)
            return self.logits(inputs)
        finally:
            handle.remove()
            for module, forward in zip(modules, before, strict=True):
                if forward is _ABSENT:
                    module.__dict__.pop("forward", None)
                else:
                    module.__dict__["forward"] = forward

    def _form_hook(self, layer: int) -> Any:
        def remember(module: Any, args: Any, output: Any) -> None:
            self._forms[layer] = len(output) if isinstance(output, tuple) else None

        return remember

    def logits(self, inputs: Inputs) -> torch.Tensor:
        """Return the logits of a pass over moved inputs."""
        output = self.model(**inputs, **self._settings)
        logits = getattr(output, "logits", None)
        if not isinstance(logits, torch.Tensor):
            raise InvalidInputError(
                f"`model` passed to `{self.where}` must return logits, got "
                f"{type(output).__name__} from {type(self.model).__name__}. Pass a causal "
                "language model or a classification model, head included."
            )
        return logits


def _whole(hidden: torch.Tensor) -> torch.Tensor:
    return hidden.clone()  # a later block may add to it in place


def _passing_on(form: int | None) -> Callable[..., Any]:
    """Return a block that hands its input on in the form in which the block returns its own."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = args[0] if args else next(iter(kwargs.values()))
        return hidden if form is None else (hidden, *[None] * (form - 1))

    return forward
