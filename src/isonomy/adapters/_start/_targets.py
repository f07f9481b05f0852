"""The linear maps of one LoRA adapter whose ``lora_A`` is to be started, checked."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from isonomy.adapters._head._class_prompts import ClassNamePrompts
from isonomy.adapters._head._parts import tower_paths
from isonomy.errors import InvalidInputError, MissingExtraError
from isonomy.hidden_states._model._roles import linears_in

__all__ = ["Target", "find_targets", "reading_rows"]

_WHERE = "bias_aware_start"
_QUANTISED = ("bitsandbytes", "gptq", "awq", "hqq", "eetq", "aqlm", "torchao", "quanto")


@dataclass(frozen=True)
class Target:
    """One adapted linear map.

    Attributes
    ----------
    name : str
        Path in the model under PEFT's wrapper.
    module : Module
        The layer that PEFT put in its place.
    a : Parameter (r, d_in)
        Its ``lora_A``.
    """

    name: str
    module: Any
    a: nn.Parameter

    @property
    def base(self) -> nn.Module:
        """The linear map below the adapters."""
        found: nn.Module = self.module.get_base_layer()
        return found


def find_targets(
    model: nn.Module, adapter_name: str, *, gradient: bool
) -> tuple[list[Target], dict[str, str]]:
    """Return the linear maps of the adapter, and why others of its parts keep their start.

    Parameters
    ----------
    model : Module
    adapter_name : str
    gradient : bool
        Whether gradients of the weights are wanted, which quantised ones do not have.

    Raises
    ------
    InvalidInputError
        If there is no such adapter or no linear map in it, it was trained or merged, or the
        base is quantised and gradients are wanted.
    MissingExtraError
        If the base is quantised and bitsandbytes is not installed.
    """
    layers = {
        _short(name): found for name, found in model.named_modules() if isinstance(found, LoraLayer)
    }
    if not layers:
        raise _no_layers(model)
    adapters = sorted({str(key) for layer in layers.values() for key in _adapters(layer)})
    if adapter_name not in adapters:
        raise InvalidInputError(
            f"`adapter_name` of `{_WHERE}` must be one of the model's LoRA adapters "
            f"({', '.join(map(repr, adapters))}), got {adapter_name!r}."
        )
    targets, left = [], {}
    for name, layer in layers.items():
        if adapter_name not in _adapters(layer):
            continue
        matrix: Any = dict(layer.lora_A.items()).get(adapter_name)
        if not isinstance(matrix, nn.Linear):
            left[name] = "its lora_A is no matrix that reads vectors"
            continue
        _check_fresh(name, layer, adapter_name)
        _check_quantised(name, layer, gradient=gradient)
        targets.append(Target(name, layer, cast(nn.Parameter, matrix.weight)))
    if not targets:
        raise _no_layers(model)
    return targets, left


def reading_rows(
    model: nn.Module, targets: list[Target], left: dict[str, str]
) -> tuple[list[Target], dict[str, str]]:
    """Move the text side of `ClassNamePrompts` to ``left``: it reads class names, not rows.

    A batch of as many pictures as there are classes would else be taken for its rows.

    Raises
    ------
    InvalidInputError
        If nothing else is adapted.
    """
    if not isinstance(model, ClassNamePrompts):
        return targets, left
    text = tower_paths(model)["text"]
    names = {t.name for t in targets if text in t.name.split(".")}
    kept = [t for t in targets if t.name not in names]
    if not kept:
        raise InvalidInputError(
            f'`init="tail_structure"` of `{_WHERE}` starts what reads the pictures, and only the '
            'text tower has LoRA here. Use `init="tail_gradient"`, or adapt the vision tower.'
        )
    return kept, left | dict.fromkeys(sorted(names), "it reads the names of the classes, not rows")


def _short(name: str) -> str:
    return name.replace("base_model.model.", "", 1)


def _adapters(layer: Any) -> set[str]:
    return {*layer.lora_A.keys(), *layer.lora_embedding_A.keys()}


def _check_fresh(name: str, layer: Any, adapter_name: str) -> None:
    if layer.merged:
        raise InvalidInputError(
            f"`peft_model` passed to `{_WHERE}` must not be merged, but {name!r} is. Call "
            "`unmerge_adapter()` first."
        )
    if any(bool(p.detach().ne(0).any()) for p in layer.lora_B[adapter_name].parameters()):
        raise InvalidInputError(
            f"`lora_B` of adapter {adapter_name!r} must be zero when `{_WHERE}` is called, so that "
            f"the output stays the base model's, but that of {name!r} is not. Start before "
            "training, from a `LoraConfig` with `init_lora_weights=True`."
        )


def _check_quantised(name: str, layer: Any, *, gradient: bool) -> None:
    base = layer.get_base_layer()
    if not _is_quantised(base):
        return
    if gradient:
        raise InvalidInputError(
            f'`init="tail_gradient"` of `{_WHERE}` needs the gradient of a loss with respect to '
            f"the weights, and {name!r} ({type(base).__name__}) is quantised: rounded weights have "
            'none. Use `init="tail_structure"`, which needs the inputs alone.'
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError(
            f"`peft_model` passed to `{_WHERE}` has quantised weights ({name!r} is a "
            f"{type(base).__name__}), which needs bitsandbytes. Install it with: "
            "pip install bitsandbytes"
        )


def _is_quantised(base: nn.Module) -> bool:
    origin = type(base).__module__.lower()
    weight = getattr(base, "weight", None)
    whole = isinstance(weight, torch.Tensor) and not weight.is_floating_point()
    return whole or weight is None or any(part in origin for part in _QUANTISED)


def _no_layers(model: nn.Module) -> InvalidInputError:
    leaves = Counter(name.rsplit(".", 1)[-1] for name, _ in linears_in(model))
    seen = ", ".join(f"{name} ({n})" for name, n in sorted(leaves.items())) or "none"
    return InvalidInputError(
        f"`peft_model` passed to `{_WHERE}` must have LoRA on linear maps, but "
        f"{type(model).__name__} has none. Candidates for `target_modules` of its `LoraConfig`, "
        f"with their numbers: {seen}."
    )
