"""Leave out rows of cells that are too large, around an estimator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isonomy.baselines._resampled import ResampledClassifier

__all__ = ["Undersampling"]


class Undersampling(ResampledClassifier):
    """Fit a classifier on so few rows that label and group are independent.

    Parameters
    ----------
    estimator : classifier, optional
        Cloned. Without it ``fit`` computes ``sample_indices_`` and nothing else, and there
        is no ``predict``.
    target : "independent" or "balanced"
        As in :class:`Oversampling`.
    random_state : int, RandomState or None
        Chooses the rows that stay.
    missing_groups, group_columns
        As in :class:`Reweighing`.

    Attributes
    ----------
    sample_indices_ : (n_resampled,) array
        Rows of ``fit`` that the estimator saw, in order, each once.
    estimator_ : fitted clone, if an estimator was given
    classes_ : array of labels
    groups_ : list of group labels

    Notes
    -----
    With n_ya rows in the cell of label y and group a, no row is repeated and a cell
    keeps::

        n'_ya = s n_y n_a / n,  s = min_ya n_ya n / (n_y n_a)     (independent)
        n'_ya = min n_ya                                          (balanced)

    rows, rounded but at least 1: the most in which no cell grows. They are drawn at random
    within the cell. The minimum is taken over cells that have rows; one without stays
    empty. ``sample_weight`` counts as in :class:`Oversampling`.

    Source: Kamiran and Calders (2012); see :class:`Oversampling`.

    What it does not promise: equal rates, or enough rows: one rare cell decides how many
    rows of all others are thrown away. :class:`Reweighing` uses every row.

    Examples
    --------
    >>> X, y = [[0], [1], [2], [3], [4], [5]], [0, 0, 0, 1, 0, 1]
    >>> groups = ["a", "a", "a", "a", "b", "b"]
    >>> method = Undersampling(target="balanced", random_state=0)
    >>> method.fit(X, y, sensitive_features=groups).sample_indices_
    array([2, 3, 4, 5])
    """

    def _scale(self, factors: NDArray[np.float64]) -> float:
        return 1.0 / float(factors.max())
