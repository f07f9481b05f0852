"""Moments of the groups, whatever the labels: what every baseline that moves rows needs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments
from isonomy.distributions._accumulate import CellBatch
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = [
    "Kind",
    "check_weight_of_groups",
    "find_reference",
    "group_moments",
    "marginal_moments",
]

Kind = Literal["means", "pooled", "each"]
"""What is wanted of the groups beside their means; see `group_moments`."""


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


def marginal_moments(cells: CellMoments, *, kind: Kind, where: str) -> CellMoments:
    """Return what `group_moments` returns for the rows behind ``cells``.

    A group's mean is the mixture of its cells' means, its covariance what is within the
    cells plus what is between their means. Every group must have weight.

    Raises
    ------
    InvalidInputError
        If covariances are wanted and ``cells`` holds variances alone, or are not finite.
    """
    if kind != "means" and cells.covariance == "diagonal":
        raise InvalidInputError(
            f"`moments` passed to `{where}` must hold whole covariances, got "
            "covariance='diagonal', which keeps variances alone. Collect them with "
            "covariance='tied' or 'full'."
        )
    counts, n_groups = cells.counts, len(cells.groups)
    weight = counts.sum(axis=0)
    own = [counts * (np.arange(n_groups) == a) for a in range(n_groups)]  # one group's cells
    means = np.stack([cells.total_mean(weights=w) for w in own])
    spreads = (_scatter(cells, w, n) for n, w in zip(weight, own, strict=True))
    order, zeros = np.arange(n_groups), np.zeros(n_groups, dtype=np.intp)
    d = cells.n_features
    if kind == "each":
        found = CellMoments(d, covariance="tied", classes=(0,), groups=tuple(range(n_groups)))
        place, scatter, owners = (zeros, order), np.stack(list(spreads)), order
    elif kind == "pooled":
        found = CellMoments(d, covariance="tied", classes=tuple(range(n_groups)), groups=(0,))
        place, owners = (order, zeros), zeros[:1]
        scatter = np.zeros((1, d, d))
        for spread in spreads:
            scatter[0] += spread
    else:
        found = CellMoments(d, covariance="diagonal", classes=tuple(range(n_groups)), groups=(0,))
        place, owners = (order, zeros), zeros
        scatter = np.stack([_variances(spread) for spread in spreads])
    if not np.isfinite(scatter).all():
        raise InvalidInputError(
            f"`moments` passed to `{where}` must be finite, got covariances with NaN or infinity."
        )
    n_rows = cells.n_rows.sum(axis=0)
    found._absorb(CellBatch(*place, weight, n_rows, means, scatter, owners))
    return found


def _scatter(cells: CellMoments, weights: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # what is not finite is named by the caller
        scatter: NDArray[np.float64] = total * cells.total_covariance(weights=weights)
    return scatter


def _variances(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    return spread if spread.ndim == 1 else np.diagonal(spread)


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
