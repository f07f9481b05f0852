"""Batches of rows of like length, in an order that a resumed run draws again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from isonomy.adapters._train._safe_saving import SafeSavingTrainer

__all__ = ["LengthSampler", "LengthSamplingTrainer"]

_ASKED = "group_by_length"

_POOL = 16
"""Batches that are sorted together: padding is all but gone, and batches stay mixed."""


class LengthSampler(Sampler[int]):
    """Draw the rows in batches of like length, the batches in random order.

    Rows are permuted, sorted by length within pools of 16 batches, and cut into batches; the
    batches are permuted then, an incomplete one last. The order depends on seed and epoch
    alone: transformers' own sampler draws from a generator that training moves too, and a run
    resumed within an epoch would see other rows.

    Parameters
    ----------
    lengths : sequence of n int
    batch_size : int
    seed : int
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on; accelerate calls it."""
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        size = self.batch_size
        batches: list[Any] = []
        for start in range(0, len(order), _POOL * size):
            pool = order[start : start + _POOL * size]
            pool = pool[np.argsort(-self.lengths[pool], kind="stable")]
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        rest = [batches.pop()] if batches and len(batches[-1]) < size else []
        mixed = [batches[i] for i in rng.permutation(len(batches))]
        return iter([int(i) for batch in [*mixed, *rest] for i in batch])


class _EpochOfSampler(TrainerCallback):  # type: ignore[misc]
    """Tell the sampler the epoch; accelerate does not reach it where a shard skips batches."""

    def __init__(self, sampler: LengthSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set the epoch that begins, or goes on."""
        self.sampler.set_epoch(int(state.epoch or 0))


class LengthSamplingTrainer(SafeSavingTrainer):
    """Put `LengthSampler` in the place of transformers' where "group_by_length" is asked for.

    A data set tells its lengths by a method ``lengths``; of others transformers finds them.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        own = getattr(dataset, "lengths", None)
        if self.args.train_sampling_strategy != _ASKED or dataset is None:
            return super()._get_train_sampler(train_dataset)
        usual: Any = None if callable(own) else super()._get_train_sampler(train_dataset)
        if not callable(own) and not isinstance(usual, LengthGroupedSampler):
            return usual
        lengths = own() if callable(own) else usual.lengths
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        found = LengthSampler(lengths, self.args.train_batch_size, seed=seed)
        self.remove_callback(_EpochOfSampler)
        self.add_callback(_EpochOfSampler(found))
        return found

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        # transformers would shuffle here too, and predictions would leave the rows' order
        asked = self.args.train_sampling_strategy
        self.args.train_sampling_strategy = "random" if asked == _ASKED else asked
        try:
            return super()._get_eval_sampler(eval_dataset)
        finally:
            self.args.train_sampling_strategy = asked
