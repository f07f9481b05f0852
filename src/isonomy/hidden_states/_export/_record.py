"""What is written beside the adapters: provenance, what they need, and who can serve them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from isonomy.hidden_states._export._adapter import Adapter, base_name, generates
from isonomy.hidden_states._export._servers import Facts, Verdict
from isonomy.hidden_states._fold._layers import as_out_in, is_transposed, owners
from isonomy.hidden_states._model._layout import n_blocks

if TYPE_CHECKING:
    from isonomy.hidden_states._fold._plan import Plan

__all__ = ["can_merge", "facts_of", "make_record"]


def facts_of(model: Any, plan: Plan, made: Mapping[Hashable, Adapter]) -> Facts:
    """Return what decides whether a server can serve the adapters."""
    modules = [model.get_submodule(name) for name in plan.names]
    return Facts(
        bias=any(one.bias for one in made.values()),
        rank=max(one.rank for one in made.values()),
        modules=plan.names,
        generates=generates(model),
        is_head=plan.site == "head_input",
        tied=any(len(owners(model, module.weight)) > 1 for module in modules),
        transposed=any(is_transposed(module) for module in modules),
        n_outputs=max(len(as_out_in(module)) for module in modules),
        n_blocks=n_blocks(model),
        n_adapters=len(made),
    )


def can_merge(model: Any, plan: Plan, facts: Facts) -> bool:
    """Return whether merging the adapters gives what they compute."""
    modules = [model.get_submodule(name) for name in plan.names]
    has_room = not facts.bias or all(getattr(m, "bias", None) is not None for m in modules)
    return has_room and not facts.tied


def make_record(
    model: Any,
    plan: Plan,
    made: Mapping[Hashable, Adapter],
    folders: Mapping[Hashable, str],
    found: Mapping[str, Verdict],
    *,
    merges: bool,
    steerer: str,
) -> dict[str, Any]:
    """Return the side file's content."""
    return {
        "kind": "adapters",
        "site": plan.site,
        "layer": plan.layer,
        "positions": "all",
        "steerer": steerer,
        "target_modules": list(plan.names),
        "target_sha256": {name: _digest(model.get_submodule(name)) for name in plan.names},
        "merges": merges,
        "base_model": {
            "name_or_path": base_name(model),
            "revision": getattr(model.config, "_commit_hash", None),
            "class": type(model).__name__,
            "dtype": str(model.dtype),
        },
        "adapters": {
            name: {
                "folder": folders[group],
                "rank": one.rank,
                "bias": one.bias,
                "map_sha256": one.digest,
            }
            for (group, one), name in zip(made.items(), _titles(made), strict=True)
        },
        "servers": {name: one.to_dict() for name, one in found.items()},
        "notes": _notes(model, plan, made, merges=merges),
    }


def _titles(groups: Collection[Hashable]) -> list[str]:
    """Return what each group is called in text; 1 and "1" stay apart."""
    plain = [str(group) for group in groups]
    twice = {name for name in plain if plain.count(name) > 1}
    return [repr(g) if str(g) in twice else str(g) for g in groups]


def _notes(model: Any, plan: Plan, made: Mapping[Hashable, Adapter], *, merges: bool) -> list[str]:
    notes = []
    if any(one.bias for one in made.values()):
        notes.append(
            "An offset is carried by `lora_bias=True`, which PEFT loads and some servers refuse. "
            "It merges only into layers that have a bias."
        )
    else:
        notes.append("No bias: the adapters are matrices alone.")
    notes.append(f"`merge_and_unload` {'works' if merges else 'does not work'} here.")
    if any(len(owners(model, model.get_submodule(n).weight)) > 1 for n in plan.names):
        notes.append(
            "The head is tied to the embedding. The adapter changes the head alone; merging it "
            "in place would change the embedding too. To write it into the weights use "
            "`isonomy.hidden_states.fold`, which unties them."
        )
    if len(made) > 1:
        notes.append("One adapter per group: a request names the adapter of its group.")
    return notes


def _digest(module: Any) -> str:
    weight = module.weight.detach().cpu().contiguous().view(torch.uint8)
    return hashlib.sha256(weight.numpy().tobytes()).hexdigest()
