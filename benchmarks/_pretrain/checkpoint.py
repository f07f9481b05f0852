"""Checkpoints of a training: weights, moments of the optimiser and the step, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from isonomy._atomic import atomic_path

__all__ = ["load_checkpoint", "save_checkpoint"]

NAME = "checkpoint.safetensors"


def save_checkpoint(folder: Path, key: str, model: Any, optimiser: Any, step: int) -> None:
    """Write ``checkpoint.safetensors``, wholly or not at all."""
    from safetensors.torch import save_file

    tensors = {f"weight.{name}": value.detach() for name, value in model.named_parameters()}
    for place, state in optimiser.state_dict()["state"].items():
        tensors |= {f"moment.{place}.{name}": value for name, value in state.items()}
    kept = {name: value.contiguous().cpu() for name, value in tensors.items()}
    with atomic_path(folder / NAME) as temporary:
        save_file(kept, temporary, metadata={"key": key, "step": str(step)})


def load_checkpoint(folder: Path, key: str, model: Any, optimiser: Any) -> int:
    """Fill model and optimiser and return the steps done; 0 where there is none for ``key``."""
    import torch
    from safetensors import safe_open

    path = folder / NAME
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as stored:
        said = stored.metadata() or {}
        if said.get("key") != key:
            return 0
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[f"weight.{name}"])
    moments: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "moment":
            place, _, part = rest.partition(".")
            moments.setdefault(int(place), {})[part] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return int(said["step"])
