"""Open a picture, whatever the data set keeps of it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from isonomy.errors import InvalidInputError, MissingExtraError
from isonomy.hidden_states._collect._text_data import Example

__all__ = ["as_picture"]


def as_picture(example: Example, *, where: str) -> Any:
    """Return the picture of a row as PIL's, in RGB.

    Raises
    ------
    InvalidInputError
        If it cannot be opened; the row is named, counted from 0.
    MissingExtraError
        If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`{where}` reads pictures with Pillow. Install it with: pip install pillow"
        ) from error
    value = example.text
    if isinstance(value, Mapping):  # how data sets keep a picture that is not decoded
        value = value.get("bytes") or value.get("path")
    try:
        if isinstance(value, bytes | bytearray):
            value = io.BytesIO(value)
        if isinstance(value, str | os.PathLike | io.BytesIO):
            with Image.open(value) as opened:
                return opened.convert("RGB")
        if isinstance(value, np.ndarray):
            value = Image.fromarray(value)
        if isinstance(value, Image.Image):
            return value.convert("RGB")
    except (OSError, TypeError, ValueError) as error:
        raise _unreadable(example, where, str(error)) from error
    raise _unreadable(example, where, f"got {type(value).__name__}")


def _unreadable(example: Example, where: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"Row {example.row} of `data` passed to `{where}` (counted from 0) must hold a picture: "
        f"PIL's, its bytes, a path or an array of bytes (height, width, 3); {why}."
    )
