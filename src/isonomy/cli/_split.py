"""Split rows into those to fit on and those to judge on, in every cell alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.groups import find_cells

__all__ = ["split_by_cell"]


def split_by_cell(
    y: Any, groups: Any, *, test_size: float, random_state: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row numbers to fit on and to judge on, both sorted.

    Every (label, group) cell of n rows gives ``floor(n * test_size)`` of them to the test,
    so a cell too small to be split stays with the rows to fit on.

    Raises
    ------
    InvalidInputError
        If no cell is large enough to be split.

    Examples
    --------
    >>> fitted, judged = split_by_cell([0] * 6 + [1] * 4, ["a"] * 10, test_size=0.5, random_state=0)
    >>> [int((judged < 6).sum()), int((judged >= 6).sum())]
    [3, 2]
    """
    cells = find_cells(y, groups, where="split_by_cell")
    rng = np.random.default_rng(random_state)
    shuffled = rng.permutation(len(cells.codes))
    by_cell = shuffled[np.argsort(cells.codes[shuffled], kind="stable")]
    sizes = np.bincount(cells.codes)
    rank = np.arange(len(by_cell)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # the tiny addition counts 100 * 0.29, which falls just short of 29, as 29
    quota = np.repeat(np.floor(sizes * test_size + 1e-9).astype(np.intp), sizes)
    in_test = rank < quota
    if not in_test.any():
        raise InvalidInputError(
            f"--test-size {test_size:g} leaves no row to judge on: the largest (label, group) "
            f"cell has {int(sizes.max())} row(s). Raise --test-size, or bring more rows."
        )
    return np.sort(by_cell[~in_test]), np.sort(by_cell[in_test])
