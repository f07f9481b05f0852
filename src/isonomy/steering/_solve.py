"""From moments to maps, for every mode of the steerer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isonomy.errors import InvalidInputError
from isonomy.ideal import Certificate, certify
from isonomy.ideal._certify.words import on_scale
from isonomy.ideal.partial import partial_maps
from isonomy.steering._blind import blind_map
from isonomy.steering._blind_solution import certify_blind
from isonomy.steering._coordinates import Subspace
from isonomy.steering._counted import CountedRows
from isonomy.steering._given import (
    GivenFit,
    GivenSettings,
    check_degrees,
    fit_given,
    in_features,
)
from isonomy.steering._limits import limits_sentence
from isonomy.steering._protected import protected_positions, protected_sentence
from isonomy.steering._rank import directions_of
from isonomy.steering._solved import BlindRest, GivenRest, Solved
from isonomy.steering._subspace import subspace_by_count

__all__ = ["Solved", "certificate_of", "solve"]


def solve(steerer: Any, *, rows: CountedRows | None = None, where: str) -> Solved:
    """Solve a steerer's programme from its moments, and for Student-t cells its rows."""
    if len(steerer.groups_) == 1:
        return Solved.unmoved(steerer.groups_, steerer.moments_.n_features)
    return (
        _solve_blind(steerer, where)
        if steerer.groups == "blind"
        else _solve_given(steerer, rows, where)
    )


def _solve_given(steerer: Any, rows: CountedRows | None, where: str) -> Solved:
    asked = steerer.subspace
    protected = protected_positions(steerer, where=where)
    if protected:
        subspace: Subspace = "full"
    else:
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
        columns=tuple(map(str, steerer.steered_columns_)),
        protected=protected,
    )
    student_rows = rows if steerer.family_ == "student_t" else None
    found = fit_given(steerer.moments_, settings, student_rows=student_rows, where=where)
    if steerer.strength < 1.0:
        return _partly(found, steerer.strength, subspace, protected)
    if found.coordinates.is_full:
        rest = GivenRest(found.pending, found.coordinates, protected)
        return Solved(found.maps, subspace=subspace, rest=rest)
    return Solved(found.maps, found.solution, found.coordinates, subspace=subspace)


def _partly(
    found: GivenFit, strength: float, subspace: Subspace, protected: tuple[int, ...]
) -> Solved:
    """Return maps that go ``strength`` of the way, and the solution with these maps."""
    inner = partial_maps(found.solution, strength)
    maps = {group: found.coordinates.lift(move) for group, move in inner.items()}
    solution = replace(found.solution, maps=inner)
    if found.coordinates.is_full:
        whole = in_features(solution, found.coordinates, protected)
        return Solved(maps, whole, subspace=subspace)
    return Solved(maps, solution, found.coordinates, subspace=subspace)


def _solve_blind(steerer: Any, where: str) -> Solved:
    moments = steerer.moments_
    protected = protected_positions(steerer, where=where)
    found = directions_of(moments, steerer.cell_shrinkage, protected)
    rank = min(int(steerer.rank_), found.n_directions)
    if found.n_directions and found.n_dimensions - rank < 1:
        raise InvalidInputError(
            f"`rank` of `{where}` must leave at least one of the {found.n_dimensions} "
            f"dimension(s) of `X`, got rank {rank}: the groups differ within classes in every "
            'direction and nothing would be left. Use `groups="given"`, a smaller `rank`, or '
            "more features."
        )
    steerer.rank_ = rank
    shared = blind_map(found, rank, steerer.strength)
    if (moments.counts > 0).all():
        check_degrees(moments, found.n_dimensions - rank, steerer.shrinkage, where=where)
    rest = BlindRest(moments, found, rank, steerer.shrinkage, where)
    return Solved(dict.fromkeys(steerer.groups_, shared), rest=rest)


def certificate_of(steerer: Any, solved: Solved) -> Certificate | None:
    """Return what holds after steering; None for a single group, whose rows do not move."""
    found = _certificate_of_maps(steerer, solved)
    more = [s for s in (protected_sentence(steerer), limits_sentence(steerer)) if s is not None]
    if found is None or not more:
        return found
    return replace(found, sentences=(*found.sentences, *more))


def _certificate_of_maps(steerer: Any, solved: Solved) -> Certificate | None:
    if len(steerer.groups_) == 1:
        return None
    if steerer.groups == "blind" and solved.coordinates is not None:
        left = solved.coordinates.n_dimensions
        strength, rank = steerer.strength, steerer.rank_
        found = certify_blind(solved.solution, rank, left + rank, strength)
        return on_scale(found, steerer.family_)
    if solved.solution is None:
        return None
    found, quality = certify(solved.solution), steerer._probe_quality
    found = on_scale(found, steerer.family_)
    if steerer.strength < 1.0:
        opening = (
            f"Rows go {steerer.strength:.3g} of the way that follows: what is said of the ideal "
            "distribution holds at the end of it, what is said of steered rows at this place."
        )
        found = replace(found, sentences=(opening, *found.sentences))
    if quality is None:
        return found
    sentences = (*found.sentences, quality.sentence)
    return replace(found, sentences=sentences, inferred_groups=quality.to_dict())
