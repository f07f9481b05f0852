"""The joint law of categorical columns, label and group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._frames import is_frame
from isonomy._validation import check_random_state
from isonomy.distributions._categorical_cells import Cell, CellTables, draw, laws_of_cell
from isonomy.distributions._categorical_fit import counts_of_cells, fit_alphabet
from isonomy.distributions._category_columns import CategoryTable, read_categories
from isonomy.distributions._joint_checks import (
    check_same_cells,
    label_array,
    row_cells,
)
from isonomy.distributions.categorical import (
    Categorical,
    finite_kl,
)
from isonomy.distributions.normal import check_n_rows
from isonomy.errors import InvalidInputError
from isonomy.groups import sort_labels

__all__ = ["CategoricalJoint"]


class CategoricalJoint(CellTables):
    """The law of (X, label, group) where X is one or more categorical columns.

    Parameters
    ----------
    cells : {(label, group): Categorical or sequence of Categorical}
        Every pair of a label and a group. Several laws are those of several columns,
        independent given label and group; one law over tuples is a joint alphabet.
    priors : {(label, group): probability}
        Above 0, summing to 1, for the same pairs.
    columns : sequence, optional
        Names of the columns in a frame, or indices; default 0, 1, ...

    Attributes
    ----------
    classes, groups : tuple
        Sorted.
    prior : (K, G) array
    tables : tuple of (K, G, m) arrays
        Probabilities of the categories, one table for each independent column, or a single
        one for a joint alphabet.
    categories : tuple of tuples
        Of the tables' last axis.
    columns : tuple
    independence : Independence or None
        After ``fit`` with several independent columns: the test of that assumption.

    Raises
    ------
    InvalidInputError
        If a cell is missing, categories differ between cells, or priors are not a
        distribution.

    Examples
    --------
    >>> cells = {(y, a): Categorical([0.5, 0.5], ["red", "green"])
    ...          for y in (0, 1) for a in ("f", "m")}
    >>> joint = CategoricalJoint(cells, dict.fromkeys(cells, 0.25))
    >>> joint.classes, joint.groups, joint.categories
    ((0, 1), ('f', 'm'), (('red', 'green'),))
    """

    __slots__ = ()

    def __init__(
        self,
        cells: Mapping[Cell, Categorical | Sequence[Categorical]],
        priors: Mapping[Cell, float],
        columns: Sequence[Any] | None = None,
    ) -> None:
        laws = {pair: laws_of_cell(pair, law) for pair, law in cells.items()}
        if not laws:
            raise InvalidInputError("`cells` of `CategoricalJoint` must hold at least one cell.")
        classes = sort_labels({label for label, _ in laws})
        groups = sort_labels({group for _, group in laws})
        pairs = [(y, a) for y in classes for a in groups]
        check_same_cells(pairs, laws, priors)
        kinds = {tuple(law.categories for law in parts) for parts in laws.values()}
        if len(kinds) > 1:
            raise InvalidInputError(
                "`cells` of `CategoricalJoint` must all have the same columns with the same "
                "categories in the same order; give a category that a cell lacks probability 0."
            )
        categories = next(iter(kinds))
        shape = len(classes), len(groups)
        tables = [
            np.stack([laws[pair][j].probabilities for pair in pairs]).reshape(*shape, -1)
            for j in range(len(categories))
        ]
        prior = np.array([priors[pair] for pair in pairs]).reshape(shape)
        self._set(tables, prior, classes, groups, categories, columns, None)

    def __repr__(self) -> str:
        sizes = [len(found) for found in self.categories]
        return (
            f"CategoricalJoint(classes={self.classes!r}, groups={self.groups!r}, "
            f"columns={self.columns!r}, n_categories={sizes!r})"
        )

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        columns: Sequence[Any] | None = None,
        alphabet: Literal["independent", "joint"] = "independent",
        smoothing: float = 0.5,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit by smoothed shares of the rows in every cell.

        Parameters
        ----------
        X : (n_samples,) or (n_samples, n_columns) array, or data frame
            Categories of any hashable kind, none missing.
        y : (n_samples,)
            Class labels, at least 2 different.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups, at least 2 different; several columns make intersectional groups.
        columns : sequence, optional
            Which columns: names in a frame, indices in an array. Default: all.
        alphabet : "independent" or "joint"
            Several columns: independent given label and group, which is tested (see
            ``independence``), or one law over all combinations of their categories, at
            most as many as the smallest cell has rows.
        smoothing : float
            At least 0, in rows: added to the count of every category in every cell.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows; the tests count rows.

        Raises
        ------
        EmptyCellError
            If a (label, group) cell has no rows.
        InvalidInputError
            If an argument has a wrong shape or value, or the alphabet is too large.

        Notes
        -----
        ``p = (n_x + s) / (n + s m)`` with m categories and smoothing s. With s above 0 no
        category has probability 0 where another group has it, so that every divergence is
        finite. With 0 a category that one group lacks makes divergences infinite
        (`why_infinite` names it), and in the information direction the nearest ideal gives
        it up. 0.5 is the mean under Jeffreys' prior for two categories.

        Examples
        --------
        >>> X = ["red", "red", "green", "red", "green", "green", "green", "red"]
        >>> joint = CategoricalJoint.fit(X, [0, 0, 0, 0, 1, 1, 1, 1],
        ...                              sensitive_features=list("ababbaba"))
        >>> joint.cells[0, "a"]
        Categorical([0.5, 0.5], ['green', 'red'])
        """
        where = "CategoricalJoint.fit"
        read = read_categories(X, columns, where=where)
        counted = counts_of_cells(read.n_rows, y, sensitive_features, sample_weight, where=where)
        tables, categories, independence = fit_alphabet(
            read, counted, alphabet, smoothing, where=where
        )
        new = object.__new__(cls)
        labels = counted.classes, counted.groups
        new._set(tables, counted.prior, *labels, categories, read.names, independence)
        return new

    def sample(
        self, n: int, random_state: Any = None
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return ``n`` independent rows with their labels and groups.

        Parameters
        ----------
        n : int
            At least 0.
        random_state : int, RandomState or None
            The same number gives the same rows.

        Returns
        -------
        X : (n, n_columns) array of objects
        y, groups : (n,) arrays

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.
        """
        check_n_rows(n, where="CategoricalJoint.sample")
        rng = check_random_state(random_state)
        cells = rng.choice(self.prior.size, size=int(n), p=self.prior.ravel())
        y, a = np.divmod(cells, len(self.groups))
        rows = np.empty((int(n), len(self.columns)), dtype=object)
        codes = [draw(table[y, a], rng) for table in self.tables]
        for j, column in enumerate(self.values_of(codes)):
            rows[:, j] = column
        return rows, label_array(self.classes)[y], label_array(self.groups)[a]

    def log_density(self, X: Any, y: Any, groups: Any) -> NDArray[np.float64]:
        """Return ``ln P(x, y, a)`` of every row; minus infinity where it is 0.

        Parameters
        ----------
        X : (n_samples, n_columns)
            A frame with the columns of the fit; an array of exactly these columns in order, or
            of all that ``columns`` index.
        y, groups : (n_samples,)
            Labels and groups that this law knows.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a label or category is unknown.
        """
        where = "CategoricalJoint.log_density"
        read = self._read(X, where=where)
        known = self.classes, self.groups
        j, g = row_cells(y, groups, *known, read.n_rows, where=where)
        logs = np.log(self.prior)[j, g]
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the answer
            for table, codes in zip(self.tables, self.codes(read.values, where=where), strict=True):
                logs = logs + np.log(table[j, g, codes])
        return logs

    def _read(self, X: Any, *, where: str) -> CategoryTable:
        """Return the law's columns of X: by name in a frame, all in order in an array."""
        if is_frame(X):
            return read_categories(X, self.columns, where=where)
        read = read_categories(X, None, where=where)
        if len(read.names) == len(self.columns):
            return read
        return read_categories(X, self.columns, where=where)

    def cell_divergence(self, other: CategoricalJoint) -> NDArray[np.float64]:
        """Return KL between the laws of every cell, (K, G); columns add up.

        Parameters
        ----------
        other : CategoricalJoint
            Of the same labels, groups, columns and categories.

        Raises
        ------
        InvalidInputError
            If they differ.
        """
        if not isinstance(other, CategoricalJoint) or self._labels() != other._labels():
            raise InvalidInputError(
                "`other` of `CategoricalJoint.kl_divergence` must be a CategoricalJoint of the "
                f"same classes, groups, columns and categories as {self!r}, got {other!r}."
            )
        pairs = zip(self.tables, other.tables, strict=True)
        return np.asarray(sum(finite_kl(p, q) for p, q in pairs), dtype=np.float64)

    def kl_divergence(self, other: CategoricalJoint) -> float:
        """Return KL(self || other) in nats, priors included; infinity is an answer.

        Parameters
        ----------
        other : CategoricalJoint
            Of the same labels, groups, columns and categories.

        Raises
        ------
        InvalidInputError
            If they differ.

        Notes
        -----
        ``KL(priors) + sum_ya q_ya sum_x P_ya(x) ln(P_ya(x) / Q_ya(x))``, exact. Infinite
        where ``other`` gives a category of ``self`` probability 0: `why_infinite` says which.
        """
        cells = self.cell_divergence(other)
        return float(finite_kl(self.prior.ravel(), other.prior.ravel())) + float(
            (self.prior * cells).sum()
        )

    def why_infinite(self, other: CategoricalJoint) -> str | None:
        """Return why KL(self || other) is infinite, or None if it is finite.

        Parameters
        ----------
        other : CategoricalJoint
            Of the same labels, groups, columns and categories.

        Raises
        ------
        InvalidInputError
            If they differ.
        """
        self.cell_divergence(other)
        for j, (p, q) in enumerate(zip(self.tables, other.tables, strict=True)):
            lost = np.argwhere((p > 0) & (q == 0))
            if len(lost):
                y, a, x = lost[0]
                name = self.columns if self.is_joint_alphabet else self.columns[j]
                return (
                    f"Category {self.categories[j][x]!r} of column {name!r} has probability 0 in "
                    f"cell (label {self.classes[y]!s}, group {self.groups[a]!s}) of the other law "
                    f"but {p[y, a, x]:.3g} in this one, and so for {len(lost)} entries in all. Fit "
                    "with smoothing above 0."
                )
        return None
