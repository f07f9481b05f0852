"""Where a model's last linear map reads: its head, else its pooler, else its final norm."""

from __future__ import annotations

from typing import Any

from torch import nn

from isonomy.hidden_states._model._roles import is_norm, linear_sizes, linears_in, norm_size

__all__ = ["final_norm_of", "head_of", "pooler_of"]


def _has_config(module: nn.Module) -> bool:
    return hasattr(module, "config") and hasattr(module, "base_model_prefix")


def head_of(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return the last linear map of a model that has more than its base; None without one."""
    found = _output_embeddings(model)
    if found is not None:
        return found
    children = list(model.named_children())
    if not any(_has_config(child) for _, child in children):
        return None  # a bare base: what is linear in it belongs to its pooler or embeddings
    linears: list[tuple[str, nn.Module]] = []
    for name, child in children:
        if _has_config(child):
            continue
        if linear_sizes(child) is not None:
            linears.append((name, child))
        else:
            linears += [(f"{name}.{path}", linear) for path, linear in linears_in(child)]
    return linears[-1] if linears else None


def _output_embeddings(model: nn.Module) -> tuple[str, nn.Module] | None:
    ask: Any = getattr(model, "get_output_embeddings", None)
    head = ask() if callable(ask) else None
    if not isinstance(head, nn.Module):
        return None
    # by identity: a module that is registered twice has its first name
    return next(((name, module) for name, module in model.named_modules() if module is head), None)


def pooler_of(model: nn.Module) -> tuple[str, nn.Module] | None:
    """Return the module that pools the tokens, if the model has and uses one."""
    for name, child in model.named_children():
        if name == "pooler" or "pool" in type(child).__name__.lower():
            return name, child
        if _has_config(child):
            found = pooler_of(child)
            if found is not None:
                return f"{name}.{found[0]}", found[1]
    return None


def final_norm_of(model: nn.Module, list_name: str, size: int) -> tuple[str, nn.Module] | None:
    """Return the norm after the last block: it stands beside the list of blocks or above it."""
    parts = list_name.split(".")
    found: list[tuple[str, nn.Module]] = []
    for depth in range(len(parts)):
        path = ".".join(parts[:depth])
        for name, child in model.get_submodule(path).named_children():
            # norms of the embeddings stand beside the blocks too
            if norm_size(child) is None or "emb" in name.lower() or name.lower().startswith("pre"):
                continue
            if is_norm(child, size):
                found.append((f"{path}.{name}" if path else name, child))
    return found[0] if len(found) == 1 else None
