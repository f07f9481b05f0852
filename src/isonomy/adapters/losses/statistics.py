"""The running statistics of every penalty, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np

from isonomy._validation import check_choice, check_count, check_real
from isonomy.adapters.losses._cells import CellKind
from isonomy.adapters.losses._counts import ClassCounts, count_vector
from isonomy.adapters.losses.demographics import GroupHits, GroupRates
from isonomy.adapters.losses.equity import EquityCells, EquityElements
from isonomy.adapters.losses.label_balance import LevelCells
from isonomy.adapters.losses.running import RunningMeans
from isonomy.adapters.losses.worst_group import GroupWeights
from isonomy.errors import GroupsRequiredError

__all__ = ["MeansName", "count_groups", "running_means"]

Groups = int | Sequence[str] | None
MeansName = Literal["equity", "label_balance", "demographic_parity", "equal_opportunity"]
NAMES = ("equity", "label_balance", "demographic_parity", "equal_opportunity", "group_dro")


@overload
def running_means(
    penalty: Literal["group_dro"],
    *,
    class_counts: ClassCounts,
    groups: Groups = None,
    step_size: float = 0.01,
) -> GroupWeights: ...


@overload
def running_means(
    penalty: MeansName,
    *,
    class_counts: ClassCounts,
    groups: Groups = None,
    multi_label: bool = False,
    momentum: float | None = None,
) -> RunningMeans: ...


def running_means(
    penalty: str,
    *,
    class_counts: ClassCounts,
    groups: Groups = None,
    multi_label: bool = False,
    momentum: float | None = None,
    step_size: float = 0.01,
) -> RunningMeans | GroupWeights:
    """Return the empty running statistics that a penalty is computed from.

    Parameters
    ----------
    penalty : str
        "equity", "label_balance" (for `level_penalty` and `gap_penalty`),
        "demographic_parity", "equal_opportunity" or "group_dro".
    class_counts : mapping or sequence of K numbers
        Training rows of each class, in the order of the codes.
    groups : int or sequence of str, optional
        Number or names of demographic groups; "group_dro" takes the classes without them.
    multi_label : bool, default False
        Whether labels are (n, K) of 0 and 1.
    momentum : float, optional
        How much of a mean one new row of its cell leaves, in [0, 1). By default 0.9 for
        cells of labels, about the last 10 rows: a class of 5 rows then remembers two
        passes over the data. 0.99 for cells of groups, which have many rows.
    step_size : float, default 0.01
        Of the weights of "group_dro".

    Returns
    -------
    RunningMeans or GroupWeights

    Raises
    ------
    InvalidInputError
        If the name is unknown or a number is out of range.
    GroupsRequiredError
        If the penalty compares groups and there are none.

    Examples
    --------
    >>> running_means("equity", class_counts=[90, 10]).means.shape  # margin, p_0, p_1
    torch.Size([2, 3])
    """
    check_choice("penalty", penalty, NAMES, where="running_means")
    counts = count_vector(class_counts, where="running_means")
    n_groups = count_groups(groups, where="running_means")
    if penalty == "group_dro":
        return GroupWeights(
            n_groups or len(counts),
            by_label=n_groups is None,
            step_size=step_size,
            prior_counts=counts if n_groups is None else None,
        )
    kind = _kind(penalty, len(counts), n_groups, multi_label)
    per_group = penalty in ("demographic_parity", "equal_opportunity")
    if momentum is None:
        momentum = 0.99 if per_group else 0.9
    momentum = check_real("momentum", momentum, where="running_means", low=0.0, high=1 - 1e-9)
    # of a multi-label set the counts do not say how many rows there are, nor of groups
    known = not multi_label and not per_group
    both = np.concatenate([counts, counts.sum() - counts])  # rows with and without a label
    prior = both if penalty == "label_balance" else counts
    return RunningMeans(
        kind,
        momentum=momentum,
        prior_counts=prior if known else None,
        prior_rows=float(counts.sum()) if known else 0.0,
    )


def count_groups(groups: Groups, *, where: str) -> int | None:
    """Return the number of demographic groups, at least two, or None."""
    if groups is None:
        return None
    n = groups if isinstance(groups, int) else len(groups)
    return check_count("groups", n, where=where, low=2)


def _kind(penalty: str, n_classes: int, n_groups: int | None, multi_label: bool) -> CellKind:
    if penalty == "equity":
        return EquityElements(n_classes) if multi_label else EquityCells(n_classes)
    if penalty == "label_balance":
        return LevelCells(n_classes, multi_label=multi_label)
    if n_groups is None:
        raise GroupsRequiredError(
            f"`groups` of `running_means({penalty!r}, ...)` must be the number or the names of "
            "the demographic groups, got None. Give at least two."
        )
    if penalty == "demographic_parity":
        return GroupRates(n_classes, n_groups, multi_label=multi_label)
    return GroupHits(n_classes, n_groups, multi_label=multi_label)
