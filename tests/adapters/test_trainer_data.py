"""Labels and groups are read, counted and checked before the first step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, IterableDataset, Subset

from datasets import Dataset
from isonomy.adapters._train._labels import LABEL_NAMES, read_codes
from isonomy.errors import GroupsRequiredError, InvalidInputError, RareClassWarning
from tiny_training import losses, model, rows, trainer

CODES = [row["labels"] for row in rows(14)]


class Lazy(torch.utils.data.Dataset):
    """A data set that says its labels and would be slow to read."""

    def __init__(self, n=14):
        self.rows = rows(n)
        self.labels = np.array([row["labels"] for row in self.rows])
        self.read = 0

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        self.read += 1
        return self.rows[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(rows(28))


def renamed(made):
    return [{("label" if k == "labels" else k): v for k, v in row.items()} for row in made]


@pytest.mark.parametrize(
    "data",
    [
        rows(14),
        renamed(rows(14)),
        Dataset.from_list(rows(14)),
        Dataset.from_list(renamed(rows(14))).with_format("torch"),
        Lazy(),
        Subset(rows(28), range(14)),
        ConcatDataset([Lazy(7), rows(14)[7:]]),
    ],
    ids=["rows", "label", "datasets", "formatted", "lazy", "subset", "concatenated"],
)
def test_labels_are_found_and_counted(tmp_path, data):
    assert read_codes(data, LABEL_NAMES).tolist() == CODES
    made = trainer(tmp_path, data=data, max_steps=1)
    assert made.task.class_counts.tolist() == [6, 6, 2]
    assert made.task.classes == ("joy", "fear", "trust")
    made.train()
    assert len(losses(made)) == 1


def test_rows_are_not_read_where_a_data_set_says_its_labels():
    data = Lazy()
    read_codes(data, LABEL_NAMES)
    assert data.read == 0


def test_groups_of_a_dataset_survive_the_removal_of_columns(tmp_path):
    data = Dataset.from_list([{**row, "text": "a"} for row in rows(14)])
    made = trainer(tmp_path, data=data, max_steps=1, loss="demographic_parity")
    assert made.task.groups == ("0", "1")
    made.train()  # the objective refuses batches without groups
    assert made.objective.state_dict()["cell_rows"].sum() == 4


def test_a_stream_needs_counts(tmp_path):
    asked = {"data": Stream(), "max_steps": 2, "class_counts": [12, 12, 4]}
    made = trainer(tmp_path, **asked)
    made.train()
    assert len(losses(made)) == 2
    with pytest.raises(InvalidInputError, match="`class_counts` of .* cannot be counted before"):
        trainer(tmp_path, **{**asked, "class_counts": None})


def test_a_dataset_without_classes_of_its_own_takes_those_of_the_counts(tmp_path):
    plain = model()
    plain.config.id2label = {k: f"LABEL_{k}" for k in range(3)}
    made = trainer(tmp_path, of=plain, class_counts={"a": 12, "b": 12, "c": 4})
    assert made.task.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (3, r"`labels` in `train_dataset` .* codes from 0 to 2, got 3 in row 5 \(1 of 28 rows"),
        (-1, "codes from 0 to 2, got -1 in row 5"),
        (0.5, "must be one integer code a row, got float64"),
        ("joy", "must be one integer code a row, got <U"),
    ],
)
def test_wrong_labels_are_named_at_the_start(tmp_path, label, message):
    data = rows(28)
    data[5]["labels"] = label
    with pytest.raises(InvalidInputError, match=message):
        trainer(tmp_path, data=data)


def test_evaluation_data_are_checked_too(tmp_path):
    bad = rows(7)
    bad[2]["labels"] = 7
    with pytest.raises(InvalidInputError, match="`labels` in `eval_dataset` .* got 7 in row 2"):
        trainer(tmp_path, eval_dataset=bad)
    with pytest.raises(InvalidInputError, match=r"in `eval_dataset\['a'\]` .* got 7 in row 2"):
        trainer(tmp_path, eval_dataset={"a": bad})


def test_several_labels_a_row_are_checked(tmp_path):
    data = rows(28, several=True)
    made = trainer(tmp_path, data=data, multi_label=True)
    assert made.task.class_counts.tolist() == np.sum([r["labels"] for r in data], axis=0).tolist()
    data[3]["labels"] = [1.0, 0.5, 0.0]
    with pytest.raises(InvalidInputError, match="must be 0 or 1 for every class, got .* in row 3"):
        trainer(tmp_path, data=data, multi_label=True)
    with pytest.raises(InvalidInputError, match=r"must be numbers of shape \(n, 3\) for a multi"):
        trainer(tmp_path, data=rows(28), multi_label=True)
    with pytest.raises(InvalidInputError, match=r"one integer code a row, got .* shape \(28, 3\)"):
        trainer(tmp_path, data=rows(28, several=True))


def test_a_class_with_one_row_warns(tmp_path):
    with pytest.warns(RareClassWarning, match=r"one training row or none: trust \(1\)"):
        trainer(tmp_path, data=rows(7))


def test_a_class_without_rows_is_an_error_where_its_share_is_needed(tmp_path):
    data = [row for row in rows(28) if row["labels"] < 2]
    with (
        pytest.warns(RareClassWarning, match=r"trust \(0\)"),
        pytest.raises(InvalidInputError, match="must be positive .* got 0 for class 'trust'"),
    ):
        trainer(tmp_path, data=data, loss="logit_adjusted")
    with pytest.warns(RareClassWarning, match=r"trust \(0\)"):
        trainer(tmp_path, data=data, loss="cross_entropy")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"class_names": ["a", "b"]}, "the head of `model` 3, `class_names` 2"),
        ({"class_counts": [1, 2, 3, 4]}, "the head of `model` 3, `class_counts` 4"),
        ({"class_counts": {"joy": 4, "fear": 2, "rage": 1}}, "but 'rage' is in one of the two"),
    ],
)
def test_the_head_and_the_classes_must_agree(tmp_path, asked, message):
    with pytest.raises(InvalidInputError, match=message):
        trainer(tmp_path, **asked)


def test_group_codes_are_checked(tmp_path):
    data = rows(28)
    data[4]["groups"] = 2
    with pytest.raises(InvalidInputError, match="`groups` in `train_dataset` .* got 2 in row 4"):
        trainer(tmp_path, data=data, group_names=["F", "M"])
    with pytest.raises(GroupsRequiredError):
        trainer(tmp_path, data=rows(28, groups=False), loss="equal_opportunity")


def test_a_batch_without_labels_is_an_error(tmp_path):
    def collate(made):
        return {"input_ids": torch.tensor([row["input_ids"] for row in made])}

    made = trainer(tmp_path, data_collator=collate, max_steps=1)
    with pytest.raises(InvalidInputError, match="must return a batch with 'labels', got input_ids"):
        made.train()


def test_a_model_without_class_logits_is_an_error(tmp_path):
    from tiny_models import tiny

    made, _ = tiny("llama")
    with pytest.raises(InvalidInputError, match=r"must return `.logits` of shape \(n, n_classes\)"):
        trainer(tmp_path, of=made, class_names=["a", "b", "c"], max_steps=1).train()
