"""Gaps between groups in true-positive rate: signed per class, and over all classes.

Where a class has no rows in a group its rate is undefined there: that class and group are
left out, and an ``UndefinedRateWarning`` names them. A label that only ``y_pred`` holds has
no true rows anywhere: it has a selection rate but no true-positive rate and no gap.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice
from isonomy.metrics._choices import count_rows, reference_code
from isonomy.metrics._counts import ConfusionCounts
from isonomy.metrics._gap_statistics import (
    MIN_ROWS,
    CellRates,
    Weighting,
    cell_rates,
    class_weights,
    corrected_mean_square,
    group_pairs,
    mean_square,
    signed_root,
)
from isonomy.metrics.rates import warn_undefined

__all__ = ["ClassGaps", "rms_tpr_gap", "signed_gaps", "tpr_gap"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassGaps(Mapping[Hashable, float]):
    """Signed gap of every class: ``gaps[label]``; as an array, in the order of ``classes``.

    With three or more groups ``gaps[label]`` is the gap of the group farthest from the
    reference in that class, named in ``farthest``; ``by_group`` holds every group's gaps,
    ``(n_classes,)`` each.
    """

    classes: tuple[Hashable, ...]
    reference_group: Hashable
    by_group: Mapping[Hashable, Floats]
    values_array: Floats
    farthest: tuple[Hashable, ...]

    def __getitem__(self, label: Hashable) -> float:
        if label not in self.classes:
            raise KeyError(label)
        return float(self.values_array[self.classes.index(label)])

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values_array, dtype=dtype)

    def __repr__(self) -> str:
        shown = ", ".join(f"{k!r}: {v:.4g}" for k, v in self.items())
        return f"ClassGaps({{{shown}}}, reference_group={self.reference_group!r})"


def tpr_gap(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    reference_group: Hashable | None = None,
    sample_weight: ArrayLike | None = None,
) -> ClassGaps:
    """Compute the signed gap in true-positive rate of every class.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind, two classes or more.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    reference_group : label, optional
        The group subtracted. By default the one with the largest total weight (the first
        in sorted order of those that tie).
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows.

    Returns
    -------
    ClassGaps
        A mapping from class to ``P(predicted y | true y, group) - P(predicted y | true y,
        reference)``, in [-1, 1]; NaN where one of the two has no rows. Three or more
        groups: the one farthest from the reference; ``.by_group`` has all.

    Raises
    ------
    InvalidInputError
        If lengths differ, there is one group only, or ``reference_group`` is unknown.

    Warns
    -----
    UndefinedRateWarning
        If a class has no rows in some group.

    Notes
    -----
    With two groups, exchanging the reference flips every sign.

    Examples
    --------
    >>> tpr_gap([1, 1, 0, 1, 0], [1, 0, 0, 1, 0], sensitive_features=list("aaabb"))
    ClassGaps({0: 0, 1: 0.5}, reference_group='a')
    """
    counts = count_rows(y_true, y_pred, sensitive_features, sample_weight, where="tpr_gap")
    reference = reference_code(counts, reference_group, where="tpr_gap")
    cells = cell_rates(counts)
    _warn_empty_cells("tpr_gap", counts, cells)
    return signed_gaps(counts, cells, reference)


def signed_gaps(counts: ConfusionCounts, cells: CellRates, reference: int) -> ClassGaps:
    """Return the gaps of every class and group to ``reference`` from the cells' rates."""
    others = [a for a in range(len(counts.groups)) if a != reference]
    gaps = cells.rates[:, others] - cells.rates[:, [reference]]
    distance = np.where(np.isnan(gaps), -1.0, np.abs(gaps))
    far = np.argmax(distance, axis=1)
    classes = tuple(c for c, p in zip(counts.classes, counts.present(), strict=True) if p)
    return ClassGaps(
        classes=classes,
        reference_group=counts.groups[reference],
        by_group={counts.groups[a]: gaps[:, j] for j, a in enumerate(others)},
        values_array=gaps[np.arange(len(gaps)), far],
        farthest=tuple(counts.groups[others[j]] for j in far),
    )


def rms_tpr_gap(
    y_true: Any,
    y_pred: Any,
    *,
    sensitive_features: Any,
    corrected: bool = False,
    weighting: Weighting = "equal",
    reference_group: Hashable | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Compute the root mean square over classes of the gap in true-positive rate.

    Parameters
    ----------
    y_true, y_pred : (n_samples,)
        Labels of any kind, two classes or more.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups; several columns make intersectional groups. At least two.
    corrected : bool
        Subtract the sampling noise of the rates; see Notes. Meaningful for predictions
        that were not fitted on these rows.
    weighting : "equal" or "precision"
        Weigh classes alike, or by n_0 n_1 / (n_0 + n_1), with n_a the weight of the
        class's rows in the two groups: then rare classes do not drown the rest in noise,
        and the number speaks of the classes most people are in.
    reference_group : label, optional
        With three or more groups, compare each with this one alone. By default every
        pair is compared.
    sample_weight : (n_samples,), optional
        Non-negative weights; integer weights equal repeated rows in the uncorrected gap.

    Returns
    -------
    float
        In [0, 1]; of three or more groups, that of the pair with the largest value.
        ``corrected=True``: the signed root of the corrected mean square, in [-1, 1],
        negative where the gap is smaller than its own noise. NaN if undefined.

    Raises
    ------
    InvalidInputError
        If an argument has a wrong shape, length or value, or there is one group only.

    Warns
    -----
    UndefinedRateWarning
        If a class lacks the rows needed (one in each group; two when ``corrected``); it
        is left out of the mean.

    Notes
    -----
    With p_ya the true-positive rate of class y in group a from n_ya rows, the corrected
    mean square is::

        sum_y w_y [ (p_y0 - p_y1)^2 - p_y0 (1 - p_y0) / (n_y0 - 1)
                                    - p_y1 (1 - p_y1) / (n_y1 - 1) ]

    whose expectation is the mean square of the true gaps. With weights, n_ya is Kish's
    effective size (sum w)^2 / sum w^2, which is right for weights of importance: a weight
    of 2 is not a second independent row, so here integer weights are *not* repeated rows.

    Examples
    --------
    >>> y, p = [0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 0, 0, 1, 1, 0, 1]
    >>> rms_tpr_gap(y, p, sensitive_features=list("aabbaabb"))
    0.5
    """
    where = "rms_tpr_gap"
    check_choice("weighting", weighting, ("equal", "precision"), where=where)
    counts = count_rows(y_true, y_pred, sensitive_features, sample_weight, where=where)
    reference = None
    if reference_group is not None:
        reference = reference_code(counts, reference_group, where=where)
    cells = cell_rates(counts)
    _warn_empty_cells(where, counts, cells, min_rows=MIN_ROWS if corrected else 1)
    squares = []
    for pair in group_pairs(len(counts.groups), reference):
        weights = class_weights(cells, pair, weighting, MIN_ROWS if corrected else 1)
        if corrected:
            squares.append(corrected_mean_square(cells.rates, cells.n, weights, pair))
        else:
            squares.append(mean_square(cells.rates, weights, pair))
    defined = [float(s) for s in squares if not np.isnan(s)]
    return signed_root(max(defined)) if defined else float("nan")


def _warn_empty_cells(
    where: str, counts: ConfusionCounts, cells: CellRates, min_rows: int = 1
) -> None:
    classes = [c for c, p in zip(counts.classes, counts.present(), strict=True) if p]
    lacking = [
        f"({classes[y]!s}, {counts.groups[a]!s})" for y, a in np.argwhere(cells.n < min_rows - 1e-9)
    ]
    needed = "no rows" if min_rows == 1 else "fewer than 2 rows"
    warn_undefined(f"the gap of {where}", lacking, f"{needed} of this class", stacklevel=4)
