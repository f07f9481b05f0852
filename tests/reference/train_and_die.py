"""A script: runs that are killed, runs that resume them, and one that is left alone.

Each run is a fork of one process that has imported everything and computed nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import TrainerCallback

from tiny_training import model, rows, trainer, weights

N_STEPS, SAVED_EACH = 8, 2


class DieAt(TrainerCallback):
    """Kill this process when a step is over: no handler, no clean-up."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, *, resume: bool, die_at: int | None, die_saving: int | None) -> None:
    # dropout: the generators of random numbers must come back too
    trained = trainer(
        folder / "checkpoints",
        of=model(hidden_dropout_prob=0.1),
        data=rows(26),
        max_steps=N_STEPS,
        gradient_accumulation_steps=2,
        save_strategy="steps",
        save_steps=SAVED_EACH,
        loss="equity",
        loss_settings={"weight": 1.0, "ramp": 0.5},
        callbacks=[] if die_at is None else [DieAt(die_at)],
    )
    if die_saving is not None:
        inner = trained._save_rng_state

        def save(output_dir: str) -> None:
            if trained.state.global_step == die_saving:
                os.kill(os.getpid(), signal.SIGKILL)
            inner(output_dir)

        trained._save_rng_state = save
    trained.train(resume_from_checkpoint=resume)
    statistics = trained.objective.state_dict()
    save_file({**weights(trained), **statistics}, folder / "end.safetensors")


def forked(folder: Path, **asked) -> int:
    """Run in a child; return its exit code, minus the signal if one ended it."""
    folder.mkdir(exist_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        run(folder, **asked)
        sys.stdout.flush()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = sorted(path.name for path in (folder / "checkpoints").iterdir())
    (folder / f"seen-{'resumed' if asked['resume'] else 'first'}.txt").write_text(" ".join(seen))
    return status


def main(folder: Path) -> None:
    none = {"resume": False, "die_at": None, "die_saving": None}
    codes = [
        forked(folder / "alone", **none),
        forked(folder / "killed", **{**none, "die_at": 5}),
        forked(folder / "killed", **{**none, "resume": True}),
        forked(folder / "saving", **{**none, "die_saving": 4}),
        forked(folder / "saving", **{**none, "resume": True}),
    ]
    (folder / "codes.txt").write_text(" ".join(map(str, codes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
