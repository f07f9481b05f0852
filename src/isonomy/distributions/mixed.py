"""The joint law of numeric and categorical columns, label and group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_random_state
from isonomy.distributions._categorical_cells import draw
from isonomy.distributions._categorical_fit import counts_of_cells
from isonomy.distributions._category_columns import read_categories
from isonomy.distributions._cell_arrays import Family
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._independence import Independence, rank_tests_within
from isonomy.distributions._joint_checks import label_array
from isonomy.distributions._mixed_columns import MixedColumns, split_columns
from isonomy.distributions.categorical_joint import CategoricalJoint
from isonomy.distributions.joint import JointDistribution
from isonomy.distributions.normal import check_n_rows
from isonomy.distributions.shrinkage import Shrinkage
from isonomy.errors import InvalidInputError

__all__ = ["MixedJoint"]


class MixedJoint(Frozen):
    """The law of (X, label, group) where X has numeric and categorical columns.

    Numeric and categorical columns are taken to be independent given label and group;
    ``fit`` tests that.

    Parameters
    ----------
    numeric : JointDistribution
    categorical : CategoricalJoint
        Of the same labels and groups, with the same priors to rounding.
    columns : MixedColumns, optional
        Where the columns stand in the caller's X; by default numeric first.
    independence : Independence, optional
        What ``fit`` found.

    Attributes
    ----------
    classes, groups : tuple
    prior : (K, G) array
    numeric : JointDistribution
    categorical : CategoricalJoint
    columns : MixedColumns
    independence : Independence or None

    Raises
    ------
    InvalidInputError
        If labels, groups or priors differ.

    Examples
    --------
    >>> from isonomy.distributions import Categorical, Normal
    >>> pairs = [(y, a) for y in (0, 1) for a in ("f", "m")]
    >>> prior = dict.fromkeys(pairs, 0.25)
    >>> numeric = JointDistribution({p: Normal(p[0], 1.0) for p in pairs}, prior)
    >>> coins = CategoricalJoint({p: Categorical([0.5, 0.5]) for p in pairs}, prior)
    >>> joint = MixedJoint(numeric, coins)
    >>> joint.kl_divergence(joint)
    0.0
    """

    __slots__ = ("categorical", "columns", "independence", "numeric")

    numeric: JointDistribution
    categorical: CategoricalJoint
    columns: MixedColumns
    independence: Independence | None

    def __init__(
        self,
        numeric: JointDistribution,
        categorical: CategoricalJoint,
        columns: MixedColumns | None = None,
        independence: Independence | None = None,
    ) -> None:
        kinds = isinstance(numeric, JointDistribution), isinstance(categorical, CategoricalJoint)
        if not all(kinds):
            raise InvalidInputError(
                "`numeric` and `categorical` of `MixedJoint` must be a JointDistribution and a "
                f"CategoricalJoint, got {type(numeric).__name__} and {type(categorical).__name__}."
            )
        same = numeric.classes == categorical.classes and numeric.groups == categorical.groups
        if not same or not np.allclose(numeric.prior, categorical.prior, rtol=1e-9, atol=0.0):
            raise InvalidInputError(
                "`numeric` and `categorical` of `MixedJoint` must have the same labels, groups and "
                "priors. Fit them on the same rows."
            )
        if columns is None:
            d, c = numeric.n_features, len(categorical.columns)
            columns = MixedColumns(tuple(range(d)), tuple(range(d, d + c)), d + c)
        beside = categorical._with(categorical.tables, numeric.prior)
        parts = {"numeric": numeric, "categorical": beside, "columns": columns}
        for name, value in (parts | {"independence": independence}).items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixedJoint):
            return NotImplemented
        return self.numeric == other.numeric and self.categorical == other.categorical

    def __hash__(self) -> int:
        return hash((self.numeric, self.categorical))

    def __repr__(self) -> str:
        return f"MixedJoint({self.numeric!r}, {self.categorical!r})"

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """The labels, sorted."""
        return self.numeric.classes

    @property
    def groups(self) -> tuple[Hashable, ...]:
        """The groups, sorted."""
        return self.numeric.groups

    @property
    def prior(self) -> NDArray[np.float64]:
        """The probability of every cell, (K, G)."""
        return self.numeric.prior

    @property
    def priors(self) -> dict[tuple[Hashable, Hashable], float]:
        """The probability of every cell, by (label, group)."""
        return self.numeric.priors

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        categorical_columns: Sequence[Any] | None = None,
        family: Family = "nonparanormal",
        covariance: Literal["full", "tied", "diagonal"] = "full",
        shrinkage: Shrinkage = None,
        smoothing: float = 0.5,
        sample_weight: ArrayLike | None = None,
        check: Literal["warn", "ignore"] = "warn",
    ) -> Self:
        """Fit the numeric columns and the categorical ones, and test their independence.

        Parameters
        ----------
        X : (n_samples, n_columns) data frame or array
        y : (n_samples,)
            Class labels, at least 2 different.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups, at least 2 different; several columns make intersectional groups.
        categorical_columns : sequence, optional
            Names or indices. Default for a frame: every column that is not numeric. Arrays
            need it.
        family, covariance, shrinkage
            As in ``JointDistribution.fit``; "nonparanormal" is a normal copula behind
            monotone transforms of the columns.
        smoothing : float
            As in ``CategoricalJoint.fit``.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows; the tests count rows.
        check : "warn" or "ignore"
            As in ``JointDistribution.fit``.

        Raises
        ------
        EmptyCellError
            If a (label, group) cell has no rows.
        SingularCovarianceError
            If a cell has too few rows, or columns are constant or collinear.
        InvalidInputError
            If an argument has a wrong shape or value, or one kind of column is missing.

        Warns
        -----
        NonNormalWarning
            As in ``JointDistribution.fit``.

        Notes
        -----
        The law is a product given label and group: ``p(x, c | y, a) = p(x | y, a)
        P(c | y, a)``, and the categorical columns are independent of one another too.
        ``independence`` holds, for every pair, the p of the test that this is so (rank
        tests, Pearson's statistic, both within cells), adjusted after Holm over all pairs.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X = np.column_stack([rng.normal(size=200), rng.integers(0, 3, 200)])
        >>> y, a = np.arange(200) % 2, np.arange(200) // 100
        >>> joint = MixedJoint.fit(X, y, sensitive_features=a, categorical_columns=[1],
        ...                        family="normal")
        >>> joint.independence.pairs, joint.numeric.n_features
        (((0, 1),), 1)
        """
        where = "MixedJoint.fit"
        columns = split_columns(X, categorical_columns, where=where)
        common = {"sensitive_features": sensitive_features, "sample_weight": sample_weight}
        values = columns.numbers(X, where=where)
        categorical = CategoricalJoint.fit(
            X, y, columns=columns.categorical, smoothing=smoothing, **common
        )
        how: dict[str, Any] = {"family": family, "covariance": covariance, "check": check}
        part = columns.numeric_part(X, where=where)
        numeric = JointDistribution.fit(part, y, shrinkage=shrinkage, **how, **common)
        read = read_categories(X, columns.categorical, where=where)
        cells = counts_of_cells(len(values), y, sensitive_features, None, where=where).cells
        tests = rank_tests_within(
            values,
            categorical.codes(read.values, where=where),
            (columns.numeric, columns.categorical),
            cells,
        )
        return cls(numeric, categorical, columns, tests.beside(categorical.independence))

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
            Columns in the order of ``columns``.
        y, groups : (n,) arrays

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.
        """
        check_n_rows(n, where="MixedJoint.sample")
        rng = check_random_state(random_state)
        values, y, groups = self.numeric.sample(n, rng)
        pairs = dict(zip(label_array(self.classes).tolist(), range(len(self.classes)), strict=True))
        label_codes = np.array([pairs[v] for v in y.tolist()], dtype=np.intp)
        places = dict(zip(label_array(self.groups).tolist(), range(len(self.groups)), strict=True))
        codes = np.array([places[v] for v in groups.tolist()], dtype=np.intp)
        drawn = [draw(table[label_codes, codes], rng) for table in self.categorical.tables]
        rows = np.empty((int(n), values.shape[1] + len(self.categorical.columns)), dtype=object)
        rows[:, self.columns.numeric_places] = values
        for j, column in zip(
            self.columns.categorical_places, self.categorical.values_of(drawn), strict=True
        ):
            rows[:, j] = column
        return rows, y, groups

    def log_density(self, X: Any, y: Any, groups: Any) -> NDArray[np.float64]:
        """Return ``ln p(x, c, y, a)`` of every row.

        Parameters
        ----------
        X : (n_samples, n_columns)
            Laid out as in ``columns``.
        y, groups : (n_samples,)
            Labels and groups that this law knows.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a label or category is unknown.
        """
        where = "MixedJoint.log_density"
        values = self.columns.numbers(X, where=where)
        picked = self.columns.categories(X, where=where)
        numeric = self.numeric.log_density(values, y, groups)
        beside = self.categorical.log_density(picked, y, groups)
        prior = self.categorical._prior_of_rows(y, groups, len(values))
        logs: NDArray[np.float64] = numeric + beside - np.log(prior)
        return logs

    def kl_divergence(self, other: MixedJoint) -> float:
        """Return KL(self || other) in nats, priors included once.

        Parameters
        ----------
        other : MixedJoint
            Of the same labels, groups, columns, categories and family.

        Raises
        ------
        InvalidInputError
            If they differ.

        Notes
        -----
        Given label and group the parts are independent, so their divergences add up.
        """
        if not isinstance(other, MixedJoint):
            raise InvalidInputError(
                "`other` of `MixedJoint.kl_divergence` must be a MixedJoint, got "
                f"{type(other).__name__}."
            )
        cells = self.categorical.cell_divergence(other.categorical)
        return self.numeric.kl_divergence(other.numeric) + float((self.prior * cells).sum())
