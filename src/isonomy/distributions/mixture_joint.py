"""The joint law of features, label and group with a mixture of normals in every cell."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from isonomy._frames import read_table
from isonomy._validation import check_choice, check_random_state, check_same_length
from isonomy.distributions._frozen import Frozen
from isonomy.distributions._joint_checks import (
    check_prior,
    check_same_cells,
    label_array,
    row_cells,
)
from isonomy.distributions.mixture import NormalMixture
from isonomy.distributions.normal import as_rows, check_n_rows
from isonomy.errors import EmptyCellError, InvalidInputError, SingularCovarianceError
from isonomy.groups import find_cells, sort_labels

__all__ = ["MixtureJoint"]

Cell = tuple[Hashable, Hashable]

_MOST_COMPONENTS = 5

_LEAST_WEIGHT = 1e-12
"""Components that EM has emptied."""

_SKLEARN_KINDS = {"full": "full", "diagonal": "diag", "tied": "tied"}


class MixtureJoint(Frozen):
    """The law of (X, label, group): a mixture of normals in every cell, and the cells' priors.

    Parameters
    ----------
    cells : {(label, group): NormalMixture}
        Every pair of a label and a group, of one dimension; components may differ in number.
    priors : {(label, group): probability}
        Above 0, summing to 1, for the same pairs.

    Attributes
    ----------
    classes, groups : tuple
        Sorted.
    prior : (K, G) array

    Raises
    ------
    InvalidInputError
        If a cell is missing or no NormalMixture, dimensions differ, or priors are not a
        distribution.

    Notes
    -----
    An approximation of whatever law the rows have: nothing about it is exact, and its
    divergences are estimates with an error.

    Examples
    --------
    >>> cells = {(y, a): NormalMixture([0.5, 0.5], [y, y + 3.0], [1.0, 1.0])
    ...          for y in (0, 1) for a in ("f", "m")}
    >>> joint = MixtureJoint(cells, dict.fromkeys(cells, 0.25))
    >>> joint.classes, joint.groups, joint.n_features
    ((0, 1), ('f', 'm'), 1)
    """

    __slots__ = ("_laws", "classes", "groups", "prior")

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    prior: NDArray[np.float64]
    _laws: tuple[NormalMixture, ...]

    def __init__(self, cells: Mapping[Cell, NormalMixture], priors: Mapping[Cell, float]) -> None:
        laws = dict(cells.items())
        if not laws:
            raise InvalidInputError("`cells` of `MixtureJoint` must hold at least one cell.")
        for pair, law in laws.items():
            if not isinstance(law, NormalMixture):
                raise InvalidInputError(
                    f"`cells[{pair!r}]` of `MixtureJoint` must be a NormalMixture, got "
                    f"{type(law).__name__}."
                )
        sizes = {law.n_features for law in laws.values()}
        if len(sizes) > 1:
            raise InvalidInputError(
                f"`cells` of `MixtureJoint` must have one number of features, got {sorted(sizes)}."
            )
        classes = sort_labels({label for label, _ in laws})
        groups = sort_labels({group for _, group in laws})
        pairs = [(y, a) for y in classes for a in groups]
        check_same_cells(pairs, laws, priors)
        prior = np.array([priors[pair] for pair in pairs]).reshape(len(classes), len(groups))
        prior = check_prior(prior)
        prior.flags.writeable = False
        values = {"classes": classes, "groups": groups, "prior": prior}
        for name, value in (values | {"_laws": tuple(laws[pair] for pair in pairs)}).items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cells, self.priors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixtureJoint):
            return NotImplemented
        return self.cells == other.cells and np.array_equal(self.prior, other.prior)

    def __hash__(self) -> int:
        return hash((self.classes, self.groups, self._laws))

    def __repr__(self) -> str:
        return (
            f"MixtureJoint(classes={self.classes!r}, groups={self.groups!r}, "
            f"n_features={self.n_features})"
        )

    @property
    def n_features(self) -> int:
        """Number of variables, d."""
        return self._laws[0].n_features

    @property
    def cells(self) -> dict[Cell, NormalMixture]:
        """The law of X in every cell, by (label, group)."""
        pairs = [(y, a) for y in self.classes for a in self.groups]
        return dict(zip(pairs, self._laws, strict=True))

    @property
    def priors(self) -> dict[Cell, float]:
        """The probability of every cell, by (label, group)."""
        pairs = [(y, a) for y in self.classes for a in self.groups]
        return dict(zip(pairs, self.prior.ravel().tolist(), strict=True))

    def _law(self, y: int, a: int) -> NormalMixture:
        return self._laws[y * len(self.groups) + a]

    @classmethod
    def fit(
        cls,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        n_components: int | Literal["auto"] = "auto",
        covariance: Literal["full", "diagonal", "tied"] = "full",
        sample_weight: ArrayLike | None = None,
        random_state: Any = None,
    ) -> Self:
        """Fit a mixture to the rows of every cell by expectation-maximisation.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            Only the numeric columns of a frame count.
        y : (n_samples,)
            Class labels, at least 2 different.
        sensitive_features : (n_samples,) or (n_samples, n_attributes)
            Groups, at least 2 different; several columns make intersectional groups.
        n_components : int or "auto"
            "auto": 1 to 5, the lowest BIC in each cell by itself.
        covariance : "full", "diagonal" or "tied"
            Of the components; "tied" is one for all components of a cell.
        sample_weight : None
            Rows of different weight are refused: the fit counts rows. Repeat them.
        random_state : int, RandomState or None
            Seeds the starts; None means 0.

        Raises
        ------
        EmptyCellError
            If a (label, group) cell has no rows.
        SingularCovarianceError
            If a cell has too few different rows for one component.
        InvalidInputError
            If an argument has a wrong shape or value.

        Notes
        -----
        Variances get 1e-6 of the cell's variances added, so that no component can shrink
        onto a row. EM finds a local maximum of the likelihood, from a k-means start.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X, y, a = rng.normal(size=(80, 1)), np.arange(80) % 2, np.arange(80) // 40
        >>> MixtureJoint.fit(X, y, sensitive_features=a, n_components=1)
        MixtureJoint(classes=(0, 1), groups=(0, 1), n_features=1)
        """
        where = "MixtureJoint.fit"
        check_choice("covariance", covariance, ("full", "diagonal", "tied"), where=where)
        counts = _component_counts(n_components, where=where)
        values = np.asarray(read_table(X, where=where).values, dtype=np.float64)
        _refuse_weights(sample_weight, len(values), where=where)
        found = find_cells(y, sensitive_features, where=where)
        check_same_length("y", len(found.y_codes), len(values), where=where)
        labels, groups = found.classes.tolist(), list(found.groups)
        for name, known in (("y", labels), ("sensitive_features", groups)):
            if len(known) < 2:
                raise InvalidInputError(
                    f"`{name}` passed to `{where}` must hold at least 2 different labels, got "
                    f"only {known[0]!r}. With one there is nothing to compare."
                )
        seed = int(check_random_state(0 if random_state is None else random_state).randint(1 << 31))
        cells, priors = {}, {}
        for j, label in enumerate(labels):
            for g, group in enumerate(groups):
                rows = values[(found.y_codes == j) & (found.group_codes == g)]
                name = f"(label {label!s}, group {group!s})"
                cells[label, group] = _fit_cell(rows, counts, covariance, seed, name, where=where)
                priors[label, group] = len(rows) / len(values)
        return cls(cells, priors)

    def sample(
        self, n: int, random_state: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
        """Return ``n`` independent rows with their labels and groups.

        Parameters
        ----------
        n : int
            At least 0.
        random_state : int, RandomState or None
            The same number gives the same rows.

        Returns
        -------
        X : (n, n_features) array
        y, groups : (n,) arrays

        Raises
        ------
        InvalidInputError
            If ``n`` is not a whole number at least 0.
        """
        check_n_rows(n, where="MixtureJoint.sample")
        rng = check_random_state(random_state)
        codes = rng.choice(self.prior.size, size=int(n), p=self.prior.ravel())
        rows = np.empty((int(n), self.n_features))
        for code, law in enumerate(self._laws):
            chosen = np.flatnonzero(codes == code)
            rows[chosen] = law.sample(len(chosen), rng)
        y, a = np.divmod(codes, len(self.groups))
        return rows, label_array(self.classes)[y], label_array(self.groups)[a]

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
        """
        where = "MixtureJoint.log_density"
        rows = np.asarray(as_rows(X, self.n_features, where=where), dtype=np.float64)
        j, g = row_cells(y, groups, self.classes, self.groups, len(rows), where=where)
        out = np.empty(len(rows))
        for cell in np.ndindex(self.prior.shape):
            chosen = np.flatnonzero((j == cell[0]) & (g == cell[1]))
            if len(chosen):
                out[chosen] = self._law(*cell).log_density(rows[chosen]) + np.log(self.prior[cell])
        return out

    def kl_divergence(self, other: MixtureJoint) -> float:
        """Return an estimate of KL(self || other), in nats, priors included.

        Parameters
        ----------
        other : MixtureJoint
            Of the same classes, groups and number of features.

        Raises
        ------
        InvalidInputError
            If ``other`` is of another kind, or classes, groups or features differ.

        Notes
        -----
        Cells by :meth:`NormalMixture.kl_divergence`, an estimate with an error.
        """
        mine = self.classes, self.groups, self.n_features
        if not isinstance(other, MixtureJoint) or mine != (
            other.classes,
            other.groups,
            other.n_features,
        ):
            raise InvalidInputError(
                "`other` of `MixtureJoint.kl_divergence` must be a MixtureJoint of the same "
                f"classes, groups and number of features as {self!r}, got {other!r}."
            )
        ratio = np.log(self.prior) - np.log(other.prior)
        cells = [p.kl_divergence(q) for p, q in zip(self._laws, other._laws, strict=True)]
        priors = float((self.prior * (ratio + np.expm1(-ratio))).sum())
        return priors + float(self.prior.ravel() @ np.array(cells))


def _component_counts(n_components: Any, *, where: str) -> list[int]:
    if isinstance(n_components, str) and n_components == "auto":
        return list(range(1, _MOST_COMPONENTS + 1))
    whole = isinstance(n_components, int | np.integer) and not isinstance(n_components, bool)
    if not whole or n_components < 1:
        raise InvalidInputError(
            f"`n_components` of `{where}` must be 'auto' or a whole number at least 1, got "
            f"{n_components!r}."
        )
    return [int(n_components)]


def _refuse_weights(sample_weight: ArrayLike | None, n: int, *, where: str) -> None:
    if sample_weight is None:
        return
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,) or (weight != weight[0]).any():
        raise InvalidInputError(
            f"`sample_weight` of `{where}` must be None or equal for all rows, got weights that "
            "differ: this fit counts rows. For integer weights pass `np.repeat(X, weight, axis=0)`."
        )


def _fit_cell(
    rows: NDArray[np.float64],
    counts: list[int],
    covariance: str,
    seed: int,
    name: str,
    *,
    where: str,
) -> NormalMixture:
    if len(rows) == 0:
        raise EmptyCellError(
            f"`{where}` needs rows in every (label, group) cell, got none in {name}. Pool rare "
            "labels or groups, or drop them."
        )
    d = rows.shape[1]
    distinct = len(np.unique(rows, axis=0))
    needed = 2 if covariance == "diagonal" else d + 1
    scale = rows.std(axis=0)
    if distinct < counts[0] * needed or not (scale > 0).all():
        raise SingularCovarianceError(
            f"`{where}` needs at least {counts[0] * needed} different rows and no constant column "
            f"in {name}, got {distinct} rows. Ask for fewer components, drop columns, or pool "
            "rare labels or groups."
        )
    middle = rows.mean(axis=0)
    counts = [m for m in counts if m * needed <= distinct]
    model = _lowest_bic((rows - middle) / scale, counts, _SKLEARN_KINDS[covariance], seed)
    covs = np.asarray(model.covariances_)
    if covariance == "diagonal":
        covs = covs[:, :, None] * np.eye(d)
    elif covariance == "tied":
        covs = np.broadcast_to(covs, (len(model.weights_), d, d))
    kept = model.weights_ > _LEAST_WEIGHT
    weights = model.weights_[kept] / model.weights_[kept].sum()
    covs = covs[kept] * scale[:, None] * scale
    return NormalMixture(weights, model.means_[kept] * scale + middle, covs)


def _lowest_bic(
    white: NDArray[np.float64], counts: list[int], kind: str, seed: int
) -> GaussianMixture:
    """Return the fit of lowest BIC; counts after two that only raised it are not tried."""
    models: list[tuple[float, GaussianMixture]] = []
    for m in counts:
        model = GaussianMixture(m, covariance_type=kind, max_iter=300, random_state=seed)
        with warnings.catch_warnings():
            # what has not settled after 300 steps is judged by its BIC like the others
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(white)
        models.append((float(model.bic(white)), model))
        if len(models) > 2 and min(models[-1][0], models[-2][0]) > models[-3][0]:
            break
    return min(models, key=lambda pair: pair[0])[1]
