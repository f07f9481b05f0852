"""A loss or a gradient that is not finite stops training before the weights move."""

from __future__ import annotations

import pytest
import torch

from isonomy.adapters.losses import make_objective
from isonomy.errors import TrainingStoppedError
from tiny_training import model, rows, spoil, trainer, weights

SPOILT = 63


def spoilt_run(folder, *, row, **asked):
    made, data = model(), rows(24)
    spoil(made, SPOILT)
    data[row]["input_ids"][3] = SPOILT
    data = [{**r, "row": i} for i, r in enumerate(data)]
    return trainer(
        folder, of=made, data=data, train_sampling_strategy="sequential",
        gradient_accumulation_steps=2, save_strategy="steps", save_steps=1, **asked,
    )  # fmt: skip


def test_the_message_names_step_batch_row_and_term(tmp_path):
    made = spoilt_run(tmp_path, row=21, row_column="row")
    with pytest.raises(
        TrainingStoppedError,
        match=r"became NaN or infinite in step 3 of the optimiser \(global_step 2\), batch 1 of 2 "
        "in it, rows 21: the logits of the model are not finite there.",
    ):
        made.train()


def test_rows_without_numbers_are_named_by_their_place_in_the_batch(tmp_path):
    made = spoilt_run(tmp_path, row=10)
    with pytest.raises(TrainingStoppedError, match="step 2 .* batch 0 of 2 in it, positions 2: "):
        made.train()


def test_weights_statistics_and_checkpoints_are_the_last_good_ones(tmp_path):
    good, bad = (
        spoilt_run(tmp_path / name, row=20, **more)
        for name, more in {"good": {"max_steps": 3}, "bad": {"max_steps": 3}}.items()
    )
    good.train_dataset = good.train_dataset[:16] * 2  # its third step would be clean
    good.args.max_steps = 2
    good.args.lr_scheduler_type = bad.args.lr_scheduler_type = "constant"
    good.train()
    with pytest.raises(TrainingStoppedError):
        bad.train()
    for name, value in weights(good).items():
        assert torch.equal(weights(bad)[name], value), name
    for name, value in good.objective.state_dict().items():
        if name != "progress":  # the bad run was to have three steps
            assert torch.equal(bad.objective.state_dict()[name], value), name
    assert [p.name for p in sorted((tmp_path / "bad").iterdir())] == [
        "checkpoint-1",
        "checkpoint-2",
    ]
    clean = spoilt_run(tmp_path / "bad", row=20, max_steps=3)
    clean.train_dataset = rows(24)
    assert clean.train(resume_from_checkpoint=True).global_step == 3


def test_an_objective_that_is_not_finite_is_named(tmp_path):
    objective = make_objective("focal", class_counts=[12, 12, 4])
    inner = objective.per_sample
    objective.per_sample = lambda z, y, g=None: inner(z, y, g) * float("inf")
    made = trainer(tmp_path, objective=objective)
    with pytest.raises(TrainingStoppedError, match="the objective 'focal' of them is not"):
        made.train()


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    objective = make_objective("cross_entropy", class_counts=[12, 12, 4])
    inner = objective.per_sample
    # sqrt at 0: the value is finite, its slope is not
    objective.per_sample = lambda z, y, g=None: inner(z, y, g) + (z * 0).abs().sqrt().sum(dim=1)
    made = trainer(tmp_path, objective=objective)
    before = weights(made)
    with pytest.raises(TrainingStoppedError, match="the gradient became NaN or infinite"):
        made.train()
    assert all(torch.equal(before[name], value) for name, value in weights(made).items())
