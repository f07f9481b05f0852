"""Seconds a step under `BiasAwareTrainer` beside transformers' Trainer, and of the start.

CPU-seconds on CPU, seconds of the wall on a GPU. All kinds take the same batches; they take turns,
and the ratio is the median over rounds: a machine that is busy for a while slows all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.store import read_record, write_record

from _adapters.cells import TUNED_ON
from _adapters.methods import METHODS
from _adapters.running import Settings, Tell, cell_rows
from _adapters.training import clock

__all__ = ["measure_step_time", "read_step_time"]

ROUNDS = 7
STEPS = 16
WARM = 4
KEY = {"rounds": ROUNDS, "steps": STEPS, "warm": WARM, "code": 1}


def _path(settings: Settings) -> Path:
    return settings.work / "step_time.json"


def read_step_time(settings: Settings) -> dict[str, Any] | None:
    """Return what was measured last, if anything was."""
    return read_record(_path(settings), KEY)


def measure_step_time(
    settings: Settings, tell: Tell, *, rounds: int = ROUNDS, steps: int = STEPS
) -> Iterator[str]:
    """Measure, store and yield a line for each kind."""
    import torch

    from _adapters.running import _quiet

    _quiet()
    torch.set_num_threads(settings.threads)
    seconds: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    for turn in range(rounds):
        for kind in ("plain", "cross_entropy", "equity", "intermediate"):
            spent, start = _one(kind, settings, steps)
            seconds.setdefault(kind, []).append(spent)
            if start:
                starts.setdefault(kind, []).append(start)
        tell("seconds a step", turn + 1, rounds)
    plain = np.array(seconds["plain"])
    found = {
        "rounds": rounds,
        "steps": steps,
        "seconds": {kind: float(np.median(own)) for kind, own in seconds.items()},
        "ratios": {
            f"BiasAwareTrainer, {kind}": float(np.median(np.array(own) / plain))
            for kind, own in seconds.items()
            if kind != "plain"
        },
        "start_in_steps": {
            kind: float(np.median(np.array(own) / plain)) for kind, own in starts.items()
        },
    }
    write_record(_path(settings), KEY, found)
    yield f"plain LoRA, transformers.Trainer: {found['seconds']['plain']:.4f} s a step"
    for name, ratio in found["ratios"].items():
        yield f"{name}: {ratio:.3f} times plain LoRA's step (median of {rounds} rounds)"
    for name, n in found["start_in_steps"].items():
        yield f"start of {name}: the time of {n:.1f} steps"


def _one(kind: str, settings: Settings, steps: int) -> tuple[float, float]:
    """Return seconds a step, and of the start where the kind has one."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from _adapters.model import build
    from isonomy.adapters import BiasAwareArguments, BiasAwareTrainer

    rows = cell_rows(TUNED_ON, settings.folder)
    # the intermediate losses on plain LoRA's own adapters: what the losses cost, nothing else
    recipe = METHODS["equity" if kind == "equity" else "lora"].recipes()[0]
    built = build(recipe, rows, settings.model, seed=0, device=settings.device)
    start = built.start_seconds if kind == "equity" else 0.0
    data = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(built.feed(rows.train.inputs).inputs, rows.train.y, strict=True)
    ]
    timer = _timer(settings)
    with tempfile.TemporaryDirectory() as folder:
        usual: dict[str, Any] = {
            "output_dir": folder, "max_steps": steps, "save_strategy": "no", "report_to": [],
            "per_device_train_batch_size": 32, "logging_strategy": "no", "disable_tqdm": True,
            "use_cpu": settings.device == "cpu", "seed": 0,
        }  # fmt: skip
        shared = {
            "model": built.model, "train_dataset": data, "callbacks": [timer],
            "data_collator": DataCollatorWithPadding(built.tokenizer),
        }  # fmt: skip
        if kind == "plain":
            Trainer(args=TrainingArguments(**usual), **shared).train()
        else:
            loss = dict(METHODS[kind].recipes()[0].loss) if kind in METHODS else {}
            args = BiasAwareArguments(
                **usual, strategy="lora" if kind == "cross_entropy" else kind, loss_settings=loss,
                class_names=list(rows.classes), class_counts=rows.counts.tolist(),
            )  # fmt: skip
            BiasAwareTrainer(args=args, **shared).train()
    return float(np.mean(timer.seconds[WARM:])), start


def _timer(settings: Settings) -> Any:
    from transformers import TrainerCallback

    class Timer(TrainerCallback):  # type: ignore[misc]
        """Time from the end of one step to the end of the next: fetching and all."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.last = 0.0

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.last = clock(settings.device)

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            now = clock(settings.device)
            self.seconds.append(now - self.last)
            self.last = now

    return Timer()
