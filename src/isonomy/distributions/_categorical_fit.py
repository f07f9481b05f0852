"""From rows to smoothed tables of probabilities, one row a (label, group) cell."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice, check_real, check_same_length, check_sample_weight
from isonomy.distributions._category_columns import CategoryTable
from isonomy.distributions._cell_state import label_positions
from isonomy.distributions._independence import Independence, pearson_within
from isonomy.distributions.categorical import category_codes
from isonomy.errors import InvalidInputError
from isonomy.groups import check_no_empty_cell, find_cells, sort_labels

__all__ = ["CountedCells", "counts_of_cells", "fit_alphabet"]


@dataclass(frozen=True)
class CountedCells:
    """The cell of every row by number, ``label * n_groups + group``, labels sorted."""

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    cells: NDArray[np.intp]
    weight: NDArray[np.float64]
    n_rows: NDArray[np.intp]

    @property
    def prior(self) -> NDArray[np.float64]:
        """Shares of the weight, (K, G)."""
        shape = len(self.classes), len(self.groups)
        counts = np.bincount(self.cells, self.weight, minlength=shape[0] * shape[1])
        shares: NDArray[np.float64] = counts.reshape(shape) / counts.sum()
        return shares


def counts_of_cells(
    n: int, y: Any, sensitive_features: Any, sample_weight: ArrayLike | None, *, where: str
) -> CountedCells:
    """Return the checked cells of ``n`` rows; every cell must have rows and weight."""
    found = find_cells(y, sensitive_features, sample_weight=sample_weight, where=where)
    check_same_length("y", len(found.y_codes), n, where=where)
    check_no_empty_cell(found, where=where)
    labels = found.classes.tolist(), list(found.groups)
    for name, known in zip(("y", "sensitive_features"), labels, strict=True):
        if len(known) < 2:
            raise InvalidInputError(
                f"`{name}` passed to `{where}` must hold at least 2 different labels, got only "
                f"{known[0]!r}. With one there is nothing to compare."
            )
    classes, groups = (sort_labels(known) for known in labels)
    y_codes = label_positions(labels[0], list(classes))[found.y_codes]
    group_codes = label_positions(labels[1], list(groups))[found.group_codes]
    weight = check_sample_weight(sample_weight, n, where=where)
    cells = y_codes * len(groups) + group_codes
    return CountedCells(
        classes,
        groups,
        cells,
        np.ones(n) if weight is None else weight,
        np.bincount(cells, minlength=len(classes) * len(groups)),
    )


def fit_alphabet(
    read: CategoryTable, counted: CountedCells, alphabet: Any, smoothing: float, *, where: str
) -> tuple[list[NDArray[np.float64]], tuple[tuple[Any, ...], ...], Independence | None]:
    """Return tables (K, G, m), their categories, and the test of independence."""
    check_choice("alphabet", alphabet, ("independent", "joint"), where=where)
    alpha = check_real("smoothing", smoothing, where=where, low=0.0)
    columns = list(read.values)
    categories = [_sorted(column) for column in columns]
    independence = None
    if len(columns) > 1:
        if alphabet == "joint":
            _check_size([len(found) for found in categories], counted, where=where)
            columns = [list(zip(*columns, strict=True))]
            categories = [tuple(product(*categories))]
        else:
            codes = _codes(columns, categories, where=where)
            independence = pearson_within(codes, read.names, counted.cells)
    codes = _codes(columns, categories, where=where)
    sizes = [len(found) for found in categories]
    tables = [_table(c, m, counted, alpha) for c, m in zip(codes, sizes, strict=True)]
    return tables, tuple(categories), independence


def _codes(
    columns: list[list[Any]], categories: list[tuple[Any, ...]], *, where: str
) -> list[NDArray[np.intp]]:
    pairs = zip(columns, categories, strict=True)
    return [category_codes(column, known, name="X", where=where) for column, known in pairs]


def _sorted(column: list[Any]) -> tuple[Any, ...]:
    return sort_labels(dict.fromkeys(column))


def _check_size(sizes: list[int], counted: CountedCells, *, where: str) -> None:
    fewest, size = int(counted.n_rows.min()), prod(sizes)
    if size > fewest:
        raise InvalidInputError(
            f"`alphabet` of `{where}` may be 'joint' only where the smallest (label, group) cell "
            f"has a row for every combination of categories, got {size} combinations and "
            f"{fewest} rows. Use alphabet='independent', or pool rare categories."
        )


def _table(
    codes: NDArray[np.intp], m: int, counted: CountedCells, alpha: float
) -> NDArray[np.float64]:
    shape = len(counted.classes), len(counted.groups), m
    flat = np.bincount(counted.cells * m + codes, counted.weight, minlength=shape[0] * shape[1] * m)
    smoothed = flat.reshape(shape) + alpha
    table: NDArray[np.float64] = smoothed / smoothed.sum(axis=2, keepdims=True)
    return table
