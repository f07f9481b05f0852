"""What an evaluation says of class groups and demographic groups, and what stops on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import EvalPrediction

from isonomy.adapters._train._group_metrics import GroupMetrics
from isonomy.adapters._train._task import Task
from isonomy.errors import UndefinedRateWarning
from reference.class_group_metrics import metrics
from tiny_training import rows, trainer, weights

COUNTS = [40, 30, 20, 9, 4, 1]


def task(several=False, counts=COUNTS):
    names = tuple(f"c{k}" for k in range(len(counts)))
    return Task(names, np.array(counts, dtype=float), ("F", "M"), several)


@st.composite
def evaluations(draw):
    n = draw(st.integers(1, 25))
    codes = st.lists(st.integers(0, 5), min_size=n, max_size=n)
    # every class once: an empty group of classes would warn
    true = [*range(6), *draw(codes)]
    said = [*draw(st.permutations(range(6))), *draw(codes)]
    groups = draw(st.lists(st.integers(0, 1), min_size=n + 6, max_size=n + 6))
    return true, said, groups


@given(evaluations())
def test_metrics_are_those_of_the_definitions(drawn):
    true, said, groups = drawn
    logits = np.eye(6)[said]
    found = GroupMetrics(task())(EvalPrediction(logits, (np.array(true), np.array(groups))))
    expected = metrics([{t} for t in true], [{s} for s in said], COUNTS, groups, ["F", "M"])
    assert found == pytest.approx(expected)


@given(st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=12))
def test_several_labels_a_row_are_those_of_the_definitions(drawn):
    both = np.array([[True] * 6 + [False] * 6, *drawn])
    true, said = both[:, :6], both[:, 6:]
    groups = np.arange(len(both)) % 2
    label_ids = (true.astype(np.float32), groups)
    found = GroupMetrics(task(several=True))(EvalPrediction(np.where(said, 1.5, -1.5), label_ids))
    sets = [[set(np.flatnonzero(row)) for row in part] for part in (true, said)]
    assert found == pytest.approx(metrics(*sets, COUNTS, groups.tolist(), ["F", "M"]))


def test_batches_of_an_evaluation_give_what_all_rows_give():
    rng = np.random.default_rng(0)
    true, groups = np.arange(30) % 6, rng.integers(0, 2, 30)
    logits = rng.normal(size=(30, 6))
    whole = GroupMetrics(task())(EvalPrediction(logits, (true, groups)))
    parted = GroupMetrics(task())
    for part in (slice(0, 11), slice(11, 22)):
        batch = EvalPrediction(torch.tensor(logits[part]), (true[part], groups[part]))
        assert parted(batch, compute_result=False) == {}
    last = EvalPrediction(torch.tensor(logits[22:]), (true[22:], groups[22:]))
    assert parted(last, compute_result=True) == whole


def test_rows_without_label_or_group_are_left_out():
    true, groups = np.array([0, -100, 1]), np.array([0, 1, -1])
    found = GroupMetrics(task(counts=[2, 1]))(EvalPrediction(np.eye(2)[[0, 0, 0]], (true, groups)))
    assert (found["accuracy"], found["accuracy_group_F"]) == (0.5, 1.0)
    assert "accuracy_group_M" not in found


def test_classes_of_one_count_are_one_group():
    found = GroupMetrics(task(counts=[5, 5]))(EvalPrediction(np.eye(2)[[0, 0]], np.array([0, 1])))
    assert found["worst_class_group_accuracy"] == 0.5 and "head_accuracy" not in found


def test_a_class_group_without_rows_is_nan_and_said_once():
    made = GroupMetrics(task(counts=[5, 3, 1]))
    seen = EvalPrediction(np.eye(3)[[0, 0]], np.array([0, 1]))
    with pytest.warns(UndefinedRateWarning, match="tail_accuracy in `BiasAwareTrainer.evaluate`"):
        found = made(seen)
    assert np.isnan(found["tail_accuracy"]) and found["worst_class_group_accuracy"] == 0.0
    assert made(seen)["head_accuracy"] == 1.0  # and no second warning, which would be an error


def test_own_metrics_are_added_and_see_labels_alone(tmp_path):
    seen = []

    def own(prediction):
        seen.append(prediction.label_ids.shape)
        return {"n": len(prediction.label_ids)}

    def first(logits, labels):
        seen.append(tuple(labels.shape))
        return logits.argmax(dim=1)

    made = trainer(tmp_path, compute_metrics=own, preprocess_logits_for_metrics=first)
    found = made.evaluate(rows(14))
    assert found["eval_n"] == 14 and seen == [(8,), (6,), (14,)]
    assert {"eval_tail_accuracy", "eval_worst_class_group_accuracy"} <= set(found)
    assert made.predict(rows(14)).label_ids.shape == (14,)


def test_predictions_need_no_labels(tmp_path):
    unlabelled = [{k: v for k, v in row.items() if k != "labels"} for row in rows(5)]
    assert trainer(tmp_path).predict(unlabelled).predictions.shape == (5, 3)


def test_each_of_several_evaluation_sets_is_judged(tmp_path):
    made = trainer(tmp_path, eval_dataset={"a": rows(7), "b": rows(14, groups=False)})
    found = made.evaluate()
    assert {"eval_a_tail_accuracy", "eval_b_tail_accuracy", "eval_a_accuracy_group_0"} <= set(found)
    assert "eval_b_accuracy_group_0" not in found


def test_training_stops_when_the_worst_class_group_no_longer_gains(tmp_path):
    made = trainer(
        tmp_path, eval_dataset=rows(14), worst_group_patience=2, num_train_epochs=9,
        eval_strategy="epoch", save_strategy="epoch", save_total_limit=1, learning_rate=0.0,
    )  # fmt: skip
    start = weights(made)
    made.train()
    # the first evaluation is the best for ever: two more and it stops
    assert made.state.epoch == 3.0 and made.state.best_global_step == 7
    assert made.state.best_model_checkpoint == str(tmp_path / "checkpoint-7")
    assert all(torch.equal(start[name], value) for name, value in weights(made).items())
