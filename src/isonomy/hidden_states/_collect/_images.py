"""Open a picture, whatever the data set keeps of it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from isonomy.errors import InvalidInputError, MissingExtraError
from isonomy.hidden_states._collect._text_data import Example

__all__ = ["UNREADABLE", "as_picture", "open_picture"]

UNREADABLE = (
    OSError,
    SyntaxError,  # Pillow's word for a broken PNG
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on files that are damaged, or that are no pictures."""


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
        return open_picture(example.text, where=where)
    except UNREADABLE as error:
        raise InvalidInputError(
            f"Row {example.row} of `data` passed to `{where}` (counted from 0) must hold a "
            f"picture: PIL's, its bytes, a path or an array of bytes (height, width, 3); {error}."
        ) from error


def open_picture(value: Any, *, where: str) -> Any:
    """Return a picture as PIL's, in RGB: the first frame, upright, on white.

    Grey, palette and CMYK pictures are converted, 16-bit grey is scaled to 8, transparent
    parts become white, and a camera's note on which side is up is followed.

    Raises
    ------
    MissingExtraError
        If Pillow is not installed.
    UNREADABLE
        One of these if the value is no picture.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"`{where}` reads pictures with Pillow. Install it with: pip install pillow"
        ) from error
    if isinstance(value, Mapping):  # how data sets keep a picture that is not decoded
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes | bytearray):
        value = io.BytesIO(value)
    if isinstance(value, np.ndarray):
        value = Image.fromarray(value)
    try:
        if isinstance(value, str | os.PathLike | io.BytesIO):
            with Image.open(value) as opened:
                return _in_rgb(opened)
        if isinstance(value, Image.Image):
            return _in_rgb(value)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    raise TypeError(f"got {type(value).__name__}")


def _in_rgb(picture: Any) -> Any:
    from PIL import Image, ImageOps

    picture.load()  # a file that ends too early fails here
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16 bits or more: a plain conversion would clip
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0.0) > 255.0 else 255.0
        picture = Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    if picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info:
        over = picture.convert("RGBA")
        paper = Image.new("RGBA", over.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(paper, over)
    return picture.convert("RGB")
