"""One step of the optimiser is one step, however its rows are parted."""

from __future__ import annotations

import pytest
import torch
from transformers import Trainer, TrainingArguments

from isonomy.adapters.losses import make_objective
from tiny_training import arguments, losses, model, rows, trainer, weights

OBJECTIVES = {
    "cross_entropy": {},
    "ldam_drw": {"deferred": 0.5},
    "group_dro": {"step_size": 0.5},
    "equity": {"weight": 1.0},
    "label_balance": {},
    "equal_opportunity": {},
    "multi_label_balance": {},
}


def run(folder, name, batch, accumulate, *, dtype=torch.float64):
    several = name.startswith("multi")
    trained = trainer(
        folder,
        of=model().to(dtype),
        data=rows(26, several=several),  # 16 and 10: the last window is not full
        loss=name,
        loss_settings=OBJECTIVES[name],
        multi_label=several,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulate,
        num_train_epochs=2,
        optim="sgd",
        max_grad_norm=0.0,
    )
    trained.train()
    return trained


@pytest.mark.parametrize("name", OBJECTIVES)
def test_four_batches_of_four_are_one_batch_of_sixteen(tmp_path, name):
    whole, parted = run(tmp_path, name, 16, 1), run(tmp_path, name, 4, 4)
    assert whole.state.global_step == parted.state.global_step == 4
    for key, value in weights(whole).items():
        # float64 throughout: what is left is the order of sums
        torch.testing.assert_close(weights(parted)[key], value, rtol=1e-9, atol=1e-12)
    assert losses(parted) == pytest.approx(losses(whole), rel=1e-6)  # the log is float32
    for key, value in whole.objective.state_dict().items():
        torch.testing.assert_close(parted.objective.state_dict()[key], value, rtol=1e-9, atol=1e-12)


def test_the_run_is_that_of_a_bare_loop(tmp_path):
    """An oracle: the loop of the documentation of the losses, without any trainer."""
    trained = run(tmp_path, "equity", 4, 4, dtype=torch.float64)
    order = list(iter(run(tmp_path, "equity", 16, 1).get_train_dataloader().sampler))
    assert sorted(order) == list(range(26))

    bare = model().to(torch.float64).train()
    objective = make_objective("equity", class_counts=[12, 11, 3], weight=1.0)
    optimiser = torch.optim.SGD([p for p in bare.parameters() if p.requires_grad], lr=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / 4)
    for epoch in range(2):
        loader = trained.get_train_dataloader()
        loader.set_epoch(epoch)
        batches = list(loader)
        for first in (0, 4):
            window = batches[first : first + 4]
            n = sum(len(batch["labels"]) for batch in window)
            objective.set_progress((2 * epoch + first // 4) / 4)
            for batch in window:
                z = bare(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
                (objective.per_sample(z, batch["labels"]).sum() / n).backward()
                objective.observe(z, batch["labels"])
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            objective.commit()
    found = weights(trained)
    for name, value in bare.named_parameters():
        if value.requires_grad:
            # to the bit but for the order in which two gradients are added
            torch.testing.assert_close(found[name], value.detach(), rtol=1e-9, atol=1e-14)


def test_with_cross_entropy_it_is_the_trainer_of_transformers(tmp_path):
    mine = run(tmp_path, "cross_entropy", 4, 4)
    asked = {
        name: getattr(mine.args, name)
        for name in ("use_cpu", "report_to", "disable_tqdm", "save_strategy", "learning_rate",
                     "num_train_epochs", "optim", "max_grad_norm", "dataloader_pin_memory")
    }  # fmt: skip
    plain = Trainer(
        model().to(torch.float64),
        TrainingArguments(str(tmp_path), per_device_train_batch_size=16, **asked),
        train_dataset=rows(26, groups=False),
    )
    plain.train()
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(mine)[name], value, rtol=1e-9, atol=1e-12)


def test_rows_without_a_label_count_for_nothing(tmp_path):
    data = rows(16)
    for row in data[::4]:
        row["labels"] = -100
    with_gaps = trainer(tmp_path, data=data, per_device_train_batch_size=16, loss="cross_entropy")
    assert with_gaps.task.class_counts.sum() == 12
    batch = next(iter(with_gaps.get_train_dataloader()))
    _, n = with_gaps.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    assert int(n) == 12


def test_labels_and_groups_never_reach_the_model(tmp_path):
    trained = trainer(tmp_path, max_steps=1, row_column="row",
                      data=[{**row, "row": i} for i, row in enumerate(rows(14))])  # fmt: skip
    seen = []
    trained.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(set(kwargs)), with_kwargs=True
    )
    trained.train()
    trained.evaluate(rows(7))
    assert seen == [{"input_ids", "attention_mask"}] * 2


def test_progress_runs_from_zero_to_the_last_step(tmp_path):
    trained = trainer(tmp_path, data=rows(16), loss="ldam_drw", num_train_epochs=2)
    seen = []
    inner = trained.objective.set_progress
    trained.objective.set_progress = lambda f: (seen.append(f), inner(f))
    trained.train()
    assert seen[-8:] == [i / 8 for i in range(8)]
    assert set(seen[:-8]) == {0.0}  # when the state is put in


def test_values_of_the_objective_are_in_the_log_of_training_alone(tmp_path):
    trained = trainer(tmp_path, max_steps=1, eval_dataset=rows(7))
    trained.train()
    trained.evaluate()
    first, *_, last = trained.state.log_history
    assert {"loss", "objective_penalty", "objective_margin"} <= set(first)
    assert not any(key.startswith("objective") for key in last)


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize(
    "asked",
    [{"bf16": True}, {"activation_checkpointing": True}, {"dataloader_num_workers": 1}],
    ids=["bf16", "checkpointing", "workers"],
)
def test_the_trainers_own_switches_work(tmp_path, kind, asked):
    changes = {"pad_token_id": 0} if kind == "llama" else {}
    trained = trainer(tmp_path, of=model(kind, **changes), max_steps=2, **asked)
    before = weights(trained)
    trained.train()
    assert len(losses(trained)) == 2 and all(torch.isfinite(torch.tensor(losses(trained))))
    assert any(not torch.equal(before[k], v) for k, v in weights(trained).items())


def test_checkpointed_activations_give_the_same_weights(tmp_path):
    plain, again = (
        trainer(tmp_path, max_steps=3, activation_checkpointing=asked) for asked in (False, True)
    )
    plain.train()
    again.train()
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(again)[name], value, rtol=1e-5, atol=1e-6)


def test_an_own_loss_function_is_refused(tmp_path):
    from isonomy.adapters.trainer import BiasAwareTrainer
    from isonomy.errors import InvalidInputError

    with pytest.raises(InvalidInputError, match="`compute_loss_func` of `BiasAwareTrainer`"):
        BiasAwareTrainer(model(), arguments(tmp_path), train_dataset=rows(8),
                         compute_loss_func=lambda *_: 0)  # fmt: skip
    with pytest.raises(InvalidInputError, match="must be BiasAwareArguments, got TrainingArg"):
        BiasAwareTrainer(model(), TrainingArguments(str(tmp_path), use_cpu=True))
