"""Moments of the groups, whatever the labels: what every baseline that moves rows needs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = ["check_weight_of_groups", "find_reference", "group_moments"]

Kind = Literal["means", "pooled", "each"]


def group_moments(
    values: NDArray[Any],
    groups: GroupCodes,
    weight: NDArray[np.float64] | None,
    *,
    kind: Kind,
    where: str,
) -> CellMoments:
    """Return moments with one cell a group, in the order of ``groups.labels``.

    ``kind`` says what is wanted beside the means: "means" nothing more (variances at
    most), "pooled" one within-group covariance, "each" one covariance a group. In the
    first two the groups take the place of the labels.

    Raises
    ------
    InvalidInputError
        If all rows of a group have weight 0.
    """
    if weight is not None:
        check_weight_of_groups(groups, weight, where=where)
    order = tuple(range(len(groups.labels)))
    one = np.zeros(len(groups.codes), dtype=np.intp)
    d = values.shape[1]
    if kind == "each":
        moments = CellMoments(d, covariance="tied", classes=(0,), groups=order)
        moments.add_coded(values, one, groups.codes, weight)
        return moments
    covariance: Literal["tied", "diagonal"] = "tied" if kind == "pooled" else "diagonal"
    moments = CellMoments(d, covariance=covariance, classes=order, groups=(0,))
    moments.add_coded(values, groups.codes, one, weight)
    return moments


def check_weight_of_groups(groups: GroupCodes, weight: NDArray[np.float64], *, where: str) -> None:
    """Raise unless every group has some weight."""
    total = np.bincount(groups.codes, weights=weight, minlength=len(groups.labels))
    empty = [str(g) for g, t in zip(groups.labels, total, strict=True) if t <= 0]
    if empty:
        raise InvalidInputError(
            f"`sample_weight` passed to `{where}` must leave every group some weight, got 0 "
            f"in all rows of {', '.join(empty)}. Drop those rows instead."
        )


def find_reference(
    reference: Any, labels: tuple[Hashable, ...], *, where: str, name: str = "reference"
) -> int | None:
    """Return the position of the group ``reference`` among ``labels``; None stays None.

    Raises
    ------
    InvalidInputError
        If there is no such group.
    """
    if reference is None:
        return None
    if reference not in labels:
        raise InvalidInputError(
            f"`{name}` of `{where}` must be one of the groups "
            f"({', '.join(map(str, labels))}) or None, got {reference!r}."
        )
    return labels.index(reference)
