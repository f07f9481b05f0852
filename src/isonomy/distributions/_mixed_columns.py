"""Which columns of a table are numbers and which categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._frames import Table, is_frame, read_table
from isonomy.errors import InvalidInputError

__all__ = ["MixedColumns", "split_columns"]


@dataclass(frozen=True)
class MixedColumns:
    """Numeric and categorical columns: names in a frame, indices in an array.

    ``order`` is the number of columns of the caller's X, or all of its names in order.
    """

    numeric: tuple[Any, ...]
    categorical: tuple[Any, ...]
    order: int | tuple[Any, ...]

    @property
    def numeric_places(self) -> list[int]:
        """Where the numeric columns stand in X."""
        return self._places(self.numeric)

    @property
    def categorical_places(self) -> list[int]:
        """Where the categorical columns stand in X."""
        return self._places(self.categorical)

    def _places(self, names: Sequence[Any]) -> list[int]:
        return list(names) if isinstance(self.order, int) else [self.order.index(n) for n in names]

    def numbers(self, X: Any, *, where: str) -> NDArray[np.float64]:
        """Return the numeric columns, (n_samples, d)."""
        return np.asarray(self.numeric_table(X, where=where).values, dtype=np.float64)

    def numeric_table(self, X: Any, *, where: str) -> Table:
        """Return the numeric columns with the way back."""
        return read_table(self.numeric_part(X, where=where), where=where)

    def numeric_part(self, X: Any, *, where: str) -> Any:
        """Return the numeric columns of X, of X's own kind."""
        return _take(X, self._named(X, self.numeric, where=where))

    def categories(self, X: Any, *, where: str) -> NDArray[Any]:
        """Return the categorical columns, (n_samples, c), of objects."""
        taken = _take(X, self._named(X, self.categorical, where=where))
        if not is_frame(taken):
            return np.asarray(taken, dtype=object)
        frame = nw.from_native(taken, eager_only=True)
        rows = np.empty((len(frame), len(frame.columns)), dtype=object)
        for j, name in enumerate(frame.columns):
            rows[:, j] = frame.get_column(name).to_list()
        return rows

    def _named(self, X: Any, names: Sequence[Any], *, where: str) -> list[Any]:
        if is_frame(X) and isinstance(self.order, int):
            known = nw.from_native(X, eager_only=True).columns
            _check_width(len(known), self.order, where=where)
            return [known[j] for j in names]
        if is_frame(X):
            missing = [n for n in names if n not in nw.from_native(X, eager_only=True).columns]
            if missing:
                raise InvalidInputError(
                    f"`X` passed to `{where}` must have the columns of the fit, but lacks "
                    f"{', '.join(map(str, missing[:5]))}."
                )
            return list(names)
        places = self._places(names)
        n_columns = self.order if isinstance(self.order, int) else len(self.order)
        shape = np.shape(X)
        _check_width(shape[1] if len(shape) == 2 else 0, n_columns, where=where)
        return places


def _check_width(got: int, wanted: int, *, where: str) -> None:
    if got != wanted:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have the {wanted} columns of the fit, got {got}."
        )


def _take(X: Any, names: list[Any]) -> Any:
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        return nw.to_native(frame.select(*[nw.col(name) for name in names]))
    array = np.asarray(X)
    if array.dtype.kind in "US" and not hasattr(X, "dtype"):
        array = np.asarray(X, dtype=object)
    return array[:, names]


def split_columns(X: Any, categorical: Sequence[Any] | None, *, where: str) -> MixedColumns:
    """Return which columns are which: by dtype in a frame, by ``categorical`` in an array."""
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True)
        known = list(frame.columns)
        order: int | tuple[Any, ...] = tuple(known)
        schema = frame.schema
        chosen = [c for c in known if not schema[c].is_numeric()]
    else:
        shape = np.shape(X)
        if len(shape) != 2:
            raise InvalidInputError(
                f"`X` passed to `{where}` must be 2-D, got {len(shape)} dimension(s)."
            )
        known, order, chosen = list(range(shape[1])), int(shape[1]), []
        if categorical is None:
            raise InvalidInputError(
                f"`categorical_columns` of `{where}` must name the categorical columns of an "
                "array by index, got None. Pass a data frame to go by dtype."
            )
    if categorical is not None:
        chosen = [c.item() if isinstance(c, np.generic) else c for c in categorical]
    unknown = [c for c in chosen if c not in known]
    numeric = [c for c in known if c not in chosen]
    if unknown or len(set(chosen)) < len(chosen) or not chosen or not numeric:
        raise InvalidInputError(
            f"`categorical_columns` of `{where}` must leave at least one numeric and name at "
            f"least one categorical column of `X`, got {chosen!r} of {known[:20]!r}. For one kind "
            "alone use JointDistribution or CategoricalJoint."
        )
    return MixedColumns(tuple(numeric), tuple(chosen), order)
