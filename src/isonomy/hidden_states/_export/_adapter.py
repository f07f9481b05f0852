"""One LoRA adapter in memory: its tensors, its configuration and its name, as PEFT has them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from isonomy.hidden_states._export._card import map_digest
from isonomy.hidden_states._export._factors import Lora, lora_of
from isonomy.hidden_states._fold._layers import is_transposed

if TYPE_CHECKING:
    from isonomy.distributions import AffineMap
    from isonomy.hidden_states._fold._plan import Plan

__all__ = ["Adapter", "base_name", "config_of", "folder_names", "generates"]


_LONGEST = 64
_RESERVED = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
"""Names that Windows keeps for devices: no folder can have them there."""


@dataclass(frozen=True)
class Adapter:
    """Factors per layer, all padded to one rank; ``digest`` is of the map."""

    layers: dict[str, Lora]
    rank: int
    bias: bool
    digest: str

    @classmethod
    def of(cls, model: Any, plan: Plan, affine: AffineMap) -> Adapter:
        """Compute the factors of every layer of the plan."""
        layers = {name: lora_of(model.get_submodule(name), plan, affine) for name in plan.names}
        rank = max(1, *(one.rank for one in layers.values()))
        bias = any(one.bias is not None for one in layers.values())
        padded = {name: one.padded(rank) for name, one in layers.items()}
        return cls(padded, rank, bias, map_digest(affine))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors under PEFT's names, in float32."""
        found = {}
        for name, one in self.layers.items():
            stem = f"base_model.model.{name}"
            found[f"{stem}.lora_A.weight"] = one.A
            found[f"{stem}.lora_B.weight"] = one.B
            if self.bias:  # one switch for all layers of an adapter
                found[f"{stem}.lora_B.bias"] = (
                    one.B.new_zeros(len(one.B)) if one.bias is None else one.bias
                )
        return {key: value.float().contiguous() for key, value in found.items()}


def config_of(model: Any, plan: Plan, adapter: Adapter) -> dict[str, Any]:
    """Return PEFT's own configuration of the adapter.

    The task is named only where the model generates: for "SEQ_CLS" PEFT would put the
    classifier into ``modules_to_save``, train a copy of it and never apply ours.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.rank,
        lora_dropout=0.0,
        target_modules=list(plan.names),
        fan_in_fan_out=any(is_transposed(model.get_submodule(name)) for name in plan.names),
        lora_bias=adapter.bias,
        task_type="CAUSAL_LM" if generates(model) else None,
        base_model_name_or_path=base_name(model),
        inference_mode=True,
    )
    found: dict[str, Any] = config.to_dict()
    # sets have no order of their own
    return {key: sorted(v) if isinstance(v, set) else v for key, v in found.items()}


def generates(model: Any) -> bool:
    """Return whether the model generates text."""
    can: Any = getattr(model, "can_generate", None)
    return bool(callable(can) and can())


def base_name(model: Any) -> str | None:
    """Return the name or folder the model was loaded from."""
    return str(getattr(model, "name_or_path", "") or "") or None


def folder_names(groups: Iterable[Hashable]) -> dict[Hashable, str]:
    """Return a folder name per group that is also a name PEFT takes for an adapter."""
    names: dict[Hashable, str] = {}
    taken: set[str] = set()
    for group in groups:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", str(group)).strip("_")[:_LONGEST] or "group"
        if _RESERVED.fullmatch(plain):
            plain = f"group_{plain}"
        name, n = plain, 1
        while name.lower() in taken:  # some file systems do not tell F from f
            n += 1
            name = f"{plain}_{n}"
        taken.add(name.lower())
        names[group] = name
    return names
