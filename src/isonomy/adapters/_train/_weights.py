"""Save and load modules that the Trainer does not know how to: label words, class-name prompts.

The Trainer knows models of transformers and PEFT. Of any other module it would write the
whole state, frozen base included, and fail where weights are tied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from isonomy.errors import InvalidInputError

__all__ = ["TRAINABLE", "is_known", "load_trainable", "save_trainable"]

TRAINABLE = "isonomy_trainable.safetensors"


def is_known(model: Any) -> bool:
    """Whether the Trainer saves and loads ``model`` itself."""
    return isinstance(model, PreTrainedModel | PeftModel)


def _changing(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes: trainable parameters, each once, and saved buffers."""
    buffers = dict(model.named_buffers())
    saved = model.state_dict(keep_vars=True)
    found = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {**found, **{n: b for n, b in buffers.items() if n in saved}}


def save_trainable(model: nn.Module, folder: Path) -> None:
    """Write what training changes, under the module's own names."""
    found = _changing(model)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in found.items()}
    save_file(tensors, folder / TRAINABLE, metadata={"format": "pt"})


def load_trainable(model: nn.Module, folder: Path) -> None:
    """Read back what `save_trainable` wrote, to the bit."""
    own = _changing(model)
    with safe_open(folder / TRAINABLE, framework="pt") as file:
        names = set(file.keys())
        if names != set(own):
            odd = sorted(names ^ set(own))[0]
            raise InvalidInputError(
                f"`resume_from_checkpoint` of `BiasAwareTrainer.train` must be a checkpoint of the "
                f"same model with the same trainable weights, but {odd!r} is in one of the two "
                "alone. Build the model as before."
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(file.get_tensor(name))
