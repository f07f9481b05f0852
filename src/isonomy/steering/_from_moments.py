"""Steer from moments alone: a whole fit, or a fitted steerer solved anew from more rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments
from isonomy.distributions._accumulate import CellBatch
from isonomy.errors import InvalidInputError
from isonomy.steering._feasible import FeasibleColumns
from isonomy.steering._inferred import InfersGroups
from isonomy.steering._limits import known_limits
from isonomy.steering._rank import RankCurve
from isonomy.steering._settings import check_not_loaded, check_settings
from isonomy.steering._solved import Solved
from isonomy.steering._working_scale import WorkingScale, known_scale

if TYPE_CHECKING:
    from isonomy.steering.ideal import IdealSteerer

__all__ = ["FitsMoments", "moments_for", "of_kind", "solve_from_moments"]

WHERE = "solve_from_moments"


class FitsMoments(InfersGroups):
    """The part of ``IdealSteerer`` that learns without rows."""

    rank: Any
    family: str
    groups: str
    covariance: Any
    moments_: CellMoments
    rank_curve_: RankCurve | None
    _state: Solved | None
    _limits: FeasibleColumns | None

    def fit_moments(self, moments: CellMoments) -> Self:
        """Learn from the moments of (label, group) cells in the place of rows.

        Parameters
        ----------
        moments : CellMoments
            Of the training rows (for ``family="lognormal"`` of their logarithms), weights
            included, as `isonomy.hidden_states.collect` returns them. "full" covariances
            serve every setting, "tied" ones ``groups="blind"`` and ``covariance="tied"``,
            "diagonal" ones ``covariance="diagonal"``.

        Returns
        -------
        self
            As after ``fit`` on the rows behind the moments, to rounding; ``sample_weight_``
            is None.

        Raises
        ------
        InvalidInputError
            If these are no moments or of another kind, a group has no rows, there is one
            group or class alone, or the setting needs rows: ``groups="infer"`` for its
            probe, ``groups="blind"`` with ``rank="auto"`` for held-out decisions, "observed"
            bounds or "auto" columns of whole numbers.
        EmptyCellError
            If a (label, group) pair has no rows, with ``groups="given"``.

        Examples
        --------
        >>> from isonomy.datasets import make_biased_normals
        >>> from isonomy.steering import IdealSteerer
        >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
        >>> moments = CellMoments(4).update(X, y, sensitive_features=group)
        >>> steerer = IdealSteerer(groups="given").fit_moments(moments)
        >>> rows = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
        >>> bool(abs(steerer.solution_.kl - rows.solution_.kl) < 1e-9)
        True
        """
        where = "IdealSteerer.fit_moments"
        check_settings(self, where=where)
        cells = self._read_moments(moments, where=where)
        single = len(cells.groups) == 1
        if not single:
            _check_enough(self, cells, where=where)
        kind = "tied" if self.groups == "blind" else self.covariance
        limits = known_limits(self, where=where)
        self._start(cells.n_features, None, None, known_scale(self.family, where=where))
        self._limits = limits
        self.moments_ = of_kind(cells, kind, where=where)
        self.classes_, self.groups_ = list(cells.classes), list(cells.groups)
        self.rank_curve_ = None
        if single:
            self._state = Solved.unmoved(self.groups_, cells.n_features)
        self._solved()
        return self

    def _start(self, n_features: int, classes: Any, groups: Any, scale: WorkingScale) -> None:
        raise NotImplementedError

    def _solved(self) -> Solved:
        raise NotImplementedError


def _check_enough(steerer: Any, cells: CellMoments, *, where: str) -> None:
    """Raise if this setting cannot be fitted without rows."""
    if steerer.groups == "infer":
        raise InvalidInputError(
            f'`{where}` cannot fit `groups="infer"`: its probe of the group learns from rows, '
            "and moments hold none. Call `fit` on rows (a sample of them will do for the probe), "
            'or use `groups="blind"` or "given".'
        )
    if steerer.groups == "blind" and steerer.rank == "auto":
        raise InvalidInputError(
            f'`{where}` cannot choose `rank="auto"`: it is chosen by decisions on held-out rows, '
            "and moments hold none. Set `rank` to a number (4 is a fair first one), or call "
            "`fit` on rows."
        )
    present = int((cells.counts.sum(axis=1) > 0).sum())
    if present < 2:
        raise InvalidInputError(
            f"`moments` passed to `{where}` must hold at least 2 classes, got rows of {present}. "
            "With a single class there is nothing to decide."
        )


def of_kind(moments: CellMoments, kind: str, *, where: str) -> CellMoments:
    """Return moments of the same rows that keep ``kind`` of covariance, and no more.

    Full covariances give tied ones (summed over the labels) and diagonal ones.

    Raises
    ------
    InvalidInputError
        If ``moments`` keep less, or are not finite.
    """
    if moments.covariance == kind:
        found = deepcopy(moments)  # the caller may go on adding rows to theirs
    else:
        if moments.covariance != "full":
            raise InvalidInputError(
                f"`moments` passed to `{where}` must keep {kind!r} covariances, got "
                f"{moments.covariance!r}. Collect them with covariance={kind!r} or 'full', or "
                f"set `covariance={moments.covariance!r}`."
            )
        found = _reduced(moments, kind)
    with np.errstate(invalid="ignore"):
        within = found.within_covariance()
    if not np.isfinite(within).all():
        raise InvalidInputError(
            f"`moments` passed to `{where}` must be finite, got covariances with NaN or infinity."
        )
    return found


def _reduced(full: CellMoments, kind: Any) -> CellMoments:
    found = CellMoments(full.n_features, covariance=kind, classes=full.classes, groups=full.groups)
    found.feature_names = full.feature_names
    counts = full.counts
    y, a = np.nonzero(counts)
    owners = a
    if kind == "tied":
        owners = np.arange(len(full.groups))
        own = [counts * (owners == g) for g in owners]
        scatter = [w.sum() * full.within_covariance(weights=w) for w in own]
    else:
        alone = [_only(counts, i, j) for i, j in zip(y, a, strict=True)]
        scatter = [w.sum() * np.diagonal(full.within_covariance(weights=w)) for w in alone]
    cells = counts[y, a], full.n_rows[y, a], full.means[y, a]
    found._absorb(CellBatch(y, a, *cells, np.array(scatter), owners))
    return found


def _only(counts: NDArray[np.float64], y: np.intp, a: np.intp) -> NDArray[np.float64]:
    weights = np.zeros_like(counts)
    weights[y, a] = counts[y, a]
    return weights


def moments_for(
    steerer: IdealSteerer,
    n_features: int,
    classes: Sequence[Hashable],
    groups: Sequence[Hashable],
) -> CellMoments:
    """Return empty moments of the kind that ``steerer`` solves from."""
    return CellMoments(
        n_features,
        covariance="tied" if steerer.groups == "blind" else steerer.covariance,
        classes=classes,
        groups=groups,
    )


def solve_from_moments(steerer: IdealSteerer, moments: CellMoments) -> IdealSteerer:
    """Put ``moments`` in the place of those that ``steerer`` was fitted on, in place.

    The number of directions of "blind" and the probe of "infer", which need rows, stay as
    they were chosen in the fit; everything that follows from moments is solved anew.

    Parameters
    ----------
    steerer : IdealSteerer
        Fitted on some of the rows: each class and group must be among them.
    moments : CellMoments
        Of all rows, on the steerer's working scale, from `moments_for`.

    Raises
    ------
    InvalidInputError
        If classes, groups or features are not those of the fit.
    """
    check_not_loaded(steerer, where=WHERE)
    if steerer.family_ == "student_t":
        raise InvalidInputError(
            f"`steerer` passed to `{WHERE}` must be of cells that moments describe, got Student-t "
            "ones, which need rows."
        )
    known = (list(steerer.classes_), list(steerer.groups_), steerer.moments_.n_features)
    given = (list(moments.classes), list(moments.groups), moments.n_features)
    if known != given:
        raise InvalidInputError(
            f"`moments` passed to `{WHERE}` must be of the classes, groups and number of "
            f"features that the steerer was fitted on {known}, got {given}."
        )
    steerer.moments_ = moments
    steerer.sample_weight_ = None
    steerer.feasibility_ = None  # of the maps that were
    steerer._forget()
    return steerer
