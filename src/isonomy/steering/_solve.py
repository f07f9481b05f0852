"""From moments to maps, for every mode of the steerer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.ideal import Certificate, IdealSolution, certify
from isonomy.steering._blind import blind_map
from isonomy.steering._blind_solution import (
    blind_solution,
    certify_blind,
    erased_coordinates,
)
from isonomy.steering._coordinates import Coordinates
from isonomy.steering._given import GivenSettings, fit_given
from isonomy.steering._rank import directions_of

__all__ = ["Solved", "certificate_of", "solve"]


@dataclass(frozen=True)
class Solved:
    """The maps of every group's rows, with the solution behind them.

    ``coordinates`` lead from rows (on the family's working scale) to those in which the
    solution speaks, where these are not the features themselves.
    """

    maps: dict[Hashable, AffineMap]
    solution: IdealSolution | None
    coordinates: Coordinates | None

    @classmethod
    def unmoved(cls, groups: Sequence[Hashable], n_features: int) -> Self:
        """Return identity maps, for a single group."""
        return cls({g: AffineMap.identity(n_features) for g in groups}, None, None)


def solve(steerer: Any, *, where: str) -> Solved:
    """Solve a steerer's programme from its moments."""
    if len(steerer.groups_) == 1:
        return Solved.unmoved(steerer.groups_, steerer.moments_.n_features)
    return (
        _solve_blind(steerer, where) if steerer.groups == "blind" else _solve_given(steerer, where)
    )


def _solve_given(steerer: Any, where: str) -> Solved:
    settings = GivenSettings(
        covariance=steerer.covariance,
        moves=steerer.moves,
        reference=steerer.reference,
        direction=steerer.direction,
        priors=steerer.priors,
        map_family=steerer.map_family,
        subspace=steerer.subspace,
        shrinkage=steerer.shrinkage,
        random_state=steerer.random_state,
    )
    found = fit_given(steerer.moments_, settings, where=where)
    return Solved(found.maps, found.solution, found.coordinates)


def _solve_blind(steerer: Any, where: str) -> Solved:
    moments = steerer.moments_
    found = directions_of(moments, steerer.cell_shrinkage)
    rank = min(int(steerer.rank_), found.n_directions)
    if found.n_directions and found.n_dimensions - rank < 1:
        raise InvalidInputError(
            f"`rank` of `{where}` must leave at least one of the {found.n_dimensions} "
            f"dimension(s) of `X`, got rank {rank}: the groups differ within classes in every "
            'direction and nothing would be left. Use `groups="given"`, a smaller `rank`, or '
            "more features."
        )
    steerer.rank_ = rank
    shared = blind_map(found, rank)
    coordinates = erased_coordinates(found, rank)
    solution = None
    if (moments.counts > 0).all():
        solution = blind_solution(moments, coordinates, steerer.shrinkage, where=where)
    return Solved(dict.fromkeys(steerer.groups_, shared), solution, coordinates)


def certificate_of(steerer: Any, solved: Solved) -> Certificate | None:
    """Return what holds after steering; None for a single group, whose rows do not move."""
    if len(steerer.groups_) == 1:
        return None
    if steerer.groups == "blind" and solved.coordinates is not None:
        left = solved.coordinates.n_dimensions
        return certify_blind(solved.solution, steerer.rank_, left + steerer.rank_)
    return None if solved.solution is None else certify(solved.solution)
