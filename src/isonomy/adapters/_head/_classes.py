"""The ordered names of the classes, and their codes, checked once for every kind of head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch

from isonomy.errors import InvalidInputError

__all__ = ["check_classes", "check_codes"]


def check_classes(classes: Iterable[Any], *, where: str) -> tuple[str, ...]:
    """Return the names of the classes as a tuple: two or more, none empty, none twice.

    Raises
    ------
    InvalidInputError
        If ``classes`` is one string, holds something else than strings, or has fewer than
        two names, an empty one or the same one twice.
    """
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise InvalidInputError(
            f"`classes` of `{where}` must be a list of class names in the order of their codes, "
            f"got {classes!r}."
        )
    names = tuple(classes)
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise InvalidInputError(
            f"`classes` of `{where}` must be names (strings that are not empty), got {wrong[0]!r} "
            "among them. Pass the name of every class in the order of the codes."
        )
    if len(names) < 2:
        raise InvalidInputError(
            f"`classes` of `{where}` must name at least 2 classes, got {len(names)}: "
            f"{list(names)!r}."
        )
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise InvalidInputError(
            f"`classes` of `{where}` must be different names, but {repeated[0]!r} stands there "
            f"{names.count(repeated[0])} times. Give every code its own name."
        )
    return names


def check_codes(labels: Any, n_classes: int, *, n: int, where: str) -> torch.Tensor:
    """Return ``labels`` as (n,) class codes of integer type, all from 0 to ``n_classes`` - 1."""
    codes = torch.as_tensor(labels)
    if codes.dtype.is_floating_point or codes.dtype.is_complex or codes.dtype == torch.bool:
        raise InvalidInputError(
            f"`labels` passed to `{where}` must be class codes of integer type, got {codes.dtype}."
        )
    if codes.shape != (n,):
        raise InvalidInputError(
            f"`labels` passed to `{where}` must hold one class code per row, shape ({n},), got "
            f"{tuple(codes.shape)}."
        )
    outside = codes[(codes < 0) | (codes >= n_classes)]
    if len(outside):
        raise InvalidInputError(
            f"`labels` passed to `{where}` must be class codes from 0 to {n_classes - 1}, got "
            f"{int(outside[0])}. Encode the labels by the order of `classes`."
        )
    return codes.long()
