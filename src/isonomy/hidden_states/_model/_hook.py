"""Put a function on the tensor of a spot, whatever form the module passes it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["hook_spot"]

Reader = Callable[[Any], Any]


class _Handles:
    def __init__(self, *handles: Any) -> None:
        self._handles = handles

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def hook_spot(spot: Any, fn: Reader) -> Any:
    """Register ``fn`` at ``spot``; see ``Spot.hook``."""
    if spot.reads == "input":
        return spot.module.register_forward_pre_hook(_input_hook(fn), with_kwargs=True)
    if spot.block is None or spot.block is spot.module:
        return spot.module.register_forward_hook(_output_hook(fn))
    shape: list[Any] = [None]
    reader = spot.block.register_forward_pre_hook(_shape_hook(shape), with_kwargs=True)
    handle = spot.module.register_forward_hook(_output_hook(_unflattened(fn, shape)))
    return _Handles(reader, handle)


def _output_hook(fn: Reader) -> Any:
    def hook(module: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, tuple):
            return fn(output)
        changed = fn(output[0])
        return None if changed is None else (changed, *output[1:])

    return hook


def _input_hook(fn: Reader) -> Any:
    def hook(module: Any, args: Any, kwargs: Any) -> Any:
        if args:
            changed = fn(args[0])
            return None if changed is None else ((changed, *args[1:]), kwargs)
        name = next(iter(kwargs))
        changed = fn(kwargs[name])
        return None if changed is None else (args, {**kwargs, name: changed})

    return hook


def _shape_hook(shape: list[Any]) -> Any:
    def hook(module: Any, args: Any, kwargs: Any) -> None:
        tensors = (*args, *kwargs.values())
        shape[0] = next(t.shape for t in tensors if isinstance(t, torch.Tensor) and t.ndim == 3)

    return hook


def _unflattened(fn: Reader, shape: list[Any]) -> Reader:
    """Show ``fn`` the (batch, tokens, d) that a module was handed as (batch * tokens, d)."""

    def read(tensor: Any) -> Any:
        if tensor.ndim != 2:
            return fn(tensor)
        changed = fn(tensor.view(shape[0]))
        return None if changed is None else changed.view(tensor.shape)

    return read
