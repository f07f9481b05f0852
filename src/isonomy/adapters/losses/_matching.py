"""Statistics belong to one penalty and one form of labels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from isonomy.errors import InvalidInputError

__all__ = ["check_statistics"]


def check_statistics(statistics: Any, kind: str, labels: Tensor, *, where: str) -> None:
    """Raise unless ``statistics`` are running means for ``kind``."""
    got = getattr(getattr(statistics, "kind", None), "name", type(statistics).__name__)
    if got != kind:
        raise InvalidInputError(
            f"`statistics` of `{where}` must come from `running_means({kind!r}, ...)`, got {got!r}."
        )
    if statistics.kind.multi_label != (labels.ndim == 2):
        form = "(n, K) of 0 and 1" if statistics.kind.multi_label else "(n,) codes"
        raise InvalidInputError(
            f"`labels` of `{where}` must be {form}, as its `statistics` are, got shape "
            f"{tuple(labels.shape)}. Make statistics with `multi_label=` as your labels are."
        )
