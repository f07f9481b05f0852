"""Gradient checkpointing: a block that is computed again is steered as it was at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn

    from isonomy.hidden_states._attach._watch import Watch

__all__ = ["Recomputed", "checkpointed_above"]

_FUNCTION = "_gradient_checkpointing_func"


def checkpointed_above(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the modules on the way to ``name`` that may checkpoint what they compute."""
    parts = name.split(".")
    above = (model.get_submodule(".".join(parts[:n])) for n in range(len(parts) + 1))
    return [module for module in above if hasattr(module, "gradient_checkpointing")]


class Recomputed:
    """The checkpoint functions that a watch has replaced, and how to give them back."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._replaced: dict[nn.Module, tuple[Any, Any]] = {}

    def replace(self, modules: list[nn.Module]) -> None:
        """Stand between ``modules`` and their checkpoint functions, where they use them."""
        for module in modules:
            if not (module.gradient_checkpointing and module.training):
                continue
            before = getattr(module, _FUNCTION, None)
            if before is None or before is self._replaced.get(module, (None, None))[1]:
                continue
            ours = _steered_again(self._watch, before)
            setattr(module, _FUNCTION, ours)
            self._replaced[module] = (before, ours)

    def restore(self) -> None:
        """Give every module its own function back, unless it was given another since."""
        for module, (before, ours) in self._replaced.items():
            if getattr(module, _FUNCTION, None) is ours:
                setattr(module, _FUNCTION, before)
        self._replaced.clear()


def _steered_again(watch: Watch, checkpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``checkpoint`` for functions that remember how they were steered.

    The first run notes which steerers acted, and on which pass. Any further run, by then
    perhaps after the block of ``attached`` has ended or another batch has gone through,
    acts by these notes alone.
    """

    def checkpointed(compute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return checkpoint(compute, *args, **kwargs)
        step, acted, runs = watch.step, list[Any](), list[None]()

        def remembering(*a: Any, **k: Any) -> Any:
            runs.append(None)
            if len(runs) == 1:
                with watch.noting(acted):
                    return compute(*a, **k)
            with watch.replaying(step, acted):
                return compute(*a, **k)

        return checkpoint(remembering, *args, **kwargs)

    return checkpointed
