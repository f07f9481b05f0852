"""Evaluation mode for a while, every module's own mode back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["evaluating"]


@contextmanager
def evaluating(*parts: nn.Module) -> Iterator[None]:
    """Turn dropout off in ``parts``, and each module back as it was, also after an error."""
    training = [module for part in parts for module in part.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
