"""Checkpoints: whole, resumed by the same run only, never mixed with another's."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers.trainer_utils import get_last_checkpoint

from isonomy.adapters.losses import make_objective
from isonomy.artefact import load_artefact
from isonomy.errors import (
    CorruptArtefactError,
    IncompleteCheckpointWarning,
    InvalidInputError,
    OutputError,
)
from tiny_training import losses, model, rows, trainer, weights

SAVED = {"save_strategy": "steps", "save_steps": 2}


def test_a_resumed_run_logs_and_ends_as_an_uninterrupted_one(tmp_path):
    alone = trainer(tmp_path / "a", max_steps=6, **SAVED)
    alone.train()
    resumed = trainer(tmp_path / "a", max_steps=6, **SAVED)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert losses(resumed) == losses(alone)
    for name, value in weights(alone).items():
        assert torch.equal(weights(resumed)[name], value)


def test_statistics_are_saved_with_their_owner(tmp_path):
    made = trainer(tmp_path, max_steps=2, **SAVED)
    made.train()
    found = load_artefact(tmp_path / "checkpoint-2" / "isonomy_statistics.safetensors")
    assert found.config["objective"] == "equity" and found.config["global_step"] == 2
    assert found.config["classes"] == ["joy", "fear", "trust"]
    assert found.config["class_counts"] == [12, 12, 4]
    for name, value in made.objective.state_dict().items():
        assert torch.equal(torch.from_numpy(found.tensors[name]), value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"loss": "focal"}, "the objective of .* were 'equity', and are 'focal' now"),
        ({"loss_settings": {"weight": 0.9}}, "the settings of the objective of"),
        ({"class_names": ["a", "b", "c"]}, r"the classes of .* were \['joy', 'fear', 'trust'\]"),
        ({"class_counts": [9, 9, 4]}, "the training rows of the classes of"),
        ({"group_names": ["F", "M"]}, r"the groups of .* were \['0', '1'\]"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, asked, message):
    trainer(tmp_path, max_steps=2, **SAVED).train()
    with pytest.raises(InvalidInputError, match=message):
        trainer(tmp_path, max_steps=4, **{**SAVED, **asked}).train(resume_from_checkpoint=True)


def test_an_error_while_saving_leaves_the_earlier_checkpoint(tmp_path):
    made = trainer(tmp_path, max_steps=4, **SAVED)
    inner = made._save_optimizer_and_scheduler

    def fail(folder):
        inner(folder)
        if made.state.global_step == 4:
            raise RuntimeError("no space")

    made._save_optimizer_and_scheduler = fail
    with pytest.raises(RuntimeError, match="no space"):
        made.train()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
    assert get_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert trainer(tmp_path, max_steps=4, **SAVED).train(True).global_step == 4


def test_a_rename_that_fails_brings_back_what_was_there(tmp_path, monkeypatch):
    from isonomy.adapters._train import _checkpoints

    target, staged = tmp_path / "checkpoint-2", tmp_path / ".saving" / "checkpoint-2"
    for folder, text in ((target, "old"), (staged, "new")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(text)
    inner = _checkpoints.Path.rename

    def fail(self, to):
        if self == staged:
            raise OSError(28, "No space left on device")
        return inner(self, to)

    monkeypatch.setattr(_checkpoints.Path, "rename", fail)
    with pytest.raises(OutputError, match="could not be: No space left on device"):
        _checkpoints.publish(staged, target)
    assert (target / "file").read_text() == "old"
    monkeypatch.undo()
    _checkpoints.publish(staged, target)
    assert (target / "file").read_text() == "new" and len(list(tmp_path.iterdir())) == 2


def test_a_half_checkpoint_is_passed_over(tmp_path):
    trainer(tmp_path, max_steps=4, **SAVED).train()
    (tmp_path / "checkpoint-4" / "trainer_state.json").unlink()
    again = trainer(tmp_path, max_steps=4, **SAVED)
    with pytest.warns(IncompleteCheckpointWarning, match="checkpoint-4' is no whole checkpoint"):
        again.train(resume_from_checkpoint=True)
    assert losses(again) and again.state.global_step == 4


def test_damaged_statistics_are_refused(tmp_path):
    trainer(tmp_path, max_steps=2, **SAVED).train()
    file = tmp_path / "checkpoint-2" / "isonomy_statistics.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CorruptArtefactError):
        trainer(tmp_path, max_steps=4, **SAVED).train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    ("resume", "message"),
    [(True, "has none"), ("nowhere", "'nowhere' is none"), (".", "no trainer_state.json")],
)
def test_a_checkpoint_that_is_not_there_is_an_error(tmp_path, resume, message):
    with pytest.raises(InvalidInputError, match=message):
        trainer(tmp_path, **SAVED).train(resume_from_checkpoint=resume)


@pytest.mark.parametrize("name", ["checkpoint-3", "model.safetensors"])
def test_a_new_run_wants_a_folder_of_its_own(tmp_path, name):
    (tmp_path / name).mkdir()
    made = trainer(tmp_path, max_steps=2, **SAVED)
    before = weights(made)
    with pytest.raises(InvalidInputError, match=f"must be empty for a new run.* holds {name}"):
        made.train()
    assert all(torch.equal(before[k], v) for k, v in weights(made).items())
    trainer(tmp_path, max_steps=1).train()  # it writes no checkpoint


def test_overwriting_deletes_earlier_checkpoints(tmp_path):
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    trainer(tmp_path, max_steps=2, overwrite_output_dir=True, **SAVED).train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "notes.txt"]
    assert get_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")


def test_no_more_checkpoints_than_asked_for_and_the_best_one_stays(tmp_path):
    scores = iter([0.2, 0.9, 0.3, 0.1])
    made = trainer(
        tmp_path, max_steps=4, save_strategy="steps", save_steps=1, eval_strategy="steps",
        eval_steps=1, save_total_limit=2, eval_dataset=rows(7), load_best_model_at_end=True,
        metric_for_best_model="score", compute_metrics=lambda _: {"score": next(scores)},
    )  # fmt: skip
    made.train()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert made.state.best_model_checkpoint == str(tmp_path / "checkpoint-2")
    said = (tmp_path / "checkpoint-4" / "trainer_state.json").read_text()
    assert ".saving" not in said and str(tmp_path / "checkpoint-2") in said


def test_saving_a_step_again_replaces_it(tmp_path):
    trainer(tmp_path, max_steps=4, **SAVED).train()
    shutil.copytree(tmp_path / "checkpoint-2", tmp_path / "kept")
    again = trainer(tmp_path, max_steps=4, **SAVED)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-2", "checkpoint-4", "kept"]


def test_a_second_run_of_one_trainer_starts_with_empty_statistics(tmp_path):
    made = trainer(tmp_path, max_steps=2)
    empty = made.objective.state_dict()
    made.train()
    moved = made.objective.state_dict()
    assert not torch.equal(moved["cell_rows"], empty["cell_rows"])
    made.train()
    assert torch.equal(made.objective.state_dict()["cell_rows"], moved["cell_rows"])


def test_full_fine_tuning_is_resumed_too(tmp_path):
    whole = {"of": model(lora=False), "max_steps": 4, "strategy": "full", **SAVED}
    alone = trainer(tmp_path, **whole)
    alone.train()
    again = trainer(tmp_path, **{**whole, "of": model(lora=False)})
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert all(torch.equal(weights(again)[k], v) for k, v in weights(alone).items())


def test_an_objective_of_ones_own_is_saved_too(tmp_path):
    def made():
        objective = make_objective("group_dro", class_counts=[12, 12, 4], step_size=0.5)
        return trainer(tmp_path, objective=objective, max_steps=4, group_column=None, **SAVED)

    alone, again = made(), made()
    alone.train()
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in alone.objective.state_dict().items():
        assert torch.equal(again.objective.state_dict()[name], value)
