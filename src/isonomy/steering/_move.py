"""Rows on their way: through the maps, and into the coordinates of a solution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.steering._probe import mixed_rows, posterior
from isonomy.steering._working_scale import from_working_scale, to_working_scale

__all__ = ["in_solution_coordinates", "move_rows"]


def move_rows(
    steerer: Any, values: NDArray[Any], codes: NDArray[np.intp] | None, *, where: str
) -> NDArray[Any]:
    """Return the steered rows; ``codes`` (given groups) index ``groups_``, -1 stays."""
    maps = [steerer.maps_[g] for g in steerer.groups_]
    if all(m.is_identity for m in maps):
        return values.copy()
    work = to_working_scale(values, steerer.family, steerer.steered_columns_, where=where)
    if steerer.groups == "blind":
        moved = maps[0].apply(work)
    elif codes is None:
        weights = _inferred(steerer, work, where=where)
        moved = mixed_rows((m.apply(work) for m in maps), weights)
    else:
        return _moved_by_group(values, work, codes, maps, steerer.family)
    return from_working_scale(moved, steerer.family)


def _moved_by_group(
    values: NDArray[Any],
    work: NDArray[Any],
    codes: NDArray[np.intp],
    maps: Sequence[AffineMap],
    family: str,
) -> NDArray[Any]:
    moved = values.copy()  # rows that stay are the caller's own, not exp(log(x))
    for a, group_map in enumerate(maps):
        rows = codes == a
        if not group_map.is_identity:
            moved[rows] = from_working_scale(group_map.apply(work[rows]), family)
    return moved


def _inferred(steerer: Any, work: NDArray[Any], *, where: str) -> NDArray[Any]:
    if steerer.probe_ is None:
        raise InvalidInputError(
            f"`{where}` needs the probe that infers groups, and this steerer was saved without "
            "it. Install skops, then save and load the fitted steerer again."
        )
    return posterior(steerer.probe_, work, len(steerer.groups_), hard=steerer.inference == "hard")


def in_solution_coordinates(
    steerer: Any, values: NDArray[Any], *, where: str
) -> NDArray[np.float64]:
    """Return rows (of the features) where ``solution_`` speaks of them."""
    work = to_working_scale(values, steerer.family, steerer.steered_columns_, where=where)
    rows = np.asarray(work, dtype=np.float64)
    found = steerer._solved().coordinates
    return rows if found is None else (rows - found.centre) @ found.ahead
