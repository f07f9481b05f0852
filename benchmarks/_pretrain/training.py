"""Train next-token prediction on packed blocks; stop anywhere, go on with the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _pretrain.checkpoint import load_checkpoint, save_checkpoint
from _pretrain.model import Size

__all__ = ["held_out_losses", "packed", "train"]

WARM_UP = 0.03
LAST = 0.1
"""Share of the largest rate at which the schedule ends."""

Tick = Callable[[int, int, float], None]
"""Called with the number of steps done, how many there are, and the last loss in nats."""


def packed(tokenizer: Any, texts: Sequence[str], length: int) -> NDArray[np.int64]:
    """Return blocks ``(n, length)``: all texts behind each other, each begun by ``<s>``."""
    ids = [np.asarray(row, np.int64) for row in tokenizer(list(texts))["input_ids"]]
    flat = np.concatenate(ids)
    n = len(flat) // length
    return flat[: n * length].reshape(n, length)


def train(
    model: Any, blocks: NDArray[np.int64], size: Size, *,
    seed: int, folder: Path, key: str, checkpoint_every: int, tick: Tick | None = None,
) -> None:  # fmt: skip
    """Change ``model``'s weights in place, from the checkpoint in ``folder`` if there is one.

    Batches depend on seed and step alone, and the network has no dropout: on one machine an
    interrupted training ends with the very weights of one that ran through. ``key`` says what
    is trained on what; a checkpoint under another key is not taken up.
    """
    import torch

    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=size.rate, betas=(0.9, 0.95), weight_decay=0.05
    )
    per_epoch = math.ceil(len(blocks) / size.batch_size)
    total = size.epochs * per_epoch
    first = load_checkpoint(folder, key, model, optimiser)
    half = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
    model.train()
    for step in range(first, total):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(blocks))
        rows = order[place * size.batch_size : (place + 1) * size.batch_size]
        for part in optimiser.param_groups:
            part["lr"] = size.rate * schedule(step, total)
        batch = torch.from_numpy(blocks[rows]).to(device)
        with half:
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % checkpoint_every == 0 or step + 1 == total:
            save_checkpoint(folder, key, model, optimiser, step + 1)
        if tick is not None:
            tick(step + 1, total, float(loss.detach()))


def schedule(step: int, total: int) -> float:
    """Return the share of the largest rate: a short linear rise, then half a cosine."""
    rise = max(1, round(WARM_UP * total))
    if step < rise:
        return (step + 1) / rise
    way = (step - rise) / max(1, total - rise)
    return LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * way))


def held_out_losses(
    model: Any, tokenizer: Any, texts: Sequence[str], context: int
) -> tuple[float, int, int]:
    """Return the summed loss in nats, the tokens predicted and their bytes, each text alone.

    Texts are cut after ``context`` tokens; the begin token is given, not predicted.
    """
    import torch

    ids = sorted((row[:context] for row in tokenizer(list(texts))["input_ids"]), key=len)
    device, pad = next(model.parameters()).device, tokenizer.pad_token_id
    lost, n = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(ids), 64):
            rows = ids[start : start + 64]
            tokens = torch.full((len(rows), len(rows[-1])), pad)
            for i, row in enumerate(rows):
                tokens[i, : len(row)] = torch.tensor(row)
            labels = torch.where(tokens == pad, -100, tokens).to(device)
            scores = model(input_ids=tokens.to(device), use_cache=False).logits[:, :-1].float()
            flat = labels[:, 1:].reshape(-1)
            lost += float(
                torch.nn.functional.cross_entropy(
                    scores.reshape(len(flat), -1), flat, ignore_index=-100, reduction="sum"
                )
            )
            n += int((flat != -100).sum())
    n_bytes = sum(len(tokenizer.decode(row, skip_special_tokens=True).encode()) for row in ids)
    return lost, n, n_bytes
