"""The joint law of features, label and group: one law of a family a cell."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import check_choice, check_random_state
from isonomy.distributions._cell_arrays import KINDS, Cell, Family
from isonomy.distributions._joint_checks import (
    check_arrays,
    check_comparable,
    check_laws,
    check_prior,
    check_same_cells,
    check_shape,
    distinct_labels,
    factor_cells,
    group_codes,
    label_array,
    row_cells,
)
from isonomy.distributions._joint_fit import FittedCells
from isonomy.distributions._latent import cell_divergence, latent_rows, observed_rows
from isonomy.distributions._shape import Shape, shape_of_laws
from isonomy.distributions.normal import GaussianFamily, as_rows, check_n_rows
from isonomy.groups import sort_labels

__all__ = ["JointDistribution"]


class JointDistribution(FittedCells):
    """The law of (X, label, group): a law of X in every cell, and the cells' priors.

    Parameters
    ----------
    cells : {(label, group): Normal, LogNormal, Nonparanormal or StudentT}
        Every pair of a label and a group, all of one kind and dimension. The transform of
        Nonparanormal cells is one for all labels of a group; the degrees of freedom of
        StudentT cells are one for all groups of a label.
    priors : {(label, group): probability}
        Above 0, summing to 1, for the same pairs.

    Attributes
    ----------
    classes, groups : tuple
        Sorted.
    family : "normal", "lognormal", "nonparanormal" or "student_t"
    means : (K, G, d) array
    covariances : (K, G, d, d) array
    prior : (K, G) array
        With K classes and G groups; read-only. Of the latent coordinates: ln X where the
        family is log-normal, T_a(X) where it is nonparanormal; location and scale matrix
        where it is Student-t.
    shape : Marginals, Freedom or None
        The transforms T_a of a nonparanormal law, the degrees of freedom of a Student-t law.
    family_choice : FamilyChoice or None
        What ``fit(family="auto")`` found; kept by copies, no part of the law.

    Raises
    ------
    InvalidInputError
        If a cell is missing, dimensions differ, or priors are not a distribution.
    FamilyError
        If the cells are of different kinds, or transforms or degrees of freedom are not
        shared as said above.

    Examples
    --------
    >>> from isonomy.distributions import Normal
    >>> cells = {("no", "a"): Normal(0, 1), ("yes", "a"): Normal(1, 1),
    ...          ("no", "b"): Normal(0, 4), ("yes", "b"): Normal(2, 4)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> joint.classes, joint.groups, joint.is_tied
    (('no', 'yes'), ('a', 'b'), True)
    """

    __slots__ = ()

    def __init__(self, cells: Mapping[Cell, Any], priors: Mapping[Cell, float]) -> None:
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

        places = dict(zip(np.ndindex(shape), ordered, strict=True))
        rest = classes, groups, family, stack("_lower"), shape_of_laws(places, *shape)
        self._set(stack("mean"), stack("covariance"), prior, *rest)

    @classmethod
    def from_arrays(
        cls,
        means: ArrayLike,
        covariances: ArrayLike,
        prior: ArrayLike,
        classes: Sequence[Hashable],
        groups: Sequence[Hashable],
        family: Family = "normal",
        shape: Shape | None = None,
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
        family : "normal", "lognormal", "nonparanormal" or "student_t"
        shape : Marginals, Freedom or None
            What the last two families need besides, as the attribute ``shape``.

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
        check_shape(shape, family, m.shape, where=where)
        ordered = None if shape is None else shape.reordered(order_y, order_a)
        full = m.shape + m.shape[-1:]
        found, lowers = np.broadcast_to(found, full), np.broadcast_to(lowers, full)
        return cls._build(m, found, q, classes_, groups_, family, lowers, ordered)

    def __reduce__(self) -> tuple[Any, ...]:
        arrays = (self.means, self.covariances, self.prior)
        rest = (self.classes, self.groups, self.family, self.shape)
        # `Frozen.__setstate__` takes what is no part of the law
        return type(self).from_arrays, (*arrays, *rest), {"family_choice": self.family_choice}

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
        >>> from isonomy.distributions import Normal
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
        if self.shape is not None:
            rows = self.shape.stretched(rows, y, rng)
        for j, g in np.ndindex(self.prior.shape):
            chosen = np.flatnonzero((y == j) & (a == g))
            rows[chosen] = rows[chosen] @ self._lowers[j, g].T + self.means[j, g]
        X = observed_rows(self, rows, a)
        return X, label_array(self.classes)[y], label_array(self.groups)[a]

    def latent(self, X: ArrayLike, groups: Any) -> NDArray[np.float64]:
        """Return rows in the coordinates in which ``means`` and ``covariances`` speak.

        Parameters
        ----------
        X : (n_samples, n_features)
        groups : (n_samples,)
            Groups that this law knows; only nonparanormal laws look at them.

        Returns
        -------
        (n_samples, n_features) array
            X for normal and Student-t laws, ln X for log-normal, T_a(X) for nonparanormal.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group is unknown.
        FamilyError
            If the law is log-normal and a value is not positive.

        Examples
        --------
        >>> from isonomy.distributions import LogNormal
        >>> cells = {(y, a): LogNormal(y, 1.0) for y in (0, 1) for a in ("f", "m")}
        >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
        >>> joint.latent([[1.0], [np.e]], ["f", "m"]).ravel()
        array([0., 1.])
        """
        where = "JointDistribution.latent"
        rows = as_rows(X, self.n_features, where=where)
        return latent_rows(self, rows, group_codes(groups, self.groups, len(rows), where=where))

    def observed(self, Z: ArrayLike, groups: Any) -> NDArray[np.float64]:
        """Return rows in the units of X: the inverse of :meth:`latent`.

        Parameters
        ----------
        Z : (n_samples, n_features)
        groups : (n_samples,)
            Groups that this law knows.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group is unknown.
        """
        where = "JointDistribution.observed"
        rows = np.asarray(as_rows(Z, self.n_features, where=where), dtype=np.float64)
        return observed_rows(self, rows, group_codes(groups, self.groups, len(rows), where=where))

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
        >>> from isonomy.distributions import Normal
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
        >>> from isonomy.distributions import Normal
        >>> cells = {(y, a): Normal(y, 1.0) for y in (0, 1) for a in ("f", "m")}
        >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
        >>> moved = {pair: Normal(pair[0] + 1.0, 1.0) for pair in cells}
        >>> joint.kl_divergence(JointDistribution(moved, joint.priors))
        0.5
        """
        check_comparable(self, other)
        cells = np.array([cell_divergence(self, other, c) for c in np.ndindex(self.prior.shape)])
        ratio = np.log(self.prior) - np.log(other.prior)
        # q ln(q/q') - q + q' >= 0 term by term, and the extra terms sum to 0
        priors = self.prior * (ratio + np.expm1(-ratio))
        return float(priors.sum() + self.prior.ravel() @ cells)
