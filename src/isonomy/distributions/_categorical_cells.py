"""The tables of a joint law of categorical columns: cells, priors, names of columns."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._frozen import Frozen
from isonomy.distributions._independence import Independence
from isonomy.distributions._joint_checks import check_prior, row_cells
from isonomy.distributions.categorical import (
    Categorical,
    category_codes,
    check_simplex,
    plain_labels,
)
from isonomy.errors import InvalidInputError

__all__ = ["Cell", "CellTables", "draw", "laws_of_cell"]

Cell = tuple[Hashable, Hashable]


class CellTables(Frozen):
    """Probabilities of categories by cell, with their names; base of `CategoricalJoint`."""

    __slots__ = ("categories", "classes", "columns", "groups", "independence", "prior", "tables")

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    prior: NDArray[np.float64]
    tables: tuple[NDArray[np.float64], ...]
    categories: tuple[tuple[Any, ...], ...]
    columns: tuple[Any, ...]
    independence: Independence | None

    def _set(
        self,
        tables: Sequence[NDArray[np.float64]],
        prior: NDArray[np.float64],
        classes: tuple[Hashable, ...],
        groups: tuple[Hashable, ...],
        categories: tuple[tuple[Any, ...], ...],
        columns: Sequence[Any] | None,
        independence: Independence | None,
    ) -> None:
        prior = check_prior(prior)
        checked = tuple(check_simplex(table, where="CategoricalJoint") for table in tables)
        for array in (prior, *checked):
            array.flags.writeable = False
        values = {
            "classes": classes,
            "groups": groups,
            "prior": prior,
            "tables": checked,
            "categories": categories,
            "columns": _check_columns(columns, categories),
            "independence": independence,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _with(self, tables: Sequence[NDArray[np.float64]], prior: NDArray[np.float64]) -> Self:
        """Return a law of the same columns and labels with other probabilities."""
        new = object.__new__(type(self))
        same = self.classes, self.groups, self.categories, self.columns
        new._set(tables, np.array(prior), *same, None)
        return new

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CellTables):
            return NotImplemented
        pairs = zip((self.prior, *self.tables), (other.prior, *other.tables), strict=False)
        return self._labels() == other._labels() and all(np.array_equal(p, q) for p, q in pairs)

    def __hash__(self) -> int:
        return hash((self._labels(), self.prior.tobytes()))

    def _labels(self) -> tuple[Any, ...]:
        return self.classes, self.groups, self.categories, self.columns

    @property
    def is_joint_alphabet(self) -> bool:
        """Whether several columns share one table, over tuples."""
        return len(self.columns) > len(self.tables)

    @property
    def cells(self) -> dict[Cell, Categorical | tuple[Categorical, ...]]:
        """The laws of every cell by (label, group): one law, or one a column."""
        found: dict[Cell, Categorical | tuple[Categorical, ...]] = {}
        for y, label in enumerate(self.classes):
            for a, group in enumerate(self.groups):
                laws = self._laws(y, a)
                found[label, group] = laws[0] if len(laws) == 1 else laws
        return found

    def _laws(self, y: int, a: int) -> tuple[Categorical, ...]:
        parts = zip(self.tables, self.categories, strict=True)
        return tuple(Categorical(table[y, a], names) for table, names in parts)

    @property
    def priors(self) -> dict[Cell, float]:
        """The probability of every cell, by (label, group)."""
        pairs = [(y, a) for y in self.classes for a in self.groups]
        return dict(zip(pairs, self.prior.ravel().tolist(), strict=True))

    def codes(self, values: Sequence[list[Any]], *, where: str) -> list[NDArray[np.intp]]:
        """Return the place of every row's category in each table.

        Parameters
        ----------
        values : sequence of lists
            One list of categories a column.

        Raises
        ------
        InvalidInputError
            If a category is unknown.
        """
        listed = [list(zip(*values, strict=True))] if self.is_joint_alphabet else list(values)
        names = zip(listed, self.categories, strict=True)
        return [category_codes(column, known, name="X", where=where) for column, known in names]

    def values_of(self, codes: Sequence[NDArray[np.intp]]) -> list[list[Any]]:
        """Return one list of categories a column, from places in the tables.

        Parameters
        ----------
        codes : sequence of (n_samples,) arrays
        """
        found = [[names[i] for i in c] for c, names in zip(codes, self.categories, strict=True)]
        if not self.is_joint_alphabet:
            return found
        return [[row[j] for row in found[0]] for j in range(len(self.columns))]

    def _prior_of_rows(self, y: Any, groups: Any, n: int) -> NDArray[np.float64]:
        where = "CategoricalJoint.log_density"
        j, g = row_cells(y, groups, self.classes, self.groups, n, where=where)
        priors: NDArray[np.float64] = self.prior[j, g]
        return priors


def draw(rows: NDArray[np.float64], rng: np.random.RandomState) -> NDArray[np.intp]:
    """Return one place for every row of probabilities (n, m)."""
    steps = np.cumsum(rows, axis=1)
    u = rng.uniform(size=len(rows)) * steps[:, -1] if len(rows) else np.empty(0)
    found: NDArray[np.intp] = (steps <= u[:, None]).sum(axis=1)
    return found


def laws_of_cell(pair: Any, law: Any) -> tuple[Categorical, ...]:
    """Return the laws of one cell, one a column, or raise naming the cell."""
    parts = (law,) if isinstance(law, Categorical) else law
    named = isinstance(pair, tuple) and len(pair) == 2
    fits = isinstance(parts, list | tuple) and len(parts) > 0
    if not named or not fits or not all(isinstance(p, Categorical) for p in parts):
        raise InvalidInputError(
            "`cells` of `CategoricalJoint` must be a dict {(label, group): Categorical, or a list "
            f"of one Categorical a column}}, got {pair!r}: {type(law).__name__}."
        )
    return tuple(parts)


def _check_columns(
    columns: Sequence[Any] | None, categories: tuple[tuple[Any, ...], ...]
) -> tuple[Any, ...]:
    if columns is None:
        return tuple(range(len(categories)))
    names = plain_labels(columns)
    tuples = all(isinstance(v, tuple) and len(v) == len(names) for v in categories[0])
    alphabet = len(categories) == 1 and len(names) > 1 and tuples
    if len(set(names)) < len(names) or not (len(names) == len(categories) or alphabet):
        raise InvalidInputError(
            f"`columns` of `CategoricalJoint` must be {len(categories)} distinct names, or as many "
            f"as the tuples of a joint alphabet have entries, got {names!r}."
        )
    return names
