"""Linear layers as one kind: torch keeps W as (out, in), GPT-2's Conv1D as (in, out)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

__all__ = [
    "as_out_in",
    "is_transposed",
    "owners",
    "parameter_names",
    "plain_name",
    "why_not_linear",
    "width_in",
    "width_out",
]

_PLAIN = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def is_transposed(module: nn.Module) -> bool:
    """Return whether the layer computes ``x @ weight + bias`` (transformers' Conv1D)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def why_not_linear(module: nn.Module) -> str | None:
    """Return why the module's weights cannot be edited, or None if they can.

    A subclass of ``nn.Linear`` counts only with the forward pass of ``nn.Linear``: a scaled
    or quantised layer would not compute what was written into it.
    """
    kind = type(module).__name__
    if not (_computes_linear(module) or is_transposed(module)):
        own = isinstance(module, nn.Linear) or hasattr(module, "qweight")
        return f"a {kind}, quantised or with a forward pass of its own" if own else f"a {kind}"
    if torch.nn.utils.parametrize.is_parametrized(module):
        return f"a {kind} with a parametrised weight"
    weight: Any = module.weight
    if weight.dtype not in _PLAIN or type(weight.data) is not torch.Tensor:
        return f"a {kind} whose weight is quantised ({type(weight.data).__name__}, {weight.dtype})"
    if weight.device.type == "meta":
        return f"a {kind} whose weight is offloaded (device 'meta')"
    return None


def _computes_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


def as_out_in(module: nn.Module) -> torch.Tensor:
    """Return the weight as ``(out, in)``; a view, not a copy."""
    weight: torch.Tensor = module.weight.detach()  # type: ignore[operator]
    return weight.T if is_transposed(module) else weight


def width_in(module: nn.Module) -> int:
    """Return how many numbers per token the layer reads."""
    return int(as_out_in(module).shape[1])


def width_out(module: nn.Module) -> int:
    """Return how many numbers per token the layer writes."""
    return int(as_out_in(module).shape[0])


def owners(model: nn.Module, parameter: Any) -> list[str]:
    """Return every name under which the model holds this very parameter."""
    return [name for name, other in parameter_names(model) if other is parameter]


def parameter_names(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield all names, those of tied parameters too."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield plain_name(name), parameter


def plain_name(name: str) -> str:
    """Return the name that a module or parameter has where no block is compiled."""
    return name.replace("_orig_mod.", "").removesuffix("._orig_mod")
