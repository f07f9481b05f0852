"""The limits that an IdealSteerer keeps: learnt in its fit, kept by its rows, held in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.steering._feasible import Feasible, FeasibleColumns
from isonomy.steering._protected import protected_positions

__all__ = [
    "bounds_from_plain",
    "check_limits_not_learnt",
    "check_maps_alone",
    "known_limits",
    "learn_limits",
    "limits_sentence",
    "plain_limits",
    "within_limits",
]


def learn_limits(steerer: Any, values: NDArray[Any], *, where: str) -> FeasibleColumns | None:
    """Return the limits that ``bounds`` and ``integer_columns`` ask for; None for no limit.

    Parameters
    ----------
    steerer : IdealSteerer
    values : (n_samples, n_features)
        Training rows that count, in their own units.

    Raises
    ------
    InvalidInputError
        If a column is unknown or protected, or no value is within its bounds.
    """
    kept = protected_positions(steerer, where=where)
    if steerer.bounds is None and steerer.integer_columns is None:
        return None
    asked = Feasible(steerer.bounds, steerer.integer_columns, where, "integer_columns")
    return asked.fit(values, steerer.steered_columns_).without(kept)


def known_limits(steerer: Any, *, where: str) -> FeasibleColumns | None:
    """Return limits that need no rows; what a column varied by stays unknown (NaN)."""
    check_limits_not_learnt(steerer, where=where)
    nothing = np.zeros((1, len(steerer.steered_columns_)))
    found = learn_limits(steerer, nothing, where=where)
    return None if found is None else replace(found, scale=np.full(len(found.scale), np.nan))


def check_limits_not_learnt(steerer: Any, *, where: str) -> None:
    """Raise where limits are to be learnt from all rows at once."""
    for name, word in (("bounds", "observed"), ("integer_columns", "auto")):
        asked = getattr(steerer, name)
        if isinstance(asked, str) and asked == word:
            raise InvalidInputError(
                f"`{name}` of `{where}` must name columns, got {word!r}, which is learnt from all "
                "rows at once. Use `fit`, or name columns."
            )


def check_maps_alone(steerer: Any, *, argument: str, where: str) -> None:
    """Raise where a steerer's maps are taken alone, and its rows would leave its limits."""
    if getattr(steerer, "_limits", None) is not None:
        raise InvalidInputError(
            f"`{argument}` passed to `{where}` must steer by affine maps alone, got an "
            "IdealSteerer that keeps bounds or whole numbers, which no affine map can. Fit it "
            "without `bounds` and `integer_columns`."
        )


def within_limits(steerer: Any, moved: NDArray[Any]) -> NDArray[Any]:
    """Return steered rows as the nearest rows within the limits."""
    limits: FeasibleColumns | None = getattr(steerer, "_limits", None)
    return moved if limits is None else limits.apply(moved)[0]


def limits_sentence(steerer: Any) -> str | None:
    """Return what the limits take from a certificate; None without limits."""
    if getattr(steerer, "_limits", None) is None:
        return None
    opening = (
        "Rows are then set to the nearest values within bounds and whole numbers: what is said "
        "of steered rows holds before that step."
    )
    report = steerer.feasibility_
    return opening if report is None else f"{opening} {report.sentence()}"


def plain_limits(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``bounds`` and ``integer_columns`` as JSON holds them: pairs, and lists."""
    bounds, whole = parameters["bounds"], parameters["integer_columns"]
    if isinstance(bounds, Mapping):
        bounds = [[_plain(key), *(_end(end) for end in pair)] for key, pair in bounds.items()]
    if whole is not None and not isinstance(whole, str):
        whole = [_plain(key) for key in whole]
    return {"bounds": bounds, "integer_columns": whole}


def bounds_from_plain(bounds: Any) -> Any:
    """Undo the half of :meth:`plain_limits` that lists would not do as well."""
    if not isinstance(bounds, list):
        return bounds
    return {key: (low, high) for key, low, high in bounds}


def _plain(key: Any) -> Any:
    return key.item() if isinstance(key, np.generic) else key


def _end(end: Any) -> float | None:
    return None if end is None or np.isinf(end) else _plain(end)
