"""What a module is, told by its shape, its class and its own name: linear, norm, attention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

__all__ = [
    "attention_in",
    "is_norm",
    "last_linear",
    "linear_sizes",
    "linears_in",
    "norm_size",
    "norms_in",
]

_INTO_ATTENTION = re.compile(
    r"^(q|k|v|qkv|query|key|value|in_proj|c_attn|wqkv|w?[qkv]_(proj|lin|a_proj|b_proj)"
    r"|qkv_proj|(query|key|value)_proj|query_key_value|kv_a_proj\w*|kv_b_proj|g_proj|gate\w*)$",
    re.IGNORECASE,
)
"""Names of what reads into attention; whatever else is linear there writes out of it."""

_OUT_OF_MLP = (
    "down_proj",
    "fc2",
    "c_proj",
    "dense_4h_to_h",
    "wo",
    "lin2",
    "ffn_output",
    "fc_out",
    "w2",
    "dense",
)


def linear_sizes(module: Any) -> tuple[int, int] | None:
    """Return (in, out) of a linear map, plain, transposed, quantised or with adapters; or None."""
    original = getattr(module, "original_module", None)
    if isinstance(original, nn.Module):  # PEFT trains a copy beside it
        return linear_sizes(original)
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return int(module.in_features), int(module.out_features)
    if hasattr(module, "nx") and hasattr(module, "nf"):  # GPT-2 keeps its weight transposed
        return int(module.nx), int(module.nf)
    return None


def norm_size(module: Any) -> int | None:
    """Return how many features a norm acts on; None for anything else."""
    weight = getattr(module, "weight", None)
    named = "norm" in type(module).__name__.lower()
    if not named or weight is None or weight.ndim != 1:
        return None
    return int(weight.shape[0])


def is_norm(module: Any, size: int) -> bool:
    """Whether ``module`` is a norm of ``size`` features."""
    return norm_size(module) == size


def _walk(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield all below ``module`` in order; linear maps are leaves, whatever they hold."""
    for name, child in module.named_children():
        path = f"{prefix}.{name}" if prefix else name
        yield path, child
        if linear_sizes(child) is None:
            yield from _walk(child, path)


def linears_in(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the linear maps below ``module``, with their paths."""
    return [(path, found) for path, found in _walk(module) if linear_sizes(found) is not None]


def norms_in(module: nn.Module, size: int) -> list[tuple[str, nn.Module]]:
    """Return the norms of ``size`` features below ``module``, with their paths."""
    return [(path, found) for path, found in _walk(module) if is_norm(found, size)]


def attention_in(block: nn.Module) -> tuple[str, nn.Module] | None:
    """Return the self-attention of a block: the outermost module named so that holds linears."""
    for path, found in _walk(block):
        own = path.rsplit(".", 1)[-1].lower()
        words = own + " " + type(found).__name__.lower()
        if "attn" not in words and "attention" not in words:
            continue
        if "cross" in words or "encdec" in words or norm_size(found) is not None:
            continue
        if linears_in(found):
            return path, found
    return None


def last_linear(
    module: nn.Module, size: int, *, skip: str | None, attention: bool
) -> tuple[str, nn.Module] | None:
    """Return the linear map by which attention (or the MLP) writes ``size`` features out.

    Parameters
    ----------
    module : Module
        The attention, or for the MLP the whole block.
    size : int
        Hidden size.
    skip : str or None
        A path whose parts are left out: the attention within the block.
    attention : bool
        Whether names that read into attention are left out.

    Returns
    -------
    (path, module) or None
        None where no single map is it.
    """
    found = [
        (path, linear)
        for path, linear in linears_in(module)
        if (linear_sizes(linear) or (0, 0))[1] == size
        and not (skip and (path == skip or path.startswith(skip + ".")))
        and "cross" not in path.lower()
    ]
    if attention:
        found = [f for f in found if not _INTO_ATTENTION.match(_own_name(f[0]))]
    else:
        # an MLP as wide as the model: only names tell its first map from its last
        named = [f for f in found if _own_name(f[0]).lower() in _OUT_OF_MLP]
        narrowing = [f for f in found if (linear_sizes(f[1]) or (0, 0))[0] != size]
        found = narrowing if len(narrowing) == 1 else named[-1:] if _one_parent(named) else named
    return found[0] if len(found) == 1 else None


def _own_name(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def _one_parent(found: list[tuple[str, nn.Module]]) -> bool:
    """Whether all stand in BERT's two places, ``intermediate.dense`` and ``output.dense``."""
    return [path.rsplit(".", 1)[0] for path, _ in found] == ["intermediate", "output"]
