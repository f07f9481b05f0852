"""Perplexity of held-out text under the adapted body and the language model's own head."""

from __future__ import annotations

import math
from typing import Any

import torch

from _adapters.data import tokenize
from _adapters.training import Feed

__all__ = ["perplexity"]

BATCH = 32


@torch.no_grad()
def perplexity(model: Any, tokenizer: Any, texts: list[str]) -> float | None:
    """Return exp of the mean loss a token; None where the model has no tied language head.

    A sequence classifier keeps no language head, but where it is tied to the embeddings (which
    no adapter here touches) it is still at hand: what the adapters do to the body, they do to
    the language model.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = inner.config
    if not getattr(config, "tie_word_embeddings", False) or getattr(config, "is_encoder", False):
        return None
    body = getattr(inner, inner.base_model_prefix)
    head = inner.get_input_embeddings().weight
    feed = Feed(tokenize(tokenizer, texts), tokenizer.pad_token_id)
    model.eval()
    total = n = 0.0
    for start in range(0, len(feed), BATCH):
        rows = range(start, min(start + BATCH, len(feed)))
        batch = {name: value.to(head.device) for name, value in feed.batch(rows).items()}
        hidden = body(**batch).last_hidden_state[:, :-1].float()
        wanted, known = batch["input_ids"][:, 1:], batch["attention_mask"][:, 1:].bool()
        loss = torch.nn.functional.cross_entropy(hidden[known] @ head.T.float(), wanted[known])
        total += float(loss) * int(known.sum())
        n += int(known.sum())
    return math.exp(total / n)
