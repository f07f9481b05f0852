"""The joint law of features, label and group: one normal or log-normal law a cell."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice, check_random_state
from isonomy.distributions._accumulate import Covariance
from isonomy.distributions._cell_arrays import KINDS, Cell, CellArrays, Family
from isonomy.distributions._fitting import collect_rows, estimate_covariances
from isonomy.distributions._joint_checks import (
    check_arrays,
    check_comparable,
    check_laws,
    check_prior,
    check_same_cells,
    distinct_labels,
    factor_cells,
    label_array,
    row_cells,
)
from isonomy.distributions.lognormal import LogNormal
from isonomy.distributions.moments import CellMoments
from isonomy.distributions.normal import (
    GaussianFamily,
    Normal,
    as_rows,
    check_n_rows,
    gaussian_kl,
)
from isonomy.distributions.shrinkage import Shrinkage, check_shrinkage
from isonomy.groups import sort_labels

__all__ = ["JointDistribution"]


class JointDistribution(CellArrays):
    """The law of (X, label, group): a law of X in every cell, and the cells' priors.

    Parameters
    ----------
    cells : {(label, group): Normal or LogNormal}
        Every pair of a label and a group, all of one kind and dimension.
    priors : {(label, group): probability}
        Above 0, summing to 1, for the same pairs.

    Attributes
    ----------
    classes, groups : tuple
        Sorted.
    family : "normal" or "lognormal"
    means : (K, G, d) array
    covariances : (K, G, d, d) array
    prior : (K, G) array
        With K classes and G groups; read-only. Of ln X where the family is log-normal.

    Raises
    ------
    InvalidInputError
        If a cell is missing, dimensions differ, or priors are not a distribution.
    FamilyError
        If the cells are of different kinds.

    Examples
    --------
    >>> cells = {("no", "a"): Normal(0, 1), ("yes", "a"): Normal(1, 1),
    ...          ("no", "b"): Normal(0, 4), ("yes", "b"): Normal(2, 4)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> joint.classes, joint.groups, joint.is_tied
    (('no', 'yes'), ('a', 'b'), True)
    """

    __slots__ = ()

    def __init__(
        self, cells: Mapping[Cell, Normal] | Mapping[Cell, LogNormal], priors: Mapping[Cell, float]
    ) -> None:
        laws: dict[Cell, GaussianFamily] = dict(cells.items())
        family = check_laws(laws)
        classes = sort_labels({label for label, _ in laws})
        groups = sort_labels({group for _, group in laws})
        pairs = [(y, a) for y in classes for a in groups]
        check_same_cells(pairs, laws, priors)
        shape = (len(classes), len(groups))
        ordered = [laws[pair] for pair in pairs]
        prior = check_prior(np.array([priors[pair] for pair in pairs]).reshape(shape))

        def stack(name: str) -> NDArray[np.float64]:
            arrays = np.stack([getattr(law, name) for law in ordered])
            return arrays.reshape(shape + arrays.shape[1:])

        self._set(
            stack("mean"), stack("covariance"), prior, classes, groups, family, stack("_lower")
        )

    @classmethod
    def from_arrays(
        cls,
        means: ArrayLike,
        covariances: ArrayLike,
        prior: ArrayLike,
        classes: Sequence[Hashable],
        groups: Sequence[Hashable],
        family: Family = "normal",
    ) -> Self:
        """Build from stacked arrays.

        Parameters
        ----------
        means : (K, G, d)
        covariances : (K, G, d, d), or (G, d, d) for one covariance a group
        prior : (K, G)
            Above 0, summing to 1.
        classes, groups : sequences of K and G distinct labels
            In the order of the arrays; the result is sorted.
        family : "normal" or "lognormal"

        Raises
        ------
        InvalidInputError
            If shapes disagree, a value is not finite, a covariance is not symmetric, or
            priors are not a distribution.
        SingularCovarianceError
            If a covariance is not positive definite; the message names the cell.

        Examples
        --------
        >>> joint = JointDistribution.from_arrays(
        ...     [[[0.0], [0.0]], [[1.0], [2.0]]], [[[1.0]], [[4.0]]],
        ...     [[0.25, 0.25], [0.25, 0.25]], classes=[0, 1], groups=["a", "b"])
        >>> joint.kl_divergence(joint)
        0.0
        """
        where = "JointDistribution.from_arrays"
        check_choice("family", family, tuple(KINDS), where=where)
        labels = distinct_labels("classes", classes), distinct_labels("groups", groups)
        m, s, q = check_arrays(means, covariances, prior, *map(len, labels), where=where)
        order_y = [labels[0].index(v) for v in sort_labels(labels[0])]
        order_a = [labels[1].index(v) for v in sort_labels(labels[1])]
        m, q = m[np.ix_(order_y, order_a)], check_prior(q[np.ix_(order_y, order_a)])
        found = s[order_a] if s.ndim == 3 else s[np.ix_(order_y, order_a)]
        classes_, groups_ = sort_labels(labels[0]), sort_labels(labels[1])
        lowers = factor_cells(found, classes_, groups_, where=where)
        shape = m.shape + m.shape[-1:]
        found, lowers = np.broadcast_to(found, shape), np.broadcast_to(lowers, shape)
        return cls._build(m, found, q, classes_, groups_, family, lowers)

    @classmethod
    def from_moments(
        cls,
        moments: CellMoments,
        *,
        family: Family = "normal",
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
        >>> moments = CellMoments(1)
        >>> y, a = [0, 0, 0, 0, 1, 1, 1, 1], ["f", "f", "m", "m"] * 2
        >>> _ = moments.update([[0.0], [2.0]] * 4, y, sensitive_features=a)
        >>> JointDistribution.from_moments(moments).covariances.ravel()
        array([1., 1., 1., 1.])
        """
        where = "JointDistribution.from_moments"
        check_choice("family", family, tuple(KINDS), where=where)
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
    ) -> Self:
        fit = estimate_covariances(moments, covariance, shrinkage, where=where)
        prior = moments.counts / moments.counts.sum()
        labels = moments.classes, moments.groups
        return cls._build(moments.means, fit.covariances, prior, *labels, family, fit.lowers)

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        family: Family = "normal",
        covariance: Covariance = "full",
        shrinkage: Shrinkage = None,
        sample_weight: ArrayLike | None = None,
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
        family : "normal" or "lognormal"
        covariance : "full", "tied" or "diagonal"
            One covariance a cell; one a group, pooled over its labels; variances alone.
        shrinkage : None, "oas", "ledoit-wolf" or a number in [0, 1]
            Toward a scaled identity in units of the pooled within-cell standard
            deviation: units of columns do not matter.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.

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

        Notes
        -----
        Covariances have divisor n (the cell's total weight), priors are shares of the
        weight. It does not promise that the cells are normal: look at the data.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X, y, a = rng.normal(size=(40, 2)), np.arange(40) % 2, np.arange(40) // 20
        >>> JointDistribution.fit(X, y, sensitive_features=a)
        JointDistribution(classes=(0, 1), groups=(0, 1), n_features=2, family='normal')
        """
        where = "JointDistribution.fit"
        check_choice("family", family, tuple(KINDS), where=where)
        check_choice("covariance", covariance, ("full", "tied", "diagonal"), where=where)
        checked = check_shrinkage(shrinkage, where=where)
        moments, method = collect_rows(
            X, y, sensitive_features, sample_weight, family, covariance, checked, where=where
        )
        return cls._estimate(moments, family, covariance, method, where=where)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = (self.means, self.covariances, self.prior)
        return type(self).from_arrays, (*arrays, self.classes, self.groups, self.family)

    def sample(
        self, n: int, random_state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
        """Return ``n`` independent rows.

        Parameters
        ----------
        n : int
            At least 0.
        random_state : int, RandomState or None
            The same number gives the same rows.

        Returns
        -------
        X : (n, n_features) array
        y : (n,) array
            Class labels.
        groups : (n,) array

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.

        Examples
        --------
        >>> cells = {(y, a): Normal(y, 1.0) for y in (0, 1) for a in ("f", "m")}
        >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
        >>> X, y, groups = joint.sample(5, random_state=0)
        >>> X.shape, y.shape, groups.shape
        ((5, 1), (5,), (5,))
        """
        check_n_rows(n, where="JointDistribution.sample")
        rng = check_random_state(random_state)
        codes = rng.choice(self.prior.size, size=int(n), p=self.prior.ravel())
        y, a = np.divmod(codes, len(self.groups))
        rows = rng.standard_normal((int(n), self.n_features))
        for j, g in np.ndindex(self.prior.shape):
            chosen = np.flatnonzero((y == j) & (a == g))
            rows[chosen] = rows[chosen] @ self._lowers[j, g].T + self.means[j, g]
        X = np.exp(rows) if self.family == "lognormal" else rows
        return X, label_array(self.classes)[y], label_array(self.groups)[a]

    def log_density(self, X: ArrayLike, y: Any, groups: Any) -> NDArray[np.float64]:
        """Return ``ln p(x, y, a)`` of every row: prior times the density in the cell.

        Parameters
        ----------
        X : (n_samples, n_features)
        y, groups : (n_samples,)
            Labels and groups that this law knows.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a label is unknown.

        Examples
        --------
        >>> cells = {(y, a): Normal(y, 1.0) for y in (0, 1) for a in ("f", "m")}
        >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
        >>> joint.log_density([[0.0]], [0], ["f"]).round(4)
        array([-2.3052])
        """
        where = "JointDistribution.log_density"
        rows = as_rows(X, self.n_features, where=where)
        codes, a = row_cells(y, groups, self.classes, self.groups, len(rows), where=where)
        out = np.empty(len(rows))
        for (label, group), law in self.cells.items():
            j, g = self.classes.index(label), self.groups.index(group)
            chosen = np.flatnonzero((codes == j) & (a == g))
            if len(chosen):
                out[chosen] = law.log_density(rows[chosen]) + np.log(self.prior[j, g])
        return out

    def kl_divergence(self, other: JointDistribution) -> float:
        """Return KL(self || other) of the joint laws, in nats, priors included.

        Parameters
        ----------
        other : JointDistribution
            Of the same classes, groups, family and number of features.

        Raises
        ------
        FamilyError
            If the families differ.
        InvalidInputError
            If classes, groups or numbers of features differ.

        Notes
        -----
        By the chain rule, with q the priors and P the laws of the cells::

            KL = sum_ya q_ya [ ln(q_ya / q'_ya) + KL(P_ya || P'_ya) ]

        Examples
        --------
        >>> cells = {(y, a): Normal(y, 1.0) for y in (0, 1) for a in ("f", "m")}
        >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
        >>> moved = {pair: Normal(pair[0] + 1.0, 1.0) for pair in cells}
        >>> joint.kl_divergence(JointDistribution(moved, joint.priors))
        0.5
        """
        check_comparable(self, other)
        cells = np.array(
            [
                gaussian_kl(self.means[c], self._lowers[c], other.means[c], other._lowers[c])
                for c in np.ndindex(self.prior.shape)
            ]
        )
        ratio = np.log(self.prior) - np.log(other.prior)
        # q ln(q/q') - q + q' >= 0 term by term, and the extra terms sum to 0
        priors = self.prior * (ratio + np.expm1(-ratio))
        return float(priors.sum() + self.prior.ravel() @ cells)
