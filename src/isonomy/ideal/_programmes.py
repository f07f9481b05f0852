"""Which solver answers a request, for which priors; and what its answer pays."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from isonomy.errors import NotIdealError, SingularCovarianceError
from isonomy.ideal._affirmative import largest_deviation, solve_affirmative
from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, kl_of_cells
from isonomy.ideal._diagonal import best_diagonal_map, solve_all_diagonal
from isonomy.ideal._free.all_groups import solve_all_free
from isonomy.ideal._free.moves import (
    affine_carrier,
    narrowed,
    solve_free_affirmative,
    symmetric_carrier,
)
from isonomy.ideal._free.symmetric_all import solve_all_symmetric
from isonomy.ideal._priors import joint_prior, label_dependence, simple_prior
from isonomy.ideal._request import Request
from isonomy.ideal._student.nearest import solve_student
from isonomy.ideal._tied.all_groups import group_coordinates, solve_all_tied
from isonomy.ideal._tied.frames import solve_affirmative_tied

__all__ = ["cell_divergences", "check_stayers", "ideal_prior", "solve_request"]

_STAYERS_TOLERANCE = 1e-6
"""Largest miss, in standard deviations, between groups that stay: rounding of fitted moments
carried through square roots and inverses stays far below, sampling noise far above."""


def solve_request(request: Request, cells: CellArrays, weights: Array, start: Any = None) -> Solved:
    """Return what the solver of the request's family finds for ``weights`` (K, G)."""
    if request.df is not None:
        asked = request.movers, request.reference, request.direction
        diagonal = request.family == "diagonal"
        return solve_student(cells, request.df, weights, *asked, diagonal=diagonal, start=start)
    if request.all_move:
        return _solve_all(request, cells, weights, start)
    rest = request.movers, request.reference, request.direction
    if request.family == "tied":
        return solve_affirmative_tied(cells, weights, *rest)
    if request.family == "diagonal":
        return solve_affirmative(cells, weights, *rest, best_diagonal_map)
    carrier = affine_carrier(request.direction)
    if request.family == "symmetric":
        carrier = symmetric_carrier(request.direction, request.reference_class)
    return solve_free_affirmative(cells, weights, *rest, carrier, start)


def _solve_all(request: Request, cells: CellArrays, weights: Array, start: Any) -> Solved:
    rest = request.reference, request.direction
    if request.family == "tied":
        return solve_all_tied(cells, weights, *rest, start)
    if request.family == "diagonal":
        return solve_all_diagonal(cells, weights, *rest, start)
    if request.family == "symmetric":
        return solve_all_symmetric(cells, weights, *rest, request.reference_class, start)
    return solve_all_free(cells, weights, *rest, start)


def ideal_prior(request: Request, beside: Array | None = None) -> tuple[Array, bool]:
    """Return the ideal priors (K, G) and whether their search, if any, settled.

    ``beside`` (K, G) are divergences of other columns, which do not depend on the priors.
    """
    cells, prior = request.cells, request.cells.prior
    if request.priors != "joint" or request.direction == "moment":
        return simple_prior(prior, request.priors, request.reference), True
    if request.family == "tied":
        # divergences are the same in the few whitened coordinates that hold the classes
        coordinates = group_coordinates(cells.means, cells.covariances[0])
        eye = np.eye(coordinates.shape[2])
        cells = CellArrays(coordinates, np.tile(eye, (1, prior.shape[1], 1, 1)), prior)
    last: list[Any] = [None]
    first: list[Any] = [None]

    def cell_kl(weights: Array, anew: bool) -> Array:
        solved = solve_request(request, cells, weights, first[0] if anew else last[0])
        last[0] = solved.state
        if request.df is not None or (request.family == "symmetric" and request.all_move):
            first[0] = solved.state if first[0] is None else first[0]
        elif request.family == "free":
            # one wide search is enough: later ones start from the local minima it found
            first[0] = solved.state if first[0] is None else first[0]
            last[0] = narrowed(solved.state)
        paid = cell_divergences(cells, solved, "information")
        return paid if beside is None else paid + beside

    return joint_prior(prior, cell_kl)


def cell_divergences(cells: CellArrays, solved: Solved, direction: Direction) -> Array:
    """Return the divergences (K, G) between the fitted and the ideal cells, in nats."""
    if solved.paid is not None:
        return solved.paid
    paid: Array = np.empty(cells.prior.shape)
    for a in range(cells.means.shape[1]):
        fitted = cells.means[:, a], cells.covariances[:, a]
        ideal = solved.means[:, a], solved.covariances[:, a]
        both = (*ideal, *fitted) if direction == "information" else (*fitted, *ideal)
        try:
            paid[:, a] = kl_of_cells(*both)
        except np.linalg.LinAlgError as error:
            raise SingularCovarianceError(
                "`nearest_ideal` found an ideal covariance that is singular to rounding: the "
                "class means of `joint` lie so far apart, in arrangements that differ so much "
                "between groups, that one shape for all is flat. Use another `map_family` or "
                "`reference`, or look for columns that separate the classes in one group alone."
            ) from error
    return paid


def check_stayers(request: Request, solved: Solved, groups: Sequence[Hashable]) -> None:
    """Raise unless the groups that stay are affine images of the reference's cells."""
    reference = request.reference
    for a in range(len(groups)):
        if a == reference or a in request.movers:
            continue
        miss = largest_deviation(request.cells, solved, a, reference)
        gap = label_dependence(request.cells.prior[:, [a, reference]])
        if max(miss, gap) > _STAYERS_TOLERANCE:
            raise NotIdealError(
                "Groups that stay in `nearest_ideal` must be jointly ideal already, but group "
                f"{groups[a]!r} is not with the reference {groups[reference]!r}: its cells miss "
                f"by {miss:.3g} standard deviations at best and P(label | group) by {gap:.3g}. "
                f"Let it move too: add {groups[a]!r} to `moves`."
            )
