"""How unequally a classifier serves its classes: label bias, head against tail.

All are computed from the recall of each class. A class without true rows has no recall: it is
left out and an ``UndefinedRateWarning`` names it. A label that only ``y_pred`` holds is no
class with true rows, and counts as a wrong answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics._class_table import ClassCounts, check_counts, read_table
from isonomy.metrics._label_scores import check_class_scores, mean_scores

__all__ = [
    "ClassGroupAccuracy",
    "bias_score",
    "class_group_accuracy",
    "cobias",
    "head_tail_gap",
    "macro_f1",
    "recall_rsd",
]


@dataclass(frozen=True)
class ClassGroupAccuracy:
    """Mean recall of the most frequent third of the classes, the middle and the rarest third.

    ``head``, ``medium``, ``tail`` lie in [0, 1]; NaN where undefined. ``head_classes``,
    ``medium_classes``, ``tail_classes`` name the classes, the most frequent first.
    """

    head: float
    medium: float
    tail: float
    head_classes: tuple[Hashable, ...]
    medium_classes: tuple[Hashable, ...]
    tail_classes: tuple[Hashable, ...]

    @property
    def gap(self) -> float:
        """``head`` minus ``tail``, signed."""
        return self.head - self.tail


def cobias(y_true: Any, y_pred: Any, *, sample_weight: ArrayLike | None = None) -> float:
    """Compute the mean difference in recall over all pairs of classes.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        In [0, 1], 0 if all classes have one recall; NaN with fewer than two classes.

    Raises
    ------
    InvalidInputError
        If lengths differ, labels are fractional or missing, or there are no rows.

    Warns
    -----
    UndefinedRateWarning
        If fewer than two classes have rows.

    Notes
    -----
    With recalls r_1 .. r_K of the K classes that have true rows::

        COBias = 2 / (K (K - 1)) sum_{i < j} |r_i - r_j|

    Lin and You (2024), where the recall of a class is called its
    accuracy. Unchanged when labels are renamed or rows are put in another order.

    Examples
    --------
    >>> cobias([0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 0, 0])  # recalls 1, 1/2, 0
    0.6666666666666666
    """
    recall = read_table(y_true, y_pred, sample_weight, "cobias").present_recall
    k = len(recall)
    if k < 2:
        return _undefined("cobias", f"{k} class has rows, and it takes two to differ")
    # sorted, r_(i) is added in i pairs and subtracted in K - 1 - i of them
    times = 2.0 * np.arange(k) - (k - 1)
    return max(0.0, float(np.sort(recall) @ times) * 2 / (k * (k - 1)))


def recall_rsd(y_true: Any, y_pred: Any, *, sample_weight: ArrayLike | None = None) -> float:
    """Compute the relative standard deviation of the classes' recalls.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        At least 0, in units of the accuracy; NaN if no prediction is right.

    Raises
    ------
    InvalidInputError
        If lengths differ, labels are fractional or missing, or there are no rows.

    Warns
    -----
    UndefinedRateWarning
        If the accuracy is 0.

    Notes
    -----
    RSD = std_y(r_y) / accuracy, with r_y the recall of class y, the standard deviation over
    the K classes that have true rows with divisor K, and the accuracy over rows.
    As in Reif and Schwartz (2024).

    Examples
    --------
    >>> recall_rsd([0, 0, 1, 1], [0, 0, 1, 0])  # recalls 1 and 1/2, accuracy 3/4
    0.3333333333333333
    """
    table = read_table(y_true, y_pred, sample_weight, "recall_rsd")
    if table.accuracy == 0:
        return _undefined("recall_rsd", "no prediction is right, so the accuracy it divides is 0")
    return float(table.present_recall.std() / table.accuracy)


def macro_f1(y_true: Any, y_pred: Any, *, sample_weight: ArrayLike | None = None) -> float:
    """Compute the mean over classes of F1, the harmonic mean of precision and recall.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InvalidInputError
        If lengths differ, labels are fractional or missing, or there are no rows.

    Notes
    -----
    F1 of class k is 2 n_kk / (n_k. + n_.k), with n_kk its right predictions, n_k. its true
    rows and n_.k the rows predicted as k. The mean is over classes that are true or predicted
    somewhere, as in ``audit`` and in scikit-learn: a class that is never met does not count.

    Examples
    --------
    >>> macro_f1([0, 0, 1, 1], [0, 0, 1, 0])  # 4/5 and 2/3
    0.7333333333333334
    """
    matrix = read_table(y_true, y_pred, sample_weight, "macro_f1").matrix
    both = matrix.sum(axis=0) + matrix.sum(axis=1)
    seen = both > 0
    return float(np.mean(2 * np.diagonal(matrix)[seen] / both[seen]))


def bias_score(
    y_true: Any,
    y_score: Any,
    *,
    classes: Sequence[Hashable] | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute how far the mean predicted distribution is from uniform, in total variation.

    Parameters
    ----------
    y_true : (n_samples,)
        Labels of any kind.
    y_score : (n_samples, n_classes)
        Probabilities, each row summing to 1; columns in the order of ``classes``.
    classes : sequence, optional
        The label of each column. By default labels that are whole numbers below
        ``n_classes`` are positions of columns, and any others are the sorted labels of
        ``y_true``, of which there must then be ``n_classes``.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        In [0, 1 - 1 / n_classes]; 0 if the predictions favour no class.

    Raises
    ------
    InvalidInputError
        If lengths differ, rows of ``y_score`` are no distributions, or a label has no column.

    Warns
    -----
    UndefinedRateWarning
        If a class has no true rows: it is left out of the mean over classes.

    Notes
    -----
    With p(x) the predicted distribution of a row and u = (1/K, .., 1/K)::

        BiasScore = 1/2 || mean_y mean_{x in y} p(x) - u ||_1

    Reif and Schwartz, "Beyond Performance: Quantifying and Mitigating Label Bias in LLMs"
    (2024). Each class has the same say, whatever the number of its rows.

    Examples
    --------
    >>> bias_score([0, 1], [[1.0, 0.0], [0.5, 0.5]])  # mean (.75, .25)
    0.25
    """
    where = "bias_score"
    rows = check_class_scores(y_true, y_score, classes, sample_weight, where=where)
    by_class, present = mean_scores(rows)
    lacking = [str(rows.classes[k]) for k in np.flatnonzero(~present)]
    if lacking:
        _warn_left_out(where, lacking, stacklevel=3)
    k = len(rows.classes)
    return float(np.abs(by_class[present].mean(axis=0) - 1 / k).sum() / 2)


def class_group_accuracy(
    y_true: Any,
    y_pred: Any,
    *,
    class_counts: ClassCounts,
    sample_weight: ArrayLike | None = None,
) -> ClassGroupAccuracy:
    """Compute the mean recall of frequent, middling and rare classes.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    class_counts : mapping or sequence of n_classes numbers
        Training rows of each class: {label: n}, or numbers in the order of the labels
        0 .. n_classes - 1. Where labels are whole numbers and the mapping's keys are names,
        its order is that of the labels.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    ClassGroupAccuracy
        ``head``, ``medium`` and ``tail`` in [0, 1] and the classes of each; NaN for a group
        without classes or without true rows.

    Raises
    ------
    InvalidInputError
        If a true label is not in ``class_counts``, or a count is no number of at least 0.

    Warns
    -----
    UndefinedRateWarning
        If classes have no true rows, or all classes have one count: then there is neither
        head nor tail, and all three are NaN.

    Notes
    -----
    Head and tail are the most frequent and the rarest third of the K classes by training
    rows: round(K / 3) classes each, at least one; the others are the middle. Classes of one
    count keep the order in which ``class_counts`` names them. Classes weigh alike within a
    group, so that the figure does not depend on the mixture of the test rows.

    Examples
    --------
    >>> found = class_group_accuracy([0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 2, 1],
    ...                              class_counts=[100, 20, 5])
    >>> found.head, found.medium, found.tail
    (1.0, 0.5, 0.5)
    """
    return _group_accuracy(y_true, y_pred, class_counts, sample_weight, "class_group_accuracy")


def head_tail_gap(
    y_true: Any,
    y_pred: Any,
    *,
    class_counts: ClassCounts,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the mean recall of frequent classes minus that of rare ones.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind.
    class_counts : mapping or sequence of n_classes numbers
        Training rows of each class, as in :func:`class_group_accuracy`.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    float
        In [-1, 1], positive where frequent classes are served better; NaN where undefined.

    Raises
    ------
    InvalidInputError
        If a true label is not in ``class_counts``, or a count is no number of at least 0.

    Warns
    -----
    UndefinedRateWarning
        As in :func:`class_group_accuracy`.

    Examples
    --------
    >>> head_tail_gap([0, 0, 1, 1, 2, 2], [0, 0, 1, 0, 2, 1], class_counts=[100, 20, 5])
    0.5
    """
    return _group_accuracy(y_true, y_pred, class_counts, sample_weight, "head_tail_gap").gap


def _group_accuracy(
    y_true: Any, y_pred: Any, class_counts: ClassCounts, sample_weight: Any, where: str
) -> ClassGroupAccuracy:
    table = read_table(y_true, y_pred, sample_weight, where)
    recall = dict(zip(table.classes, table.recall.tolist(), strict=True))
    counts = check_counts(class_counts, table.classes, where)
    unknown = [c for c, r in recall.items() if c not in counts and not np.isnan(r)]
    if unknown:
        raise InvalidInputError(
            f"`y_true` passed to `{where}` must hold labels that `class_counts` has, got "
            f"{unknown[0]!r} beside {len(unknown) - 1} more. Name the training rows of every "
            "class, 0 included."
        )
    n = np.array(list(counts.values()))
    if n.min() == n.max():
        _undefined(where, "all classes have the same count, so there is neither head nor tail", 4)
        nan = float("nan")
        return ClassGroupAccuracy(nan, nan, nan, (), tuple(counts), ())
    lacking = [str(c) for c in counts if np.isnan(recall.get(c, np.nan))]
    if lacking:
        _warn_left_out(where, lacking, stacklevel=4)
    labels = list(counts)
    order = [labels[i] for i in np.argsort(-n, kind="stable")]
    third = max(1, (len(order) + 1) // 3)
    parts = (order[:third], order[third:-third], order[-third:])
    head, medium, tail = (_mean([recall.get(c, np.nan) for c in part]) for part in parts)
    return ClassGroupAccuracy(head, medium, tail, *(tuple(part) for part in parts))


def _mean(values: Sequence[float]) -> float:
    kept = [v for v in values if not np.isnan(v)]
    return float(np.mean(kept)) if kept else float("nan")


def _undefined(what: str, reason: str, stacklevel: int = 3) -> float:
    warnings.warn(f"{what} is NaN: {reason}.", UndefinedRateWarning, stacklevel=stacklevel)
    return float("nan")


def _warn_left_out(what: str, labels: Sequence[str], *, stacklevel: int) -> None:
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    warnings.warn(
        f"{what} leaves out the classes {', '.join(labels[:5])}{more}: they have no true rows.",
        UndefinedRateWarning,
        stacklevel=stacklevel + 1,
    )
