"""Draw random weights from a seed without touching torch's own generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from isonomy._validation import check_count

__all__ = ["seeded"]


@contextmanager
def seeded(random_state: int | None, *, where: str) -> Iterator[None]:
    """Run the block from ``random_state`` and give the generators back; None changes nothing.

    What the block draws with None comes from torch's own generator, so that a user's
    ``torch.manual_seed`` counts.
    """
    if random_state is None:
        yield
        return
    seed = check_count("random_state", random_state, where=where, low=0)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
