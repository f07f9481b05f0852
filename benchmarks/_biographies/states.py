"""Hidden states of texts: what the model's own last head reads, pooled over the tokens.

One pass gives both poolings: the mean over the real tokens, and the last real token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_TOKENS", "POSITIONS", "encode", "pooled_states"]

MAX_TOKENS = 128
POSITIONS = ("mean", "last")

Tick = Callable[[int, int], None]
"""Called with the number of rows done, and how many there are."""


def encode(tokenizer: Any, texts: Sequence[str], *, max_tokens: int = MAX_TOKENS) -> list[Any]:
    """Return the token ids of each text, cut after ``max_tokens``."""
    ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    return [np.asarray(row, dtype=np.int64) for row in ids]


def pooled_states(
    model: Any, ids: Sequence[Any], *, pad: int, batch_size: int = 64, tick: Tick | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return ``{"mean": (n, d), "last": (n, d)}``, the states after the last norm.

    ``model`` is a decoder or an encoder without a head. Rows are taken in the order of their
    length, so that batches hold little padding.
    """
    import torch

    order = np.argsort([len(row) for row in ids], kind="stable")[::-1]
    device = next(model.parameters()).device
    found = {name: np.empty((len(ids), model.config.hidden_size), np.float32) for name in POSITIONS}
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            tokens, mask = padded([ids[row] for row in rows], pad)
            hidden = model(
                input_ids=tokens.to(device), attention_mask=mask.to(device), use_cache=False
            ).last_hidden_state.float()
            weight = mask.to(hidden)
            mean = (hidden * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
            last = hidden[torch.arange(len(rows)), mask.sum(1).to(device) - 1]
            found["mean"][rows], found["last"][rows] = mean.cpu().numpy(), last.cpu().numpy()
            if tick is not None:
                tick(start + len(rows), len(order))
    return found


def padded(rows: Sequence[Any], pad: int) -> tuple[Any, Any]:
    """Return token ids padded on the right, and their mask, as tensors."""
    import torch

    longest = max(len(row) for row in rows)
    tokens = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)], mask[i, : len(row)] = row, 1
    return torch.from_numpy(tokens), torch.from_numpy(mask)
