"""Counts, means and covariances of every (label, group) cell: streamed and merged.

Here the rows stop; everything above works on these moments.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._frames import read_table
from isonomy._validation import check_choice, check_same_length, check_sample_weight
from isonomy.distributions._accumulate import Covariance, iterate_slabs
from isonomy.distributions._cell_state import fixed_labels, label_positions
from isonomy.distributions._cell_totals import CellTotals
from isonomy.errors import InvalidInputError
from isonomy.groups import find_cells, sort_labels

__all__ = ["CellMoments"]


class CellMoments(CellTotals):
    """Running counts, means and covariances of every (label, group) cell.

    Parameters
    ----------
    n_features : int
        Columns of every batch, d.
    covariance : "full", "tied" or "diagonal"
        One covariance a cell; one within-class covariance a group, pooled over its
        labels; or the variances of every cell.
    classes, groups : sequence of labels, optional
        Fixed in advance: other labels raise. By default they are discovered.

    Notes
    -----
    Everything is float64; rows are read in blocks, never copied whole. All divisors are
    the total weight (maximum likelihood), not n - 1. Batches are combined by weight,
    mean and scatter M2 (sum of squares about the mean)::

        delta = mean_b - mean_a,  mean = mean_a + delta w_b / (w_a + w_b)
        M2 = M2_a + M2_b + delta delta' w_a w_b / (w_a + w_b)

    Laws: any order and any cut into batches gives the same moments, to rounding;
    integer weights equal repeated rows; rows of weight 0 contribute nothing. Source:
    Chan, Golub and LeVeque, Algorithms for computing the sample variance (1983), eq. 2.1.

    Examples
    --------
    >>> moments = CellMoments(1)
    >>> _ = moments.update([[1.0], [3.0]], ["yes", "yes"], sensitive_features=["a", "a"])
    >>> _ = moments.update([[5.0]], ["no"], sensitive_features=["a"])
    >>> moments.classes, moments.counts.ravel(), moments.means.ravel()
    (('no', 'yes'), array([1., 2.]), array([5., 2.]))
    """

    def __init__(
        self,
        n_features: int,
        *,
        covariance: Covariance = "full",
        classes: Sequence[Hashable] | None = None,
        groups: Sequence[Hashable] | None = None,
    ) -> None:
        if isinstance(n_features, bool) or not isinstance(n_features, int | np.integer):
            raise InvalidInputError(
                f"`n_features` of `CellMoments` must be a whole number, got {n_features!r}."
            )
        if n_features < 1:
            raise InvalidInputError(
                f"`n_features` of `CellMoments` must be at least 1, got {n_features}."
            )
        check_choice("covariance", covariance, ("full", "tied", "diagonal"), where="CellMoments")
        self.n_features = int(n_features)
        self.covariance: Covariance = covariance
        self.feature_names: tuple[str, ...] | None = None
        self._fixed = (classes is not None, groups is not None)
        self._classes = fixed_labels("classes", classes)
        self._groups = fixed_labels("groups", groups)
        self._allocate()

    def __repr__(self) -> str:
        return (
            f"CellMoments(n_features={self.n_features}, covariance={self.covariance!r}, "
            f"n_classes={len(self._classes)}, n_groups={len(self._groups)}, "
            f"n_rows={int(self._n_rows.sum())})"
        )

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """Class labels, sorted."""
        return self._classes

    @property
    def groups(self) -> tuple[Hashable, ...]:
        """Groups, sorted."""
        return self._groups

    @property
    def counts(self) -> NDArray[np.float64]:
        """Total weight of every cell, ``(n_classes, n_groups)``."""
        return self._weight.copy()

    @property
    def n_rows(self) -> NDArray[np.intp]:
        """Rows of weight above 0 in every cell, ``(n_classes, n_groups)``."""
        return self._n_rows.copy()

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of every cell, ``(n_classes, n_groups, d)``; NaN where it is empty."""
        means = self._mean.copy()
        means[self._weight == 0] = np.nan
        return means

    @property
    def covariances(self) -> NDArray[np.float64]:
        """Covariances, divisor the total weight; NaN where there are no rows.

        ``(n_classes, n_groups, d, d)`` full, ``(n_groups, d, d)`` tied, and the variances
        ``(n_classes, n_groups, d)`` diagonal.
        """
        weight = self._weight.sum(axis=0) if self.covariance == "tied" else self._weight
        divisor = np.where(weight > 0, weight, np.nan)
        extra = self._scatter.ndim - divisor.ndim
        covariances: NDArray[np.float64] = self._scatter / divisor.reshape(
            divisor.shape + (1,) * extra
        )
        return covariances

    def update(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Add rows, in place.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            float32, memory-mapped and non-contiguous arrays are read in blocks; only the
            numeric columns of a frame count.
        y : (n_samples,)
            Class labels.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups; several columns make intersectional groups.
        sample_weight : (n_samples,), optional
            At least 0; integer weights equal repeated rows.

        Returns
        -------
        self

        Raises
        ------
        InvalidInputError
            If shapes disagree, a value is not finite, or a label is not among the fixed
            ``classes``.
        UnknownGroupError
            If a group is not among the fixed ``groups``.

        Examples
        --------
        >>> moments = CellMoments(1)
        >>> _ = moments.update([[1.0], [5.0]], [0, 0], sensitive_features=["a", "a"],
        ...                    sample_weight=[3, 1])
        >>> moments.counts, moments.means, moments.covariances
        (array([[4.]]), array([[[2.]]]), array([[[[3.]]]]))
        """
        where = "CellMoments.update"
        table = read_table(X, where=where)
        self._check_columns(table, where=where)
        n = len(table.values)
        cells = find_cells(y, sensitive_features, where=where)
        check_same_length("y", len(cells.y_codes), n, where=where)
        weight = _weights(sample_weight, n, where=where)
        codes = cells.codes if weight is None else cells.codes[weight > 0]
        seen_y, seen_a = np.divmod(np.unique(codes), len(cells.groups))
        classes, groups = cells.classes.tolist(), cells.groups
        self._register(
            [classes[i] for i in np.unique(seen_y)],
            [groups[i] for i in np.unique(seen_a)],
            where=where,
        )
        y_map, a_map = (
            label_positions(classes, self._classes),
            label_positions(groups, self._groups),
        )
        y_codes, a_codes = y_map[cells.y_codes], a_map[cells.group_codes]
        self.add_coded(table.values, y_codes, a_codes, weight)
        return self

    def add_coded(
        self,
        values: NDArray[Any],
        y_codes: NDArray[np.intp],
        group_codes: NDArray[np.intp],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        """Add checked rows whose codes index ``classes`` and ``groups``, in place.

        Rows of weight 0 may have any code.
        """
        if weight is not None and not weight.all():
            y_codes = np.where(weight > 0, y_codes, 0)
            group_codes = np.where(weight > 0, group_codes, 0)
        self._absorb_slabs(iterate_slabs(values, y_codes, group_codes, weight, self.covariance))

    def merge(self, other: CellMoments) -> CellMoments:
        """Return the moments of the rows of both; neither is changed.

        Labels and groups are united. Associative and commutative, to rounding.

        Parameters
        ----------
        other : CellMoments
            Of the same number of features and kind of covariance.

        Returns
        -------
        CellMoments

        Raises
        ------
        InvalidInputError
            If numbers of features, kinds of covariance or column names differ.

        Examples
        --------
        >>> one = CellMoments(1).update([[0.0]], ["no"], sensitive_features=["a"])
        >>> two = CellMoments(1).update([[2.0]], ["no"], sensitive_features=["a"])
        >>> one.merge(two).means
        array([[[1.]]])
        """
        self._check_mergeable(other)
        merged = CellMoments(
            self.n_features,
            covariance=self.covariance,
            classes=sort_labels({*self._classes, *other._classes}),
            groups=sort_labels({*self._groups, *other._groups}),
        )
        merged._fixed = (
            self._fixed[0] and other._fixed[0],
            self._fixed[1] and other._fixed[1],
        )
        merged.feature_names = self.feature_names or other.feature_names
        for part in (self, other):
            y_map = label_positions(part._classes, merged._classes)
            a_map = label_positions(part._groups, merged._groups)
            merged._absorb(part._as_batch(y_map, a_map))
        return merged

    def to_arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return (arrays, header): plain arrays to store, and what JSON can hold.

        Returns
        -------
        arrays : dict of str to array
        header : dict
            Numbers, strings, lists and None alone.

        Raises
        ------
        InvalidInputError
            If a label is neither str, int, float nor bool.

        Examples
        --------
        >>> sorted(CellMoments(1).to_arrays()[0])
        ['mean', 'n_rows', 'scatter', 'weight']
        """
        for label in (*self._classes, *self._groups):
            if not isinstance(label, str | int | float):
                raise InvalidInputError(
                    "`CellMoments.to_arrays` can store labels that are str, int, float or bool, "
                    f"got {label!r}. Convert labels with `str` before `update`."
                )
        arrays = {
            "weight": self._weight.copy(),
            "n_rows": self._n_rows.astype(np.int64),
            "mean": self._mean.copy(),
            "scatter": self._scatter.copy(),
        }
        header = {
            "n_features": self.n_features,
            "covariance": self.covariance,
            "classes": list(self._classes),
            "groups": list(self._groups),
            "fixed": list(self._fixed),
            "feature_names": None if self.feature_names is None else list(self.feature_names),
        }
        return arrays, header

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], header: Mapping[str, Any]) -> Self:
        """Rebuild from what :meth:`to_arrays` returned.

        Parameters
        ----------
        arrays, header : as returned there

        Raises
        ------
        InvalidInputError
            If a part is missing or has the wrong shape.

        Examples
        --------
        >>> CellMoments.from_arrays(*CellMoments(2).to_arrays())
        CellMoments(n_features=2, covariance='full', n_classes=0, n_groups=0, n_rows=0)
        """
        try:
            moments = cls(
                header["n_features"],
                covariance=header["covariance"],
                classes=header["classes"],
                groups=header["groups"],
            )
            fixed_classes, fixed_groups = header["fixed"]
            names = header["feature_names"]
            parts = {k: np.asarray(arrays[k]) for k in ("weight", "n_rows", "mean", "scatter")}
        except KeyError as error:
            raise InvalidInputError(
                f"`CellMoments.from_arrays` needs the part {error.args[0]!r} written by "
                "`to_arrays`, got none."
            ) from error
        moments._fixed = (bool(fixed_classes), bool(fixed_groups))
        moments.feature_names = None if names is None else tuple(names)
        for name, value in parts.items():
            target: NDArray[Any] = getattr(moments, f"_{name}")
            if value.shape != target.shape:
                raise InvalidInputError(
                    f"`arrays[{name!r}]` of `CellMoments.from_arrays` must have shape "
                    f"{target.shape}, got {value.shape}."
                )
            target[...] = value
        return moments


def _weights(sample_weight: ArrayLike | None, n: int, *, where: str) -> NDArray[np.float64] | None:
    """Return checked weights; a batch whose weights are all 0 is allowed, and adds nothing."""
    if sample_weight is not None:
        zeros = np.asarray(sample_weight)
        if zeros.shape == (n,) and not zeros.any():
            return np.zeros(n)
    return check_sample_weight(sample_weight, n, where=where)
