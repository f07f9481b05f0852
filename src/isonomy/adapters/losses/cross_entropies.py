"""Cross-entropy and its forms for a long tail: prior-adjusted, balanced, focal."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isonomy._validation import check_real
from isonomy.adapters.losses._batch import Batch, PerClass, check_batch, per_class, up
from isonomy.adapters.losses._counts import ClassCounts, count_vector

__all__ = [
    "balanced_softmax",
    "cross_entropy",
    "focal",
    "log_prior",
    "logit_adjusted",
    "post_hoc_adjusted",
    "shifted",
]


def cross_entropy(logits: Tensor, labels: Tensor, *, weight: PerClass | None = None) -> Tensor:
    """Return the cross-entropy of every row, in nats.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    weight : Tensor or sequence (K,), optional
        Multiplies the loss of each class's rows, without renormalising: the sum over any
        split of a batch is that of the whole.

    Returns
    -------
    Tensor (n,)
        ``-weight[y] log softmax(z)_y``; 0 for ignored rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree or a label lies outside 0..K-1.

    Examples
    --------
    >>> cross_entropy(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, -100]))
    tensor([0.6931, 0.0000])
    """
    batch = check_batch(logits, labels, where="cross_entropy")
    return _weighted(batch, _nll(batch, batch.logits), weight, where="cross_entropy")


def logit_adjusted(
    logits: Tensor, labels: Tensor, *, class_counts: ClassCounts, tau: float = 1.0
) -> Tensor:
    """Return the cross-entropy of logits that carry the prior of the classes.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the codes; positive unless ``tau`` is 0.
    tau : float, default 1.0
        Strength; 0 is cross-entropy.

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
    With pi_k the share of class k among the training rows (Menon et al., 2021,
    equation 10)::

        -log softmax(z + tau log pi)_y

    The prior sits in the loss, so that the model's own logits z need not hold it: predict
    with z.

    Examples
    --------
    >>> z, y = torch.zeros(1, 2), torch.tensor([1])
    >>> logit_adjusted(z, y, class_counts=[75, 25])
    tensor([1.3863])
    """
    shift = log_prior(class_counts, tau, where="logit_adjusted")
    return shifted(logits, labels, shift, where="logit_adjusted")


def balanced_softmax(logits: Tensor, labels: Tensor, *, class_counts: ClassCounts) -> Tensor:
    """Return the cross-entropy of the softmax weighted by the rows of each class.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the codes; positive.

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
    With n_k the rows of class k (Ren et al., 2020, equation 4)::

        -log( n_y exp(z_y) / sum_k n_k exp(z_k) )

    which is `logit_adjusted` with ``tau=1``, under the name its authors gave it.

    Examples
    --------
    >>> balanced_softmax(torch.zeros(1, 2), torch.tensor([0]), class_counts=[75, 25])
    tensor([0.2877])
    """
    shift = log_prior(class_counts, 1.0, where="balanced_softmax")
    return shifted(logits, labels, shift, where="balanced_softmax")


def focal(
    logits: Tensor, labels: Tensor, *, gamma: float = 2.0, weight: PerClass | None = None
) -> Tensor:
    """Return the focal loss of every row: little for rows that are already sure.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of any floating-point type; half precision is computed in float32.
    labels : Tensor (n,)
        Codes 0..K-1, or -100 for rows that count nothing.
    gamma : float, default 2.0
        At least 0; 0 is cross-entropy.
    weight : Tensor or sequence (K,), optional
        Multiplies the loss of each class's rows.

    Returns
    -------
    Tensor (n,)
        Losses in nats; 0 for ignored rows.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a label lies outside 0..K-1, or ``gamma`` is negative.

    Notes
    -----
    With p the softmax of z (Lin et al., 2017, equation 5)::

        -weight[y] (1 - p_y)^gamma log p_y

    1 - p_y is the sum of the other probabilities, in logarithms: rows that are sure
    beyond the precision of float32 have gradient 0, never NaN.

    Examples
    --------
    >>> focal(torch.zeros(1, 2), torch.tensor([0]), gamma=1.0)
    tensor([0.3466])
    """
    gamma = check_real("gamma", gamma, where="focal", low=0.0)
    batch = check_batch(logits, labels, where="focal")
    log_p = torch.log_softmax(batch.logits, dim=1)
    log_rest = torch.logsumexp(batch.of_others(log_p), dim=1)
    loss = -torch.exp(gamma * log_rest) * batch.of_label(log_p)
    return _weighted(batch, loss, weight, where="focal")


def post_hoc_adjusted(logits: Tensor, *, class_counts: ClassCounts, tau: float = 1.0) -> Tensor:
    """Return logits without the prior of the classes, for predictions of a trained model.

    Parameters
    ----------
    logits : Tensor (n, K)
        Of a model trained with plain cross-entropy.
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the codes; positive unless ``tau`` is 0.
    tau : float, default 1.0
        Strength; 0 changes nothing.

    Returns
    -------
    Tensor (n, K)
        ``z - tau log pi`` (Menon et al., 2021, equation 9), in float32 for half precision.

    Raises
    ------
    InvalidInputError
        If there is not a count for each column, or a class has no rows.

    Examples
    --------
    >>> post_hoc_adjusted(torch.zeros(1, 2), class_counts=[50, 50])
    tensor([[0.6931, 0.6931]])
    """
    shift = log_prior(class_counts, tau, where="post_hoc_adjusted")
    wide = up(logits)
    return wide - per_class(shift, wide, name="class_counts", where="post_hoc_adjusted")


def shifted(logits: Tensor, labels: Tensor, shift: PerClass, *, where: str) -> Tensor:
    """Return the cross-entropy of logits plus one number for each class."""
    batch = check_batch(logits, labels, where=where)
    row = per_class(shift, batch.logits, name="class_counts", where=where)
    return batch.only_known(_nll(batch, batch.logits + row))


def _nll(batch: Batch, logits: Tensor) -> Tensor:
    return -batch.of_label(torch.log_softmax(logits, dim=1))


def _weighted(batch: Batch, loss: Tensor, weight: PerClass | None, *, where: str) -> Tensor:
    if weight is not None:
        row = per_class(weight, batch.logits, name="weight", where=where)
        loss = row[batch.labels] * loss
    return batch.only_known(loss)


def log_prior(class_counts: ClassCounts, tau: float, *, where: str) -> NDArray[np.float64]:
    """Return tau log pi (K,); classes without rows are allowed where tau is 0."""
    tau = check_real("tau", tau, where=where)
    needs = None if tau == 0 else "the loss takes the logarithm of their share; tau=0 takes none"
    counts = count_vector(class_counts, where=where, needs_rows=needs)
    return np.zeros_like(counts) if tau == 0 else tau * np.log(counts / counts.sum())
