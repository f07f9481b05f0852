"""Keep a folded model loadable: what `save_pretrained` writes, `from_pretrained` must read.

A class builds its modules from its configuration. A bias that the configuration does not
announce is written to the file and dropped on loading, and a head that it announces as tied
is tied again. So the configuration is changed with the weights; where the class has no
switch for a bias, a warning says which one is lost and what to do.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from isonomy.errors import FoldWarning
from isonomy.hidden_states._fold._layers import (
    as_out_in,
    parameter_names,
    plain_name,
    why_not_linear,
)

__all__ = ["BiasSwitch", "announce_untied", "bias_switch", "warn_of_loss"]


def announce_untied(model: Any) -> None:
    """Write into the configuration that the head has its own weight."""
    for config in _configs(model.config):
        if getattr(config, "tie_word_embeddings", None) is not None:
            config.tie_word_embeddings = False


@dataclass(frozen=True)
class BiasSwitch:
    """What makes the class build the new biases: a configuration, and the others it builds."""

    config: Any
    others: tuple[str, ...]

    def turn(self, model: Any) -> None:
        """Switch it on in ``model``; the other biases that come with it become zeros."""
        for name in self.others:
            _add_zero_bias(model.get_submodule(name.removesuffix(".bias")))
        # into the same object: all parts of the model share it
        for old, new in zip(_configs(model.config), _configs(self.config), strict=True):
            for key, value in vars(new).items():
                if "bias" in key:
                    setattr(old, key, value)


def bias_switch(model: Any, created: list[str]) -> BiasSwitch | None:
    """Return how the class of ``model`` can be made to build the biases ``created``.

    None where no flag of the configuration does it.
    """
    for changed in [model.config, *_changed_configs(model.config)]:
        built = _built_names(model, changed)
        others = built - {name for name, _ in parameter_names(model)} - set(created)
        if set(created) <= built and _are_biases(model, others):
            return BiasSwitch(changed, tuple(sorted(others)))
    return None


def warn_of_loss(model: Any, created: list[str]) -> None:
    """Say that the biases ``created`` are lost on loading."""
    warnings.warn(
        f"`fold` added {', '.join(created[:4])}{' and more' if len(created) > 4 else ''}, which "
        f"{type(model).__name__} cannot load back: `save_pretrained` writes it, "
        "`from_pretrained` drops it, and with it the offset of the map. Keep the steerer and "
        "fold again after loading, or use `export_adapters`.",
        FoldWarning,
        stacklevel=3,
    )


def _configs(config: Any) -> list[Any]:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return [config] if text is config else [config, text]


def _changed_configs(config: Any) -> list[Any]:
    """Return copies with one flag about biases switched on, then one with all of them."""
    flags = [
        (place, key)
        for place, part in enumerate(_configs(config))
        for key, value in vars(part).items()
        if value is False and "bias" in key
    ]
    choices = [[flag] for flag in flags] + ([flags] if len(flags) > 1 else [])
    changed = []
    for choice in choices:
        new = copy.deepcopy(config)
        for place, key in choice:
            setattr(_configs(new)[place], key, True)
        changed.append(new)
    return changed


def _built_names(model: Any, config: Any) -> set[str]:
    """Return the parameter names that the model's class builds from ``config``."""
    try:
        with torch.device("meta"):
            built = type(model)(copy.deepcopy(config))
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return set()  # a class that is built in its own way: nothing is known of it
    return {name for name, _ in parameter_names(built)}


def _are_biases(model: nn.Module, names: set[str]) -> bool:
    known = {plain_name(name): module for name, module in model.named_modules()}
    homes = [known.get(name.removesuffix(".bias")) for name in names if name.endswith(".bias")]
    return len(homes) == len(names) and all(
        home is not None and why_not_linear(home) is None for home in homes
    )


def _add_zero_bias(module: Any) -> None:
    weight = as_out_in(module)
    zeros = torch.zeros(weight.shape[0], dtype=weight.dtype, device=weight.device)
    module.bias = nn.Parameter(zeros, requires_grad=module.weight.requires_grad)
