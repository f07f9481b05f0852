"""From a picture to ``pixel_values``, and the record of one that does not open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isonomy.errors import InvalidInputError

__all__ = ["UnreadableImage", "as_function", "nothing", "said"]


@dataclass(frozen=True)
class UnreadableImage:
    """A picture that does not open.

    Attributes
    ----------
    row : int
        Its place in the index that was checked.
    path : str
        Its file, or what else tells where it is.
    reason : str
        What the reader said.
    """

    row: int
    path: str
    reason: str


def said(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def nothing(picture: Any) -> None:
    """Stand in for a processor where decoding alone is wanted."""
    return None


@dataclass(frozen=True)
class _Processed:
    """Call an image processor on one picture: an object, so that it can be sent elsewhere."""

    processor: Any

    def __call__(self, picture: Any) -> Any:
        return self.processor(images=picture, return_tensors="pt")["pixel_values"][0]


def as_function(processor: Any, where: str) -> Callable[[Any], Any]:
    """Return a function of one picture that gives its ``pixel_values``.

    Raises
    ------
    InvalidInputError
        If ``processor`` is neither an image processor nor a function.
    """
    inner = getattr(processor, "image_processor", processor)
    if hasattr(inner, "preprocess") and callable(inner):
        return _Processed(inner)
    if callable(processor):
        made: Callable[[Any], Any] = processor
        return made
    raise InvalidInputError(
        f"`processor` passed to `{where}` must be an image processor or a function of a picture, "
        f"got {type(processor).__name__}."
    )
