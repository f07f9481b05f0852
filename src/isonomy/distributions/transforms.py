"""One strictly increasing function a column: a bijection of R^d, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions._frozen import Frozen
from isonomy.distributions._marginal_fit import ClassRows, fit_column
from isonomy.distributions.monotone import MonotoneSpline
from isonomy.distributions.normal import as_rows
from isonomy.errors import InvalidInputError

__all__ = ["MarginalTransform", "fit_marginals"]

_NAMES = ("knots", "values", "slopes")


class MarginalTransform(Frozen):
    """The bijection x -> (T_1(x_1), ..., T_d(x_d)), one spline a column.

    Parameters
    ----------
    splines : sequence of MonotoneSpline
        One a column, at least one.

    Raises
    ------
    InvalidInputError
        If there is no spline or an entry is something else.

    Notes
    -----
    Immutable. Idealness and Kullback-Leibler divergence survive every bijection of the
    features that does not depend on the class, so these may differ between groups.

    Examples
    --------
    >>> transform = MarginalTransform([MonotoneSpline.linear(2.0), MonotoneSpline.linear()])
    >>> transform.forward([[1.0, 5.0]])
    array([[2., 5.]])
    """

    __slots__ = ("splines",)

    splines: tuple[MonotoneSpline, ...]

    def __init__(self, splines: Iterable[MonotoneSpline]) -> None:
        found = tuple(splines)
        bad = [type(s).__name__ for s in found if not isinstance(s, MonotoneSpline)]
        if not found or bad:
            raise InvalidInputError(
                "`splines` of `MarginalTransform` must be MonotoneSplines, at least one, got "
                f"{bad[0] if bad else 'none'}."
            )
        object.__setattr__(self, "splines", found)

    @classmethod
    def identity(cls, n_features: int) -> Self:
        """Return the transform that leaves every column as it is.

        Parameters
        ----------
        n_features : int

        Examples
        --------
        >>> MarginalTransform.identity(2).forward([[1.0, 5.0]])
        array([[1., 5.]])
        """
        return cls([MonotoneSpline.linear()] * n_features)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.splines,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MarginalTransform):
            return NotImplemented
        return self.splines == other.splines

    def __hash__(self) -> int:
        return hash(self.splines)

    def __repr__(self) -> str:
        return f"MarginalTransform(n_features={self.n_features})"

    @property
    def n_features(self) -> int:
        """Number of columns, d."""
        return len(self.splines)

    def forward(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return T(x) of every row.

        Parameters
        ----------
        X : (n_samples, n_features)
            ``(n_samples,)`` is accepted where ``n_features`` is 1.

        Returns
        -------
        (n_samples, n_features) array, float64

        Examples
        --------
        >>> MarginalTransform([MonotoneSpline.linear(2.0)]).forward([[3.0]])
        array([[6.]])
        """
        rows = as_rows(X, self.n_features, where="MarginalTransform.forward")
        out = np.empty(rows.shape)
        for j, spline in enumerate(self.splines):
            out[:, j] = spline.forward(rows[:, j])
        return out

    def inverse(self, Z: ArrayLike) -> NDArray[np.float64]:
        """Return the rows whose images are ``Z``.

        Parameters
        ----------
        Z : (n_samples, n_features)
            ``(n_samples,)`` is accepted where ``n_features`` is 1.

        Returns
        -------
        (n_samples, n_features) array, float64

        Examples
        --------
        >>> MarginalTransform([MonotoneSpline.linear(2.0)]).inverse([[6.0]])
        array([[3.]])
        """
        rows = as_rows(Z, self.n_features, where="MarginalTransform.inverse")
        out = np.empty(rows.shape)
        for j, spline in enumerate(self.splines):
            out[:, j] = spline.inverse(rows[:, j])
        return out

    def log_derivative(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return ``sum_j ln T_j'(x_j)`` of every row: the logarithm of the Jacobian.

        Parameters
        ----------
        X : (n_samples, n_features)
            ``(n_samples,)`` is accepted where ``n_features`` is 1.

        Returns
        -------
        (n_samples,) array, float64

        Examples
        --------
        >>> transform = MarginalTransform([MonotoneSpline.linear(2.0)] * 2)
        >>> transform.log_derivative([[3.0, 5.0]]).round(6)
        array([1.386294])
        """
        rows = as_rows(X, self.n_features, where="MarginalTransform.log_derivative")
        out = np.zeros(len(rows))
        for j, spline in enumerate(self.splines):
            out += spline.log_derivative(rows[:, j])
        return out

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the splines end to end: "n_knots" (d,), "knots", "values" and "slopes".

        Examples
        --------
        >>> MarginalTransform.identity(3).to_arrays()["n_knots"]
        array([2, 2, 2])
        """
        arrays: dict[str, NDArray[Any]] = {
            name: np.concatenate([getattr(s, name) for s in self.splines]) for name in _NAMES
        }
        arrays["n_knots"] = np.array([len(s.knots) for s in self.splines], dtype=np.int64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> Self:
        """Return the transform that ``to_arrays`` wrote.

        Parameters
        ----------
        arrays : mapping with the keys "n_knots", "knots", "values" and "slopes"

        Raises
        ------
        InvalidInputError
            If a key is missing or the arrays are not those of splines.

        Examples
        --------
        >>> same = MarginalTransform.identity(3)
        >>> MarginalTransform.from_arrays(same.to_arrays()) == same
        True
        """
        missing = [name for name in ("n_knots", *_NAMES) if name not in arrays]
        if missing:
            raise InvalidInputError(
                "`arrays` of `MarginalTransform.from_arrays` must hold 'n_knots', 'knots', "
                f"'values' and 'slopes', got none for {', '.join(missing)}."
            )
        lengths = np.asarray(arrays["n_knots"])
        parts = [np.asarray(arrays[name], dtype=np.float64) for name in _NAMES]
        if lengths.ndim != 1 or any(p.shape != (int(lengths.sum()),) for p in parts):
            raise InvalidInputError(
                "`arrays` of `MarginalTransform.from_arrays` must have as many 'knots', 'values' "
                f"and 'slopes' as 'n_knots' adds up to ({int(lengths.sum())}), got "
                f"{', '.join(str(p.shape) for p in parts)}."
            )
        ends = np.cumsum(lengths)[:-1]
        pieces = zip(*(np.split(part, ends) for part in parts), strict=True)
        return cls([MonotoneSpline(*piece) for piece in pieces])


def fit_marginals(
    values: NDArray[Any],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    weight: NDArray[np.float64] | None = None,
    *,
    per_group: bool = True,
    tied: bool = False,
    n_knots: int = 19,
) -> list[MarginalTransform]:
    """Return one class-free transform a group, by maximum likelihood column by column.

    Parameters
    ----------
    values : (n, d)
        Finite numbers.
    y_codes, group_codes : (n,)
        Codes from 0 on.
    weight : (n,), optional
        At least 0; integer weights equal repeated rows.
    per_group : bool
        False fits one transform to all groups, and returns the same object for each.
    tied : bool
        Whether all labels of a group share one scale in a column.
    n_knots : int
        At most so many knots a column; 2 leaves straight lines. Fewer where rows are few
        or where more gain no more likelihood than chance would (BIC).

    Returns
    -------
    list of MarginalTransform
        In the order of the group codes. T(X) of a group has mean 0 and within-class
        variance 1 in every column.

    Notes
    -----
    Each T_j is such that T_j(x_j) is as nearly normal(mu_y, s_y^2) in every class as a
    monotone spline can make it; see ``_marginal_fit``. The classes enter through mu_y and
    s_y alone, so steering by T needs no label. Columns are fitted one at a time, as if
    independent given the cell: consistent (a composite likelihood), not fully efficient.

    Examples
    --------
    >>> x = np.exp(np.random.default_rng(0).normal(size=(400, 1)))
    >>> y, a = np.arange(400) % 2, np.arange(400) // 200
    >>> first, second = fit_marginals(x, y, a)
    >>> bool(abs(first.forward(x[:200]).mean()) < 1e-9)
    True
    """
    n_groups = int(group_codes.max()) + 1
    n_classes = int(y_codes.max()) + 1
    kept = slice(None) if weight is None else np.flatnonzero(weight > 0.0)
    rows, y, a = values[kept], y_codes[kept], group_codes[kept]
    w = np.ones(len(rows)) if weight is None else weight[kept]
    if not per_group:
        # a mean and a scale for every cell: groups, too, may differ in them
        shared = _fit_rows(rows, a * n_classes + y, w, tied=tied, n_knots=n_knots)
        return [shared] * n_groups
    found = []
    for g in range(n_groups):
        chosen = np.flatnonzero(a == g)
        part = rows[chosen], y[chosen], w[chosen]
        found.append(_fit_rows(*part, tied=tied, n_knots=n_knots))
    return found


def _fit_rows(
    values: NDArray[Any],
    codes: NDArray[np.intp],
    weight: NDArray[np.float64],
    *,
    tied: bool,
    n_knots: int,
) -> MarginalTransform:
    if len(values) == 0:
        return MarginalTransform.identity(values.shape[1])
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(int(codes.max()) + 2))
    classes = ClassRows(bounds, weight[order], tied)
    columns = np.asarray(values[order].T, dtype=np.float64, order="C")
    return MarginalTransform([fit_column(column, classes, n_knots) for column in columns])
