"""From moments to maps, for every mode of the steerer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isonomy.errors import InvalidInputError
from isonomy.ideal import Certificate, certify
from isonomy.steering._blind import blind_map
from isonomy.steering._blind_solution import certify_blind
from isonomy.steering._given import GivenSettings, check_degrees, fit_given
from isonomy.steering._rank import directions_of
from isonomy.steering._solved import BlindRest, GivenRest, Solved
from isonomy.steering._subspace import subspace_by_count

__all__ = ["Solved", "certificate_of", "solve"]


def solve(steerer: Any, *, where: str) -> Solved:
    """Solve a steerer's programme from its moments."""
    if len(steerer.groups_) == 1:
        return Solved.unmoved(steerer.groups_, steerer.moments_.n_features)
    return (
        _solve_blind(steerer, where) if steerer.groups == "blind" else _solve_given(steerer, where)
    )


def _solve_given(steerer: Any, where: str) -> Solved:
    asked = steerer.subspace
    subspace = subspace_by_count(steerer.moments_) if asked == "auto" else asked
    settings = GivenSettings(
        covariance=steerer.covariance,
        moves=steerer.moves,
        reference=steerer.reference,
        direction=steerer.direction,
        priors=steerer.priors,
        map_family=steerer.map_family,
        subspace=subspace,
        shrinkage=steerer.shrinkage,
        random_state=steerer.random_state,
    )
    found = fit_given(steerer.moments_, settings, where=where)
    if found.coordinates.is_full:
        rest = GivenRest(found.pending, found.coordinates)
        return Solved(found.maps, subspace=subspace, rest=rest)
    return Solved(found.maps, found.solution, found.coordinates, subspace=subspace)


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
    if (moments.counts > 0).all():
        check_degrees(moments, found.n_dimensions - rank, steerer.shrinkage, where=where)
    rest = BlindRest(moments, found, rank, steerer.shrinkage, where)
    return Solved(dict.fromkeys(steerer.groups_, shared), rest=rest)


def certificate_of(steerer: Any, solved: Solved) -> Certificate | None:
    """Return what holds after steering; None for a single group, whose rows do not move."""
    if len(steerer.groups_) == 1:
        return None
    if steerer.groups == "blind" and solved.coordinates is not None:
        left = solved.coordinates.n_dimensions
        return certify_blind(solved.solution, steerer.rank_, left + steerer.rank_)
    if solved.solution is None:
        return None
    found, quality = certify(solved.solution), steerer._probe_quality
    if quality is None:
        return found
    sentences = (*found.sentences, quality.sentence)
    return replace(found, sentences=sentences, inferred_groups=quality.to_dict())
