"""Where hidden states are read in a Hugging Face model, found by its configuration.

No model family is known here by its code: blocks are the list of modules that is as long
as the configuration says, and what stands in a block is told by shape, class and name.
What is not found raises, with the list of what was seen.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from isonomy._validation import check_choice
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._head import final_norm_of, head_of, pooler_of
from isonomy.hidden_states._model._hook import hook_spot
from isonomy.hidden_states._model._norms import Norms, norms_of
from isonomy.hidden_states._model._roles import (
    attention_in,
    last_linear,
    linear_sizes,
    linears_in,
    norm_size,
    norms_in,
)

__all__ = [
    "SITES",
    "Site",
    "Spot",
    "blocks",
    "find_spot",
    "hidden_size",
    "is_post_norm",
    "n_blocks",
    "unwrap",
]

Site = Literal[
    "head_input", "norm_output", "mlp_norm_output", "attention_output", "mlp_output", "residual"
]
SITES: tuple[Site, ...] = (
    "head_input",
    "norm_output",
    "mlp_norm_output",
    "attention_output",
    "mlp_output",
    "residual",
)

_COUNTS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "encoder_layers",
    "decoder_layers",
    "depth",
)
_WIDTHS = ("hidden_size", "n_embd", "d_model", "dim", "embed_dim")


@dataclass(frozen=True)
class Spot:
    """One place in one model whose tensor can be read and replaced.

    Parameters
    ----------
    site : one of ``SITES``
    layer : int or None
        0-based block; None for "head_input".
    name : str
        Path of ``module`` in the unwrapped model.
    module : Module
    reads : "output" or "input"
        Which of the module's tensors it is.
    width : int
        Features of that tensor, d.
    block : Module or None
        Set where the module sees tokens of all rows in one flat (batch * tokens, d)
        tensor: the block, whose own input tells the shape.
    """

    site: Site
    layer: int | None
    name: str
    module: nn.Module = field(repr=False)
    reads: Literal["output", "input"]
    width: int = 0
    block: nn.Module | None = field(default=None, repr=False)

    def hook(self, fn: Callable[[Any], Any]) -> Any:
        """Call ``fn(tensor)`` at every forward pass; what it returns replaces the tensor.

        Parameters
        ----------
        fn : callable
            Gets the tensor, (batch, tokens, d), or (batch, d) after pooling. None leaves
            it as it is.

        Returns
        -------
        handle
            With ``remove()``.
        """
        return hook_spot(self, fn)


def unwrap(model: Any) -> nn.Module:
    """Return the Hugging Face model inside ``torch.compile``, PEFT or data-parallel wrappers."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif hasattr(model, "get_base_model"):
            model = model.get_base_model()
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            break
    if not isinstance(model, nn.Module):
        raise InvalidInputError(
            f"`model` must be a Hugging Face model (a torch module), got {type(model).__name__}. "
            "Load it with `load_model` or `from_pretrained`."
        )
    return model


def blocks(model: Any) -> list[tuple[str, nn.Module]]:
    """Return the (path, module) of every transformer block, in order.

    Raises
    ------
    InvalidInputError
        If no list of modules is as long as the configuration says, or two are.
    """
    name, found = _block_list(unwrap(model))
    return [(f"{name}.{i}", getattr(block, "_orig_mod", block)) for i, block in enumerate(found)]


def n_blocks(model: Any) -> int:
    """Return how many transformer blocks the model has."""
    return len(_block_list(unwrap(model))[1])


def hidden_size(model: Any) -> int:
    """Return the features of a hidden state between blocks, d."""
    return _width(_config_of(unwrap(model)))


def is_post_norm(model: Any) -> bool:
    """Whether norms stand behind the residual sums, so that they feed the stream itself."""
    inner = unwrap(model)
    return _norms(inner, 0).after


def find_spot(model: Any, site: Site, layer: int | None, *, where: str) -> Spot:
    """Return the place that ``site`` and ``layer`` name.

    Parameters
    ----------
    model : Module
        A Hugging Face model, or one wrapped by PEFT or ``torch.compile``.
    site : one of ``SITES``
    layer : int or None
        0-based block; None for "head_input".
    where : str
        The public function that asks, for messages.

    Raises
    ------
    InvalidInputError
        If the layer does not exist (the message lists what does), or the model has no
        such part (the message lists what was seen).
    """
    check_choice("site", site, SITES, where=where)
    inner = unwrap(model)
    if site == "head_input":
        if layer is not None:
            raise InvalidInputError(
                f'`layer` passed to `{where}` must be None where `site="head_input"`, which '
                f"stands after all blocks, got {layer!r}. Leave it out, or name another site."
            )
        return _head_spot(inner, where=where)
    number = _check_layer(inner, layer, site, where=where)
    name, block = blocks(inner)[number]
    finder = {
        "residual": _residual,
        "attention_output": _attention,
        "mlp_output": _mlp,
        "norm_output": _norm,
        "mlp_norm_output": _mlp_norm,
    }[site]
    found = finder(inner, number, name, block)
    if found is None:
        raise InvalidInputError(
            f"`site` passed to `{where}` must be a part that the model has: no single module of "
            f"{type(inner).__name__} is its {site!r}. Block {number} ({type(block).__name__}) "
            f'holds {_seen(block)}. Use `site="residual"`, which every block has.'
        )
    path, module = found
    flat = block if site.startswith("mlp") and _is_flat(inner, number, name, block) else None
    return Spot(site, number, path, module, "output", hidden_size(inner), flat)


def _is_flat(model: nn.Module, number: int, name: str, block: nn.Module) -> bool:
    """Whether the block does the MLP's work itself, and may see all tokens of all rows as rows."""
    found = _mlp(model, number, name, block)
    return found is not None and "." not in found[0].removeprefix(f"{name}.")


def _check_layer(model: nn.Module, layer: Any, site: str, *, where: str) -> int:
    n = n_blocks(model)
    try:
        number = -1 if isinstance(layer, bool) else operator.index(layer)
    except TypeError:
        number = -1
    if not 0 <= number < n:
        raise InvalidInputError(
            f"`layer` passed to `{where}` must name a block of {type(model).__name__} for "
            f"`site={site!r}`: 0 to {n - 1}, got {layer!r}."
        )
    return number


Found = tuple[str, nn.Module] | None


def _residual(model: nn.Module, number: int, name: str, block: nn.Module) -> Found:
    return name, block


def _attention(model: nn.Module, number: int, name: str, block: nn.Module) -> Found:
    attention = attention_in(block)
    if attention is None:
        return None
    found = last_linear(attention[1], hidden_size(model), skip=None, attention=True)
    return None if found is None else (f"{name}.{attention[0]}.{found[0]}", found[1])


def _mlp(model: nn.Module, number: int, name: str, block: nn.Module) -> Found:
    attention = attention_in(block)
    if attention is None:
        return None  # what mixes the tokens could not be told from what does not
    found = last_linear(block, hidden_size(model), skip=attention[0], attention=False)
    return None if found is None else (f"{name}.{found[0]}", found[1])


def _norms(model: nn.Module, number: int) -> Norms:
    block = blocks(model)[number][1]
    return norms_of(block, hidden_size(model), _config_of(model))


def _norm(model: nn.Module, number: int, name: str, block: nn.Module) -> Found:
    norms = _norms(model, number)
    if not norms.after:
        return (
            None
            if norms.attention is None
            else (f"{name}.{norms.attention[0]}", norms.attention[1])
        )
    if number == 0:
        return _embedding_norm(model)
    before, last = blocks(model)[number - 1], _norms(model, number - 1).last
    return None if last is None else (f"{before[0]}.{last[0]}", last[1])


def _mlp_norm(model: nn.Module, number: int, name: str, block: nn.Module) -> Found:
    found = _norms(model, number).mlp
    return None if found is None else (f"{name}.{found[0]}", found[1])


def _embedding_norm(model: nn.Module) -> Found:
    """Return the norm of the embeddings, which the first block of a post-norm model reads."""
    name, _ = _block_list(model)
    for depth in range(name.count("."), -1, -1):
        path = ".".join(name.split(".")[:depth])
        embeddings = getattr(model.get_submodule(path), "embeddings", None)
        if isinstance(embeddings, nn.Module):
            found = norms_in(embeddings, hidden_size(model))
            prefix = f"{path}.embeddings" if path else "embeddings"
            return (f"{prefix}.{found[-1][0]}", found[-1][1]) if len(found) == 1 else None
    return None


def _head_spot(model: nn.Module, *, where: str) -> Spot:
    head = head_of(model)
    if head is not None:
        sizes = linear_sizes(head[1])
        if sizes is not None:
            return Spot("head_input", None, head[0], head[1], "input", sizes[0])
    pooled = pooler_of(model)
    if pooled is not None:
        return Spot("head_input", None, pooled[0], pooled[1], "output", hidden_size(model))
    name, found = _block_list(model, where=where)
    size = hidden_size(model)
    last = final_norm_of(model, name, size) or (f"{name}.{len(found) - 1}", found[-1])
    return Spot("head_input", None, last[0], last[1], "output", size)


def _block_list(model: nn.Module, *, where: str | None = None) -> tuple[str, list[nn.Module]]:
    seen: list[str] = []
    found: list[tuple[str, nn.ModuleList]] = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or any(name.startswith(f"{n}.") for n, _ in found):
            continue
        seen.append(f"{name} ({len(module)} x {type(module[0]).__name__ if len(module) else '-'})")
        if len(module) and len(module) in _counts(_config_of(model, name)):
            found.append((name, module))
    attending = [f for f in found if attention_in(f[1][0]) is not None] or found
    if len(attending) == 1:
        return attending[0][0], list(attending[0][1])
    if attending:
        raise InvalidInputError(
            f"`model` must have one stack of blocks, got {type(model).__name__} with "
            f"{', '.join(name for name, _ in attending)}. Pass one tower: `model.text_model` or "
            "`model.vision_model`, a `...WithProjection` class, or `model.get_encoder()`."
        )
    wanted = sorted(_counts(_config_of(model)))
    raise InvalidInputError(
        f"`model` must hold a list of as many blocks as its configuration says ({wanted}), got "
        f"{type(model).__name__} with {', '.join(seen) or 'no lists of modules'}. Pass the tower "
        "that holds the blocks, or a model whose layers are not shared."
    )


def _config_of(model: nn.Module, path: str | None = None) -> Any:
    """Return the configuration nearest above ``path`` (default: of the blocks' own tower)."""
    if path is None:
        own = getattr(model, "config", None)
        if own is not None and _counts(own) and _has_width(own):
            return own
        path = _block_list(model)[0] if own is not None else ""
    parts = path.split(".") if path else []
    for depth in range(len(parts), -1, -1):
        config = getattr(model.get_submodule(".".join(parts[:depth])), "config", None)
        if config is not None and _counts(config):
            return config
    return getattr(model, "config", None)


def _counts(config: Any) -> set[int]:
    found = (getattr(config, name, None) for name in _COUNTS)
    return {int(n) for n in found if isinstance(n, int)}


def _has_width(config: Any) -> bool:
    return any(isinstance(getattr(config, name, None), int) for name in _WIDTHS)


def _width(config: Any) -> int:
    for name in _WIDTHS:
        found = getattr(config, name, None)
        if isinstance(found, int):
            return found
    raise InvalidInputError(
        f"`model` must have a configuration that names its hidden size ({', '.join(_WIDTHS)}), "
        f"got {type(config).__name__}. Pass a Hugging Face model."
    )


def _seen(block: nn.Module) -> str:
    parts = [f"{path} ({type(found).__name__})" for path, found in linears_in(block)]
    parts += [
        f"{path} ({type(found).__name__})"
        for path, found in block.named_modules()
        if norm_size(found) is not None
    ]
    return ", ".join(parts) or "neither linear maps nor norms"
