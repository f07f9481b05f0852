"""One map per group: fit the cells in good coordinates, find the nearest ideal, lift back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap, CellMoments, JointDistribution, Normal
from isonomy.distributions._linalg import rank_tolerance, sure_cholesky
from isonomy.distributions._singular import explain_singular
from isonomy.distributions.shrinkage import oas_intensity
from isonomy.errors import EmptyCellError, SingularCovarianceError
from isonomy.groups import cell_factors
from isonomy.ideal import IdealSolution
from isonomy.ideal.nearest import PendingIdeal, solve_ideal
from isonomy.steering._coordinates import Coordinates, Subspace
from isonomy.steering._counted import CountedRows
from isonomy.steering._small_cells import cell_means, cell_variances
from isonomy.steering._student import student_cells

__all__ = [
    "GivenFit",
    "GivenSettings",
    "check_degrees",
    "fit_given",
    "fitted_joint",
    "in_features",
    "solve_given",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GivenSettings:
    """What ``IdealSteerer`` passes on to ``nearest_ideal`` and to the fit of the cells."""

    covariance: str
    moves: Any
    reference: Any
    direction: Any
    priors: Any
    map_family: Any
    subspace: Subspace
    shrinkage: Any
    random_state: Any
    columns: tuple[str, ...] | None = None
    """Names of X's columns, for messages."""
    protected: tuple[int, ...] = ()
    """Positions of the columns that must not move."""


@dataclass(frozen=True)
class GivenFit:
    """Maps of the rows of every group in X's own coordinates, with the solution behind.

    The solution speaks in ``coordinates``; `in_features` states it in the features where
    these can be had back from them. It is worked out from ``pending`` when it is read.
    """

    maps: dict[Hashable, AffineMap]
    pending: PendingIdeal
    coordinates: Coordinates

    @property
    def solution(self) -> IdealSolution:
        """The solution in ``coordinates``."""
        return self.pending.solution()


def fit_given(
    moments: CellMoments,
    settings: GivenSettings,
    *,
    student_rows: CountedRows | None = None,
    where: str,
) -> GivenFit:
    """Solve from moments alone, and lift the maps to X's own coordinates.

    Cells are normal; with the rows behind ``moments`` they are Student-t.
    """
    pending, coordinates = _solve_in_coordinates(moments, settings, student_rows, where=where)
    maps = {group: coordinates.lift(inner) for group, inner in pending.maps().items()}
    return GivenFit(maps, pending, coordinates)


def solve_given(
    moments: CellMoments, settings: GivenSettings, *, where: str
) -> tuple[IdealSolution, Coordinates]:
    """Return the nearest ideal distribution in the coordinates that are returned with it.

    Raises
    ------
    EmptyCellError
        If a (label, group) pair has no weight.
    SingularCovarianceError
        If a covariance is singular and ``shrinkage`` is off.
    """
    pending, coordinates = _solve_in_coordinates(moments, settings, None, where=where)
    return pending.solution(), coordinates


def _solve_in_coordinates(
    moments: CellMoments, settings: GivenSettings, rows: CountedRows | None, *, where: str
) -> tuple[PendingIdeal, Coordinates]:
    check_cells(moments, where=where)
    law = moments.counts * cell_factors(moments.counts)
    diagonal = settings.covariance == "diagonal"
    coordinates = Coordinates.of(
        moments,
        law / law.sum(),
        subspace=settings.subspace,
        axis_aligned=diagonal,
        protected=settings.protected,
    )
    if rows is None:
        names = settings.columns
        joint = fitted_joint(moments, coordinates, settings.shrinkage, columns=names, where=where)
    else:
        joint = student_cells(
            moments, coordinates, rows, covariance=settings.covariance, where=where
        )
    return _solved_cells(joint, coordinates, settings), coordinates


def _solved_cells(
    joint: JointDistribution, coordinates: Coordinates, settings: GivenSettings
) -> PendingIdeal:
    """Solve for cells in the steerer's coordinates."""
    diagonal = settings.covariance == "diagonal"
    by_column = diagonal and settings.map_family == "affine"
    return solve_ideal(
        joint,
        moves=settings.moves,
        reference=settings.reference,
        direction=settings.direction,
        priors=settings.priors,
        map_family="diagonal" if by_column else settings.map_family,
        protected=range(coordinates.n_kept) if coordinates.n_kept else None,
    )


def check_cells(moments: CellMoments, *, where: str) -> None:
    """Raise :class:`EmptyCellError` naming the cells without rows."""
    empty = np.argwhere(moments.counts <= 0)
    if len(empty):
        shown = ", ".join(
            f"(label {moments.classes[y]!s}, group {moments.groups[a]!s})" for y, a in empty[:5]
        )
        raise EmptyCellError(
            f"`{where}` needs rows in every (label, group) cell, got none in {len(empty)} of "
            f"{moments.counts.size}: {shown}. Pool rare labels or groups, drop them, or use "
            '`groups="blind"`.'
        )


def fitted_joint(
    moments: CellMoments,
    coordinates: Coordinates,
    shrinkage: Any,
    *,
    columns: Sequence[str] | None = None,
    where: str,
) -> JointDistribution:
    """Return the fitted normal cells in the steerer's coordinates, small cells pooled."""
    means = (cell_means(moments) - coordinates.centre) @ coordinates.ahead
    covariances = _cell_covariances(moments, coordinates, shrinkage, where=where)
    prior = moments.counts / moments.counts.sum()
    labels = moments.classes, moments.groups
    lowers = _sure_lowers(covariances) if moments.covariance == "tied" else None
    if lowers is None:  # what may be singular, to be judged and named
        _check_singular(moments, covariances, columns, where=where)
        return JointDistribution.from_arrays(means, covariances, prior, *labels, "normal")
    shape = means.shape + means.shape[-1:]
    both = (np.broadcast_to(matrices, shape) for matrices in (covariances, lowers))
    return JointDistribution._build(means, next(both), prior, *labels, "normal", next(both))


def _check_singular(
    moments: CellMoments, covariances: Floats, columns: Sequence[str] | None, *, where: str
) -> None:
    """Raise for a singular covariance, naming the direction in X's own columns.

    ``covariances`` are in the steerer's coordinates, (G, r, r) or (K, G, r, r).
    """
    names = columns or moments.feature_names or tuple(f"x{j}" for j in range(moments.n_features))
    size = int(np.max(moments.n_rows))

    def name(cell: Sequence[int]) -> str:
        group = f"group {moments.groups[cell[-1]]!s}"
        return group if len(cell) == 1 else f"(label {moments.classes[cell[0]]!s}, {group})"

    for cell in np.ndindex(covariances.shape[:-2]):
        values = np.linalg.eigvalsh(covariances[cell])
        n_zero = int((values <= rank_tolerance(values, size=size)).sum())
        if n_zero:
            lost = SingularCovarianceError(
                f"The covariance of {name(cell)} in `{where}` must be positive definite, got rank "
                f"{len(values) - n_zero} of {len(values)}. Drop columns that depend on one "
                'another, or set `shrinkage="oas"`.'
            )
            raise explain_singular(lost, moments.covariances, cell, name, names, size)


def _sure_lowers(covariances: Floats) -> Floats | None:
    """Return the factors (G, r, r) of covariances in white coordinates, if all surely exist."""
    # by columns, as LAPACK leaves them and reads them
    lowers = np.empty_like(covariances).swapaxes(1, 2)
    for covariance, into in zip(covariances, lowers, strict=True):
        lower = sure_cholesky(covariance.T)
        if lower is None:
            return None
        into[...] = lower
    return lowers


def _cell_covariances(
    moments: CellMoments, coordinates: Coordinates, shrinkage: Any, *, where: str
) -> Floats:
    n_classes, n_groups = moments.counts.shape
    ahead, found = coordinates.ahead, moments.covariances
    if moments.covariance == "diagonal":
        variances = np.einsum("yad,di->yai", cell_variances(moments), ahead**2)
        return np.asarray(variances[..., None] * np.eye(ahead.shape[1]))
    if moments.covariance == "tied":
        rows = moments.n_rows.sum(axis=0) - n_classes
        white = _whitened(moments, coordinates, found)
        for a in range(n_groups):
            white[a] = _shrunk(white[a], int(rows[a]), shrinkage, moments.groups[a], where)
        return white
    found = cell_variances(moments)
    free = [
        [
            _shrunk(
                ahead.T @ found[y, a] @ ahead,
                int(moments.n_rows[y, a]) - 1,
                shrinkage,
                (moments.classes[y], moments.groups[a]),
                where,
            )
            for a in range(n_groups)
        ]
        for y in range(n_classes)
    ]
    return np.array(free)


def _whitened(moments: CellMoments, coordinates: Coordinates, found: Floats) -> Floats:
    """Return the groups' covariances (G, r, r) in the coordinates.

    Where these whiten the total covariance, ``I = sum_a p_a C_a + B'B`` with B the cell
    means about the total one, times the roots of the cells' shares: the largest group's
    covariance is what the others leave, which saves its two triangular solves.
    """
    if not coordinates.whitens_total:
        return coordinates.whiten(found)
    share = moments.counts / moments.counts.sum()
    weight = share.sum(axis=0)
    last = int(weight.argmax())
    centred = (moments.means - coordinates.centre) @ coordinates.ahead
    between = (centred * np.sqrt(share)[..., None]).reshape(-1, centred.shape[-1])
    left: Floats = between.T @ between
    white = np.empty_like(found)
    for a in np.delete(np.arange(len(weight)), last):
        white[a] = coordinates.whiten(found[a : a + 1])[0]
        left += weight[a] * white[a]
    np.multiply(left, -1.0 / weight[last], out=white[last])
    white[last][np.diag_indices(len(left))] += 1.0 / weight[last]
    return white


def _shrunk(covariance: Floats, n: int, shrinkage: Any, name: Any, where: str) -> Floats:
    if shrinkage is None:
        _check_degrees(n, len(covariance), name, where)
        return covariance
    # The coordinates are white: shrink toward their identity, whatever the rotation.
    rho = oas_intensity(covariance, max(n, 1)) if shrinkage == "oas" else float(shrinkage)
    middle = float(np.trace(covariance)) / len(covariance)
    shrunk: Floats = covariance * (1.0 - rho)
    shrunk[np.diag_indices(len(shrunk))] += rho * middle
    return shrunk


def check_degrees(moments: CellMoments, n_dimensions: int, shrinkage: Any, *, where: str) -> None:
    """Raise where a group has too few rows for a tied covariance without shrinkage."""
    if shrinkage is None:
        spare = moments.n_rows.sum(axis=0) - len(moments.classes)
        for n, group in zip(spare, moments.groups, strict=True):
            _check_degrees(int(n), n_dimensions, group, where)


def _check_degrees(n: int, n_dimensions: int, name: Any, where: str) -> None:
    if n < n_dimensions:
        raise SingularCovarianceError(
            f"`{where}` cannot estimate the covariance of {name!r}: {n} degrees of freedom "
            f'for {n_dimensions} features. Set `shrinkage="oas"`, '
            '`covariance="tied"` or `"diagonal"`, or reduce the features.'
        )


def in_features(
    solution: IdealSolution, coordinates: Coordinates, protected: tuple[int, ...] = ()
) -> IdealSolution:
    """Express a solution in X's own coordinates; KL and the rest do not change.

    ``protected`` are the positions of protected columns there.
    """
    out = AffineMap(coordinates.back, coordinates.centre)
    into = AffineMap(coordinates.ahead.T, -coordinates.centre @ coordinates.ahead)
    ideal = push_joint(solution.distribution, out)
    reference = ideal.groups.index(solution.reference)
    return replace(
        solution,
        source=push_joint(solution.source, out),
        distribution=ideal,
        canonical=canonical_cells(ideal, reference),
        maps={group: out.compose(inner).compose(into) for group, inner in solution.maps.items()},
        protected=protected if solution.protected else (),
    )


def canonical_cells(ideal: JointDistribution, group: int) -> dict[Hashable, Normal]:
    """Return the cells of one group by label, without factoring them once more."""
    return {
        label: Normal._trusted(
            ideal.means[y, group], ideal.covariances[y, group], ideal._lowers[y, group]
        )
        for y, label in enumerate(ideal.classes)
    }


def push_joint(joint: JointDistribution, out: AffineMap) -> JointDistribution:
    """Return the joint distribution of ``out(X)``, Y and A."""
    matrix = out.matrix
    # one covariance a group is pushed once, not once a cell
    covariances = joint.covariances[0] if joint.is_tied else joint.covariances
    return JointDistribution.from_arrays(
        joint.means @ matrix.T + out.offset,
        matrix @ covariances @ matrix.T,
        joint.prior,
        joint.classes,
        joint.groups,
        joint.family,
        joint.shape,
    )
