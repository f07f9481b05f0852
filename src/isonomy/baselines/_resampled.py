"""The common form of classifiers fitted on rows drawn so that cells have wanted counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing

from isonomy._group_transformer import MissingGroups
from isonomy._validation import check_choice, check_random_state
from isonomy.baselines._balanced import Balanced, BalancedClassifier, check_takes_weights
from isonomy.groups import Cells, GroupCodes, cell_factors, find_cells

__all__ = ["ResampledClassifier", "Target"]

Target = Literal["independent", "balanced"]
Floats = NDArray[np.float64]


class ResampledClassifier(BalancedClassifier):
    """Base of over- and undersampling: ``_scale`` alone tells them apart."""

    def __init__(
        self,
        estimator: Any = None,
        *,
        target: Target = "independent",
        random_state: Any = None,
        missing_groups: MissingGroups = "raise",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.target = target
        self.random_state = random_state
        self.missing_groups = missing_groups
        self.group_columns = group_columns

    def _scale(self, factors: Floats) -> float:
        """Return what multiplies the factors of the cells that have rows."""
        raise NotImplementedError

    def _check_settings(self, weighted: bool, *, where: str) -> None:
        check_choice("target", self.target, ("independent", "balanced"), where=where)
        if weighted:
            check_takes_weights(self.estimator, where=where)

    def _balance(
        self, X: Any, y: NDArray[Any], groups: GroupCodes, weight: Floats | None
    ) -> Balanced:
        # a row of weight 0 is no row: it is neither counted nor drawn
        present = np.arange(len(y)) if weight is None else np.flatnonzero(weight)
        own = None if weight is None else weight[present]
        where = f"{type(self).__name__}.fit"
        cells = find_cells(
            y[present], groups.codes[present], sample_weight=own, min_classes=1, where=where
        )
        wanted = self._wanted_rows(cells)
        rng = check_random_state(self.random_state)
        drawn = [
            _draw(np.flatnonzero(cells.codes == code), int(n), rng)
            for code, n in enumerate(wanted.ravel())
            if n > 0
        ]
        # in the order of the rows: where nothing must change, nothing changes
        self.sample_indices_ = present[np.sort(np.concatenate(drawn))]
        picked = self.sample_indices_
        return (
            _take(X, picked),
            y[picked],
            None if weight is None else weight[picked],
        )

    def _wanted_rows(self, cells: Cells) -> NDArray[np.intp]:
        """Return how many rows each cell shall have, ``(n_classes, n_groups)``."""
        filled = cells.counts > 0
        if self.target == "independent":
            factors = cell_factors(cells.counts)
        else:
            factors = np.divide(1.0, cells.counts, out=np.zeros_like(cells.counts), where=filled)
        # a cell's weight is to its rows as it was: rows times the factor is weight times it
        exact = cells.n_rows * factors * self._scale(factors[filled])
        # half a row counts as one, whichever way floating point rounded it
        halves = exact * (1.0 + 32.0 * np.finfo(np.float64).eps) + 0.5
        rounded: NDArray[np.intp] = np.floor(halves).astype(np.intp)
        return np.where(filled, np.maximum(rounded, 1), 0)


def _take(X: Any, picked: NDArray[np.intp]) -> Any:
    if sparse.issparse(X):
        X = X.tocsr()  # not every sparse format has rows to take
    elif not hasattr(X, "__getitem__"):
        X = np.asarray(X)
    return _safe_indexing(X, picked)


def _draw(rows: NDArray[np.intp], n: int, rng: Any) -> NDArray[np.intp]:
    """Return ``n`` of the rows: each as often as any other, give or take once."""
    times, rest = divmod(n, len(rows))
    return np.concatenate([np.repeat(rows, times), rng.choice(rows, size=rest, replace=False)])
