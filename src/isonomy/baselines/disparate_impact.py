"""Give every column the same distribution in all groups, value by value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import GroupAwareTransformer, MissingGroups, UnknownGroup
from isonomy._validation import check_count, check_real
from isonomy.baselines._group_moments import check_weight_of_groups
from isonomy.baselines._quantiles import Quantiles
from isonomy.groups import GroupCodes

__all__ = ["DisparateImpactRemover"]

Floats = NDArray[np.float64]


class DisparateImpactRemover(GroupAwareTransformer):
    """Carry every value to the median, over the groups, of the values of its own rank.

    Parameters
    ----------
    repair_level : float
        In [0, 1]: 0 leaves rows as they are, 1 repairs them in full, between them values
        lie in proportion between the two.
    n_quantiles : int, optional
        Keep so many quantiles of a column and group, at least 2; default every distinct
        value of the training rows, which then are stored with the object.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`.

    Attributes
    ----------
    quantiles_ : {group: list of Quantiles}
        One entry a column: ``values`` rising, with their ``levels`` in (0, 1).
    groups_ : list of group labels

    Notes
    -----
    For each column alone, with F_a the distribution function and Q_a the quantile function
    of group a::

        x -> (1 - repair_level) x + repair_level median_b Q_b(F_a(x))

    The median of an even number of groups is the mean of the middle two. The level of a
    distinct value is the weight below it plus half its own, over the total, and both
    functions are linear between the values of ``fit``, so that new rows have levels too.
    Beyond the range seen of its group a value keeps its distance from the nearest end. The
    order of rows of one group never turns round, and equal values stay equal.

    At level 1 the groups' distributions in a column are equal where they have the same
    number of rows and no ties, and else equal to within a step of the levels: a value held
    by many rows is carried whole, not split. Source: Feldman et al., Certifying and
    removing disparate impact (2015), the geometric repair.

    What it does not promise: equal joint distributions, since correlations between columns
    are not looked at; anything about columns of few values, such as one-hot ones; equal
    distributions within a label; or fair decisions. It needs the group of every row at
    ``transform``.

    Raises
    ------
    InvalidInputError
        In ``fit``, if a parameter is wrong.

    Examples
    --------
    >>> X = [[0.0], [2.0], [10.0], [14.0]]
    >>> groups = ["a", "a", "b", "b"]
    >>> DisparateImpactRemover().fit_transform(X, sensitive_features=groups).ravel()
    array([5., 8., 5., 8.])
    >>> half = DisparateImpactRemover(repair_level=0.5)
    >>> half.fit_transform(X, sensitive_features=groups).ravel()
    array([ 2.5,  5. ,  7.5, 11. ])
    """

    _requires_y = False
    group_use = "given"

    def __init__(
        self,
        repair_level: float = 1.0,
        *,
        n_quantiles: int | None = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.repair_level = repair_level
        self.n_quantiles = n_quantiles
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: Floats | None,
    ) -> None:
        name = "DisparateImpactRemover"
        check_real("repair_level", self.repair_level, where=name, low=0.0, high=1.0)
        kept = self.n_quantiles
        if kept is not None:
            kept = check_count("n_quantiles", kept, where=name, low=2)
        if sample_weight is not None:
            check_weight_of_groups(groups, sample_weight, where=f"{name}.fit")
        weight = np.ones(len(values)) if sample_weight is None else sample_weight
        self.quantiles_: dict[Hashable, list[Quantiles]] = {}
        for code, group in enumerate(groups.labels):
            rows = (groups.codes == code) & (weight > 0)
            own, part = weight[rows], np.asarray(values[rows], dtype=np.float64)
            self.quantiles_[group] = [Quantiles.of(column, own, kept) for column in part.T]

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        assert codes is not None  # `_uses_groups_at_transform` is true
        moved = values.copy()
        if self.repair_level == 0 or len(self.groups_) == 1:
            return moved  # to the bit
        for code, group in enumerate(self.groups_):
            rows = np.flatnonzero(codes == code)
            for j, own in enumerate(self.quantiles_[group]):
                column = np.asarray(values[rows, j], dtype=np.float64)
                others = [self.quantiles_[other][j] for other in self.groups_]
                moved[rows, j] = _repair(column, own, others, self.repair_level)
        return moved


def _repair(column: Floats, own: Quantiles, every: Sequence[Quantiles], level: float) -> Floats:
    inside = np.clip(column, own.values[0], own.values[-1])
    ranks = own.level(inside)
    target = np.median([quantiles.value(ranks) for quantiles in every], axis=0)
    target += column - inside
    return np.asarray(target if level == 1 else column + level * (target - column))
