"""Train through `BiasAwareTrainer`, and keep what the report says of the course."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import transformers

from isonomy.adapters._finetune._encoded import GROUPS, ROWS, EncodedRows
from isonomy.adapters._finetune._finishing import Finish
from isonomy.adapters._finetune._model import Classifier
from isonomy.adapters._finetune._options import FinetuneOptions
from isonomy.adapters.arguments import BiasAwareArguments

__all__ = ["Trained", "n_steps", "train", "training_arguments"]

Progress = Callable[[str, int, int], None]

_LOOKS = 10
"""How often a run is watched and saved."""

_WATCHED = ("accuracy", "macro_f1", "head_accuracy", "medium_accuracy", "tail_accuracy")


@dataclass(frozen=True)
class Trained:
    """What is said of a training that is over."""

    objective: str
    settings: dict[str, Any]
    steps: int
    planned: int
    resumed_at: int
    kept_step: int | None
    history: list[dict[str, Any]]
    seconds: float
    finish: Finish | None = None


def n_steps(n_rows: int, options: FinetuneOptions) -> int:
    """Return the steps of the optimiser that a run takes.

    Examples
    --------
    >>> n_steps(100, FinetuneOptions(epochs=3, batch_size=16))
    21
    >>> n_steps(100, FinetuneOptions(max_steps=5))
    5
    """
    if options.max_steps is not None:
        return options.max_steps
    passes = math.ceil(n_rows / options.batch_size)
    a_round = max(1, math.ceil(passes / options.accumulate))
    return max(1, math.ceil(options.epochs * a_round))


def training_arguments(
    folder: Path,
    options: FinetuneOptions,
    *,
    n_rows: int,
    has_validation: bool,
    classes: tuple[str, ...],
    group_names: list[str] | None,
) -> BiasAwareArguments:
    """Return the arguments of the trainer for these options."""
    look = max(1, math.ceil(n_steps(n_rows, options) / _LOOKS))
    patience = options.patience if has_validation else None
    return BiasAwareArguments(
        str(folder),
        strategy=options.strategy,
        loss=options.loss,
        loss_settings=None if options.loss_settings is None else dict(options.loss_settings),
        class_names=list(classes),
        group_column=GROUPS,
        group_names=group_names,
        row_column=ROWS,
        worst_group_patience=patience,
        num_train_epochs=options.epochs,
        max_steps=options.max_steps or -1,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.rate,
        lr_scheduler_type="linear",
        warmup_steps=options.warmup,  # below 1 it is a share of the steps
        weight_decay=options.weight_decay,
        eval_strategy="steps" if has_validation else "no",
        eval_steps=look,
        save_strategy="steps",
        save_steps=look,
        save_total_limit=2,
        logging_steps=max(1, look // 2),
        logging_first_step=True,
        train_sampling_strategy="group_by_length",  # short texts do not pay for long ones
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        use_cpu=options.device == "cpu",
        seed=options.random_state,
        data_seed=options.random_state,
        **_checkpointing(options),
    )


def _checkpointing(options: FinetuneOptions) -> dict[str, Any]:
    """Return the argument that trades time for memory, under the name of this transformers."""
    if not options.gradient_checkpointing:
        return {}
    names = ("activation_checkpointing", "gradient_checkpointing")
    known = {f.name for f in fields(transformers.TrainingArguments)}
    return {next(name for name in names if name in known): True}


class _Shown(transformers.TrainerCallback):  # type: ignore[misc]
    """Tell a progress callback how far the training is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._loss = ""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Remember the last loss."""
        if logs and "loss" in logs:
            self._loss = f", loss {float(logs['loss']):.3f}"

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Report the step."""
        self._progress(f"training{self._loss}", state.global_step, state.max_steps)


def train(
    classifier: Classifier,
    data: Mapping[str, EncodedRows],
    options: FinetuneOptions,
    folder: Path,
    *,
    group_names: list[str] | None,
    progress: Progress,
) -> Trained:
    """Train the classifier in place; go on from the newest checkpoint in ``folder``.

    Parameters
    ----------
    classifier : Classifier
    data : mapping
        The parts "train" and "validation".
    options : FinetuneOptions
    folder : Path
        Of the checkpoints.
    group_names : list of str, optional
    progress : callable

    Returns
    -------
    Trained
    """
    trainer = _trainer(classifier, data, options, folder, group_names, progress)
    going_on = any(folder.glob("checkpoint-*"))
    start = time.perf_counter()
    resumed_at = _newest(folder) if going_on else 0
    trainer.train(resume_from_checkpoint=going_on or None)
    seconds = time.perf_counter() - start
    state = trainer.state
    best = getattr(state, "best_model_checkpoint", None)
    return Trained(
        objective=trainer.objective.name,
        settings=dict(trainer.objective.settings),
        steps=int(state.global_step),
        planned=int(state.max_steps),
        resumed_at=resumed_at,
        kept_step=int(Path(best).name.rpartition("-")[2]) if best else None,
        history=_history(state.log_history),
        seconds=seconds,
    )


def _trainer(
    classifier: Classifier,
    data: Mapping[str, EncodedRows],
    options: FinetuneOptions,
    folder: Path,
    group_names: list[str] | None,
    progress: Progress,
) -> Any:
    from isonomy.adapters.trainer import BiasAwareTrainer

    watched = data["validation"] if len(data["validation"]) else None
    arguments = training_arguments(
        folder,
        options,
        n_rows=len(data["train"]),
        has_validation=watched is not None,
        classes=classifier.classes,
        group_names=group_names,
    )
    trainer = BiasAwareTrainer(
        model=classifier.module,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=watched,
        data_collator=classifier.collate,
        callbacks=[_Shown(progress)],
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    return trainer


def _newest(folder: Path) -> int:
    return max(int(p.name.rpartition("-")[2]) for p in folder.glob("checkpoint-*"))


def _history(logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the losses and the figures of the watched rows, step by step."""
    found: dict[int, dict[str, Any]] = {}
    for entry in logged:
        at = found.setdefault(int(entry["step"]), {"step": int(entry["step"])})
        if "loss" in entry:
            at["loss"] = float(entry["loss"])
        seen = {n: entry[f"eval_{n}"] for n in _WATCHED if _is_finite(entry.get(f"eval_{n}"))}
        if seen:
            at["validation"] = {n.removesuffix("_accuracy"): float(v) for n, v in seen.items()}
    return [found[step] for step in sorted(found) if len(found[step]) > 1]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
