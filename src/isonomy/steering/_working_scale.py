"""The scale on which a family is normal: X itself, log X, or T(X) for fitted transforms T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions.transforms import MarginalTransform, fit_marginals
from isonomy.errors import EmptyCellError, FamilyError, InvalidInputError
from isonomy.steering._counted import CountedRows

if TYPE_CHECKING:
    from isonomy.distributions.families import FamilyChoice

__all__ = ["FAMILIES", "WorkingScale", "choose_scale", "known_scale"]

FAMILIES = ("normal", "lognormal", "nonparanormal")

PREFIX = "working/"
"""Of the tensors in which a file keeps the transform."""


@dataclass(frozen=True)
class WorkingScale:
    """A bijection of rows (n, d) onto the scale on which the cells are taken for normal.

    Student-t cells are those of the rows as they are.
    """

    family: Literal["normal", "lognormal", "nonparanormal", "student_t"] = "normal"
    transform: MarginalTransform | None = None

    @property
    def is_identity(self) -> bool:
        """Whether rows are steered in their own units."""
        return self.family in ("normal", "student_t")

    def ahead(
        self,
        values: NDArray[Any],
        names: Sequence[Any],
        *,
        where: str,
        numbers: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Return ``values``, their natural logarithms, or their images under the transform.

        ``numbers`` are those of the rows, for messages. Default: from 0 on.

        Raises
        ------
        FamilyError
            If the family is log-normal and a value is not positive; names column and row.
        """
        if self.is_identity:
            return values
        if self.transform is not None:
            return self.transform.forward(values)
        bad = values <= 0
        if bad.any():
            row, column = np.argwhere(bad)[0]
            number = row if numbers is None else numbers[row]
            raise FamilyError(
                f'`X` passed to `{where}` must be positive for `family="lognormal"`, got '
                f"{int(bad.sum())} value(s) <= 0, the first in column {names[column]!r}, row "
                f'{number}: {values[row, column]:g}. Use `family="normal"`, or drop or shift that '
                "column."
            )
        logs: NDArray[Any] = np.log(values.astype(np.float64, copy=False))
        return logs

    def back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Undo :meth:`ahead`."""
        if self.is_identity:
            return values
        return np.exp(values) if self.transform is None else self.transform.inverse(values)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Return the transform as named arrays; none where there is none."""
        if self.transform is None:
            return {}
        return {PREFIX + name: part for name, part in self.transform.to_arrays().items()}

    @classmethod
    def from_tensors(cls, family: Any, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """Return the scale of ``family`` from the arrays of :meth:`to_tensors`.

        Raises
        ------
        KeyError
            If the family needs a transform and there is none.
        """
        if family != "nonparanormal":
            return cls(family)
        parts = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        if not parts:
            raise KeyError(PREFIX)
        return cls(family, MarginalTransform.from_arrays(parts))


def known_scale(family: str, *, where: str) -> WorkingScale:
    """Return the scale of a family that learns nothing from rows.

    Raises
    ------
    InvalidInputError
        If the family must see all rows first.
    """
    if family == "normal":
        return WorkingScale("normal")
    if family == "lognormal":
        return WorkingScale("lognormal")
    raise InvalidInputError(
        f'`{where}` works with `family="normal"` or "lognormal", got {family!r}, which is learnt '
        "from all rows at once. Use `fit`."
    )


def choose_scale(
    family: str,
    rows: CountedRows,
    names: Sequence[Any],
    *,
    covariance: Any,
    shrinkage: Any,
    where: str,
) -> tuple[WorkingScale, FamilyChoice | None]:
    """Return the scale of ``family`` as learnt from training rows in their own units.

    "auto" leaves the choice to held-out rows, whose record is returned too. One transform
    serves all groups and labels, so that it can be applied where neither is known. A single
    group, whose rows do not move, is left as it is.

    Raises
    ------
    EmptyCellError
        If "auto" finds fewer than two labels with rows of every group.
    """
    choice = None
    if family == "auto":
        if rows.n_groups == 1:
            return WorkingScale("normal"), None
        choice = _preferred(rows, names, covariance, shrinkage, where=where)
        family = choice.family
    if family == "student_t":
        return WorkingScale("student_t"), choice
    if family != "nonparanormal":
        return known_scale(family, where=where), choice
    codes = rows.y_codes, rows.groups.codes
    values = np.asarray(rows.values, dtype=np.float64)
    how = {"per_group": False, "tied": covariance == "tied"}
    transform = fit_marginals(values, *codes, rows.weight, **how)[0]
    return WorkingScale("nonparanormal", transform), choice


def _preferred(
    rows: CountedRows, names: Sequence[Any], covariance: Any, shrinkage: Any, *, where: str
) -> FamilyChoice:
    """Return the choice of held-out rows, among the labels that have rows of every group."""
    # imported here: few steerers ask for it
    from isonomy.distributions.families import choose_family

    live = np.ones(len(rows.values), dtype=bool) if rows.weight is None else rows.weight > 0
    y, a = rows.y_codes, rows.groups.codes
    found = np.zeros((int(y.max()) + 1, rows.n_groups), dtype=bool)
    found[y[live], a[live]] = True
    whole: NDArray[np.bool_] = np.all(found[:, found.any(axis=0)], axis=1)
    if whole.sum() < 2:
        raise EmptyCellError(
            f'`{where}` with `family="auto"` needs at least 2 labels with rows of every group, got '
            f"{int(whole.sum())}. Name the family, or pool rare labels or groups."
        )
    kept = np.flatnonzero(whole[y] & live)
    choice = choose_family(
        rows.values[kept],
        rows.labels[kept],
        sensitive_features=rows.groups.values[kept],
        families=FAMILIES,
        covariance=covariance,
        shrinkage=shrinkage,
        sample_weight=None if rows.weight is None else rows.weight[kept],
        per_group=False,
    )
    # it saw bare numbers: give their columns the names that they have
    real = {f"x{j}": str(name) for j, name in enumerate(names)}
    discrete = tuple(real[name] for name in choice.discrete_columns)
    rounding = {real[name]: step for name, step in choice.rounding.items()}
    return replace(choice, discrete_columns=discrete, rounding=rounding)
