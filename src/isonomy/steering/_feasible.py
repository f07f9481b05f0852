"""Rows kept possible: values within bounds, whole numbers where a column counts."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.errors import InvalidInputError
from isonomy.steering._feasibility import FeasibilityReport, feasibility_report

__all__ = ["Feasible", "FeasibleColumns", "column_position"]

Floats = NDArray[np.float64]
Bounds = Mapping[Hashable, tuple[float | None, float | None]] | Literal["observed"] | None
Integers = Collection[Hashable] | Literal["auto"] | None

PREFIX = "feasible/"
"""Of the tensors in which a file keeps the limits."""


@dataclass(frozen=True)
class Feasible:
    """Which values each column may take, as asked for.

    Parameters
    ----------
    bounds : {column: (low, high)}, "observed" or None
        None or an infinity leaves a side open; "observed" takes the least and the greatest
        value of every column in ``fit``.
    integers : columns, "auto" or None
        Columns of whole numbers; "auto" takes those that held nothing else in ``fit``.
    where, integers_name : str
        For messages: whose arguments these are, and what the second is called there.
    """

    bounds: Bounds = None
    integers: Integers = None
    where: str = "Feasible"
    integers_name: str = "integers"

    def fit(self, X: ArrayLike, columns: Sequence[Hashable] | None = None) -> FeasibleColumns:
        """Return the limits of every column.

        Parameters
        ----------
        X : (n_samples, n_features)
            Training rows, at least one, finite.
        columns : sequence of n_features names, optional
            Default: 0, 1, 2, ...

        Returns
        -------
        FeasibleColumns

        Raises
        ------
        InvalidInputError
            If a column is unknown, a low bound lies above the high one, or no whole number
            lies between those of an integer column.

        Examples
        --------
        >>> fitted = Feasible("observed", "auto").fit([[0.0, 0.5], [9.0, 2.25]])
        >>> fitted.apply([[3.5, 1.2], [4.5, 1.2], [11.0, 0.0]])[0].tolist()
        [[4.0, 1.2], [4.0, 1.2], [9.0, 0.5]]
        """
        rows = np.asarray(X, dtype=np.float64)
        if rows.ndim != 2 or len(rows) == 0:
            raise InvalidInputError(
                f"`X` passed to `{self.where}` must have two axes and a row or more, got shape "
                f"{rows.shape}."
            )
        names: list[Hashable] = list(range(rows.shape[1])) if columns is None else list(columns)
        low, high = self._limits(rows, names)
        whole = self._whole(rows, names)
        # rounding up to the bound of a whole number could leave it again: tighten first
        low, high = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
        for j in np.flatnonzero(low > high).tolist():
            what = "hold a whole number" if whole[j] else "not be empty"
            raise InvalidInputError(
                f"`bounds` of `{self.where}` must {what} for column {names[j]!r}, got "
                f"{self._given(names[j], j)!r}."
            )
        return FeasibleColumns(tuple(names), low, high, whole, rows.std(axis=0))

    def _limits(self, rows: Floats, names: list[Hashable]) -> tuple[Floats, Floats]:
        low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
        if self.bounds is None:
            return low, high
        if isinstance(self.bounds, str):
            if self.bounds != "observed":
                raise self._bad_bounds(self.bounds)
            return rows.min(axis=0), rows.max(axis=0)
        if not isinstance(self.bounds, Mapping):
            raise self._bad_bounds(self.bounds)
        for key, pair in self.bounds.items():
            j = self._position(key, names, "bounds")
            low[j], high[j] = self._pair(key, pair)
        return low, high

    def _pair(self, key: Hashable, pair: Any) -> tuple[float, float]:
        ends = tuple(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else ()
        numbers = [isinstance(e, int | float | np.number) or e is None for e in ends]
        if len(ends) != 2 or not all(numbers) or any(e is not None and e != e for e in ends):
            raise InvalidInputError(
                f"`bounds` of `{self.where}` must give (low, high) for column {key!r}, two "
                f"numbers or None, got {pair!r}."
            )
        low = -np.inf if ends[0] is None else float(ends[0])
        return low, np.inf if ends[1] is None else float(ends[1])

    def _whole(self, rows: Floats, names: list[Hashable]) -> NDArray[np.bool_]:
        if self.integers is None:
            return np.zeros(len(names), dtype=bool)
        if isinstance(self.integers, str):
            if self.integers != "auto":
                raise InvalidInputError(
                    f"`{self.integers_name}` of `{self.where}` must be 'auto', columns or None, "
                    f"got {self.integers!r}. Put a single column into a list."
                )
            return np.asarray((rows == np.rint(rows)).all(axis=0), dtype=bool)
        found = np.zeros(len(names), dtype=bool)
        if not isinstance(self.integers, Collection):
            raise InvalidInputError(
                f"`{self.integers_name}` of `{self.where}` must be 'auto', columns or None, got "
                f"{self.integers!r}. Put a single column into a list."
            )
        found[[self._position(key, names, self.integers_name) for key in self.integers]] = True
        return found

    def _position(self, key: Hashable, names: list[Hashable], argument: str) -> int:
        return column_position(key, names, argument, self.where)

    def _given(self, name: Hashable, j: int) -> Any:
        if not isinstance(self.bounds, Mapping):
            return self.bounds
        return self.bounds[name] if name in self.bounds else self.bounds[j]

    def _bad_bounds(self, got: Any) -> InvalidInputError:
        return InvalidInputError(
            f"`bounds` of `{self.where}` must be 'observed', a mapping from column to (low, high) "
            f"or None, got {got!r}."
        )


@dataclass(frozen=True, eq=False)
class FeasibleColumns:
    """The limits of every column, and what it costs to keep them.

    Attributes
    ----------
    columns : tuple of d names
    low, high : (d,)
        Whole for columns of whole numbers; infinite where a side is open.
    whole : (d,) of bool
        Columns of whole numbers.
    scale : (d,)
        Standard deviations of the training columns (divisor n), in which corrections are
        reported.
    """

    columns: tuple[Hashable, ...]
    low: Floats
    high: Floats
    whole: NDArray[np.bool_]
    scale: Floats

    @property
    def is_free(self) -> bool:
        """Whether no column has any limit."""
        bounded = np.isfinite(self.low) | np.isfinite(self.high) | self.whole
        return not bool(bounded.any())

    def without(self, columns: Sequence[int]) -> Self:
        """Return the limits of all columns but those at the positions ``columns``."""
        if not columns:
            return self
        free = np.isin(np.arange(len(self.columns)), columns)
        low, high = np.where(free, -np.inf, self.low), np.where(free, np.inf, self.high)
        return replace(self, low=low, high=high, whole=self.whole & ~free)

    def apply(self, rows: ArrayLike) -> tuple[NDArray[Any], Floats]:
        """Return the nearest possible rows, and by how much each value was changed.

        Parameters
        ----------
        rows : (n_samples, n_features)
            Left as they are.

        Returns
        -------
        rows (n_samples, n_features), correction (n_samples, n_features)
            In the caller's dtype if that is float32 or float64; the correction is what was
            added, in float64.

        Raises
        ------
        InvalidInputError
            If the number of columns is wrong.

        Notes
        -----
        Whole numbers: to the nearest, halves to the even neighbour; then to the nearer bound
        of what lies outside. Every value becomes the nearest possible one, so no other
        possible row is nearer, whatever the columns weigh. Possible rows stay as they are.
        """
        given = np.asarray(rows)
        dtype = given.dtype if given.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.columns):
            raise InvalidInputError(
                f"`rows` passed to `FeasibleColumns.apply` must have {len(self.columns)} columns, "
                f"got shape {given.shape}."
            )
        found = given.astype(dtype, copy=True)
        if self.whole.any():
            found[:, self.whole] = np.rint(found[:, self.whole]) + 0.0  # never -0
        low, high = _inward(self.low, dtype, up=True), _inward(self.high, dtype, up=False)
        np.clip(found, low, high, out=found)
        correction: Floats = found.astype(np.float64) - given.astype(np.float64)
        return found, correction

    def report(
        self, rows: ArrayLike, groups: ArrayLike | None = None, names: Sequence[Hashable] = ()
    ) -> FeasibilityReport:
        """Return how much `apply` changes ``rows``.

        Parameters
        ----------
        rows : (n_samples, n_features)
            As steered, before the correction.
        groups : (n_samples,) of int, optional
            Positions in ``names``; negative: of no group.
        names : sequence
            The groups' names.

        Returns
        -------
        FeasibilityReport
        """
        before = np.asarray(rows, dtype=np.float64)
        correction = self.apply(before)[1]
        clipped = (before < self.low) | (before > self.high)
        codes = None if groups is None else np.asarray(groups)
        return feasibility_report(
            correction, clipped, self.scale, self.columns, codes, tuple(names)
        )

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the limits as named arrays; the columns' names are left out."""
        parts = {"low": self.low, "high": self.high, "whole": self.whole, "scale": self.scale}
        return {PREFIX + name: np.asarray(part, dtype=np.float64) for name, part in parts.items()}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, NDArray[Any]], columns: Sequence[Hashable]
    ) -> Self | None:
        """Undo :meth:`to_tensors`; None where a file keeps no limits."""
        if PREFIX + "low" not in tensors:
            return None
        low, high, whole, scale = (
            np.asarray(tensors[PREFIX + name], dtype=np.float64)
            for name in ("low", "high", "whole", "scale")
        )
        return cls(tuple(columns), low, high, whole > 0.0, scale)


def column_position(key: Any, names: Sequence[Any], argument: str, where: str) -> int:
    """Return the position of the column that ``key`` names, or is the position of.

    Raises
    ------
    InvalidInputError
        If there is none; names the argument.
    """
    if key in names:
        return list(names).index(key)
    counted = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if counted and 0 <= int(key) < len(names):
        return int(key)
    shown = ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
    raise InvalidInputError(
        f"`{argument}` of `{where}` must name columns of `X` ({shown}), got {key!r}."
    )


def _inward(limits: Floats, dtype: np.dtype[Any], *, up: bool) -> NDArray[Any]:
    """Return the limits in ``dtype``, never outside of what they were."""
    found: NDArray[Any] = limits.astype(dtype)
    outside = found < limits if up else found > limits
    inside = np.nextafter(found, np.array(np.inf if up else -np.inf, dtype=dtype))
    return np.where(outside, inside, found)
