"""One plain training loop for every method: nothing but the method differs.

AdamW, linear warm-up and decay, gradients cut at a norm, the same number of steps, and, drawn by
the seed alone, the same batches for all methods that do not resample. Batches are of texts of
like length: windows of eight batches are sorted, so that little is padded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from _adapters.methods import Recipe

__all__ = ["Feed", "batches", "clock", "predict", "sampled", "train"]

WINDOW = 8
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Feed:
    """Rows that are ready to be batched: token numbers, or images (n, C, H, W)."""

    inputs: Any
    pad: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Return the tokens of each row; images are all alike."""
        if isinstance(self.inputs, list):
            return np.array([len(row) for row in self.inputs], dtype=np.intp)
        return np.zeros(len(self.inputs), dtype=np.intp)

    def batch(self, rows: Sequence[int] | Codes) -> dict[str, torch.Tensor]:
        """Return the model's arguments for these rows, padded on the right."""
        if not isinstance(self.inputs, list):
            return {"pixel_values": torch.from_numpy(self.inputs[np.asarray(rows)])}
        own = [self.inputs[i] for i in rows]
        width = max(map(len, own))
        ids = torch.full((len(own), width), self.pad)
        mask = torch.zeros((len(own), width), dtype=torch.long)
        for i, row in enumerate(own):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}


def sampled(y: Codes, sampling: str, rng: np.random.Generator) -> Iterator[Codes]:
    """Yield the rows of one pass after the other."""
    by_class = [np.flatnonzero(y == k) for k in range(int(y.max()) + 1)]
    fewest = min(len(own) for own in by_class if len(own))
    small = np.concatenate([rng.permutation(own)[:fewest] for own in by_class])
    present = [own for own in by_class if len(own)]
    while True:
        if sampling == "over":
            drawn = rng.integers(0, len(present), len(y))
            yield np.array([rng.choice(present[k]) for k in drawn])
        else:
            yield rng.permutation(small if sampling == "under" else len(y))


def batches(y: Codes, lengths: NDArray[np.intp], recipe: Recipe, *, seed: int) -> Iterator[Codes]:
    """Yield the rows of each of the ``recipe.steps`` batches."""
    rng = np.random.default_rng([seed, 1])
    size, left = recipe.batch_size, recipe.steps
    for rows in sampled(y, recipe.sampling, rng):
        found = []
        for start in range(0, len(rows), WINDOW * size):
            window = rows[start : start + WINDOW * size]
            window = window[np.argsort(lengths[window], kind="stable")]
            found += [window[i : i + size] for i in range(0, len(window), size)]
        # a rest of a few rows would be a step of its own, as heavy as any other
        full = [batch for batch in found if len(batch) >= min(size // 2, len(rows))]
        for i in rng.permutation(len(full)):
            if left == 0:
                return
            left -= 1
            yield full[i]


def train(
    model: Any, feed: Feed, y: Codes, objective: Any, recipe: Recipe, *, seed: int,
    groups: Codes | None = None, tell: Callable[[int, float], None] | None = None,
) -> float:  # fmt: skip
    """Train in place; return seconds a step. A loss that is not finite raises."""
    if not recipe.steps:
        return float("nan")
    device = next(model.parameters()).device
    parts = split_parameters(model, recipe)
    weights = [weight for part in parts for weight in part["params"]]
    optimiser = torch.optim.AdamW(parts, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    labels = torch.from_numpy(y)
    model.train()
    start = clock(device)
    for step, rows in enumerate(batches(y, feed.lengths, recipe, seed=seed)):
        objective.set_progress(step / recipe.steps)
        inputs = {name: value.to(device) for name, value in feed.batch(rows).items()}
        own = labels[rows].to(device)
        marks = None if groups is None else torch.from_numpy(groups[rows]).to(device)
        logits = logits_of(model, inputs)
        loss = objective.per_sample(logits, own, marks).mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} in step {step + 1}")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
        objective.observe(logits.detach(), own, marks)
        optimiser.step()
        schedule.step()
        objective.commit()
        if tell is not None:
            tell(step, float(loss))
    return (clock(device) - start) / recipe.steps


def clock(device: Any) -> float:
    """Return CPU-seconds, which other work leaves alone; on a GPU seconds of the wall."""
    return time.process_time() if str(device) == "cpu" else time.perf_counter()


def split_parameters(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """Return what is trained: the head at its own rate, the rest at the other."""
    head, body = [], []
    names = ("score", "classifier")
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            (head if any(part in name.split(".") for part in names) else body).append(weight)
    rate = recipe.lr if recipe.head_lr is None else recipe.head_lr
    found = [{"params": body, "lr": recipe.lr}, {"params": head, "lr": rate}]
    return [part for part in found if part["params"]]


def _rate(step: int, recipe: Recipe) -> float:
    """Rise over the warm-up, then fall to 0."""
    warm = max(1.0, recipe.warmup * recipe.steps)
    return min((step + 1) / warm, max(0.0, (recipe.steps - step) / max(recipe.steps - warm, 1.0)))


def logits_of(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the logits (n, K) of a batch, in float32."""
    found: torch.Tensor = model(**inputs).logits
    return found.float()


@torch.no_grad()
def predict(model: Any, feed: Feed, *, batch_size: int = 64) -> NDArray[np.float32]:
    """Return logits (n, K) of all rows, in their order."""
    device = next(model.parameters()).device
    model.eval()
    order = np.argsort(feed.lengths, kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        inputs = feed.batch(order[start : start + batch_size])
        inputs = {name: value.to(device) for name, value in inputs.items()}
        parts.append(logits_of(model, inputs).cpu().numpy())
    logits = np.concatenate(parts)
    found = np.empty_like(logits)
    found[order] = logits
    return found
