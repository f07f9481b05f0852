"""Turn settings into plain JSON values, or say which one cannot be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from isonomy.errors import InvalidInputError

__all__ = ["plain_json"]


def plain_json(value: Any, *, name: str, where: str) -> Any:
    """Return ``value`` made of dicts, lists, strings, finite numbers, booleans and None.

    Tuples become lists and NumPy scalars Python's. Keys must be strings: JSON would
    change others in silence.

    Parameters
    ----------
    value : object
        Settings.
    name : str
        How the message names the value, for instance ``"config"``.
    where : str
        Which function it was passed to.

    Returns
    -------
    object
        The same content, ready for JSON.

    Raises
    ------
    InvalidInputError
        If something inside is of another kind, or is NaN or infinite.

    Examples
    --------
    >>> plain_json({"groups": ("a", np.int64(3))}, name="config", where="save_artefact")
    {'groups': ['a', 3]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {
            _string_key(key, name=name, where=where): plain_json(
                item, name=f"{name}[{key!r}]", where=where
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain_json(v, name=f"{name}[{i}]", where=where) for i, v in enumerate(value)]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise InvalidInputError(
        f"`{name}` passed to `{where}` must be a string, a finite number, a boolean, None, a "
        f"list or a dict, got {value!r} ({type(value).__name__}). Put arrays into `tensors`, "
        "and None where a number is undefined."
    )


def _string_key(key: object, *, name: str, where: str) -> str:
    if not isinstance(key, str):
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must have strings as keys, got {key!r} "
            f"({type(key).__name__}). Use a list of pairs instead."
        )
    return key
