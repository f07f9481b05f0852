"""Erase, with the least squared change of rows, all that is linear about the group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy._validation import check_choice
from isonomy.baselines._factor import Factor
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.baselines._one_map import OneMap, leading_span
from isonomy.distributions import AffineMap, CellMoments
from isonomy.distributions._linalg import correlation, rank_tolerance
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage, shrink
from isonomy.errors import InvalidInputError

__all__ = ["LEACE"]

Floats = NDArray[np.float64]


class LEACE(FitsMoments, OneMap):
    """Make the means of all groups equal by one map that never asks for a row's group.

    Parameters
    ----------
    method : "leace" or "orth"
        Least squared change of the rows among all affine maps, or the orthogonal
        projection away from the mean differences. Both erase; the second depends on
        the units of the columns and changes rows more.
    shrinkage : None, "oas" or a number in [0, 1]
        Shrink the covariance that says which change is small (method "leace"). The
        erasure stays complete; useful with fewer rows than columns.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`. At ``transform`` group columns are dropped and
        their values not looked at.

    Attributes
    ----------
    map_ : AffineMap
        Of low rank, factored.
    rank_ : int
        Dimensions erased, at most the number of groups minus 1.
    groups_ : list of group labels

    Notes
    -----
    With mean m, total covariance S, cross-covariance C of the columns with the one-hot
    groups (labels are always made one-hot: integers are names here, not sizes), any W
    with ``W S W' = I`` on the range of S, and U an orthonormal basis of ``W C``::

        x -> x - W^+ U U' W (x - m)

    The rank of ``W C`` is decided in whitened units, relative to the floating type, the
    size and to 1, the largest value that a correlation can have: neither a small group
    nor a small unit is overlooked. After the map no linear probe does better than the
    group shares on the rows of ``fit``. Source: Belrose et al., LEACE: perfect linear
    concept erasure in closed form (NeurIPS 2023).

    What it does not promise: that a non-linear probe fails (the covariances of the
    groups stay different), that means are equal within a label, or fair decisions.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0]]
    >>> eraser = LEACE().fit(X, sensitive_features=[0, 0, 1, 1])
    >>> eraser.transform(X).round(6), eraser.rank_
    (array([[2., 0.],
           [2., 1.],
           [2., 0.],
           [2., 1.]]), 1)
    """

    _kind = "pooled"

    def __init__(
        self,
        *,
        method: Literal["leace", "orth"] = "leace",
        shrinkage: Shrinkage = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.method = method
        self.shrinkage = shrinkage
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        check_choice("method", self.method, ("leace", "orth"), where="LEACE")
        check_shrinkage(self.shrinkage, where="LEACE")

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        intensity = check_shrinkage(self.shrinkage, where="LEACE")
        d = moments.n_features
        self.map_, self.rank_ = AffineMap.identity(d), 0
        if len(labels) == 1:
            return
        left, right = _erasure(moments, self.method, intensity)
        self.rank_ = left.shape[1]
        if self.rank_ == d:
            raise InvalidInputError(
                f"`{where}` would erase all {d} dimension(s) of `X`: the means of "
                f"{len(labels)} groups span them, and nothing would be left. Pass more "
                "columns or fewer groups, or use `MeanMatching`, which needs the group of "
                "every row."
            )
        self.map_ = AffineMap.low_rank(-left, right, left @ (right.T @ moments.total_mean()))


def _erasure(moments: CellMoments, method: str, intensity: Shrinkage) -> tuple[Floats, Floats]:
    """Return (left, right), both (d, rank), of the projection ``left right'`` to remove."""
    mean = moments.total_mean()
    count = moments.counts[:, 0]
    # C's columns over sqrt(share): the same span, and in whitened units at most 1 long
    between = ((moments.means[:, 0, :] - mean) * np.sqrt(count / count.sum())[:, None]).T
    total = moments.total_covariance()
    scaled, scale = correlation(total)
    factor = Factor.of(shrink(scaled, float(count.sum()), intensity))
    rounding = np.finfo(np.float64).eps * (1.0 + np.abs(mean) / scale)
    whitened = factor.divide(np.column_stack([between / scale[:, None], rounding]))
    vectors, sizes, _ = np.linalg.svd(whitened[:, :-1], full_matrices=False)
    # rounding of the means, whitened like the means themselves, is not a difference
    zero = max(rank_tolerance([1.0], size=len(mean)), 10.0 * float(np.linalg.norm(whitened[:, -1])))
    rank = min(int((sizes > zero).sum()), len(count) - 1)
    if method == "orth":
        told = np.linalg.norm(whitened[:, :-1], axis=0) > zero
        basis = leading_span(between[:, told], rank)
        return basis, basis
    kept = vectors[:, :rank]
    left = scale[:, None] * (factor.root @ kept)
    return left, factor.divide_transposed(kept) / scale[:, None]
