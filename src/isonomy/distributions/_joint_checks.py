"""What a joint law demands of its cells, priors and arrays."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy._validation import as_column, check_same_length
from isonomy.distributions._cell_arrays import KINDS, Cell, CellArrays, Family
from isonomy.distributions._linalg import cholesky, symmetrize
from isonomy.distributions._shape import Freedom, Marginals, Shape
from isonomy.distributions.normal import GaussianFamily, check_symmetric
from isonomy.errors import FamilyError, InvalidInputError
from isonomy.groups import encode_groups

__all__ = [
    "check_arrays",
    "check_comparable",
    "check_laws",
    "check_prior",
    "check_same_cells",
    "check_shape",
    "distinct_labels",
    "factor_cells",
    "group_codes",
    "label_array",
    "row_cells",
]


def check_laws(laws: Mapping[Cell, GaussianFamily]) -> Family:
    """Return the one family of all laws, which must have one dimension too."""
    where = "JointDistribution"
    if not laws or any(not isinstance(pair, tuple) or len(pair) != 2 for pair in laws):
        raise InvalidInputError(
            f"`cells` of `{where}` must be a dict {{(label, group): Normal or LogNormal}} with "
            f"at least one cell, got keys {list(laws)[:3]!r}."
        )
    for pair, law in laws.items():
        if type(law) not in KINDS.values():
            known = ", ".join(kind.__name__ for kind in KINDS.values())
            raise InvalidInputError(
                f"`cells[{pair!r}]` of `{where}` must be one of {known}, got {type(law).__name__}."
            )
    kinds = {type(law).__name__ for law in laws.values()}
    if len(kinds) > 1:
        raise FamilyError(
            f"`cells` of `{where}` must be of one kind, got {' and '.join(sorted(kinds))}. "
            "Fit all with the same `family`."
        )
    sizes = {law.n_features for law in laws.values()}
    if len(sizes) > 1:
        raise InvalidInputError(
            f"`cells` of `{where}` must have one number of features, got {sorted(sizes)}."
        )
    return next(family for family, kind in KINDS.items() if kind.__name__ in kinds)


def check_same_cells(
    pairs: Sequence[Cell], laws: Mapping[Cell, Any], priors: Mapping[Cell, float]
) -> None:
    """Raise unless laws and priors have an entry for exactly these pairs."""
    where = "JointDistribution"
    for name, given in (("cells", laws), ("priors", priors)):
        missing = [pair for pair in pairs if pair not in given]
        if missing:
            raise InvalidInputError(
                f"`{name}` of `{where}` must have an entry for every (label, group) pair, got "
                f"none for {', '.join(map(repr, missing[:5]))}."
            )
    extra = [pair for pair in priors if pair not in laws]
    if extra:
        raise InvalidInputError(
            f"`priors` of `{where}` must be for the pairs in `cells`, got also "
            f"{', '.join(map(repr, extra[:5]))}."
        )


def check_prior(prior: ArrayLike) -> NDArray[np.float64]:
    """Return the priors, positive and normalised to sum to 1 beyond rounding."""
    q = np.asarray(prior, dtype=np.float64)
    if not np.isfinite(q).all() or (q <= 0).any():
        raise InvalidInputError(
            f"`priors` of `JointDistribution` must all be above 0 and finite, got {q.min():g}. "
            "Leave out labels and groups that never occur."
        )
    total = float(q.sum())
    # a caller's rounding to 8 digits passes and is normalised away; a wrong sum does not
    if abs(total - 1.0) > np.sqrt(np.finfo(np.float64).eps) * q.size:
        raise InvalidInputError(
            f"`priors` of `JointDistribution` must sum to 1, got {total:.9g}. Divide by the sum."
        )
    # what already sums to 1 but for rounding stays bit for bit what it was
    rounding = 4.0 * q.size * np.finfo(np.float64).eps
    return q / total if abs(total - 1.0) > rounding else q.copy()


def check_arrays(
    means: ArrayLike, covariances: ArrayLike, prior: ArrayLike, k: int, g: int, *, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return float64 means, covariances and priors of matching shapes."""
    m = np.array(means, dtype=np.float64)
    s, q = (np.asarray(v, dtype=np.float64) for v in (covariances, prior))
    if s.ndim == 4 and k > 1 and s.strides[0] == 0 and s.shape[0] == k:
        s = s[0]  # a broadcast view: one covariance a group
    d = m.shape[-1] if m.ndim == 3 else 0
    expected = {"means": (m.shape, (k, g, d)), "prior": (q.shape, (k, g))}
    expected["covariances"] = (s.shape, (g, d, d) if s.ndim == 3 else (k, g, d, d))
    for name, (shape, wanted) in expected.items():
        if shape != wanted or d == 0:
            raise InvalidInputError(
                f"`{name}` of `{where}` must have shape {wanted} (classes, groups, features), "
                f"got {shape}."
            )
    if not (np.isfinite(m).all() and np.isfinite(s).all()):
        raise InvalidInputError(f"`means` and `covariances` of `{where}` must be finite.")
    for cell in np.ndindex(s.shape[:-2]):
        check_symmetric(s[cell], what=f"`covariances[{', '.join(map(str, cell))}]` of `{where}`")
    return m, symmetrize(s), q


def factor_cells(
    covariances: NDArray[np.float64],
    classes: Sequence[Hashable],
    groups: Sequence[Hashable],
    *,
    where: str,
) -> NDArray[np.float64]:
    """Return the lower factors of covariances (K, G, d, d) or (G, d, d), or raise by name."""
    lowers = np.empty_like(covariances)
    for cell in np.ndindex(covariances.shape[:-2]):
        name = f"group {groups[cell[-1]]!s}"
        if len(cell) == 2:
            name = f"(label {classes[cell[0]]!s}, {name})"
            if cell[0] and np.array_equal(covariances[cell], covariances[0, cell[1]]):
                lowers[cell] = lowers[0, cell[1]]
                continue
        lowers[cell] = cholesky(covariances[cell], what=f"The covariance of {name} in `{where}`")
    return lowers


def check_comparable(p: CellArrays, q: CellArrays) -> None:
    """Raise unless both laws are of one family, over the same cells and features."""
    where = "JointDistribution.kl_divergence"
    if type(q) is not type(p):
        raise InvalidInputError(
            f"`other` of `{where}` must be a JointDistribution, got {type(q).__name__}."
        )
    if p.family != q.family:
        raise FamilyError(f"`{where}` needs two laws of one family, got {p.family} and {q.family}.")
    for name in ("classes", "groups", "n_features"):
        mine, theirs = getattr(p, name), getattr(q, name)
        if mine != theirs:
            raise InvalidInputError(
                f"`other` of `{where}` must have the same {name} ({mine!r}), got {theirs!r}."
            )
    if p.family == "nonparanormal" and p.shape != q.shape:
        raise FamilyError(
            f"`other` of `{where}` must have the same transforms, got others: the divergence of "
            "two laws behind different transforms has no closed form."
        )


def check_shape(shape: Shape | None, family: Family, sizes: tuple[int, ...], *, where: str) -> None:
    """Raise unless the family got the shape that it needs, for (K, G, d) ``sizes``."""
    needed = {"nonparanormal": Marginals, "student_t": Freedom}.get(family)
    if needed is None and shape is None:
        return
    if needed is None or not isinstance(shape, needed):
        wanted = "None" if needed is None else f"a {needed.__name__}"
        raise InvalidInputError(
            f"`shape` of `{where}` must be {wanted} for family={family!r}, got {shape!r}."
        )
    shape.check(sizes[0], sizes[1], sizes[2], where=where)


def distinct_labels(name: str, labels: Sequence[Hashable]) -> list[Hashable]:
    """Return the labels as plain Python values, all different."""
    plain = [v.item() if isinstance(v, np.generic) else v for v in labels]
    if not plain or len(set(plain)) < len(plain):
        raise InvalidInputError(
            f"`{name}` of `JointDistribution.from_arrays` must be distinct labels, at least "
            f"one, got {plain!r}."
        )
    return plain


def label_array(labels: Sequence[Hashable]) -> NDArray[Any]:
    """Return labels as an array to index; of objects where their types differ."""
    if len({type(v) for v in labels}) == 1 and isinstance(labels[0], str | int | float):
        return np.asarray(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def row_cells(
    y: Any,
    groups: Any,
    classes: tuple[Hashable, ...],
    known_groups: tuple[Hashable, ...],
    n_rows: int,
    *,
    where: str,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of each row's label and group, all of which must be known."""
    a = group_codes(groups, known_groups, n_rows, where=where)
    labels = as_column(y)
    check_same_length("y", len(labels), n_rows, where=where)
    values, inverse = np.unique(labels, return_inverse=True)
    return _label_codes("y", values.tolist(), classes, where=where)[inverse], a


def group_codes(
    groups: Any, known: tuple[Hashable, ...], n_rows: int, *, where: str
) -> NDArray[np.intp]:
    """Return the positions of each row's group, all of which must be known."""
    found = encode_groups(groups, n_samples=n_rows, where=where)
    return _label_codes("groups", found.labels, known, where=where)[found.codes]


def _label_codes(
    name: str, labels: Sequence[Hashable], known: tuple[Hashable, ...], *, where: str
) -> NDArray[np.intp]:
    unknown = [v for v in labels if v not in known]
    if unknown:
        raise InvalidInputError(
            f"`{name}` passed to `{where}` must hold labels that the law knows "
            f"({', '.join(map(str, known))}), got also {', '.join(map(str, unknown[:5]))}."
        )
    return np.array([known.index(v) for v in labels], dtype=np.intp)
