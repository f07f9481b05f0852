"""Columns that steering must not move: found by name, split off, and put back exactly."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError
from isonomy.steering._feasible import column_position

__all__ = [
    "check_protected",
    "plain_protected",
    "protected_positions",
    "protected_sentence",
    "with_protected",
]


def check_protected(steerer: Any, *, where: str) -> None:
    """Raise where ``protected`` columns do not go with another parameter.

    Raises
    ------
    InvalidInputError
        Naming the other parameter.
    """
    if steerer.protected is None:
        return
    if isinstance(steerer.protected, str) or not isinstance(steerer.protected, Collection):
        raise InvalidInputError(
            f"`protected` of `{where}` must be columns or None, got {steerer.protected!r}. Put a "
            "single column into a list."
        )
    others = {} if steerer.groups == "blind" else {"covariance": "tied", "map_family": "affine"}
    for name, needed in others.items():
        if getattr(steerer, name) != needed:
            raise InvalidInputError(
                f'`{name}` of `{where}` must be "{needed}" with `protected` columns, got '
                f"{getattr(steerer, name)!r}. Leave it out, or protect no columns."
            )
    if steerer.family == "student_t" and steerer.groups != "blind":
        raise InvalidInputError(
            f'`protected` of `{where}` may not go with `family="student_t"`, whose other columns '
            "given the protected ones are no affine images of one another. Choose another family."
        )
    if steerer.subspace == "discriminant" and steerer.groups != "blind":
        raise InvalidInputError(
            f'`subspace="discriminant"` of `{where}` moves all columns together and cannot go '
            'with `protected`. Use `subspace="full"` or "auto".'
        )


def protected_positions(steerer: Any, *, where: str) -> tuple[int, ...]:
    """Return the positions of the protected columns among the steered ones, in order.

    Raises
    ------
    InvalidInputError
        If a column is unknown, none is left to move, or bounds or whole numbers are asked
        of a column that stays as it is.
    """
    if steerer.protected is None:
        return ()
    names = list(steerer.steered_columns_)
    found = {column_position(key, names, "protected", where) for key in steerer.protected}
    if len(found) == len(names) and names:
        raise InvalidInputError(
            f"`protected` of `{where}` must leave a column or more free to move, got all "
            f"{len(names)}."
        )
    limited = {"bounds": steerer.bounds, "integer_columns": steerer.integer_columns}
    for argument, asked in limited.items():
        if asked is None or isinstance(asked, str) or not isinstance(asked, Mapping | Collection):
            continue
        both = [key for key in asked if column_position(key, names, argument, where) in found]
        if both:
            raise InvalidInputError(
                f"`{argument}` of `{where}` must leave out columns that `protected` keeps as they "
                f"are, got {both[0]!r} in both."
            )
    return tuple(sorted(found))


def with_protected(
    steerer: Any, moved: NDArray[Any], values: NDArray[Any], *, where: str
) -> NDArray[Any]:
    """Return ``moved`` with the protected columns of ``values``, to the last bit."""
    kept = protected_positions(steerer, where=where)
    if kept:
        moved[:, kept] = values[:, kept]
    return moved


def protected_sentence(steerer: Any) -> str | None:
    """Return what protected columns take from a certificate; None without any."""
    kept = protected_positions(steerer, where="IdealSteerer.fit")
    if not kept:
        return None
    shown = ", ".join(str(steerer.steered_columns_[j]) for j in kept)
    return (
        f"Protected, and the same in every row: {shown}. What these columns tell of the group "
        "stays; the others are steered given them."
    )


def plain_protected(protected: Collection[Hashable] | None) -> list[Any] | None:
    """Return ``protected`` as JSON holds it."""
    if protected is None:
        return None
    return [key.item() if isinstance(key, np.generic) else key for key in protected]
