"""Class-balanced weights from the effective number of rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from isonomy._validation import check_real
from isonomy.adapters.losses._counts import ClassCounts, count_vector

__all__ = ["class_balanced_weights"]


def class_balanced_weights(class_counts: ClassCounts, *, beta: float = 0.999) -> Tensor:
    """Return the weight of every class that makes up for its number of rows.

    Parameters
    ----------
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the label codes; all positive.
    beta : float, default 0.999
        In [0, 1]: 0 weighs all classes alike, 1 by the inverse of their rows.

    Returns
    -------
    Tensor (K,)
        float32; their mean over the training rows is 1, so that the mean of a weighted
        loss over a batch estimates a weighted mean.

    Raises
    ------
    InvalidInputError
        If a class has no rows or ``beta`` lies outside [0, 1].

    Notes
    -----
    With n_k the rows of class k (Cui et al., 2019, equations 2 and 5)::

        w_k  proportional to  (1 - beta) / (1 - beta^n_k),   sum_k n_k w_k = sum_k n_k

    Equal counts give 1 for every class.

    Examples
    --------
    >>> class_balanced_weights([30, 10], beta=1.0)
    tensor([0.6667, 2.0000])
    """
    where = "class_balanced_weights"
    beta = check_real("beta", beta, where=where, low=0.0, high=1.0)
    counts = count_vector(
        class_counts, where=where, needs_rows="a weight divides by the rows of its class"
    )
    if beta == 1.0:
        effective = counts
    elif beta == 0.0:
        effective = np.ones_like(counts)
    else:
        # expm1: with beta near 1 the difference 1 - beta^n would lose its digits
        effective = -np.expm1(counts * np.log(beta))
    weights = 1.0 / effective
    return torch.tensor(weights * counts.sum() / (weights @ counts), dtype=torch.float32)
