"""Folds in which every (label, group) cell is spread evenly, however rare it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from isonomy.errors import InvalidInputError

__all__ = ["cell_folds"]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


def cell_folds(
    cells: NDArray[np.intp], n_folds: int, *, random_state: Any, where: str
) -> list[Split]:
    """Return ``n_folds`` pairs (train, test) of row indices.

    Rows of a cell are shuffled and dealt to the folds in turn, going on where the last
    cell stopped. Unlike ``StratifiedKFold`` this has no minimum of rows a cell.
    """
    if not 2 <= n_folds <= len(cells):
        raise InvalidInputError(
            f"`cv` of `{where}` must lie between 2 and the number of rows ({len(cells)}), "
            f"got {n_folds}; n_samples={len(cells)} is too small for so many folds."
        )
    rng = check_random_state(random_state)
    order = rng.permutation(len(cells))
    order = order[np.argsort(cells[order], kind="stable")]
    fold = np.empty(len(cells), dtype=np.intp)
    fold[order] = np.arange(len(cells)) % n_folds
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
