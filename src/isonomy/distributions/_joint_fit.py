"""Fitting a joint law: from rows or their moments to the law of every cell."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice
from isonomy.distributions._accumulate import Covariance
from isonomy.distributions._cell_arrays import KINDS, CellArrays, Family
from isonomy.distributions._fitting import (
    FitRows,
    collect_moments,
    estimate_covariances,
    read_rows,
)
from isonomy.distributions._joint_checks import factor_cells
from isonomy.distributions._normality import warn_if_not_normal
from isonomy.distributions._shape import Freedom, Shape
from isonomy.distributions._student_fit import fit_student
from isonomy.distributions.moments import CellMoments
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage
from isonomy.errors import InvalidInputError

__all__ = ["FittedCells"]


class FittedCells(CellArrays):
    """The part of ``JointDistribution`` that is fitted to rows or to their moments."""

    __slots__ = ()

    @classmethod
    def from_moments(
        cls,
        moments: CellMoments,
        *,
        family: Literal["normal", "lognormal"] = "normal",
        covariance: Covariance | None = None,
        shrinkage: Shrinkage = None,
    ) -> Self:
        """Build from the moments of the rows (of their logarithms, for "lognormal").

        Parameters
        ----------
        moments : CellMoments
        family : "normal" or "lognormal"
        covariance : "full", "tied", "diagonal" or None
            None takes the kind of the moments; full moments give any kind.
        shrinkage : None, "oas" or a number in [0, 1]
            "ledoit-wolf" needs rows: use :meth:`fit`.

        Raises
        ------
        EmptyCellError
            If a (label, group) cell has no rows.
        SingularCovarianceError
            If a cell has too few rows or its columns are collinear; named in the message.
        InvalidInputError
            If there is a single class or group, or the moments lack what is asked.

        Examples
        --------
        >>> from isonomy.distributions import JointDistribution
        >>> moments = CellMoments(1)
        >>> y, a = [0, 0, 0, 0, 1, 1, 1, 1], ["f", "f", "m", "m"] * 2
        >>> _ = moments.update([[0.0], [2.0]] * 4, y, sensitive_features=a)
        >>> JointDistribution.from_moments(moments).covariances.ravel()
        array([1., 1., 1., 1.])
        """
        where = "JointDistribution.from_moments"
        check_choice("family", family, ("normal", "lognormal"), where=where)
        kind = moments.covariance if covariance is None else covariance
        check_choice("covariance", kind, ("full", "tied", "diagonal"), where=where)
        checked = check_shrinkage(shrinkage, where=where)
        return cls._estimate(moments, family, kind, checked, where=where)

    @classmethod
    def _estimate(
        cls,
        moments: CellMoments,
        family: Family,
        covariance: Covariance,
        shrinkage: Shrinkage | NDArray[np.float64],
        *,
        where: str,
        shape: Shape | None = None,
    ) -> Self:
        fit = estimate_covariances(moments, covariance, shrinkage, where=where)
        prior = moments.counts / moments.counts.sum()
        labels = moments.classes, moments.groups
        return cls._build(moments.means, fit.covariances, prior, *labels, family, fit.lowers, shape)

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        family: Family | Literal["auto"] = "normal",
        covariance: Covariance = "full",
        shrinkage: Shrinkage = None,
        sample_weight: ArrayLike | None = None,
        per_group: bool = True,
        df: float | None = None,
        check: Literal["warn", "ignore"] = "warn",
    ) -> Self:
        """Fit by maximum likelihood, covariances shrunk on request.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            Positive for "lognormal"; only the numeric columns of a frame count.
        y : (n_samples,)
            Class labels, at least 2 different.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups, at least 2 different; several columns make intersectional groups.
        family : "normal", "lognormal", "nonparanormal", "student_t" or "auto"
            Of the cells. "nonparanormal": columns are normal behind strictly monotone
            splines, which know the group (``per_group``) but never the label. "auto": the
            one that :func:`~isonomy.distributions.choose_family` prefers on held-out rows;
            ``.family_choice`` of the result keeps what it found.
        covariance : "full", "tied" or "diagonal"
            One covariance a cell; one a group, pooled over its labels; variances alone.
        shrinkage : None, "oas", "ledoit-wolf" or a number in [0, 1]
            Toward a scaled identity in units of the pooled within-cell standard
            deviation: units of columns do not matter.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.
        per_group : bool
            "nonparanormal": one transform a group, or one for all. True for other families.
        df : float, optional
            "student_t": degrees of freedom; estimated by default, one number for all cells.
            Other families have none; "auto" uses it where it takes Student-t cells.
        check : "warn" or "ignore"
            "warn": where ``family`` is "normal" or "lognormal", look at the skewness and
            kurtosis of every column within the cells, on at most 1,000 rows (or 50 a cell).

        Raises
        ------
        EmptyCellError
            If a (label, group) cell has no rows.
        FamilyError
            If a value is not positive and ``family="lognormal"``.
        SingularCovarianceError
            If a cell has too few rows, or columns are constant or collinear.
        InvalidInputError
            If another argument has a wrong shape or value.

        Warns
        -----
        NonNormalWarning
            With ``check="warn"``, if a column does not look so within cells (p below .001).

        Notes
        -----
        Covariances have divisor n (the cell's total weight), priors are shares of the
        weight. It does not promise that the cells are normal: ``check="warn"`` looks at the
        columns one by one, ``goodness_of_fit`` at whole cells.

        Examples
        --------
        >>> from isonomy.distributions import JointDistribution
        >>> rng = np.random.default_rng(0)
        >>> X, y, a = rng.normal(size=(40, 2)), np.arange(40) % 2, np.arange(40) // 20
        >>> JointDistribution.fit(X, y, sensitive_features=a)
        JointDistribution(classes=(0, 1), groups=(0, 1), n_features=2, family='normal')
        """
        where = "JointDistribution.fit"
        check_choice("family", family, (*KINDS, "auto"), where=where)
        check_choice("covariance", covariance, ("full", "tied", "diagonal"), where=where)
        check_choice("check", check, ("warn", "ignore"), where=where)
        checked = check_shrinkage(shrinkage, where=where)
        if df is not None and family not in ("student_t", "auto"):
            raise InvalidInputError(
                f"`df` of `{where}` must be None for family={family!r}, got {df!r}: only "
                "Student-t cells have degrees of freedom."
            )
        if not per_group and family not in ("nonparanormal", "auto"):
            raise InvalidInputError(
                f"`per_group` of `{where}` must be True for family={family!r}, got {per_group!r}: "
                "only nonparanormal cells have transforms that groups could share."
            )
        if family == "auto":
            # imported here: it fits every family by this very method
            from isonomy.distributions.families import choose_family

            how: dict[str, Any] = {"covariance": covariance, "shrinkage": shrinkage}
            how |= {"sensitive_features": sensitive_features, "sample_weight": sample_weight}
            choice = choose_family(X, y, per_group=per_group, **how)
            how["per_group"] = per_group or choice.family != "nonparanormal"
            how["df"] = df if choice.family == "student_t" else None
            best = cls.fit(X, y, family=choice.family, check="ignore", **how)
            object.__setattr__(best, "family_choice", choice)
            return best
        tied = covariance == "tied"
        labels = y, sensitive_features, sample_weight
        rows = read_rows(X, *labels, family, per_group=per_group, tied=tied, where=where)
        moments, method = collect_moments(rows, covariance, checked)
        if family == "student_t":
            return cls._fit_student(moments, rows, covariance, checked, df, where=where)
        fit = cls._estimate(moments, family, covariance, method, where=where, shape=rows.shape)
        if check == "warn" and family in ("normal", "lognormal"):  # only of rows that have a fit
            codes = rows.y_codes, rows.group_codes, rows.weight
            warn_if_not_normal(rows.values, *codes, names=rows.names, family=family, where=where)
        return fit

    @classmethod
    def _fit_student(
        cls,
        moments: CellMoments,
        rows: FitRows,
        covariance: Covariance,
        shrinkage: Shrinkage,
        df: float | None,
        *,
        where: str,
    ) -> Self:
        if shrinkage is not None:
            raise InvalidInputError(
                f"`shrinkage` of `{where}` must be None for family='student_t', whose scale "
                f"matrices are fitted by weights of the rows, got {shrinkage!r}."
            )
        # a normal fit first: it names cells that hold too little, whatever the family
        estimate_covariances(moments, covariance, None, where=where, can_shrink=False)
        sizes = len(rows.classes), len(rows.groups)
        codes = rows.values, rows.y_codes, rows.group_codes
        locations, scales, found = fit_student(*codes, *sizes, rows.weight, covariance, df)
        if covariance == "diagonal" and scales.ndim == 3:
            scales = scales[..., None] * np.eye(scales.shape[-1])
        shape = Freedom(np.broadcast_to(found, (sizes[0],)))
        means, q = np.asarray(locations), moments.counts / moments.counts.sum()
        lowers = factor_cells(scales, rows.classes, rows.groups, where=where)
        full = means.shape + means.shape[-1:]
        parts = np.broadcast_to(scales, full), q, tuple(rows.classes), tuple(rows.groups)
        return cls._build(means, *parts, "student_t", np.broadcast_to(lowers, full), shape)
