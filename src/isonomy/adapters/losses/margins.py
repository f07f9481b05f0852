"""Label-distribution-aware margins: rarer classes must win by more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy._validation import check_real
from isonomy.adapters.losses._batch import PerClass, check_batch, per_class
from isonomy.adapters.losses._counts import ClassCounts, count_vector

__all__ = ["class_margins", "ldam", "with_margins"]


def ldam(
    logits: Tensor,
    labels: Tensor,
    *,
    class_counts: ClassCounts,
    max_margin: float = 0.5,
    scale: float = 10.0,
    weight: PerClass | None = None,
) -> Tensor:
    """Return the cross-entropy of logits from which each row's own margin is taken.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the codes; positive.
    max_margin : float, default 0.5
        Margin of the rarest class, in units of the logits; at least 0.
    scale : float, default 10.0
        Multiplies all logits after the margin; positive. The authors use 30 with cosines
        as logits; with the free logits of a linear head, 1 is plain cross-entropy's scale.
    weight : Tensor or sequence (K,), optional
        Multiplies the loss of each class's rows.

    Returns
    -------
    Tensor (n,)
        Losses in nats; 0 for ignored rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a label lies outside 0..K-1, or a class has no rows.

    Notes
    -----
    With n_k the rows of class k (Cao et al., 2019, equations 10 and 12)::

        Delta_k = max_margin (min_j n_j / n_k)^(1/4)
        -weight[y] log softmax(scale (z - Delta_y e_y))_y

    ``max_margin=0, scale=1`` is cross-entropy.

    Examples
    --------
    >>> z, y = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> ldam(z, y, class_counts=[160, 10], scale=1.0)
    tensor([0.8259, 0.9741])
    """
    margins = class_margins(class_counts, max_margin, where="ldam")
    scale = check_real("scale", scale, where="ldam", low=1e-6)
    return with_margins(logits, labels, margins, scale=scale, weight=weight)


def class_margins(
    class_counts: ClassCounts, max_margin: float, *, where: str
) -> NDArray[np.float64]:
    """Return Delta_k of every class (K,), the largest of which is ``max_margin``."""
    max_margin = check_real("max_margin", max_margin, where=where, low=0.0)
    counts = count_vector(
        class_counts, where=where, needs_rows="a margin divides by the rows of its class"
    )
    margins: NDArray[np.float64] = max_margin * (counts.min() / counts) ** 0.25
    return margins


def with_margins(
    logits: Tensor, labels: Tensor, margins: PerClass, *, scale: float, weight: PerClass | None
) -> Tensor:
    """Return the loss of `ldam` for margins that are known already."""
    batch = check_batch(logits, labels, where="ldam")
    row = per_class(margins, batch.logits, name="class_counts", where="ldam")
    own = torch.zeros_like(batch.logits).scatter(1, batch.labels[:, None], row[batch.labels, None])
    loss = -batch.of_label(torch.log_softmax(scale * (batch.logits - own), dim=1))
    if weight is not None:
        loss = per_class(weight, batch.logits, name="weight", where="ldam")[batch.labels] * loss
    return batch.only_known(loss)
