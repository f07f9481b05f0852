"""Which classes are rare, from a rule, from names, or from a split that was made before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice
from isonomy.adapters.losses._counts import ClassCounts, class_names, count_vector
from isonomy.adapters.losses.class_grouping import ClassGroups, class_groups
from isonomy.errors import InvalidInputError, SameCountsError, SameCountsWarning

__all__ = ["Tail", "tail_classes"]

Tail = str | Sequence[str] | ClassGroups

_WHERE = "bias_aware_start"


def tail_classes(class_counts: ClassCounts, tail: Tail) -> NDArray[np.bool_] | None:
    """Return which classes are rare (K,); None, with a warning, if all are equally frequent.

    Parameters
    ----------
    class_counts : mapping or sequence of K numbers
    tail : "count", "ratio", sequence of str or ClassGroups
        A rule of `class_groups`, the names of the rare classes, or a split.

    Raises
    ------
    InvalidInputError
        If the rule or a name is unknown, or a split is of other classes.
    """
    n_classes = len(count_vector(class_counts, where=_WHERE))
    if isinstance(tail, ClassGroups):
        if tail.unprivileged.shape != (n_classes,) or not tail.unprivileged.any():
            raise InvalidInputError(
                f"`tail` of `{_WHERE}` must split the {n_classes} classes of `class_counts`, got "
                f"{tail!r}."
            )
        return tail.unprivileged
    if not isinstance(tail, str):
        return class_groups(class_counts, rule="names", unprivileged=list(tail)).unprivileged
    check_choice("tail", tail, ("count", "ratio"), where=_WHERE)
    try:
        return class_groups(class_counts, rule="ratio" if tail == "ratio" else "count").unprivileged
    except SameCountsError:
        names = class_names(class_counts, where=_WHERE)
        warnings.warn(
            f"`class_counts` passed to `{_WHERE}` are equal for all {len(names)} classes: none is "
            "rare, and `lora_A` keeps its default start. Name the rare classes with `tail` if "
            "there are some.",
            SameCountsWarning,
            stacklevel=3,
        )
        return None
