"""A Trainer whose checkpoints appear whole, and whose runs do not mix in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer

from isonomy.adapters._train._checkpoints import (
    STAGING,
    check_checkpoint,
    check_free,
    last_checkpoint,
    publish,
    remove_checkpoints,
    remove_old,
)
from isonomy.adapters._train._weights import TRAINABLE, is_known, load_trainable, save_trainable

__all__ = ["SafeSavingTrainer"]


class SafeSavingTrainer(Trainer):  # type: ignore[misc]
    """Save each checkpoint under a hidden name, then rename it.

    Modules that are neither of transformers nor of PEFT are saved by their
    ``save_pretrained``, and resumed from what trains of them.
    """

    # where the checkpoint that is being written grows
    _staging: Path | None = None

    def _write_beside(self, checkpoint: Path) -> None:
        """Write what else belongs into a checkpoint; called on processes that save."""

    def _start_folder(self, resume: str | bool | None, *, is_search: bool) -> Path | None:
        """Return the checkpoint to start from, or see that a new run has its folder to itself."""
        output = Path(self.args.output_dir)
        if resume is not None and resume is not False:
            return last_checkpoint(output) if resume is True else check_checkpoint(str(resume))
        if is_search or str(self.args.save_strategy.value) == "no":
            return None
        if not self.args.overwrite_output_dir:
            check_free(output)
        self.accelerator.wait_for_everyone()  # all have looked before one deletes or writes
        if self.args.overwrite_output_dir and self.args.should_save:
            remove_checkpoints(output)
        self.accelerator.wait_for_everyone()
        return None

    def _get_output_dir(self, trial: Any) -> str:
        run: str = super()._get_output_dir(trial)
        return run if self._staging is None else str(self._staging)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        staged, target = run / STAGING / name, run / name
        best = self.state.best_model_checkpoint
        if self.args.should_save:
            shutil.rmtree(staged.parent, ignore_errors=True)  # of a killed run
        self.accelerator.wait_for_everyone()
        self._staging = staged.parent
        try:
            super()._save_checkpoint(model, trial)
            if self.state.best_model_checkpoint == str(staged):
                best = str(target)
            self.state.best_model_checkpoint = best
            self._complete(staged)
            self.accelerator.wait_for_everyone()
            self._publish(staged, target)
        finally:
            self._staging = None
            self.state.best_model_checkpoint = best
            if self.args.should_save:
                shutil.rmtree(staged.parent, ignore_errors=True)
        if self.args.should_save:
            remove_old(run, self.args.save_total_limit, best)
        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(target))

    def _complete(self, checkpoint: Path) -> None:
        if self.args.should_save:
            self._write_beside(checkpoint)
            # again: the first time it named the best checkpoint by the hidden folder
            self.state.save_to_json(str(checkpoint / "trainer_state.json"))

    def _publish(self, staged: Path, target: Path) -> None:
        if self.args.should_save:
            publish(staged, target)
        self.accelerator.wait_for_everyone()
        # machines without a common disk keep the generator states of their own processes
        if self.args.local_process_index == 0 and staged.exists():
            publish(staged, target)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if self._staging is None:  # an upload in the background needs a folder that stays
            super()._push_from_checkpoint(checkpoint_folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if is_known(model):
            super()._save(output_dir, state_dict=state_dict)
            return
        if not self.args.should_save:
            return
        folder = Path(self.args.output_dir if output_dir is None else output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_trainable(model, folder)
        if hasattr(model, "save_pretrained"):
            model.save_pretrained(folder)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self._load_trainable(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if not self._load_trainable(self.state.best_model_checkpoint):
            super()._load_best_model()

    def _load_trainable(self, folder: str | None) -> bool:
        """Load a module that the Trainer does not know; False if it is none."""
        module = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if folder is None or is_known(module) or not (Path(folder) / TRAINABLE).is_file():
            return False
        load_trainable(module, Path(folder))
        return True
