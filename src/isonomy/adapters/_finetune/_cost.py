"""What a run will cost: rows, tokens, steps, seconds by a few timed steps, and memory."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from isonomy.adapters._finetune._encoded import GROUPS, ROWS, EncodedRows
from isonomy.adapters._finetune._model import Classifier
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters._finetune._training import n_steps
from isonomy.adapters.losses import make_objective

__all__ = ["estimate_cost", "peak_megabytes"]

Progress = Callable[[str, int, int], None]

_TIMED = 3
_MEGABYTE = 2**20


def estimate_cost(
    classifier: Classifier,
    train: EncodedRows,
    *,
    n_judged: int,
    n_watched: int,
    counts: Sequence[int],
    group_names: Sequence[str] | None,
    options: FinetuneOptions,
    progress: Progress,
) -> dict[str, Any]:
    """Return the cost of a run, from three timed steps; no weight moves.

    Notes
    -----
    Seconds are those of the training steps, plus one third of a step's time for every batch
    that is only judged: a forward pass is a third of forward and backward. Memory is what
    the weights, the gradients and Adam's two moments (float32) take, and the peak that was
    measured while the steps ran.
    """
    steps = n_steps(len(train), options)
    seconds, n_tokens = _timed(classifier, train, counts, group_names, options, progress)
    looks = 10 if n_watched else 0
    batches = math.ceil(n_judged / options.batch_size) * (1 + options.before)
    batches += looks * math.ceil(n_watched / options.batch_size)
    judging = batches * seconds / max(1, options.accumulate) / 3
    return {
        "n_rows": len(train),
        "rows_a_step": options.batch_size * options.accumulate,
        "steps": steps,
        "epochs": steps * options.batch_size * options.accumulate / len(train),
        "tokens_a_row": float(train.lengths().mean()),
        "tokens_a_step": n_tokens,
        "seconds_a_step": seconds,
        "seconds_training": steps * seconds,
        "seconds_judging": judging,
        "seconds": steps * seconds + judging,
        "timed_steps": _TIMED,
        "memory": _memory(classifier),
        "device": str(classifier.device),
    }


def _timed(
    classifier: Classifier,
    train: EncodedRows,
    counts: Sequence[int],
    group_names: Sequence[str] | None,
    options: FinetuneOptions,
    progress: Progress,
) -> tuple[float, int]:
    """Return seconds and padded tokens of one step, medians of a few after one unmeasured."""
    objective = make_objective(
        options.objective,
        class_counts=list(counts),
        classes=list(classifier.classes),
        groups=None if group_names is None else list(group_names),
        **dict(options.loss_settings or {}),
    )
    rng = np.random.default_rng(options.random_state)
    module, mode = classifier.module, classifier.module.training
    module.train()
    spent, tokens = [], []
    try:
        for i in range(_TIMED + 1):
            progress("timing a few steps", i, _TIMED + 1)
            start = time.perf_counter()
            n = 0
            for _ in range(options.accumulate):
                chosen = rng.choice(len(train), size=min(options.batch_size, len(train)))
                batch = classifier.collate([train[int(j)] for j in chosen])
                n += _one_pass(classifier, objective, batch)
            module.zero_grad(set_to_none=True)
            if i:  # the first one also pays for what is set up once
                spent.append(time.perf_counter() - start)
                tokens.append(n)
    finally:
        module.zero_grad(set_to_none=True)
        module.train(mode)
    return float(np.median(spent)), int(np.median(tokens))


def _one_pass(classifier: Classifier, objective: Any, batch: dict[str, torch.Tensor]) -> int:
    batch = {name: value.to(classifier.device) for name, value in batch.items()}
    labels, groups = batch.pop("labels"), batch.pop(GROUPS, None)
    batch.pop(ROWS, None)
    logits = classifier.module(**batch).logits
    loss = objective.per_sample(logits, labels, groups).mean()
    loss.backward()
    if logits.is_cuda:
        torch.cuda.synchronize(logits.device)
    return int(batch["input_ids"].numel()) if "input_ids" in batch else 0


def _memory(classifier: Classifier) -> dict[str, Any]:
    weights = sum(p.numel() * p.element_size() for p in classifier.module.parameters())
    trained = [p for p in classifier.module.parameters() if p.requires_grad]
    optimiser = sum(p.numel() * (p.element_size() + 8) for p in trained)
    return {
        "weights_mb": weights / _MEGABYTE,
        "gradients_and_moments_mb": optimiser / _MEGABYTE,
        "peak_mb": peak_megabytes(),
        "device_peak_mb": device_megabytes(classifier.device),
    }


def peak_megabytes() -> float | None:
    """Return the largest resident memory of this process so far; None where not known."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def device_megabytes(device: torch.device) -> float | None:
    """Return the largest memory that tensors took on an accelerator; None on the CPU."""
    if device.type != "cuda":
        return None
    return float(torch.cuda.max_memory_allocated(device) / _MEGABYTE)
