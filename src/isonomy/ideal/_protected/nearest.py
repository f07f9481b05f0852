"""The nearest ideal distribution among those that leave given columns as they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isonomy.distributions import JointDistribution
from isonomy.distributions._shape import Marginals
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal._cells import Array, CellArrays, Solved, kl_of_cells
from isonomy.ideal._priors import joint_prior, label_dependence, simple_prior
from isonomy.ideal._protected.gram import common_gram
from isonomy.ideal._protected.split import (
    Places,
    Split,
    best_rest,
    gram_points,
    map_to_frame,
    split_cells,
)
from isonomy.ideal._request import Request, check_request

__all__ = ["KeptColumns", "solve_protected"]

_WHERE = "nearest_ideal"

_TOLERANCE = 1e-6
"""Relative miss between Gram matrices that is taken for rounding of fitted moments."""

_FLAT = 1e-8
"""Least share of class separation in the rest of the group in whose frame rows are to end."""


@dataclass(frozen=True, eq=False)
class KeptColumns:
    """Positions of the columns that stay, and of the others."""

    kept: Places
    free: Places


def solve_protected(
    joint: JointDistribution,
    protected: Any,
    *,
    moves: Any,
    reference: Hashable | None,
    direction: Any,
    priors: Any,
    map_family: Any,
    reference_class: Any = None,
) -> tuple[Request, Solved, Array, bool, tuple[int, ...]]:
    """Return request, solution, ideal priors, whether their search settled, and the columns.

    Raises
    ------
    InvalidInputError
        If ``protected`` names no columns, unknown ones or all of them.
    UnsupportedProgrammeError
        If the cells of a group do not share a covariance, fewer than K - 1 columns may move,
        or rows cannot be carried to the reference's frame.
    NotIdealError
        If a group that stays makes an ideal law out of reach.
    """
    request = check_request(
        joint,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
        reference_class=reference_class,
    )
    columns = _check_columns(protected, joint.n_features)
    _check_supported(joint, map_family, columns)
    cells = request.cells
    splits = [
        split_cells(cells.means[:, a], cells.covariances[0, a], columns.kept, columns.free)
        for a in range(len(joint.groups))
    ]
    if not request.all_move:
        _check_reach(request, splits, joint)
    prior, settled = _prior(request, splits, columns)
    weights = prior if direction == "information" else cells.prior
    ideal, found = _ideal_cells(request, splits, weights)
    paid = _paid(request, ideal, columns)
    named = reference is not None or priors == "reference"
    frame = _frame(request, ideal, joint, named=named)
    value = float((weights * paid).sum())
    history = tuple(v - found.history[-1] + value for v in found.history)
    means, covariances = _joined(ideal, columns)
    matrices, offsets = _maps(ideal, frame, columns)
    solved = Solved(
        means,
        covariances,
        matrices,
        offsets,
        found.converged,
        found.converged,
        found.n_iter,
        history,
        paid=paid,
    )
    chosen = Request(
        cells, request.movers, frame, request.direction, request.priors, request.family
    )
    return chosen, solved, prior, settled, tuple(columns.kept.tolist())


def _check_columns(protected: Any, d: int) -> KeptColumns:
    several = isinstance(protected, Sequence | np.ndarray) and not isinstance(protected, str)
    named = list(protected) if several else [protected]
    whole = all(isinstance(j, int | np.integer) and not isinstance(j, bool) for j in named)
    if not named or not whole or any(not 0 <= j < d for j in named):
        raise InvalidInputError(
            f"`protected` of `{_WHERE}` must be positions of columns from 0 to {d - 1}, at least "
            f"one, got {protected!r}. Leave it out to let all columns move."
        )
    kept: Places = np.unique(np.array(named, dtype=np.intp))
    if len(kept) == d:
        raise InvalidInputError(
            f"`protected` of `{_WHERE}` must leave a column or more free to move, got all {d}."
        )
    return KeptColumns(kept, np.setdiff1d(np.arange(d, dtype=np.intp), kept))


def _check_supported(joint: JointDistribution, map_family: Any, columns: KeptColumns) -> None:
    if map_family != "affine":
        raise UnsupportedProgrammeError(
            f"`map_family` of `{_WHERE}` must be 'affine' with `protected` columns, got "
            f"{map_family!r}. Leave it out."
        )
    if joint.family == "student_t":
        raise UnsupportedProgrammeError(
            f"`protected` of `{_WHERE}` may not be used with Student-t cells, whose other columns "
            "given the protected ones are no affine images of one another. Fit another family."
        )
    if not joint.is_tied:
        raise UnsupportedProgrammeError(
            f"`protected` of `{_WHERE}` needs cells that share one covariance within each group, "
            "got covariances that differ between classes. Fit with covariance='tied'."
        )
    if isinstance(joint.shape, Marginals) and any(
        t != joint.shape.transforms[0] for t in joint.shape.transforms
    ):
        raise UnsupportedProgrammeError(
            f"`protected` of `{_WHERE}` needs one transform for all groups, got one a group, "
            "through which the columns would move. Fit with one transform for all."
        )
    need = len(joint.classes) - 1
    if len(columns.free) < need:
        raise UnsupportedProgrammeError(
            f"`protected` of `{_WHERE}` must leave at least n_classes - 1 = {need} columns free "
            f"to move, got {len(columns.free)}: with fewer, maps that keep the others cannot in "
            "general give all groups one posterior. Protect fewer columns."
        )


def _check_reach(request: Request, splits: Sequence[Split], joint: JointDistribution) -> None:
    """Raise where groups that stay are not ideal, or ask more than movers can reach."""
    r = request.reference
    whole = splits[r].kept_gram + splits[r].rest_gram
    size = max(1.0, float(np.abs(whole).max()))
    for a, group in enumerate(joint.groups):
        if a == r:
            continue
        kept = splits[a].kept_gram
        if a in request.movers:
            short = float(np.linalg.eigvalsh(whole - kept)[0])
            if short < -_TOLERANCE * size:
                raise _out_of_reach(whole, kept, joint, (a, r))
            continue
        miss = float(np.abs(kept + splits[a].rest_gram - whole).max()) / size
        gap = label_dependence(request.cells.prior[:, [a, r]])
        if max(miss, gap) > _TOLERANCE:
            raise NotIdealError(
                f"Groups that stay in `{_WHERE}` must be jointly ideal already, but group "
                f"{group!r} is not with the reference {joint.groups[r]!r}: squared distances of "
                f"its classes miss by {miss:.3g} of the largest and P(label | group) by "
                f"{gap:.3g}. Let it move too: add {group!r} to `moves`."
            )


def _out_of_reach(
    whole: Array, kept: Array, joint: JointDistribution, at: tuple[int, int]
) -> NotIdealError:
    excess, pair = _worst_pair(kept - whole)
    names = [joint.classes[y] for y in pair]
    (a, r) = at
    what = (
        f"tell classes {names[0]!r} and {names[1]!r} further apart, by {excess:.3g} squared "
        "standard deviations,"
        if excess > 0.0
        else "tell some mixture of the classes further apart"
    )
    return NotIdealError(
        f"`protected` of `{_WHERE}` leaves no ideal law within reach of group "
        f"{joint.groups[a]!r}: its protected columns alone {what} than all columns do in the "
        f"reference {joint.groups[r]!r}. Let the reference move too (moves='all'), or protect "
        "fewer columns."
    )


def _worst_pair(gram: Array) -> tuple[float, tuple[int, int]]:
    """Return the largest squared distance, and its classes, in a matrix of differences."""
    full = np.zeros((len(gram) + 1, len(gram) + 1))
    full[1:, 1:] = gram
    size = np.diagonal(full)
    square = size[:, None] + size[None, :] - 2.0 * full
    y, z = np.unravel_index(int(square.argmax()), square.shape)
    return float(square[y, z]), (int(min(y, z)), int(max(y, z)))


def _prior(request: Request, splits: Sequence[Split], columns: KeptColumns) -> tuple[Array, bool]:
    fitted = request.cells.prior
    if request.priors != "joint" or request.direction == "moment":
        return simple_prior(fitted, request.priors, request.reference), True

    def cell_kl(weights: Array, anew: bool) -> Array:
        return _paid(request, _ideal_cells(request, splits, weights)[0], columns)

    return joint_prior(fitted, cell_kl)


@dataclass(frozen=True)
class _Found:
    converged: bool
    n_iter: int
    history: tuple[float, ...]


def _ideal_cells(
    request: Request, splits: Sequence[Split], weights: Array
) -> tuple[list[Split], _Found]:
    """Return the ideal cells of every group."""
    found = _Found(True, 1, (0.0,))
    if request.all_move:
        common = common_gram(splits, weights, request.direction)
        whole = common.gram
        found = _Found(common.converged, common.n_iter, common.history)
    else:
        reference = splits[request.reference]
        whole = reference.kept_gram + reference.rest_gram
    inward = request.direction == "moment"
    ideal = []
    for a, split in enumerate(splits):
        if a not in request.movers:
            ideal.append(split)
            continue
        points = gram_points(whole - split.kept_gram, split.rest.shape[1])
        ideal.append(best_rest(points, split, weights[:, a], inward=inward))
    return ideal, found


def _joined(ideal: Sequence[Split], columns: KeptColumns) -> tuple[Array, Array]:
    pairs = [split.joined(columns.kept, columns.free) for split in ideal]
    return np.stack([m for m, _ in pairs], axis=1), np.stack([c for _, c in pairs])[None]


def _paid(request: Request, ideal: Sequence[Split], columns: KeptColumns) -> Array:
    """Return the divergences (K, G) of the cells."""
    cells: CellArrays = request.cells
    means, covariances = _joined(ideal, columns)
    paid = np.zeros(cells.prior.shape)
    for a in request.movers:
        new = means[:, a], covariances[:, a]
        old = cells.means[:, a], cells.covariances[:, a]
        both = (*new, *old) if request.direction == "information" else (*old, *new)
        paid[:, a] = kl_of_cells(*both)
    return paid


def _frame(
    request: Request, ideal: Sequence[Split], joint: JointDistribution, *, named: bool
) -> int:
    """Return the group in whose frame rows end: its rest must tell all classes apart.

    Where the fitted rest of a group does, so does its ideal one: the slope of what is gained
    has no bound where the Gram matrix of the rest loses a class.
    """
    flat = []
    for split in ideal:
        rest = split.rest_gram
        size = float(np.linalg.eigvalsh(split.kept_gram + rest)[-1])
        flat.append(float(np.linalg.eigvalsh(rest)[0]) / size if size > 0.0 else 1.0)
    allowed = [request.reference]
    if request.all_move and not named:
        allowed = sorted(range(len(flat)), key=lambda a: -flat[a])
        if flat[request.reference] > _TOLERANCE:
            allowed = [request.reference]
    if flat[allowed[0]] <= _FLAT:
        raise UnsupportedProgrammeError(
            f"`reference` of `{_WHERE}` with `protected` columns must be a group whose free "
            f"columns tell all classes apart, got {joint.groups[allowed[0]]!r}, in whose ideal "
            "cells they add nothing to the protected ones for some class: no map can give other "
            "groups' rows its posterior. Name another group, or protect fewer columns."
        )
    return allowed[0]


def _maps(ideal: Sequence[Split], frame: int, columns: KeptColumns) -> tuple[Array, Array]:
    """Return the maps (G, d, d), (G, d) of rows: the identity in the kept columns."""
    kept, free = columns.kept, columns.free
    d = len(kept) + len(free)
    matrices, offsets = np.tile(np.eye(d), (len(ideal), 1, 1)), np.zeros((len(ideal), d))
    for a, split in enumerate(ideal):
        if a == frame:
            continue
        matrix, slope, offset = map_to_frame(split, ideal[frame])
        matrices[a][np.ix_(free, free)] = matrix
        matrices[a][np.ix_(free, kept)] = slope
        offsets[a, free] = offset
    return matrices, offsets
