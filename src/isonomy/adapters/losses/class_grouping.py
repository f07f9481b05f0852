"""Which classes are well represented (privileged) and which are not (unprivileged)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_real
from isonomy.adapters.losses._counts import ClassCounts, class_names, count_vector
from isonomy.errors import InvalidInputError, SameCountsError

__all__ = ["ClassGroups", "Rule", "class_groups"]

Rule = Literal["count", "ratio", "names"]


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """A split of the classes in two: boolean arrays (K,) in the order of the label codes."""

    privileged: NDArray[np.bool_]
    unprivileged: NDArray[np.bool_]
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        named = [name for name, low in zip(self.classes, self.unprivileged, strict=True) if low]
        return f"ClassGroups(unprivileged={named}, n_privileged={int(self.privileged.sum())})"


def class_groups(
    class_counts: ClassCounts,
    *,
    rule: Rule = "count",
    classes: Sequence[str] | None = None,
    threshold: float | None = None,
    ratio: float = 5.0,
    unprivileged: Sequence[str] | None = None,
) -> ClassGroups:
    """Split the classes into privileged and unprivileged ones.

    Parameters
    ----------
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the label codes.
    rule : "count", "ratio" or "names", default "count"
        "count": unprivileged are classes with fewer rows than ``threshold``. "ratio":
        those that the largest class exceeds at least ``ratio`` times. "names": those named.
    classes : sequence of K str, optional
        Names in the order of the codes; by default the keys of ``class_counts``.
    threshold : float, optional
        By default the mean number of rows of a class: it needs no tuning, and leaves no
        side empty unless all counts are equal.
    ratio : float, default 5.0
        Above 1.
    unprivileged : sequence of str, optional
        The names of rule "names".

    Returns
    -------
    ClassGroups
        Both sides have at least one class.

    Raises
    ------
    SameCountsError
        If all classes have equally many rows and the rule goes by counts.
    InvalidInputError
        If a side would be empty or a name is unknown.

    Notes
    -----
    Multiplying all counts by a number changes nothing under "ratio" and under "count"
    without a threshold.

    Examples
    --------
    >>> class_groups({"robin": 90, "wren": 80, "shrike": 4})
    ClassGroups(unprivileged=['shrike'], n_privileged=2)
    """
    check_choice("rule", rule, ("count", "ratio", "names"), where="class_groups")
    names = class_names(class_counts, where="class_groups", classes=classes)
    counts = count_vector(class_counts, where="class_groups", classes=classes)
    if rule == "names":
        low = _named(names, unprivileged)
    else:
        if (counts == counts[0]).all():
            raise SameCountsError(
                f"`class_counts` of `class_groups` must differ between classes, got "
                f"{counts[0]:g} rows for each of {len(counts)}: none is under-represented. Name "
                'the classes with rule="names", or train without an equity term.'
            )
        low = _by_ratio(counts, ratio) if rule == "ratio" else _by_count(counts, threshold)
    if low.all() or not low.any():
        side = "privileged" if low.all() else "unprivileged"
        raise InvalidInputError(
            f"`class_groups` with rule {rule!r} must leave classes on both sides, got no "
            f"{side} one: counts run from {counts.min():g} to {counts.max():g}. Choose another "
            "threshold, ratio or names."
        )
    return ClassGroups(~low, low, names)


def _named(names: tuple[str, ...], unprivileged: Sequence[str] | None) -> NDArray[np.bool_]:
    asked = [unprivileged] if isinstance(unprivileged, str) else list(unprivileged or ())
    unknown = [str(name) for name in asked if str(name) not in names]
    if unknown or not asked:
        what = f"the unknown {unknown[0]!r}" if unknown else "none"
        raise InvalidInputError(
            f'`unprivileged` of `class_groups` with rule="names" must name classes out of '
            f"{list(names[:10])}{'...' if len(names) > 10 else ''}, got {what}."
        )
    return np.array([name in {str(a) for a in asked} for name in names])


def _by_ratio(counts: NDArray[np.float64], ratio: float) -> NDArray[np.bool_]:
    ratio = check_real("ratio", ratio, where="class_groups", low=1.0)
    # as a product: a class without rows is unprivileged too
    low: NDArray[np.bool_] = counts * ratio <= counts.max()
    return low


def _by_count(counts: NDArray[np.float64], threshold: float | None) -> NDArray[np.bool_]:
    if threshold is None:
        threshold = float(counts.mean())
    threshold = check_real("threshold", threshold, where="class_groups", low=0.0)
    low: NDArray[np.bool_] = counts < threshold
    return low
