"""Log-probabilities of labels behind prompts: prompts and shared beginnings are read once.

Two ways, the same numbers. Families whose attention takes any mask read the prompt and all
labels in one pass, the labels side by side as the branches of a tree. Any other family reads
the prompt, and then the labels as rows behind copies of its cache.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from isonomy.adapters._head._label_tree import Branches, Chunk, LabelTree
from isonomy.hidden_states._model._layout import unwrap

__all__ = ["label_scores"]

_MOST_SLOTS = 1 << 14
"""Tokens that the caches of one chunk of labels may hold, over all rows."""

_MOST_LOGITS = 1 << 28
"""Numbers that the logits behind the branches of one pass may hold, over all prompts."""

_FEWEST_NODES = 64
"""Branches of one pass all the same: each pass reads the prompt again."""

_DENSE = "falcon gemma gpt2 gpt_neox granite llama mistral olmo2 opt phi phi3 qwen2 qwen3 stablelm"
_READS_BRANCHES = frozenset(_DENSE.split())
"""Model types whose attention follows a mask of four dimensions and the positions it is given."""


@dataclass(frozen=True)
class _Prompts:
    """Prompts with their padding on the left, so that a label follows the last token."""

    ids: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, ids: torch.Tensor, mask: torch.Tensor) -> _Prompts:
        """Move the padding to the left, wherever it is, and cut what is padding in all rows."""
        order = torch.argsort(mask, dim=1, stable=True)
        ids, mask = ids.gather(1, order), mask.gather(1, order)
        unused = ids.shape[1] - int(mask.sum(dim=1).max())
        return cls(ids[:, unused:], mask[:, unused:])

    @property
    def positions(self) -> torch.Tensor:
        """Position of every token among the real ones."""
        return (self.mask.cumsum(dim=1) - 1).clamp(min=0)


def label_scores(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, tree: LabelTree
) -> torch.Tensor:
    """Return the sums of the labels' token log-probabilities given each prompt.

    Parameters
    ----------
    model : Module
        A causal language model.
    ids, mask : Tensor of shape (n, tokens)
        Prompts, padded on either side.
    tree : LabelTree

    Returns
    -------
    Tensor of shape (n, K)
        In float32, with gradient where the model has one.
    """
    prompts = _Prompts.of(ids, mask)
    if tree.longest and _reads_branches(model, prompts.ids.shape[1] + tree.longest):
        return _by_branches(model, prompts, tree)
    return _by_rows(model, prompts, tree)


def _reads_branches(model: Any, length: int) -> bool:
    inner: Any = unwrap(model)
    config = inner.config
    window = getattr(config, "sliding_window", None)
    return (
        getattr(config, "model_type", None) in _READS_BRANCHES
        and type(inner).__module__.startswith("transformers.")
        and getattr(config, "_attn_implementation", None) in ("eager", "sdpa")
        and not getattr(config, "alibi", False)
        # the mask stands for the window too, which this short text never leaves
        and (window is None or length <= window)
    )


def _by_branches(model: Any, prompts: _Prompts, tree: LabelTree) -> torch.Tensor:
    ids = prompts.ids
    inner: Any = unwrap(model)
    n_words = inner.config.get_text_config().vocab_size
    size = max(_FEWEST_NODES, _MOST_LOGITS // (len(ids) * n_words))
    scores = torch.zeros(len(ids), len(tree.labels), device=ids.device)
    for part in tree.branches(size):
        branches = part.to(ids.device)
        n = len(branches.ids)
        behind = prompts.mask.sum(dim=1, keepdim=True) + branches.depth
        read = _read(
            model,
            torch.cat([ids, branches.ids.expand(len(ids), n)], dim=1),
            _tree_mask(model, prompts.mask, branches),
            torch.cat([prompts.positions, behind], dim=1),
            keep=n + 1, use_cache=False,
        )  # fmt: skip
        exact = read.logits[:, -(n + 1) :].float()  # bfloat16 has no room for the sum over words
        totals = exact.logsumexp(dim=-1)
        found = exact[:, branches.place, branches.token] - totals[:, branches.place]
        scores = scores.index_add(1, branches.label, found)
    return scores


def _tree_mask(model: Any, real: torch.Tensor, branches: Branches) -> torch.Tensor:
    """Return which token sees which, (n, 1, tokens, tokens), as the attention wants it."""
    n, before = real.shape
    size = before + len(branches.ids)
    sees = torch.zeros(n, size, size, dtype=torch.bool, device=real.device)
    sees[:, :, :before] = real.bool()[:, None]
    sees[:, :before, :before] &= torch.ones_like(sees[0, :before, :before]).tril()
    sees[:, before:, before:] = branches.sees
    # padding sees itself: a token that sees nothing would be NaN, and spread
    sees |= torch.eye(size, dtype=torch.bool, device=real.device)
    inner: Any = unwrap(model)
    if inner.config._attn_implementation == "sdpa":
        return sees[:, None]
    dtype = inner.dtype
    hidden = torch.zeros(n, 1, size, size, dtype=dtype, device=real.device)
    return hidden.masked_fill(~sees[:, None], torch.finfo(dtype).min)


def _by_rows(model: Any, prompts: _Prompts, tree: LabelTree) -> torch.Tensor:
    ids = prompts.ids
    wants_cache = tree.longest > 0 and not _drops_cache(model)
    read = _read(model, ids, prompts.mask, prompts.positions, keep=1, use_cache=wants_cache)
    last: torch.Tensor = read.logits[:, -1].float()
    first = tree.first.to(ids.device)
    scores = last[:, first] - last.logsumexp(dim=-1, keepdim=True)
    cache = _shareable(getattr(read, "past_key_values", None)) if wants_cache else None
    size = max(1, _MOST_SLOTS // (len(ids) * (ids.shape[1] + tree.longest)))
    for chunk in tree.chunks(size):
        on_device = chunk.to(ids.device)
        found = _looked_up(_logits_behind(model, prompts, on_device, cache), on_device)
        scores = scores.index_add(1, on_device.label, found)
    return scores


def _logits_behind(
    model: Any, prompts: _Prompts, chunk: Chunk, cache: DynamicCache | None
) -> torch.Tensor:
    """Return the logits after every token of the chunk behind every prompt, (n, rows, T, V).

    Without a cache (gradient checkpointing drops it, some families keep none that can be
    shared) prompt and labels are read as whole sequences: the same numbers, for more work.
    """
    n, (rows, length) = len(prompts.ids), chunk.ids.shape
    ids, mask = chunk.ids.repeat(n, 1), chunk.mask.repeat(n, 1)
    before = prompts.mask.repeat_interleave(rows, dim=0)
    positions = before.sum(dim=1, keepdim=True) + torch.arange(length, device=ids.device)
    if cache is None:
        ids = torch.cat([prompts.ids.repeat_interleave(rows, dim=0), ids], dim=1)
        positions = torch.cat([prompts.positions.repeat_interleave(rows, dim=0), positions], dim=1)
    more = {} if cache is None else {"past_key_values": _repeated(cache, rows)}
    read = _read(
        model, ids, torch.cat([before, mask], dim=1), positions,
        keep=length, use_cache=cache is not None, **more,
    )  # fmt: skip
    logits: torch.Tensor = read.logits[:, -length:]
    return logits.reshape(n, rows, length, -1)


def _looked_up(logits: torch.Tensor, chunk: Chunk) -> torch.Tensor:
    """Return the log-probabilities that the chunk asks for, (n, lookups)."""
    exact = logits.float()  # bfloat16 has no room for a sum over the vocabulary
    totals = exact.logsumexp(dim=-1)
    return exact[:, chunk.row, chunk.place, chunk.token] - totals[:, chunk.row, chunk.place]


def _read(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    *,
    keep: int,
    **more: Any,
) -> Any:
    accepted = inspect.signature(unwrap(model).forward).parameters
    if "position_ids" in accepted:
        more["position_ids"] = positions
    if "logits_to_keep" in accepted:
        more["logits_to_keep"] = keep
    return model(input_ids=ids, attention_mask=mask, return_dict=True, **more)


def _drops_cache(model: Any) -> bool:
    """Whether layers recompute in the backward pass: they give no cache then."""
    parts = unwrap(model).modules()
    return any(getattr(part, "gradient_checkpointing", False) and part.training for part in parts)


def _shareable(cache: Any) -> DynamicCache | None:
    """Return the cache if it keeps keys and values of every token, else None."""
    if not isinstance(cache, DynamicCache):
        return None
    plain = all(isinstance(layer, DynamicLayer) for layer in cache.layers)
    return cache if plain else None


def _repeated(cache: DynamicCache, times: int) -> DynamicCache:
    """Return a cache of ``times`` rows for each row; the given one stays as it is."""
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    new.batch_repeat_interleave(times)
    return new
