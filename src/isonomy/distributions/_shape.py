"""What the cells of a family need besides location and scatter, shared over groups or labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions._frozen import Frozen
from isonomy.distributions.nonparanormal import Nonparanormal
from isonomy.distributions.normal import GaussianFamily
from isonomy.distributions.student_t import StudentT
from isonomy.distributions.transforms import MarginalTransform
from isonomy.errors import FamilyError, InvalidInputError

__all__ = ["Freedom", "Marginals", "Shape", "shape_from_arrays", "shape_of_laws"]

Floats = NDArray[np.float64]


class Shape(Frozen, ABC):
    """What a law needs besides location and scatter; equal shapes make cells comparable."""

    __slots__ = ()

    @abstractmethod
    def law(self, y: int, a: int, mean: Floats, covariance: Floats, lower: Floats) -> Any:
        """Return the law of cell (y, a) from its location, scatter and factor."""

    @abstractmethod
    def reordered(self, classes: Sequence[int], groups: Sequence[int]) -> Self:
        """Return the shape of the labels and groups at these positions."""

    @abstractmethod
    def sizes(self) -> tuple[int | None, int | None, int | None]:
        """Return the numbers of classes, groups and features that it fits, None for any."""

    @abstractmethod
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return named arrays from which `shape_from_arrays` rebuilds it."""

    def stretched(self, noise: Floats, y: NDArray[np.intp], random: Any) -> Floats:
        """Return standard noise (n, d) with the tails of the family, for labels ``y`` (n,)."""
        return noise

    def check(self, n_classes: int, n_groups: int, n_features: int, *, where: str) -> None:
        """Raise unless it fits these numbers of classes, groups and features."""
        wanted = (n_classes, n_groups, n_features)
        if any(mine not in (None, n) for mine, n in zip(self.sizes(), wanted, strict=True)):
            raise InvalidInputError(
                f"`shape` of `{where}` must fit {n_classes} classes, {n_groups} groups and "
                f"{n_features} features, got {self!r}."
            )


class Marginals(Shape):
    """One coordinate-wise transform a group (G,): T_a(X) is normal in every cell of group a."""

    __slots__ = ("transforms",)

    transforms: tuple[MarginalTransform, ...]

    def __init__(self, transforms: Sequence[MarginalTransform]) -> None:
        object.__setattr__(self, "transforms", tuple(transforms))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Marginals) and self.transforms == other.transforms

    def __hash__(self) -> int:
        return hash(self.transforms)

    def __repr__(self) -> str:
        n = len({id(t) for t in self.transforms})
        return f"Marginals({n} transform(s) for {len(self.transforms)} groups)"

    def sizes(self) -> tuple[int | None, int | None, int | None]:
        return None, len(self.transforms), self.transforms[0].n_features

    def law(self, y: int, a: int, mean: Floats, covariance: Floats, lower: Floats) -> Nonparanormal:
        return Nonparanormal._trusted(mean, covariance, lower, transform=self.transforms[a])

    def reordered(self, classes: Sequence[int], groups: Sequence[int]) -> Self:
        return type(self)([self.transforms[a] for a in groups])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        distinct: list[MarginalTransform] = []
        index = []
        for transform in self.transforms:
            if transform not in distinct:
                distinct.append(transform)
            index.append(distinct.index(transform))
        arrays: dict[str, NDArray[Any]] = {"index": np.array(index, dtype=np.int64)}
        for i, transform in enumerate(distinct):
            arrays |= {f"{i}/{name}": part for name, part in transform.to_arrays().items()}
        return arrays

    @property
    def is_shared(self) -> bool:
        """Whether all groups have one transform."""
        return all(t == self.transforms[0] for t in self.transforms)


class Freedom(Shape):
    """Degrees of freedom of every label (K,), the same in every group, for Student-t cells."""

    __slots__ = ("df",)

    df: Floats

    def __init__(self, df: Any) -> None:
        values = np.array(df, dtype=np.float64, ndmin=1)
        if values.ndim != 1 or not (values > 0).all():
            raise InvalidInputError(
                f"`df` of Student-t cells must be above 0, one number a label, got {df!r}."
            )
        values.flags.writeable = False
        object.__setattr__(self, "df", values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Freedom) and np.array_equal(self.df, other.df)

    def __hash__(self) -> int:
        return hash(self.df.tobytes())

    def __repr__(self) -> str:
        return f"Freedom(df={self.df.tolist()})"

    def sizes(self) -> tuple[int | None, int | None, int | None]:
        return len(self.df), None, None

    def law(self, y: int, a: int, mean: Floats, covariance: Floats, lower: Floats) -> StudentT:
        return StudentT._trusted(mean, covariance, lower, df=float(self.df[y]))

    def reordered(self, classes: Sequence[int], groups: Sequence[int]) -> Self:
        return type(self)(self.df[list(classes)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"df": self.df}

    def stretched(self, noise: Floats, y: NDArray[np.intp], random: Any) -> Floats:
        df = self.df[y]
        stretched: Floats = noise * np.sqrt(df / random.chisquare(df))[:, None]
        return stretched


def shape_of_laws(
    laws: Mapping[tuple[int, int], GaussianFamily], n_classes: int, n_groups: int
) -> Shape | None:
    """Return the shape that laws of one family share, by their positions (label, group).

    Raises
    ------
    FamilyError
        If transforms differ between the labels of a group, or degrees of freedom between
        the groups of a label: no affine map could make such groups agree.
    """
    first = laws[0, 0]
    if isinstance(first, Nonparanormal):
        found = {c: law.transform for c, law in laws.items() if isinstance(law, Nonparanormal)}
        groups = [found[0, a] for a in range(n_groups)]
        if any(transform != groups[a] for (_, a), transform in found.items()):
            raise FamilyError(
                "`cells` of `JointDistribution` must have one transform for all labels of a "
                "group, got several. A transform that knows the label says nothing about rows "
                "to be predicted: fit one a group with `JointDistribution.fit`."
            )
        return Marginals(groups)
    if isinstance(first, StudentT):
        df = np.empty((n_classes, n_groups))
        for cell, law in laws.items():
            if isinstance(law, StudentT):
                df[cell] = law.df
        if (df != df[:, :1]).any():
            raise FamilyError(
                "`cells` of `JointDistribution` must have degrees of freedom that are equal over "
                f"the groups of a label, got {df.tolist()}: no affine map changes them. Fit "
                "with `JointDistribution.fit`, or give every group the same `df`."
            )
        return Freedom(df[:, 0])
    return None


def shape_from_arrays(family: str, arrays: Mapping[str, NDArray[Any]]) -> Shape | None:
    """Return the shape whose ``to_arrays`` was given; None for families without one.

    Raises
    ------
    KeyError
        If an array is missing.
    """
    if family == "student_t":
        return Freedom(arrays["df"])
    if family != "nonparanormal":
        return None
    index = np.asarray(arrays["index"]).tolist()
    parts: list[dict[str, NDArray[Any]]] = [{} for _ in range(max(index) + 1)]
    for name, array in arrays.items():
        place, _, rest = name.partition("/")
        if rest:
            parts[int(place)][rest] = array
    distinct = [MarginalTransform.from_arrays(part) for part in parts]
    return Marginals([distinct[i] for i in index])
