"""Multi-label targets: every label is there or not, on its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from isonomy.adapters.losses._batch import IGNORED, PerClass, check_logits, per_class, up
from isonomy.errors import InvalidInputError

__all__ = ["MultiLabelBatch", "binary_cross_entropy", "check_multi_label"]


@dataclass(frozen=True)
class MultiLabelBatch:
    """Logits (n, K), labels (n, K) of 0 and 1, and which of them are known.

    Unknown ones have logit and label 0; ``raw`` keeps the logits of rows that have at
    least one known label.
    """

    logits: Tensor
    labels: Tensor
    known: Tensor
    raw: Tensor

    @property
    def rows(self) -> Tensor:
        """Rows with at least one known label: (n,) bool."""
        return self.known.any(dim=1)


def check_multi_label(logits: Tensor, labels: Tensor, *, where: str) -> MultiLabelBatch:
    """Return the batch, or say which of logits and labels cannot be used and why."""
    check_logits(logits, where=where)
    if not isinstance(labels, Tensor) or labels.shape != logits.shape:
        got = f"shape {tuple(labels.shape)}" if isinstance(labels, Tensor) else repr(type(labels))
        raise InvalidInputError(
            f"`labels` of `{where}` must be 0 or 1 for every label, of the shape "
            f"{tuple(logits.shape)} of `logits`, got {got}."
        )
    labels = labels.to(logits.device)
    known = labels != IGNORED
    wrong = known & (labels != 0) & (labels != 1)
    if bool(wrong.any()):
        raise InvalidInputError(
            f"`labels` of `{where}` must be 0, 1 or {IGNORED} (not known), got "
            f"{labels[wrong][0].item()}."
        )
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    clean = up(torch.where(known, logits, zero))
    raw = up(torch.where(known.any(dim=1, keepdim=True), logits, zero))
    return MultiLabelBatch(clean, torch.where(known, labels, 0).to(clean.dtype), known, raw)


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, *, weight: PerClass | None = None
) -> Tensor:
    """Return the binary cross-entropy of every row, averaged over the labels, in nats.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n, K)
        0 and 1, of any type; -100 for labels that count nothing.
    weight : Tensor or sequence (K,), optional
        Multiplies the loss of each label, for example `class_balanced_weights`.

    Returns
    -------
    Tensor (n,)
        ``1/K sum_k weight_k [log(1 + exp(z_k)) - y_k z_k]``. The divisor stays K where
        labels are ignored, so that rows add up over any split.

    Raises
    ------
    InvalidInputError
        If shapes differ or a label is neither 0 nor 1.

    Examples
    --------
    >>> binary_cross_entropy(torch.zeros(1, 2), torch.tensor([[1, 0]]))
    tensor([0.6931])
    """
    batch = check_multi_label(logits, labels, where="binary_cross_entropy")
    loss = binary_cross_entropy_with_logits(batch.logits, batch.labels, reduction="none")
    if weight is not None:
        loss = per_class(weight, loss, name="weight", where="binary_cross_entropy") * loss
    return torch.where(batch.known, loss, torch.zeros_like(loss)).mean(dim=1)
