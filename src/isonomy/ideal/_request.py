"""Checks what `nearest_ideal` was asked for, and turns names into indices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isonomy._validation import check_choice
from isonomy.distributions import JointDistribution
from isonomy.distributions._shape import Freedom
from isonomy.errors import InvalidInputError, NotIdealError, UnsupportedProgrammeError
from isonomy.ideal._cells import Array, CellArrays, Direction
from isonomy.ideal._priors import Priors, is_factorised, label_dependence

__all__ = ["Family", "MapFamily", "Request", "check_movers", "check_options", "check_request"]

MapFamily = Literal["affine", "symmetric", "diagonal"]
Family = Literal["tied", "diagonal", "free", "symmetric"]
"""Which solver: one covariance a group, coordinates apart, any covariances, symmetric maps."""

_WHERE = "nearest_ideal"
_OFF_DIAGONAL = 1e-12
"""A correlation of this size is rounding, not a departure from diagonal covariances."""


@dataclass(frozen=True, eq=False)
class Request:
    """A checked request: cells, who moves, which family of maps and covariances.

    ``reference_class`` is the class whose root is symmetric for the symmetric family;
    ``df`` (K,) the degrees of freedom of Student-t cells, else None.
    """

    cells: CellArrays
    movers: tuple[int, ...]
    reference: int
    direction: Direction
    priors: Priors
    family: Family
    reference_class: int = 0
    df: Array | None = None

    @property
    def all_move(self) -> bool:
        """Whether no group stays."""
        return len(self.movers) == int(self.cells.means.shape[1])


def check_request(
    joint: Any,
    *,
    moves: Any,
    reference: Hashable | None,
    direction: Any,
    priors: Any,
    map_family: Any,
    reference_class: Hashable | None = None,
) -> Request:
    """Return the request in indices, or raise saying which argument cannot be used."""
    if not isinstance(joint, JointDistribution):
        raise InvalidInputError(
            f"`joint` passed to `{_WHERE}` must be a JointDistribution, got "
            f"{type(joint).__name__}. Fit one with `JointDistribution.fit(X, y, "
            "sensitive_features=...)`."
        )
    check_options(direction, priors, map_family)
    movers, chosen = check_movers(joint, moves, reference, priors)
    prior = np.asarray(joint.prior, dtype=np.float64)
    root_class = _check_reference_class(reference_class, map_family, prior, joint.classes)
    family = _family(joint, map_family, movers, direction)
    covariances = np.asarray(joint.covariances, dtype=np.float64)
    lowers = joint._lowers
    if family == "tied":
        covariances, lowers = covariances[:1], lowers[:1]
    cells = CellArrays(np.asarray(joint.means, dtype=np.float64), covariances, prior, lowers)
    df = joint.shape.df if isinstance(joint.shape, Freedom) else None
    return Request(cells, movers, chosen, direction, priors, family, root_class, df)


def check_options(direction: Any, priors: Any, map_family: Any) -> None:
    """Raise unless each is one of the known choices."""
    check_choice("direction", direction, ("information", "moment"), where=_WHERE)
    check_choice("priors", priors, ("reweigh", "reference", "joint", "keep"), where=_WHERE)
    check_choice("map_family", map_family, ("affine", "symmetric", "diagonal"), where=_WHERE)


def check_movers(
    joint: Any, moves: Any, reference: Hashable | None, priors: Any
) -> tuple[tuple[int, ...], int]:
    """Return the positions of the groups that move and of the reference, of any joint law."""
    _check_sizes(joint)
    prior = np.asarray(joint.prior, dtype=np.float64)
    movers = _check_moves(moves, joint.groups)
    chosen = _check_reference(reference, movers, prior, joint.groups)
    if priors == "keep" and not is_factorised(prior):
        raise NotIdealError(
            f"`priors` of `{_WHERE}` may be 'keep' only where label and group are independent, "
            f"got P(label | group) differing by up to {label_dependence(prior):.3g} between "
            "groups. Use priors='reweigh'."
        )
    return movers, chosen


def _check_sizes(joint: Any) -> None:
    if len(joint.groups) < 2 or len(joint.classes) < 2:
        raise InvalidInputError(
            f"`joint` passed to `{_WHERE}` must have at least 2 classes and 2 groups, got "
            f"{len(joint.classes)} and {len(joint.groups)}: there is nothing to make equal."
        )


def _check_moves(moves: Any, groups: Sequence[Hashable]) -> tuple[int, ...]:
    if isinstance(moves, str) and moves == "all":
        return tuple(range(len(groups)))
    known = list(groups)
    several = isinstance(moves, list | tuple | set | frozenset | np.ndarray)
    named = list(moves) if several and not _is_group(moves, known) else [moves]
    if not named:
        raise InvalidInputError(
            f"`moves` of `{_WHERE}` must be 'all' or name at least one group, got none."
        )
    unknown = [name for name in named if not _is_group(name, known)]
    if unknown:
        raise InvalidInputError(
            f"`moves` of `{_WHERE}` must be 'all' or groups of the distribution "
            f"({', '.join(map(repr, known))}), got {', '.join(map(repr, unknown))}."
        )
    return tuple(sorted({known.index(name) for name in named}))


def _is_group(name: Any, groups: list[Hashable]) -> bool:
    return isinstance(name, Hashable) and name in groups


def _check_reference(
    reference: Hashable | None, movers: tuple[int, ...], prior: Array, groups: Sequence[Hashable]
) -> int:
    all_move = len(movers) == len(groups)
    allowed = [a for a in range(len(groups)) if all_move or a not in movers]
    if reference is None:
        share = prior.sum(axis=0)
        return max(allowed, key=lambda a: share[a])
    known = list(groups)
    if not _is_group(reference, known):
        raise InvalidInputError(
            f"`reference` of `{_WHERE}` must be a group of the distribution "
            f"({', '.join(map(repr, known))}) or None, got {reference!r}."
        )
    chosen = known.index(reference)
    if chosen not in allowed:
        raise InvalidInputError(
            f"`reference` of `{_WHERE}` must be a group that stays, got {reference!r}, which is "
            "also in `moves`. Take it out of `moves`, or name a staying group "
            f"({', '.join(repr(known[a]) for a in allowed)})."
        )
    return chosen


def _check_reference_class(
    reference_class: Hashable | None,
    map_family: MapFamily,
    prior: Array,
    classes: Sequence[Hashable],
) -> int:
    if reference_class is None:
        return int(prior.sum(axis=1).argmax())
    known = list(classes)
    if map_family != "symmetric":
        raise InvalidInputError(
            f"`reference_class` of `{_WHERE}` may be given only with map_family='symmetric', got "
            f"{reference_class!r} with map_family={map_family!r}. Leave it out: the other "
            "families do not depend on it."
        )
    if not _is_group(reference_class, known):
        raise InvalidInputError(
            f"`reference_class` of `{_WHERE}` must be a class of the distribution "
            f"({', '.join(map(repr, known))}) or None, got {reference_class!r}."
        )
    return known.index(reference_class)


def _family(
    joint: JointDistribution,
    map_family: MapFamily,
    movers: tuple[int, ...],
    direction: Direction,
) -> Family:
    if map_family == "symmetric":
        if joint.family == "student_t":
            raise UnsupportedProgrammeError(
                f"`map_family` of `{_WHERE}` may not be 'symmetric' for Student-t cells, whose "
                "programme is not convex in it: use 'affine' or 'diagonal'."
            )
        return "symmetric"
    if map_family == "diagonal":
        worst = _largest_correlation(np.asarray(joint.covariances))
        if worst > _OFF_DIAGONAL:
            raise InvalidInputError(
                f"`joint` passed to `{_WHERE}` must have diagonal covariances for "
                f"map_family='diagonal', got correlations up to {worst:.3g}. Fit it with "
                "covariance='diagonal', or use map_family='affine' with covariance='tied'."
            )
        return "diagonal"
    if joint.family == "student_t":
        return "diagonal" if joint.n_features == 1 else "free"
    if joint.n_features == 1:
        # K = 2 tied: the profile of the tied solver is proved to find the global optimum
        proved = joint.is_tied and len(joint.classes) == 2 and direction == "information"
        return "tied" if proved and len(movers) == len(joint.groups) else "diagonal"
    return "tied" if joint.is_tied else "free"


def _largest_correlation(covariances: Array) -> float:
    if covariances.shape[-1] == 1:
        return 0.0
    scale = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    correlations = np.abs(covariances / scale[..., None] / scale[..., None, :])
    off = ~np.eye(covariances.shape[-1], dtype=bool)
    return float(correlations[..., off].max())
