"""Training rows of every class, as one checked vector in the order of the label codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from isonomy.errors import InvalidInputError

__all__ = ["ClassCounts", "class_names", "count_vector"]

ClassCounts = Mapping[str, float] | Sequence[float] | NDArray[np.float64]
"""Training rows of each class: class name -> rows, or a number for each label code."""


def class_names(
    class_counts: ClassCounts, *, where: str, classes: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the name of every label code: ``classes``, else the keys, else the codes."""
    if classes is None:
        keys = class_counts if isinstance(class_counts, Mapping) else range(len(class_counts))
        return tuple(str(key) for key in keys)
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InvalidInputError(
            f"`classes` of `{where}` must name every class once, got {twice!r} twice."
        )
    return names


def count_vector(
    class_counts: ClassCounts,
    *,
    where: str,
    classes: Sequence[str] | None = None,
    needs_rows: str | None = None,
) -> NDArray[np.float64]:
    """Return the counts (K,) in the order of the codes; ``needs_rows`` says why none may be 0."""
    names = class_names(class_counts, where=where, classes=classes)
    counts = np.asarray(_in_order(class_counts, names, where=where), dtype=np.float64)
    if counts.ndim != 1 or len(counts) < 2:
        raise InvalidInputError(
            f"`class_counts` of `{where}` must hold the training rows of at least two classes, "
            f"got shape {counts.shape}."
        )
    wrong = ~np.isfinite(counts) | (counts < 0)
    if needs_rows is not None:
        wrong |= counts == 0
    if wrong.any() or not counts.any():
        at = int(np.argmax(wrong)) if wrong.any() else 0
        reason = f" ({needs_rows})" if needs_rows is not None else ""
        raise InvalidInputError(
            f"`class_counts` of `{where}` must be {'positive' if needs_rows else 'at least 0'} "
            f"and not all 0{reason}, got {counts[at]:g} for class {names[at]!r}. Drop the "
            "classes without training rows, or give them one row."
        )
    return counts


def _in_order(
    class_counts: ClassCounts, names: tuple[str, ...], *, where: str
) -> Sequence[float] | NDArray[np.float64]:
    if not isinstance(class_counts, Mapping):
        if len(class_counts) != len(names):
            raise InvalidInputError(
                f"`class_counts` of `{where}` must have a number for each of the {len(names)} "
                f"`classes`, got {len(class_counts)}."
            )
        return class_counts
    by_name = {str(name): float(count) for name, count in class_counts.items()}
    missing = [name for name in names if name not in by_name]
    unknown = [name for name in by_name if name not in names]
    if missing or unknown:
        what = f"no count for {missing[0]!r}" if missing else f"the unknown class {unknown[0]!r}"
        raise InvalidInputError(
            f"`class_counts` of `{where}` must count exactly the `classes`, got {what}."
        )
    return [by_name[name] for name in names]
