"""The stacked, read-only arrays behind a joint law, and what follows from them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._frozen import Frozen
from isonomy.distributions._shape import Shape
from isonomy.distributions.lognormal import LogNormal
from isonomy.distributions.nonparanormal import Nonparanormal
from isonomy.distributions.normal import GaussianFamily, Normal
from isonomy.distributions.student_t import StudentT

if TYPE_CHECKING:
    from isonomy.distributions.families import FamilyChoice

__all__ = ["KINDS", "Cell", "CellArrays", "Family"]

Cell = tuple[Hashable, Hashable]
Family = Literal["normal", "lognormal", "nonparanormal", "student_t"]

KINDS: dict[Family, type[GaussianFamily]] = {
    "normal": Normal,
    "lognormal": LogNormal,
    "nonparanormal": Nonparanormal,
    "student_t": StudentT,
}


class CellArrays(Frozen):
    """Means (K, G, d), covariances and their factors (K, G, d, d), priors (K, G)."""

    __slots__ = (
        "_lowers",
        "classes",
        "covariances",
        "family",
        "family_choice",
        "groups",
        "means",
        "prior",
        "shape",
    )

    classes: tuple[Hashable, ...]
    groups: tuple[Hashable, ...]
    family: Family
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    prior: NDArray[np.float64]
    shape: Shape | None
    family_choice: FamilyChoice | None
    _lowers: NDArray[np.float64]

    def _set(
        self,
        means: NDArray[np.float64],
        covariances: NDArray[np.float64],
        prior: NDArray[np.float64],
        classes: tuple[Hashable, ...],
        groups: tuple[Hashable, ...],
        family: Family,
        lowers: NDArray[np.float64],
        shape: Shape | None = None,
    ) -> None:
        arrays = {"means": means, "covariances": covariances, "prior": prior, "_lowers": lowers}
        for name, array in arrays.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        rest = {"classes": classes, "groups": groups, "family": family, "shape": shape}
        for name, value in (rest | {"family_choice": None}).items():
            object.__setattr__(self, name, value)

    @classmethod
    def _build(
        cls,
        means: NDArray[np.float64],
        covariances: NDArray[np.float64],
        prior: NDArray[np.float64],
        classes: tuple[Hashable, ...],
        groups: tuple[Hashable, ...],
        family: Family,
        lowers: NDArray[np.float64],
        shape: Shape | None = None,
    ) -> Self:
        """Build from checked arrays and known factors."""
        new = object.__new__(cls)
        new._set(means, covariances, prior, classes, groups, family, lowers, shape)
        return new

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, CellArrays):
            return NotImplemented
        mine, theirs = (
            (j.classes, j.groups, j.family, j.n_features, j.shape) for j in (self, other)
        )
        return mine == theirs and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("means", "covariances", "prior")
        )

    def __hash__(self) -> int:
        return hash((self.classes, self.groups, self.family, self.means.tobytes()))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(classes={self.classes!r}, groups={self.groups!r}, "
            f"n_features={self.n_features}, family={self.family!r})"
        )

    @property
    def n_features(self) -> int:
        """Number of variables, d."""
        return int(self.means.shape[-1])

    @property
    def cells(self) -> dict[Cell, GaussianFamily]:
        """The law of X in every cell, by (label, group)."""
        return {
            (label, group): self._law(y, a)
            for y, label in enumerate(self.classes)
            for a, group in enumerate(self.groups)
        }

    def _law(self, y: int, a: int) -> GaussianFamily:
        parts = self.means[y, a], self.covariances[y, a], self._lowers[y, a]
        if self.shape is None:
            return KINDS[self.family]._trusted(*parts)
        law: GaussianFamily = self.shape.law(y, a, *parts)
        return law

    @property
    def priors(self) -> dict[Cell, float]:
        """The probability of every cell, by (label, group)."""
        return {
            (label, group): float(self.prior[y, a])
            for y, label in enumerate(self.classes)
            for a, group in enumerate(self.groups)
        }

    @property
    def class_prior(self) -> NDArray[np.float64]:
        """P(Y = y), ``(K,)``."""
        prior: NDArray[np.float64] = self.prior.sum(axis=1)
        return prior

    @property
    def group_prior(self) -> NDArray[np.float64]:
        """P(A = a), ``(G,)``."""
        prior: NDArray[np.float64] = self.prior.sum(axis=0)
        return prior

    @property
    def is_tied(self) -> bool:
        """Whether all labels of a group share one covariance, to rounding.

        Entries may differ by the square root of the machine's epsilon, relative to the
        two standard deviations: divergences change by its square, below rounding.
        """
        if len(self.classes) == 1 or self.covariances.strides[0] == 0:
            return True
        first = self.covariances[0]
        scale = np.sqrt(np.diagonal(first, axis1=-2, axis2=-1))
        bound = np.sqrt(np.finfo(np.float64).eps) * scale[:, :, None] * scale[:, None, :]
        return all(bool((np.abs(s - first) <= bound).all()) for s in self.covariances[1:])
