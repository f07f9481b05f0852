"""Perplexity, literally: text by text, token by token, without padding."""

from __future__ import annotations

import math
from typing import Any

import torch


def literal_perplexity(
    model: Any, tokenizer: Any, texts: list[str], *, max_length: int | None = None
) -> float:
    """Return exp of the mean of -log p(token | tokens before it) over all predicted tokens."""
    losses = []
    for text in texts:
        ids = tokenizer(text)["input_ids"][:max_length]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0].double()
        losses += [-float(torch.log_softmax(logits[t - 1], -1)[ids[t]]) for t in range(1, len(ids))]
    return math.exp(sum(losses) / len(losses))
