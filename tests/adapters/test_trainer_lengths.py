"""Batches by length: like lengths together, every row once, the same order when resumed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.adapters._train._by_length import LengthSampler
from tiny_training import model, rows, trainer, weights

BY_LENGTH = {"train_sampling_strategy": "group_by_length", "logging_strategy": "no"}


class Uneven(list):
    """Rows that say they are of different length; all fit into one batch without padding."""

    def lengths(self) -> list[int]:
        return [1 + i % 3 for i in range(len(self))]


def uneven(n: int = 26) -> Uneven:
    return Uneven(rows(n))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=90), st.integers(1, 7), st.integers(0, 3))
def test_every_row_is_drawn_once(lengths: list[int], size: int, epoch: int) -> None:
    sampler = LengthSampler(lengths, size, seed=1)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))
    assert list(sampler) == list(sampler)


def test_short_rows_do_not_pay_for_long_ones() -> None:
    lengths = np.random.default_rng(0).geometric(0.05, size=1000)
    sampler = LengthSampler(lengths, 10, seed=0)
    padded = sum(10 * lengths[batch].max() for batch in np.array(list(sampler)).reshape(-1, 10))
    assert padded < 1.3 * lengths.sum()  # at random it is about three times as much
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    means = lengths[np.array(first).reshape(-1, 10)].mean(axis=1)
    assert abs(np.corrcoef(np.arange(100), means)[0, 1]) < 0.4  # long and short ones take turns


def test_a_run_resumed_within_its_second_epoch_ends_in_the_same_bits(tmp_path) -> None:
    told = {**BY_LENGTH, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 9}
    made = model(hidden_dropout_prob=0.1)  # training moves the generator that others draw from
    alone = trainer(tmp_path, of=made, data=uneven(), **told)
    alone.train()
    again = trainer(tmp_path, of=model(hidden_dropout_prob=0.1), data=uneven(), **told)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))
    for name, value in weights(alone).items():
        assert torch.equal(weights(again)[name], value), name


def test_a_shard_that_skips_batches_learns_its_epoch_too() -> None:
    made = trainer("unused", data=uneven(), **BY_LENGTH)
    sampler = made._get_train_sampler()
    made.callback_handler.on_epoch_begin(
        made.args, SimpleNamespace(epoch=1.5, global_step=9), made.control
    )
    assert sampler.epoch == 1


def test_an_evaluation_keeps_the_order_of_its_rows(tmp_path) -> None:
    data = uneven()
    plain = trainer(tmp_path, data=data).predict(data)
    found = trainer(tmp_path, data=data, **BY_LENGTH).predict(data)
    np.testing.assert_array_equal(found.label_ids, plain.label_ids)
    np.testing.assert_allclose(found.predictions, plain.predictions, atol=1e-5)


@pytest.mark.parametrize("known", [True, False])
def test_lengths_come_from_the_data_set_or_from_its_rows(known: bool) -> None:
    data = uneven() if known else list(uneven())
    sampler = trainer("unused", data=data, **BY_LENGTH)._get_train_sampler()
    assert sampler.lengths[:3].tolist() == ([1, 2, 3] if known else [6, 6, 6])
