"""Fine-tune a language model as a classifier of texts, in plain PyTorch and transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _biographies.states import padded

__all__ = ["Recipe", "finetune"]

BATCHES_SORTED = 16
"""Batches are cut from rows sorted by length within so many batches' worth of rows."""


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned: AdamW, one cycle, cross-entropy on mean-pooled states.

    ``max_tokens`` cuts the texts of the fine-tuning alone: it is most of what a run costs.
    """

    epochs: int = 2
    max_tokens: int = 64
    batch_size: int = 32
    body_rate: float = 3e-4
    head_rate: float = 3e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    warm_up: float = 0.1


def finetune(
    model: Any,
    ids: Sequence[NDArray[np.int64]],
    labels: NDArray[np.intp],
    *,
    pad: int,
    recipe: Recipe,
    seed: int,
    tick: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Change ``model``'s weights in place; return the weights and biases of its new head.

    ``model`` is a body without a head; class scores are a linear layer on the mean of its
    last states over the real tokens. The same seed gives the same weights on one thread.
    """
    import torch

    n_classes = int(labels.max()) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = torch.nn.Linear(model.config.hidden_size, n_classes)
        step = _descent(model, head, recipe, len(ids))
        total = recipe.epochs * _n_batches(len(ids), recipe.batch_size)
        model.train()
        cut = [row[: recipe.max_tokens] for row in ids]
        batches = _batches(cut, recipe, np.random.default_rng(seed))
        for n_steps, batch in enumerate(batches, start=1):
            tokens, mask = padded([cut[row] for row in batch], pad)
            step(tokens, mask, torch.from_numpy(labels[batch]))
            if tick is not None:
                tick(n_steps, total)
        model.eval()
    return head.weight.detach().numpy(), head.bias.detach().numpy()


def _descent(model: Any, head: Any, recipe: Recipe, n_rows: int) -> Callable[..., None]:
    """Return the function that takes one step on one batch."""
    import torch

    rates = [recipe.body_rate, recipe.head_rate]
    parts = [{"params": p.parameters(), "lr": r} for p, r in zip((model, head), rates, strict=True)]
    optimiser = torch.optim.AdamW(parts, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        rates,
        total_steps=recipe.epochs * _n_batches(n_rows, recipe.batch_size) + 1,
        pct_start=recipe.warm_up,
    )
    weights = [*model.parameters(), *head.parameters()]

    def step(tokens: Any, mask: Any, labels: Any) -> None:
        hidden = model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state
        weight = mask.to(hidden)
        mean = (hidden * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        scores = head(torch.nn.functional.dropout(mean, recipe.dropout))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(scores, labels).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()

    return step


def _n_batches(n_rows: int, batch_size: int) -> int:
    return -(-n_rows // batch_size)


def _batches(
    ids: Sequence[Any], recipe: Recipe, rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Yield every row once an epoch; rows of a batch are of similar length."""
    lengths = np.array([len(row) for row in ids])
    size = recipe.batch_size
    for _ in range(recipe.epochs):
        order = rng.permutation(len(ids))
        batches = []
        for start in range(0, len(order), size * BATCHES_SORTED):
            part = order[start : start + size * BATCHES_SORTED]
            part = part[np.argsort(lengths[part], kind="stable")]
            batches += [part[i : i + size] for i in range(0, len(part), size)]
        for i in rng.permutation(len(batches)):
            yield batches[i]
