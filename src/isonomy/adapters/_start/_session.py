"""A model made ready for measuring, and put back to how it was: modes, adapters, generators."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from isonomy.adapters._head._seeding import seeded
from isonomy.adapters._head._wrapped import WrappedHead
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._reduce import accepted_inputs, input_device

__all__ = ["Runner", "accepted_by", "main_input", "measuring", "without_wrappers"]


def without_wrappers(model: Any, *, where: str) -> nn.Module:
    """Return the model inside ``torch.compile`` and data-parallel wrappers, adapters kept.

    ``where`` is the caller, for messages.
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            break
    if not isinstance(model, nn.Module):
        raise InvalidInputError(
            f"`peft_model` passed to `{where}` must be a model with LoRA (a torch module), got "
            f"{type(model).__name__}. Make one with `lora_model` or `peft.get_peft_model`."
        )
    return model


@contextmanager
def measuring(
    model: nn.Module,
    adapter_name: str,
    random_state: int,
    *,
    where: str,
    adapted: bool = False,
) -> Iterator[None]:
    """Keep the model in evaluation mode with one adapter's head; put all back after.

    Adapters are off, as ``lora_B`` zero makes the one to be started add nothing; ``adapted``
    switches that one on, and it alone. Modules in ``modules_to_save`` are those of that adapter.

    torch's generators run from ``random_state`` inside, so that a loader that shuffles with
    them draws the same rows each time, and continue from where they were outside.
    """
    modes = [(module, module.training) for module in model.modules()]
    with seeded(random_state, where=where), _only(model, adapter_name, adapted):
        try:
            model.eval()
            yield
        finally:
            for module, training in modes:
                module.training = training


@contextmanager
def _only(model: nn.Module, adapter_name: str, adapted: bool) -> Iterator[None]:
    layers: list[Any] = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    heads: list[Any] = [m for m in model.modules() if isinstance(m, AuxiliaryTrainingWrapper)]
    switched = [*heads, *(layers if adapted else ())]
    active = [list(part.active_adapters) for part in switched]
    disabled = [(part, part._disable_adapters) for part in layers + heads]
    trainable = [(p, p.requires_grad) for p in model.parameters()]
    try:
        for layer in layers:
            layer._disable_adapters = not (adapted and adapter_name in _adapters(layer))
        for head in heads:
            head._disable_adapters = False
        for part in switched:
            wanted = [adapter_name] if adapter_name in _adapters(part) else []
            if list(part.active_adapters) != wanted:
                part.set_adapter(wanted)
        yield
    finally:
        for part, names in zip(switched, active, strict=True):
            if list(part.active_adapters) != names:
                part.set_adapter(names)
        for part, off in disabled:
            part._disable_adapters = off
        for parameter, had in trainable:  # PEFT switches these along with its adapters
            parameter.requires_grad_(had)


def _adapters(part: Any) -> set[str]:
    """Return the names of the adapters of a layer, or of a trained module."""
    if isinstance(part, AuxiliaryTrainingWrapper):
        return set(part._adapters)
    return {name for kind in part.adapter_layer_names for name in getattr(part, kind, {}) or ()}


@dataclass(frozen=True)
class Runner:
    """The model's forward pass over tensors on the host."""

    model: nn.Module
    device: torch.device
    settings: dict[str, Any]

    @classmethod
    def of(cls, model: nn.Module) -> Runner:
        """Return the runner of a model: its device, and no cache of past tokens."""
        settings = {"use_cache": False} if "use_cache" in accepted_by(model) else {}
        return cls(model, input_device(model), settings)

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Return the model's output; pixels go in the model's dtype."""
        dtype = getattr(self.model, "dtype", None)
        moved = {
            name: value.to(self.device, dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        return self.model(**moved, **self.settings)


def accepted_by(model: nn.Module) -> frozenset[str]:
    """Return the inputs that the model takes; a head around it takes fewer than what it wraps."""
    if isinstance(model, WrappedHead):
        return frozenset(inspect.signature(model.forward).parameters) - {"labels"}
    return accepted_inputs(model)


def main_input(model: nn.Module) -> str:
    """Return what the model calls its inputs: "input_ids", "pixel_values"."""
    return str(getattr(model, "main_input_name", None) or "input_ids")
