"""What a steerer has solved: maps at once, the solution behind them when it is read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from isonomy.distributions import AffineMap, CellMoments
from isonomy.ideal import IdealSolution
from isonomy.ideal.nearest import PendingIdeal
from isonomy.steering._blind import BlindDirections
from isonomy.steering._blind_solution import blind_solution, erased_coordinates
from isonomy.steering._coordinates import Coordinates, Subspace
from isonomy.steering._given import in_features

__all__ = ["BlindRest", "GivenRest", "Solved"]

Settled = tuple[IdealSolution | None, Coordinates | None]


@dataclass(frozen=True)
class BlindRest:
    """From what the blind steerer's solution and coordinates follow, once they are asked for.

    ``moments`` must not change any more: a steerer that sees further rows solves anew.
    """

    moments: CellMoments
    found: BlindDirections
    rank: int
    shrinkage: Any
    where: str

    def settle(self) -> Settled:
        """Return solution (None if a cell is empty) and coordinates."""
        coordinates = erased_coordinates(self.found, self.rank)
        if not (self.moments.counts > 0).all():
            return None, coordinates
        solved = blind_solution(self.moments, coordinates, self.shrinkage, where=self.where)
        return solved, coordinates


@dataclass(frozen=True)
class GivenRest:
    """A solution in coordinates that span the features: to be stated in the features."""

    inner: PendingIdeal
    coordinates: Coordinates
    protected: tuple[int, ...] = ()

    def settle(self) -> Settled:
        """Return the solution in X's own coordinates."""
        return in_features(self.inner.solution(), self.coordinates, self.protected), None


class Solved:
    """The maps of every group's rows, with the solution behind them.

    ``coordinates`` lead from rows (on the family's working scale) to those in which the
    solution speaks, where these are not the features themselves. Rows move by the maps
    alone: ``rest``, if given, works out solution and coordinates for the first reader.
    ``subspace`` is the one that one map a group was solved in, else None.
    """

    def __init__(
        self,
        maps: dict[Hashable, AffineMap],
        solution: IdealSolution | None = None,
        coordinates: Coordinates | None = None,
        *,
        subspace: Subspace | None = None,
        rest: BlindRest | GivenRest | None = None,
    ) -> None:
        self.maps = maps
        self.subspace = subspace
        self._settled: Settled = (solution, coordinates)
        self._rest = rest

    @property
    def solution(self) -> IdealSolution | None:
        """The ideal distribution that steered rows are compared with."""
        return self._settle()[0]

    @property
    def coordinates(self) -> Coordinates | None:
        """Where the solution speaks; None for the features themselves."""
        return self._settle()[1]

    def _settle(self) -> Settled:
        if self._rest is not None:
            self._settled, self._rest = self._rest.settle(), None
        return self._settled

    @classmethod
    def unmoved(cls, groups: Sequence[Hashable], n_features: int) -> Self:
        """Return identity maps, for a single group."""
        return cls({g: AffineMap.identity(n_features) for g in groups})
