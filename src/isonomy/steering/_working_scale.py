"""The scale on which a family is normal: X itself, or log X."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import FamilyError

__all__ = ["from_working_scale", "to_working_scale"]


def to_working_scale(
    values: NDArray[Any], family: str, names: Sequence[Any], *, where: str
) -> NDArray[Any]:
    """Return ``values`` (normal) or their natural logarithm (log-normal).

    Raises
    ------
    FamilyError
        If the family is log-normal and a value is not positive; names column and row.
    """
    if family == "normal":
        return values
    bad = values <= 0
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise FamilyError(
            f'`X` passed to `{where}` must be positive for `family="lognormal"`, got '
            f"{int(bad.sum())} value(s) <= 0, the first in column {names[column]!r}, row {row}: "
            f'{values[row, column]:g}. Use `family="normal"`, or drop or shift that column.'
        )
    logs: NDArray[Any] = np.log(values.astype(np.float64, copy=False))
    return logs


def from_working_scale(values: NDArray[Any], family: str) -> NDArray[Any]:
    """Undo :func:`to_working_scale`."""
    return values if family == "normal" else np.exp(values)
