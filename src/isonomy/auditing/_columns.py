"""Take several sensitive or control columns apart."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_same_length
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, MissingValues, encode_groups

__all__ = ["encode_columns"]


def encode_columns(
    columns: Any, n_samples: int, *, name: str, missing: MissingValues, where: str
) -> list[tuple[str, GroupCodes]]:
    """Return (name, codes) of every column of an array, series, frame or mapping."""
    return [
        (
            label,
            _encode(values, n_samples, name=name, label=label, missing=missing, where=where),
        )
        for label, values in _split(columns, name)
    ]


def _split(columns: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(columns, dict):
        return [(str(k), v) for k, v in columns.items()]
    frame = nw.from_native(columns, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return [(str(c), nw.to_native(frame.get_column(c))) for c in frame.columns]
    if isinstance(frame, nw.Series):
        return [(str(frame.name or name), columns)]
    array: NDArray[Any] = np.asarray(columns)
    if array.ndim == 2:
        return [(f"{name}[{j}]", array[:, j]) for j in range(array.shape[1])]
    return [(name, array)]


def _encode(
    values: Any, n_samples: int, *, name: str, label: str, missing: MissingValues, where: str
) -> GroupCodes:
    if np.ndim(values) != 1:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must be 1-D or 2-D, got {np.ndim(values)} dimensions "
            f"in {label}."
        )
    check_same_length(name, len(values), n_samples, where=where, of="y_true")
    return encode_groups(values, n_samples=n_samples, missing=missing, where=where, of="y_true")
