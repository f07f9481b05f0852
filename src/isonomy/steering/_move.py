"""Rows on their way: through the maps, and into the coordinates of a solution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.steering._limits import within_limits
from isonomy.steering._probe import group_weights, mixed_rows
from isonomy.steering._protected import with_protected
from isonomy.steering._working_scale import WorkingScale

__all__ = [
    "in_solution_coordinates",
    "move_by_weights",
    "move_rows",
    "posterior_of",
    "report_limits",
    "unlimited_rows",
]


def move_rows(
    steerer: Any, values: NDArray[Any], codes: NDArray[np.intp] | None, *, where: str
) -> NDArray[Any]:
    """Return the steered rows; ``codes`` (given groups) index ``groups_``, -1 stays.

    All rows keep the steerer's limits, those that stay too.
    """
    moved = within_limits(steerer, unlimited_rows(steerer, values, codes, where=where))
    return with_protected(steerer, moved, values, where=where)


def unlimited_rows(
    steerer: Any, values: NDArray[Any], codes: NDArray[np.intp] | None, *, where: str
) -> NDArray[Any]:
    """Return the steered rows as the maps leave them, bounds and whole numbers aside."""
    maps = [steerer.maps_[g] for g in steerer.groups_]
    if all(m.is_identity for m in maps):
        return values.copy()
    scale: WorkingScale = steerer._working
    work = scale.ahead(values, steerer.steered_columns_, where=where)
    if steerer.groups == "blind":
        moved = maps[0].apply(work)
    elif codes is None:
        posterior = posterior_of(steerer, values, where=where)
        weights = group_weights(posterior, steerer.inference, steerer.gate_threshold)
        return _moved_by_weights(values, work, weights, maps, scale)
    else:
        return _moved_by_group(values, work, codes, maps, scale)
    return scale.back(moved)


def report_limits(
    steerer: Any, values: NDArray[Any], codes: NDArray[np.intp], *, where: str
) -> None:
    """Set ``feasibility_`` of a steerer with limits from rows (n, d) in their own units.

    ``codes`` index ``groups_``; as in `transform` they move rows of "given" alone.
    """
    given = codes if steerer.groups == "given" else None
    moved = unlimited_rows(steerer, values, given, where=where)
    steerer.feasibility_ = steerer._limits.report(moved, codes, steerer.groups_)


def move_by_weights(
    steerer: Any, values: NDArray[Any], weights: NDArray[np.float64], *, where: str
) -> NDArray[Any]:
    """Return the rows under ``weights`` (n_samples, n_groups) of the groups' maps."""
    maps = [steerer.maps_[g] for g in steerer.groups_]
    scale: WorkingScale = steerer._working
    work = scale.ahead(values, steerer.steered_columns_, where=where)
    moved = within_limits(steerer, _moved_by_weights(values, work, weights, maps, scale))
    return with_protected(steerer, moved, values, where=where)


def posterior_of(steerer: Any, values: NDArray[Any], *, where: str) -> NDArray[np.float64]:
    """Return P(group | row) of a fitted steerer's probe, ``(n_samples, n_groups)``.

    Raises
    ------
    InvalidInputError
        If the steerer has no probe: it was saved without.
    """
    if steerer._probe is None:
        raise InvalidInputError(
            f"`{where}` needs the probe that infers groups, and this steerer was saved without "
            "it. Install skops, then save and load the fitted steerer again."
        )
    scale: WorkingScale = steerer._working
    work = scale.ahead(values, steerer.steered_columns_, where=where)
    found: NDArray[np.float64] = steerer._probe.posterior(work, where=where)
    return found


def _moved_by_weights(
    values: NDArray[Any],
    work: NDArray[Any],
    weights: NDArray[np.float64],
    maps: Sequence[AffineMap],
    scale: WorkingScale,
) -> NDArray[Any]:
    """Move sure rows (weight 1) as if their group were given, the others by the mean."""
    sure = weights.max(axis=1) == 1.0
    codes = np.where(sure, weights.argmax(axis=1), -1)
    moved = _moved_by_group(values, work, codes, maps, scale)
    doubt = np.flatnonzero(~sure)
    if len(doubt):
        mean = mixed_rows((m.apply(work[doubt]) for m in maps), weights[doubt])
        moved[doubt] = scale.back(mean)
    return moved


def _moved_by_group(
    values: NDArray[Any],
    work: NDArray[Any],
    codes: NDArray[np.intp],
    maps: Sequence[AffineMap],
    scale: WorkingScale,
) -> NDArray[Any]:
    moved = values.copy()  # rows that stay are the caller's own, not exp(log(x))
    for a, group_map in enumerate(maps):
        rows = codes == a
        if group_map.is_identity:
            continue
        if scale.is_identity:
            group_map._apply_at(work, np.flatnonzero(rows), moved)
        else:
            moved[rows] = scale.back(group_map.apply(work[rows]))
    return moved


def in_solution_coordinates(
    steerer: Any, values: NDArray[Any], *, where: str
) -> NDArray[np.float64]:
    """Return rows (of the features) where ``solution_`` speaks of them."""
    scale: WorkingScale = steerer._working
    work = scale.ahead(values, steerer.steered_columns_, where=where)
    rows = np.asarray(work, dtype=np.float64)
    found = steerer._solved().coordinates
    return rows if found is None else (rows - found.centre) @ found.ahead
