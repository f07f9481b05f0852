"""Which family fits the cells best, by the likelihood of rows it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._frames import read_table
from isonomy._validation import (
    check_choice,
    check_count,
    check_random_state,
    check_same_length,
    check_sample_weight,
)
from isonomy.distributions._accumulate import Covariance
from isonomy.distributions._cell_arrays import Family
from isonomy.distributions._family_columns import ColumnKind, dequantised, kind_of_column
from isonomy.distributions._family_scores import (
    CellRows,
    deal_folds,
    feasible_covariance,
    held_out,
)
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage
from isonomy.errors import InvalidInputError
from isonomy.groups import check_no_empty_cell, find_cells

__all__ = ["FamilyChoice", "choose_family"]

_SIMPLEST_FIRST: tuple[Family, ...] = ("normal", "lognormal", "student_t", "nonparanormal")

_MAX_ROWS = 20_000
"""More rows than this are thinned, evenly over the cells: the choice no longer changes."""


@dataclass(frozen=True)
class FamilyChoice:
    """Which family the held-out rows prefer, and by how much.

    Attributes
    ----------
    family : str
        The simplest one within one standard error of the best.
    scores : dict
        ``{family: mean held-out log-likelihood of x given its cell}``, nats a row in the
        units of X, Jacobians included.
    standard_errors : dict
        ``{family: standard error of its difference to the best}``; 0 for the best.
    skipped : dict
        ``{family: why it was not compared}``.
    discrete_columns : tuple of str
        Left out of the comparison for all families alike: they have no density.
    rounding : dict
        ``{column: step}`` of the columns compared after uniform noise of one step.
    covariance : str
        The kind of covariance that every fold could fit.
    n_rows : int
        Rows compared.
    """

    family: Family
    scores: dict[str, float]
    standard_errors: dict[str, float]
    skipped: dict[str, str]
    discrete_columns: tuple[str, ...]
    rounding: dict[str, float]
    covariance: Covariance
    n_rows: int
    n_folds: int = field(default=5)

    @property
    def best(self) -> str:
        """The family of the highest score, simple or not."""
        return max(self.scores, key=lambda f: self.scores[f]) if self.scores else self.family

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values for JSON."""
        return {
            "schema": 1,
            "kind": "family-choice",
            "family": self.family,
            "best": self.best,
            "scores": dict(self.scores),
            "standard_errors": dict(self.standard_errors),
            "skipped": dict(self.skipped),
            "discrete_columns": list(self.discrete_columns),
            "rounding": dict(self.rounding),
            "covariance": self.covariance,
            "n_rows": self.n_rows,
            "n_folds": self.n_folds,
        }

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a family, best first, then those skipped with the reason.

        Parameters
        ----------
        backend : "pandas" or "polars"
        """
        ranked = sorted(self.scores, key=lambda f: -self.scores[f])
        names = [*ranked, *self.skipped]
        columns = {
            "family": names,
            "score": [self.scores.get(f) for f in names],
            "standard_error": [self.standard_errors.get(f) for f in names],
            "chosen": [f == self.family for f in names],
            "skipped": [self.skipped.get(f) for f in names],
        }
        return nw.to_native(nw.from_dict(columns, backend=backend))

    def __str__(self) -> str:
        return " ".join(self._sentences())

    def _sentences(self) -> list[str]:
        best, chosen = self.best, self.family
        if not self.scores:
            return [f"No column has a density to compare families by: {chosen} is taken unchecked."]
        said = [
            f"{chosen} has the highest held-out log-likelihood, {self.scores[chosen]:.4f} nats a "
            f"row over {self.n_rows} rows."
        ]
        if chosen != best:
            short = self.scores[best] - self.scores[chosen]
            said = [
                f"{chosen} is the simplest family within one standard error of the best held-out "
                f"log-likelihood: {short:.4f} nats a row below {best}, standard error "
                f"{self.standard_errors[chosen]:.4f}, over {self.n_rows} rows."
            ]
        if self.discrete_columns:
            said.append(
                f"Left out, having no density: {_listed(self.discrete_columns)}. Numbers among "
                "them are steered like the others, zeros to below 0 too, unless `bounds` or "
                "`integer_columns` of the steerer keep them possible."
            )
        if self.rounding:
            said.append(f"Rounded, compared after uniform noise: {_listed(self.rounding)}.")
        if self.skipped:
            said.append(f"Not compared: {', '.join(self.skipped)}.")
        return said


def choose_family(
    X: Any,
    y: Any,
    *,
    sensitive_features: Any,
    families: Sequence[str] = ("normal", "lognormal", "nonparanormal", "student_t"),
    covariance: Covariance = "full",
    cv: int = 5,
    shrinkage: Shrinkage = None,
    sample_weight: ArrayLike | None = None,
    per_group: bool = True,
    random_state: Any = 0,
) -> FamilyChoice:
    """Return the family of cells under which unseen rows are likeliest.

    Parameters
    ----------
    X : (n_samples, n_features) array or data frame
    y : (n_samples,)
        Class labels, at least 2 different.
    sensitive_features : (n_samples,) or (n_samples, n_attributes)
        Groups, at least 2 different.
    families : sequence of str
        Among "normal", "lognormal", "student_t" and "nonparanormal".
    covariance : "full", "tied" or "diagonal"
        As in :meth:`JointDistribution.fit`; where a fold has too few rows for it, the
        next in this list is taken for all families, and reported.
    cv : int
        Folds, at least 2; every cell is dealt evenly over them.
    shrinkage : None, "oas", "ledoit-wolf" or a number in [0, 1]
    sample_weight : (n_samples,), optional
        Weights of rows in the fits and in the mean.
    per_group : bool
        "nonparanormal": one transform a group, or one for all.
    random_state : int, RandomState or None
        Of the folds, the noise and the thinning.

    Returns
    -------
    FamilyChoice
        ``str`` of it is a sentence or two.

    Raises
    ------
    EmptyCellError
        If a (label, group) cell has no rows.
    SingularCovarianceError
        If a fold cannot be fitted even with variances alone.
    InvalidInputError
        If another argument has a wrong shape or value.

    Notes
    -----
    Score of a family f: the weighted mean over held-out rows of ``ln p_f(x | y, a)``,
    densities in the units of X. The choice is the first of normal, lognormal, student_t
    and nonparanormal whose score is at most one standard error (of the mean difference
    over rows) below the best.

    A density on a value that many rows share can be made as high as one likes, so
    discrete and continuous columns are never mixed: columns that are categorical, have at
    most 20 values or an atom are left out for all families alike. Columns rounded to a
    grid get uniform noise of one step, the same for all; the likelihood then bounds that
    of the rounded values from below (Theis, van den Oord and Bethge 2016). Where no column
    is left the simplest family is returned, unchecked.

    More than 20,000 rows are thinned. It does not promise that the family is true.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, a = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    >>> incomes = np.exp(rng.normal(size=(400, 1)) + y[:, None])
    >>> choose_family(incomes, y, sensitive_features=a, families=("normal", "lognormal")).family
    'lognormal'
    """
    where = "choose_family"
    wanted = _check_families(families, where=where)
    check_choice("covariance", covariance, ("full", "tied", "diagonal"), where=where)
    method = check_shrinkage(shrinkage, where=where)
    n_folds = check_count("cv", cv, low=2, where=where)
    random = check_random_state(random_state)
    table = read_table(X, where=where)
    n = len(table.values)
    weight = check_sample_weight(sample_weight, n, where=where)
    cells = find_cells(y, sensitive_features, sample_weight=weight, min_classes=2, where=where)
    check_same_length("y", len(cells.y_codes), n, where=where)
    check_no_empty_cell(cells, where=where)
    counted = np.ones(n) if weight is None else weight
    kinds = [kind_of_column(column, counted) for column in table.values.T]
    names = [str(name) for name in table.names]
    discrete = [name for name, kind in zip(names, kinds, strict=True) if kind.discrete]
    columns = (*discrete, *map(str, table.untouched))
    skipped = _skip(wanted, table.values, method)
    compared = [f for f in wanted if f not in skipped]
    if len(discrete) == len(names):
        skipped |= dict.fromkeys(compared, "no column has a density")
        return FamilyChoice(
            (compared or wanted)[0], {}, {}, skipped, columns, {}, covariance, 0, n_folds
        )
    values, rounding = _with_density(table.values, names, kinds, random)
    chosen = _thinned(cells.codes, counted, random)
    rows = CellRows(
        values[chosen],
        cells.y_codes[chosen],
        cells.group_codes[chosen],
        None if weight is None else weight[chosen],
        deal_folds(cells.codes[chosen], n_folds, random),
        per_group,
    )
    if rows.n_folds < 1:
        raise InvalidInputError(
            f"`X` passed to `{where}` must have two rows or more in some (label, group) cell, got "
            "single rows: none can be held out. Name the family instead."
        )
    kind = feasible_covariance(rows, covariance, method)
    found: dict[str, NDArray[np.float64]] = {}
    for family in compared:
        score = held_out(rows, family, kind, method)
        if isinstance(score, str):
            skipped[family] = score
        else:
            found[family] = score
    return _choice(found, rows, skipped, columns, rounding, kind)


def _with_density(
    values: NDArray[Any], names: Sequence[str], kinds: Sequence[ColumnKind], random: Any
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Return the columns that have a density, rounding undone, and the steps by name."""
    kept = [j for j, kind in enumerate(kinds) if not kind.discrete]
    found = values[:, kept].astype(np.float64)
    rounding = {names[j]: kinds[j].step for j in kept if kinds[j].step > 0.0}
    for i, j in enumerate(kept):
        if kinds[j].step > 0.0:
            found[:, i] = dequantised(found[:, i], kinds[j].step, random)
    return found, rounding


def _choice(
    found: dict[str, NDArray[np.float64]],
    rows: CellRows,
    skipped: dict[str, str],
    discrete: tuple[str, ...],
    steps: dict[str, float],
    covariance: Covariance,
) -> FamilyChoice:
    if not found:
        reasons = "; ".join(f"{f}: {why}" for f, why in skipped.items())
        raise InvalidInputError(
            f"`families` of `choose_family` must hold one that can be fitted, got none: {reasons}"
        )
    counted = rows.folds >= 0
    w = np.ones(int(counted.sum())) if rows.weight is None else rows.weight[counted]
    logs = {f: score[counted] for f, score in found.items()}
    scores = {f: float(w @ v / w.sum()) for f, v in logs.items()}
    best = max(scores, key=lambda f: scores[f])
    errors = {f: _standard_error(logs[best] - v, w) for f, v in logs.items()}
    # laws that are equal but for rounding tie: the spread of their difference is rounding too
    rounding = np.sqrt(np.finfo(np.float64).eps) * max(1.0, abs(scores[best]))
    near = [f for f in _SIMPLEST_FIRST if f in scores]
    near = [f for f in near if scores[best] - scores[f] <= errors[f] + rounding]
    n, folds = len(w), rows.n_folds
    return FamilyChoice(near[0], scores, errors, skipped, discrete, steps, covariance, n, folds)


def _standard_error(difference: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """Return the standard error of the weighted mean, weights read as repeated rows."""
    total = float(w.sum())
    spread = difference - w @ difference / total
    return float(np.sqrt(w @ spread**2) / total)


def _listed(names: Iterable[str]) -> str:
    """Return the first five names and how many more there are."""
    known = list(names)
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return ", ".join(known[:5]) + more


def _skip(families: Sequence[Family], values: NDArray[Any], shrinkage: Shrinkage) -> dict[str, str]:
    skipped: dict[str, str] = {}
    least = float(values.min())
    if "lognormal" in families and least <= 0.0:
        skipped["lognormal"] = f"X has values at or below 0, the least {least:g}"
    if "student_t" in families and shrinkage is not None:
        skipped["student_t"] = "its scale matrices are not shrunk: it needs `shrinkage=None`"
    return skipped


def _thinned(codes: NDArray[np.intp], weight: NDArray[np.float64], random: Any) -> NDArray[np.intp]:
    """Return the rows to compare: all with weight, or about `_MAX_ROWS`, evenly by cell."""
    live = np.flatnonzero(weight > 0.0)
    if len(live) <= _MAX_ROWS:
        return live
    order = random.permutation(live)
    order = order[np.argsort(codes[order], kind="stable")]
    stride = len(live) / _MAX_ROWS
    place = np.arange(len(order)) - np.searchsorted(codes[order], codes[order])
    kept: NDArray[np.intp] = np.sort(
        order[np.floor(place / stride) > np.floor((place - 1) / stride)]
    )
    return kept


def _check_families(families: Sequence[str], *, where: str) -> list[Family]:
    given = [families] if isinstance(families, str) else list(families)
    for family in given:
        check_choice("families", family, _SIMPLEST_FIRST, where=where)
    if not given:
        raise InvalidInputError(f"`families` of `{where}` must name at least one family, got none.")
    return [f for f in _SIMPLEST_FIRST if f in given]
