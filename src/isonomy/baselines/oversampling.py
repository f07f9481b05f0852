"""Repeat rows of cells that are too small, around an estimator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.baselines._resampled import ResampledClassifier

__all__ = ["Oversampling"]


class Oversampling(ResampledClassifier):
    """Fit a classifier on rows repeated until label and group are independent.

    Parameters
    ----------
    estimator : classifier, optional
        Cloned. Without it ``fit`` computes ``sample_indices_`` and nothing else, and there
        is no ``predict``.
    target : "independent" or "balanced"
        Counts proportional to the product of the label's and the group's share, or the
        same count in every cell.
    random_state : int, RandomState or None
        Chooses the rows that are repeated once more than others of their cell.
    missing_groups, group_columns
        As in :class:`Reweighing`.

    Attributes
    ----------
    sample_indices_ : (n_resampled,) array
        Rows of ``fit`` that the estimator saw, in order, repeated.
    estimator_ : fitted clone, if an estimator was given
    classes_ : array of labels
    groups_ : list of group labels

    Notes
    -----
    With n_ya rows in the cell of label y and group a, no row is dropped and a cell gets::

        n'_ya = s n_y n_a / n,  s = max_ya n_ya n / (n_y n_a)     (independent)
        n'_ya = max n_ya                                          (balanced)

    rows, rounded: the fewest in which no cell shrinks. Every row of a cell is repeated
    floor(n'_ya / n_ya) times, and as many different rows as are missing once more. A cell
    without rows stays empty, and then independence holds only for the others.

    With ``sample_weight`` the n above are sums of weights, a cell gets
    ``n'_ya / n_ya`` times its number of rows, and every row takes its weight along to the
    estimator, which must accept it: the weight of the cells has the counts above. Rows of
    weight 0 are left out.

    Source: Kamiran and Calders, Data preprocessing techniques for classification without
    discrimination (2012), uniform sampling; there the total stays n, so that
    large cells lose rows, and rows are repeated at random. See :class:`Undersampling`.

    What it does not promise: equal rates. :class:`Reweighing` has the same aim without a
    draw, and for an estimator that takes weights is to be preferred.

    Examples
    --------
    >>> X, y = [[0], [1], [2], [3], [4], [5]], [0, 0, 0, 1, 0, 1]
    >>> groups = ["a", "a", "a", "a", "b", "b"]
    >>> drawn = Oversampling(random_state=0).fit(X, y, sensitive_features=groups)
    >>> drawn.sample_indices_  # twice as many of label 0 as of label 1, in both groups
    array([0, 1, 2, 2, 3, 3, 4, 4, 5])
    """

    def _scale(self, factors: NDArray[np.float64]) -> float:
        return 1.0 / float(factors.min())
