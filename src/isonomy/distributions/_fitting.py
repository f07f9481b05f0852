"""From rows and moments to the checked parameters of every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._frames import Table, read_table
from isonomy._validation import check_same_length, check_sample_weight
from isonomy.distributions._accumulate import Covariance
from isonomy.distributions._cell_arrays import Family
from isonomy.distributions._cell_state import label_positions
from isonomy.distributions._linalg import cholesky, constant_columns, symmetrize
from isonomy.distributions._shape import Marginals, Shape
from isonomy.distributions._singular import explain_singular
from isonomy.distributions.moments import CellMoments
from isonomy.distributions.shrinkage import Shrinkage, blend, ledoit_wolf_intensity, shrink
from isonomy.distributions.transforms import fit_marginals
from isonomy.errors import (
    EmptyCellError,
    FamilyError,
    InvalidInputError,
    SingularCovarianceError,
)
from isonomy.groups import find_cells, sort_labels

__all__ = ["CellFit", "FitRows", "collect_moments", "estimate_covariances", "read_rows"]


@dataclass(frozen=True)
class CellFit:
    """Covariances (K, G, d, d) and their lower factors; tied ones are views of one a group."""

    covariances: NDArray[np.float64]
    lowers: NDArray[np.float64]


@dataclass(frozen=True)
class FitRows:
    """Checked rows in latent coordinates: values (n, d), codes and weight (n,).

    ``shape`` is what the family learnt on the way there.
    """

    values: NDArray[Any]
    y_codes: NDArray[np.intp]
    group_codes: NDArray[np.intp]
    weight: NDArray[np.float64] | None
    classes: list[Any]
    groups: list[Any]
    names: tuple[str, ...]
    shape: Shape | None = None


def read_rows(
    X: Any,
    y: Any,
    sensitive_features: Any,
    sample_weight: ArrayLike | None,
    family: Family,
    *,
    per_group: bool,
    tied: bool,
    where: str,
) -> FitRows:
    """Return the checked rows in the coordinates in which ``family`` is fitted."""
    table = read_table(X, where=where)
    n = len(table.values)
    cells = find_cells(y, sensitive_features, where=where)
    check_same_length("y", len(cells.y_codes), n, where=where)
    weight = check_sample_weight(sample_weight, n, where=where)
    values = log_values(table, where=where) if family == "lognormal" else table.values
    labels = cells.classes.tolist(), list(cells.groups)
    # all that follows has its labels sorted: the codes too, whatever order they came in
    classes, groups = (list(sort_labels(found)) for found in labels)
    y_codes = label_positions(labels[0], classes)[cells.y_codes]
    group_codes = label_positions(labels[1], groups)[cells.group_codes]
    shape: Shape | None = None
    if family == "nonparanormal":
        values = np.asarray(values, dtype=np.float64)
        how = {"per_group": per_group, "tied": tied}
        transforms = fit_marginals(values, y_codes, group_codes, weight, **how)
        shape, values = Marginals(transforms), values.copy()
        for a, transform in enumerate(transforms):
            chosen = np.flatnonzero(group_codes == a)
            values[chosen] = transform.forward(values[chosen])
    return FitRows(values, y_codes, group_codes, weight, classes, groups, tuple(table.names), shape)


def collect_moments(
    rows: FitRows, covariance: Covariance, shrinkage: Shrinkage
) -> tuple[CellMoments, Shrinkage | NDArray[np.float64]]:
    """Return the moments of rows, and the shrinkage with what only rows can tell."""
    moments = CellMoments(
        rows.values.shape[1], covariance=covariance, classes=rows.classes, groups=rows.groups
    )
    moments.feature_names = rows.names
    codes = rows.y_codes, rows.group_codes
    moments.add_coded(rows.values, *codes, rows.weight)
    if shrinkage != "ledoit-wolf":
        return moments, shrinkage
    return moments, ledoit_wolf_intensities(rows.values, *codes, rows.weight, moments)


def log_values(table: Table, *, where: str) -> NDArray[np.float64]:
    """Return the logarithms of the rows, all of which must be positive."""
    bad = table.values <= 0
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FamilyError(
            f'`X` passed to `{where}` must be positive for `family="lognormal"`, got '
            f"{int(bad.sum())} value(s) at or below 0, the first {table.values[row, column]:g} "
            f'in column {table.names[column]!r}, row {row}. Use `family="normal"`, or move '
            "that column first."
        )
    logs: NDArray[np.float64] = np.log(table.values, dtype=np.float64)
    return logs


def ledoit_wolf_intensities(
    values: NDArray[Any],
    y_codes: NDArray[np.intp],
    group_codes: NDArray[np.intp],
    weight: NDArray[np.float64] | None,
    moments: CellMoments,
) -> NDArray[np.float64]:
    """Return the Ledoit-Wolf intensity of every cell (n_classes, n_groups), or tied group."""
    if moments.covariance == "diagonal":
        raise InvalidInputError(
            "`shrinkage` of `JointDistribution.fit` must be 'oas', a number or None with "
            "`covariance='diagonal'`, got 'ledoit-wolf', which measures correlations too."
        )
    means, scale = moments.means, _pooled_scale(moments)
    live = scale > 0
    tied = moments.covariance == "tied"
    codes = group_codes if tied else y_codes * len(moments.groups) + group_codes
    shape = means.shape[1:2] if tied else means.shape[:2]
    intensities = np.zeros(shape)
    for i, cell in enumerate(np.ndindex(shape)):
        chosen = np.flatnonzero(codes == i if weight is None else (codes == i) & (weight > 0))
        if len(chosen) == 0:
            continue  # an empty cell: named by the checks that follow
        centred = values[chosen] - means[y_codes[chosen], group_codes[chosen]]
        w = None if weight is None else weight[chosen]
        intensities[cell] = ledoit_wolf_intensity(centred[:, live] / scale[live], w)
    return intensities


def estimate_covariances(
    moments: CellMoments,
    covariance: Covariance,
    shrinkage: Shrinkage | NDArray[np.float64],
    *,
    where: str,
    can_shrink: bool = True,
) -> CellFit:
    """Return covariances that are positive definite, or raise naming the cell.

    ``shrinkage`` may be an array of intensities, one a cell or tied group. Messages advise
    it only where the family ``can_shrink``.
    """
    _check_cells(moments, where=where)
    names = moments.feature_names or tuple(f"x{j}" for j in range(moments.n_features))
    scale = _pooled_scale(moments)
    if (scale == 0).any():
        shown = ", ".join(names[j] for j in np.flatnonzero(scale == 0)[:10])
        raise SingularCovarianceError(
            f"`X` passed to `{where}` must vary within cells, got column(s) {shown} constant "
            "in every (label, group) cell. Drop them: no shrinkage can help."
        )
    found = _convert(moments, covariance)
    _check_rows(moments, covariance, shrinkage, where=where, can_shrink=can_shrink)
    axis = 0 if covariance == "tied" else ()
    counts, n_rows = moments.counts.sum(axis=axis), moments.n_rows.sum(axis=axis)
    means = np.abs(moments.means).max(axis=0) if covariance == "tied" else moments.means
    # the covariances are ours: shrink them where they stand
    out = np.empty(found.shape + found.shape[-1:]) if covariance == "diagonal" else found
    lowers = np.empty_like(out)
    for cell in np.ndindex(counts.shape):
        shrunk = _shrunk(found[cell], float(counts[cell]), shrinkage, scale, cell)
        full = np.diag(shrunk) if shrunk.ndim == 1 else symmetrize(shrunk)
        out[cell] = _zero_constants(full, means[cell])
        what = f"The covariance of {_name(moments, cell)} in `{where}`"
        try:
            lowers[cell] = cholesky(out[cell], what=what, size=int(n_rows[cell]), names=names)
        except SingularCovarianceError as error:
            lost = found, cell, partial(_name, moments), names, int(n_rows[cell])
            raise explain_singular(error, *lost) from error
    shape = (len(moments.classes), *out.shape[-3:])
    return CellFit(np.broadcast_to(out, shape), np.broadcast_to(lowers, shape))


def _shrunk(
    found: NDArray[np.float64],
    n: float,
    shrinkage: Shrinkage | NDArray[np.float64],
    scale: NDArray[np.float64],
    cell: tuple[int, ...],
) -> NDArray[np.float64]:
    if isinstance(shrinkage, np.ndarray):
        return blend(found, float(shrinkage[cell]), scale)
    return shrink(found, n, shrinkage, scale=scale)


def _zero_constants(found: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance with exact zeros where a variance is rounding error alone."""
    constant = constant_columns(np.diagonal(found), mean)
    if not constant.any():
        return found
    out = found.copy()
    out[constant] = out[:, constant] = 0.0
    return out


def _convert(moments: CellMoments, covariance: Covariance) -> NDArray[np.float64]:
    """Return covariances of the kind asked for from moments that hold at least as much."""
    found = moments.covariances
    if moments.covariance == covariance:
        return found
    if moments.covariance == "full" and covariance == "diagonal":
        variances: NDArray[np.float64] = np.diagonal(found, axis1=-2, axis2=-1)
        return variances
    if moments.covariance == "full" and covariance == "tied":
        share = moments.counts / moments.counts.sum(axis=0)
        pooled: NDArray[np.float64] = np.einsum("ya,yaij->aij", share, found)
        return pooled
    raise InvalidInputError(
        f"`covariance` of `JointDistribution.from_moments` must be {moments.covariance!r}, the "
        f"kind that the moments hold, got {covariance!r}. Collect CellMoments with "
        f"`covariance={covariance!r}`."
    )


def _pooled_scale(moments: CellMoments) -> NDArray[np.float64]:
    """Return the within-cell standard deviation of every column; 0 where constant."""
    within = moments.within_covariance()
    variance = within if within.ndim == 1 else np.diagonal(within)
    constant = constant_columns(variance, moments.total_mean())
    return np.where(constant, 0.0, np.sqrt(np.maximum(variance, 0.0)))


def _check_cells(moments: CellMoments, *, where: str) -> None:
    if len(moments.classes) < 2 or len(moments.groups) < 2:
        name, labels = "y", moments.classes
        if len(moments.classes) >= 2:
            name, labels = "sensitive_features", moments.groups
        shown = repr(labels[0]) if labels else "none"
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold at least 2 different labels, got only "
            f"{shown}. With one there is nothing to compare."
        )
    empty = [cell for cell in np.ndindex(moments.counts.shape) if moments.counts[cell] <= 0]
    if empty:
        shown = ", ".join(_name(moments, cell) for cell in empty[:5])
        raise EmptyCellError(
            f"`{where}` needs rows in every (label, group) cell, got none in {len(empty)} of "
            f"{moments.counts.size}: {shown}. Pool rare labels or groups, or drop them."
        )


def _check_rows(
    moments: CellMoments,
    covariance: Covariance,
    shrinkage: Shrinkage | NDArray[np.float64],
    *,
    where: str,
    can_shrink: bool,
) -> None:
    """Raise where too few rows make the covariance singular whatever they hold."""
    n_rows, d = moments.n_rows, moments.n_features
    tied = covariance == "tied"
    # the means take one row each
    spare = n_rows.sum(axis=0) - len(n_rows) if tied else n_rows - 1
    needed = d if covariance != "diagonal" and shrinkage is None else 1
    short = [cell for cell in np.ndindex(spare.shape) if spare[cell] < needed]
    if not short:
        return
    cell = min(short, key=lambda c: int(spare[c]))
    rows, means = (n_rows.sum(axis=0)[cell], len(n_rows)) if tied else (n_rows[cell], 1)
    remedies = ["dropping columns"] if tied else ['`covariance="tied"`']
    if can_shrink and shrinkage is None and covariance != "diagonal":
        remedies.append('`shrinkage="oas"`')
    raise SingularCovarianceError(
        f"`{where}` with `covariance={covariance!r}` needs at least {needed + means} rows in "
        f"{_name(moments, cell)}, got {int(rows)} rows for {d} features. Try "
        f"{' or '.join(remedies)}."
    )


def _name(moments: CellMoments, cell: Sequence[int]) -> str:
    if len(cell) == 1:
        return f"group {moments.groups[cell[0]]!s}"
    return f"(label {moments.classes[cell[0]]!s}, group {moments.groups[cell[1]]!s})"
