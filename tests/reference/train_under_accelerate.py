"""A script for `accelerate launch`: train, evaluate, resume, and stop together."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from isonomy.errors import TrainingStoppedError
from tiny_training import losses, model, rows, spoil, trainer, weights

SPOILT = 63


def run(folder: Path, *, batch: int, data=None, spoilt=False, **asked):
    """Train two epochs of 32 rows, 8 rows a step whatever the processes."""
    made = model().to(torch.float64)
    if spoilt:
        spoil(made, SPOILT)
    return trainer(
        folder,
        of=made,
        data=rows(32) if data is None else data,
        eval_dataset=rows(15, seed=1),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=2,
        num_train_epochs=2,
        optim="sgd",
        max_grad_norm=0.0,
        learning_rate=0.3,
        loss="equity",
        loss_settings={"weight": 1.0},
        **asked,
    )


def main(folder: Path) -> None:
    trained = run(folder / "run", batch=2, save_strategy="steps", save_steps=5)
    state = PartialState()
    assert state.num_processes == 2
    trained.train()
    found = {"losses": losses(trained), "metrics": trained.evaluate()}
    (folder / f"logs-{state.process_index}.json").write_text(json.dumps(found))
    end = {**weights(trained), **trained.objective.state_dict()}
    save_file(end, folder / f"end-{state.process_index}.safetensors")

    resumed = run(folder / "run", batch=2)
    resumed.train(resume_from_checkpoint=str(folder / "run" / "checkpoint-5"))
    end = {**weights(resumed), **resumed.objective.state_dict()}
    save_file(end, folder / f"resumed-{state.process_index}.safetensors")

    # one bad row: the process that does not have it must not wait for ever
    bad = rows(32)
    bad[11]["input_ids"][3] = SPOILT
    stopped = run(folder / "bad", batch=2, data=bad, spoilt=True)
    message = ""
    try:
        stopped.train()
    except TrainingStoppedError as error:
        message = str(error)
    (folder / f"stopped-{state.process_index}.txt").write_text(message)
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
