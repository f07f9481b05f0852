"""One batch of logits and labels, checked and cast up: what every loss starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy.errors import InvalidInputError

__all__ = [
    "IGNORED",
    "Batch",
    "ClassRow",
    "PerClass",
    "check_batch",
    "check_codes",
    "check_logits",
    "check_width",
    "per_class",
    "up",
]

IGNORED = -100
"""The label of rows that no loss counts, as in PyTorch and transformers."""


@dataclass(frozen=True)
class Batch:
    """Logits (n, K) in float32 or float64, codes (n,), and the rows that have a label.

    Rows without a label have logits 0 and code 0: whatever the model said there, NaN
    included, reaches neither value nor gradient.
    """

    logits: Tensor
    labels: Tensor
    known: Tensor

    def of_label(self, values: Tensor) -> Tensor:
        """Return the entry of ``values`` (n, K) at each row's own label: (n,)."""
        return values.gather(1, self.labels[:, None])[:, 0]

    def only_known(self, values: Tensor) -> Tensor:
        """Return ``values`` (n,) with 0 where a row has no label."""
        return torch.where(self.known, values, torch.zeros_like(values))

    def of_others(self, values: Tensor) -> Tensor:
        """Return ``values`` (n, K) with minus infinity at each row's own label."""
        return values.scatter(1, self.labels[:, None], -torch.inf)


def up(logits: Tensor) -> Tensor:
    """Cast half precision up to float32; float32 and float64 stay."""
    return logits if logits.dtype == torch.float64 else logits.to(torch.float32)


def check_batch(logits: Tensor, labels: Tensor, *, where: str) -> Batch:
    """Return the batch, or say which of logits and labels cannot be used and why."""
    check_logits(logits, where=where)
    n, k = logits.shape
    if not isinstance(labels, Tensor) or tuple(labels.shape) != (n,):
        got = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else repr(type(labels))
        raise InvalidInputError(
            f"`labels` of `{where}` must be a tensor of {n} class codes, one for each row of "
            f"`logits`, got {got}."
        )
    codes = check_codes(labels, k, name="labels", where=where, none=IGNORED).to(logits.device)
    known = codes != IGNORED
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    clean = torch.where(known[:, None], logits, zero)
    return Batch(up(clean), torch.where(known, codes, torch.zeros_like(codes)), known)


def check_logits(logits: Tensor, *, where: str) -> None:
    """Raise unless ``logits`` is a floating-point tensor (n, K) with K at least 2."""
    shaped = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] >= 2
    if not shaped or not logits.is_floating_point():
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else repr(type(logits))
        if shaped:
            got = str(logits.dtype)
        raise InvalidInputError(
            f"`logits` of `{where}` must be a floating-point tensor (n, K) of at least two "
            f"classes, got {got}."
        )


def check_width(logits: Tensor, n_classes: int, *, where: str) -> None:
    """Raise unless ``logits`` has a column for each class."""
    check_logits(logits, where=where)
    if logits.shape[1] != n_classes:
        raise InvalidInputError(
            f"`logits` of `{where}` must have a column for each of the {n_classes} classes, got "
            f"{logits.shape[1]}. Give `class_counts` in the order of the model's outputs."
        )


def check_codes(codes: Tensor, n_codes: int, *, name: str, where: str, none: int) -> Tensor:
    """Return integer codes in 0..n_codes-1 (or ``none``) as int64, or name a wrong one."""
    if codes.is_floating_point() or codes.is_complex():
        raise InvalidInputError(
            f"`{name}` of `{where}` must be whole-number codes, got {codes.dtype}."
        )
    codes = codes.to(torch.int64)
    wrong = ((codes < 0) & (codes != none)) | (codes >= n_codes)
    if bool(wrong.any()):
        raise InvalidInputError(
            f"`{name}` of `{where}` must lie in 0..{n_codes - 1} ({n_codes} of them) or be "
            f"{none} (not known), got {int(codes[wrong][0])}."
        )
    return codes


class ClassRow:
    """Numbers for each class, converted once for each dtype and device that asks for them."""

    def __init__(self, values: Tensor | NDArray[np.float64]) -> None:
        self._values = torch.as_tensor(values)
        self._made: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def like(self, other: Tensor) -> Tensor:
        """Return the numbers in the dtype and on the device of ``other``."""
        key = (other.dtype, other.device)
        if key not in self._made:
            with torch.inference_mode(False):
                self._made[key] = self._values.to(other)
        return self._made[key]


PerClass = Tensor | NDArray[Any] | Sequence[float] | ClassRow


def per_class(weight: PerClass, like: Tensor, *, name: str, where: str) -> Tensor:
    """Return one number for each class (K,) in the dtype and on the device of ``like`` (n, K)."""
    if isinstance(weight, ClassRow):
        return weight.like(like)
    given = weight.tolist() if isinstance(weight, np.ndarray) else weight
    row = torch.as_tensor(given, dtype=like.dtype, device=like.device)
    if tuple(row.shape) != (like.shape[1],):
        raise InvalidInputError(
            f"`{name}` of `{where}` must have a number for each of the {like.shape[1]} classes, "
            f"got shape {tuple(row.shape)}."
        )
    return row
