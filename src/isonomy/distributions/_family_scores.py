"""Held-out log-likelihood of families of cells, on the same rows and folds for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._accumulate import Covariance
from isonomy.distributions.joint import JointDistribution
from isonomy.distributions.shrinkage import Shrinkage
from isonomy.errors import IsonomyError, SingularCovarianceError

__all__ = ["CellRows", "deal_folds", "feasible_covariance", "held_out"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CellRows:
    """Rows (n, d), their codes and weights, and the fold in which each is held out.

    Fold -1: never held out, because its cell has no row to spare.
    """

    values: Floats
    y: NDArray[np.intp]
    a: NDArray[np.intp]
    weight: Floats | None
    folds: NDArray[np.intp]
    per_group: bool = True

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    def fit(self, kept: NDArray[np.bool_], family: Any, covariance: Any, shrinkage: Any) -> Any:
        """Return the law of ``family`` fitted to the rows ``kept``."""
        return JointDistribution.fit(
            self.values[kept],
            self.y[kept],
            sensitive_features=self.a[kept],
            family=family,
            covariance=covariance,
            shrinkage=shrinkage,
            sample_weight=None if self.weight is None else self.weight[kept],
            per_group=self.per_group or family != "nonparanormal",
            check="ignore",  # families are about to be compared
        )


def deal_folds(codes: NDArray[np.intp], cv: int, random: Any) -> NDArray[np.intp]:
    """Return the fold of every row: each cell shuffled, then dealt in turn.

    A single row of a cell is never held out: its cell would be empty.
    """
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    folds = np.empty(len(codes), dtype=np.intp)
    folds[order] = np.arange(len(codes)) % cv
    counts = np.bincount(codes)
    folds[counts[codes] < 2] = -1
    return folds


def feasible_covariance(rows: CellRows, covariance: Covariance, shrinkage: Shrinkage) -> Covariance:
    """Return the first of ``covariance``, "tied" and "diagonal" that every fold can fit.

    Raises
    ------
    SingularCovarianceError
        If none can.
    """
    kinds: list[Covariance] = ["full", "tied", "diagonal"]
    for kind in kinds[kinds.index(covariance) :]:
        try:
            for fold in range(rows.n_folds):
                rows.fit(rows.folds != fold, "normal", kind, shrinkage)
        except SingularCovarianceError as error:
            if kind == "diagonal":
                raise SingularCovarianceError(
                    "`choose_family` cannot compare families on these rows: with a fold held "
                    f"out, not even variances could be fitted. {error} Or name the family."
                ) from error
            continue
        return kind
    raise AssertionError("unreachable: the last kind returns or raises")


def held_out(
    rows: CellRows, family: Any, covariance: Covariance, shrinkage: Shrinkage
) -> Floats | str:
    """Return ``ln p(x | cell)`` of every row by the fit that did not see it, or why not.

    NaN for rows that are never held out.
    """
    found = np.full(len(rows.values), np.nan)
    for fold in range(rows.n_folds):
        test = rows.folds == fold
        try:
            joint = rows.fit(~test, family, covariance, shrinkage)
        except IsonomyError as error:
            return str(error)
        for (y, a), law in joint.cells.items():
            chosen = np.flatnonzero(test & (rows.y == y) & (rows.a == a))
            if len(chosen):
                found[chosen] = law.log_density(rows.values[chosen])
    counted = found[rows.folds >= 0]
    if not np.isfinite(counted).all():
        return "a held-out row has no finite log-density"
    return found
