"""Steering vectors: the differences between the groups' means, projected out or added."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._group_transformer import MissingGroups, UnknownGroup
from isonomy._validation import check_choice, check_real
from isonomy.baselines._group_moments import find_reference
from isonomy.baselines._moment_fit import FitsMoments
from isonomy.baselines._one_map import OneMap, check_something_left, erasing_map, leading_span
from isonomy.distributions import AffineMap, CellMoments
from isonomy.distributions._linalg import rank_tolerance
from isonomy.errors import InvalidInputError

__all__ = ["DifferenceOfMeans"]

Floats = NDArray[np.float64]


class DifferenceOfMeans(FitsMoments, OneMap):
    """Project the differences between the groups' means out of every row, or add one.

    Parameters
    ----------
    action : "project" or "add"
        Remove the part of every row along the differences, or translate every row towards
        the group ``toward``.
    strength : float
        1 removes that part whole, or adds the whole difference; 0 leaves rows alone. Any
        number: above 1 overshoots, below 0 goes the other way.
    toward : group label, optional
        For "add", and needed there: the group to whose mean the vector points.
    missing_groups, unknown_group, group_columns
        As in :class:`MeanMatching`. At ``transform`` group columns are dropped and
        their values not looked at.

    Attributes
    ----------
    map_ : AffineMap
        Of low rank, factored.
    directions_ : (n_features, rank) array
        Orthonormal; for two groups the unit difference of their means.
    vector_ : (n_features,) array, for "add"
        Mean of the group ``toward`` less the mean of all other rows.
    rank_ : int
        Dimensions that the differences span, at most the number of groups minus 1.
    groups_ : list of group labels

    Notes
    -----
    With m the mean of all rows, m_a of a group, and U an orthonormal basis of the span of
    ``m_a - m`` over the groups::

        project: x -> x - strength U U' (x - m)
        add:     x -> x + strength (m_toward - m_others)

    At strength 1 "project" makes the means of all groups equal and equals
    ``LEACE(method="orth")``, which spends a covariance on deciding the rank; here means
    and variances suffice: one pass, O(n d), any d. ``LEACE()`` moves rows less, because it
    erases along the covariance. Sources: direction ablation, Arditi et al., Refusal in
    language models is mediated by a single direction (2024), there without the
    centring at m, which shifts all rows alike; contrastive activation addition, Rimsky et
    al., Steering Llama 2 (2024).

    What it does not promise: that a non-linear probe fails, that means are equal within a
    label, or fair decisions. "add" moves all groups alike: no gap between them changes by
    it, only where they stand to a threshold fitted before. Both depend on the units of the
    columns.

    Raises
    ------
    InvalidInputError
        In ``fit``, if a parameter is wrong or the differences span every dimension.

    Examples
    --------
    >>> X = [[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0]]
    >>> DifferenceOfMeans().fit_transform(X, sensitive_features=[0, 0, 1, 1])
    array([[2., 0.],
           [2., 1.],
           [2., 0.],
           [2., 1.]])
    >>> steered = DifferenceOfMeans(action="add", strength=0.5, toward=1)
    >>> steered.fit_transform(X, sensitive_features=[0, 0, 1, 1])[:, 0]
    array([2., 2., 6., 6.])
    """

    _kind = "means"

    def __init__(
        self,
        *,
        action: Literal["project", "add"] = "project",
        strength: float = 1.0,
        toward: Any = None,
        missing_groups: MissingGroups = "raise",
        unknown_group: UnknownGroup = "error",
        group_columns: Sequence[Any] | None = None,
    ) -> None:
        self.action = action
        self.strength = strength
        self.toward = toward
        self.missing_groups = missing_groups
        self.unknown_group = unknown_group
        self.group_columns = group_columns

    def _check_parameters(self, labels: tuple[Hashable, ...]) -> None:
        name = "DifferenceOfMeans"
        check_choice("action", self.action, ("project", "add"), where=name)
        check_real("strength", self.strength, where=name)
        if len(labels) > 1:
            self._target(labels)

    def _solve(self, moments: CellMoments, labels: tuple[Hashable, ...], *, where: str) -> None:
        strength = check_real("strength", self.strength, where="DifferenceOfMeans")
        d = moments.n_features
        self.map_, self.rank_ = AffineMap.identity(d), 0
        self.directions_ = np.zeros((d, 0))
        if len(labels) == 1:
            return
        target = self._target(labels)
        self.directions_ = _directions(moments)
        self.rank_ = self.directions_.shape[1]
        if target is not None:
            self.vector_ = _vector(moments, target)
            nothing = np.zeros((d, 0))
            self.map_ = AffineMap.low_rank(nothing, nothing, strength * self.vector_)
            return
        check_something_left(
            self.rank_,
            d,
            where=where,
            remedy="Pass more columns or fewer groups, or use `MeanMatching`, which needs the "
            "group of every row.",
        )
        if strength != 0.0:
            self.map_ = erasing_map(self.directions_, moments.total_mean(), strength)

    def _target(self, labels: tuple[Hashable, ...]) -> int | None:
        if self.action == "project":
            return None
        if self.toward is None:
            raise InvalidInputError(
                "`toward` of `DifferenceOfMeans` must name a group "
                f"({', '.join(map(str, labels))}) where `action='add'`, got None: a "
                "vector needs an end."
            )
        return find_reference(self.toward, labels, where="DifferenceOfMeans", name="toward")


def _vector(moments: CellMoments, target: int) -> Floats:
    means, count = moments.means[:, 0, :], moments.counts[:, 0].copy()
    count[target] = 0.0
    vector: Floats = means[target] - count @ means / count.sum()
    return vector


def _directions(moments: CellMoments) -> Floats:
    """Return an orthonormal basis of the span of the groups' means about their mean."""
    mean, count = moments.total_mean(), moments.counts[:, 0]
    between = ((moments.means[:, 0, :] - mean) * np.sqrt(count / count.sum())[:, None]).T
    variance = moments.total_covariance()
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    # what rounding alone makes of equal means, in units of the standard deviations
    rounding = float(np.linalg.norm(np.finfo(np.float64).eps * (1.0 + np.abs(mean) / scale)))
    scaled = between / scale[:, None]
    zero = max(rank_tolerance([1.0], size=len(mean)), 10.0 * rounding)
    rank = int((np.linalg.svd(scaled, compute_uv=False) > zero).sum())
    told = np.linalg.norm(scaled, axis=0) > zero
    return leading_span(between[:, told], min(rank, len(count) - 1))
