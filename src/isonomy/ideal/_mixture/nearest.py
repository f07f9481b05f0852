"""The nearest ideal of mixtures of normals: ideal by construction, nearest only as found."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from isonomy.distributions import AffineMap
from isonomy.distributions._joint_checks import group_codes
from isonomy.distributions.mixture import NormalMixture
from isonomy.distributions.mixture_joint import MixtureJoint
from isonomy.distributions.normal import as_rows
from isonomy.errors import NotIdealError, UnsupportedProgrammeError
from isonomy.ideal._cells import Array, Direction
from isonomy.ideal._free.search import best_free_map, flipped
from isonomy.ideal._mixture.programme import (
    MixtureCells,
    MixturePoint,
    MixtureProgramme,
    mixture_kl,
)
from isonomy.ideal._priors import Priors, simple_prior
from isonomy.ideal._request import check_movers, check_options

__all__ = ["MixtureSolution", "nearest_mixture", "solve_mixture"]

_GRADIENT_TOLERANCE = 1e-5
_N_STARTS, _N_SCREENING, _N_POLISH = 4, 30, 500
_N_PRIOR_STEPS = 10
_STAYING_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class MixtureSolution:
    """An ideal distribution near to a joint law of mixtures, with what it cost.

    Attributes
    ----------
    distribution : MixtureJoint
        Ideal by construction: the cells of every group are affine images of common cells,
        by one map a group, and label and group are independent.
    kl, kl_error : float
        Estimated divergence in nats, priors included, and its standard error.
    kl_by_cell, kl_error_by_cell : dict
        {(label, group): estimate}, and the standard errors.
    maps : dict
        {group: AffineMap} into the frame of ``reference``.
    canonical : dict
        {label: NormalMixture}: the ideal's cells of the reference.
    converged : bool
        Whether the search ended at a stationary point of its fixed points' estimate.
    global_optimum : bool
        Always False: the nearest ideal is only the nearest that was found.
    n_iter : int
    history : tuple of float
        The estimate on the search's own points after each step; it never rises. ``kl`` is
        estimated anew on other points, so that the search cannot flatter itself.
    direction, priors, moves, reference, source
        As in IdealSolution.
    """

    distribution: MixtureJoint
    kl: float
    kl_error: float
    kl_by_cell: dict[tuple[Hashable, Hashable], float]
    kl_error_by_cell: dict[tuple[Hashable, Hashable], float]
    maps: dict[Hashable, AffineMap]
    canonical: dict[Hashable, NormalMixture]
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    direction: Direction
    priors: Priors
    moves: tuple[Hashable, ...]
    reference: Hashable
    source: MixtureJoint

    @property
    def claim(self) -> str:
        """What holds, in one sentence."""
        return (
            "The distribution is ideal by construction (one affine map a group carries its cells "
            "onto common cells); that it is the nearest is not proved, and its divergence is an "
            f"estimate with standard error {self.kl_error:.2g}."
        )

    def steer(self, X: ArrayLike, *, sensitive_features: Any) -> NDArray[np.float64]:
        """Carry rows by their group's map into the reference's frame.

        Parameters
        ----------
        X : (n_samples, n_features)
        sensitive_features : (n_samples,)
            Groups of the rows, all known to ``source``.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group is unknown.
        """
        where = "MixtureSolution.steer"
        rows = np.array(as_rows(X, self.source.n_features, where=where), dtype=np.float64)
        codes = group_codes(sensitive_features, self.source.groups, len(rows), where=where)
        for a, group in enumerate(self.source.groups):
            chosen = np.flatnonzero(codes == a)
            rows[chosen] = self.maps[group].apply(rows[chosen])
        return rows


def nearest_mixture(
    joint: MixtureJoint,
    *,
    moves: Any,
    reference: Hashable | None,
    direction: Any,
    priors: Any,
    map_family: Any,
) -> MixtureSolution:
    """Check what `nearest_ideal` was asked for mixtures, and solve it."""
    check_options(direction, priors, map_family)
    if map_family != "affine":
        raise UnsupportedProgrammeError(
            "`map_family` of `nearest_ideal` must be 'affine' for a MixtureJoint, got "
            f"{map_family!r}: no other programme is known for mixtures."
        )
    movers, chosen = check_movers(joint, moves, reference, priors)
    return solve_mixture(joint, movers, chosen, direction, priors)


@dataclass(frozen=True, eq=False)
class _Found:
    """Ideal laws by (class, group), maps of rows (G,), and how the search went."""

    laws: dict[tuple[int, int], NormalMixture]
    matrices: Array
    offsets: Array
    converged: bool
    n_iter: int
    history: tuple[float, ...]
    state: Any


def solve_mixture(
    joint: MixtureJoint,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    priors: Priors,
) -> MixtureSolution:
    """Return an ideal distribution near to mixtures, from checked arguments.

    Notes
    -----
    Affirmative: the movers' cells become affine images of the reference's mixtures. All
    groups: the common cells are affine images, class by class, of the reference's mixtures.
    The divergences are means over fixed Sobol points, minimised by L-BFGS with exact
    gradients of those means from the best maps between normal laws of the same moments.
    Priors "joint" (information): maps and priors in turn, each the best for the other.
    """
    prior = simple_prior(joint.prior, priors, reference)
    weights = prior if direction == "information" else joint.prior
    found = _solve(joint, weights, movers, reference, direction, None)
    values, errors = _paid(joint, found, direction)
    if priors == "joint" and direction == "information":
        group = joint.prior.sum(axis=0)
        total = _total(prior, joint.prior, values, direction)
        for _ in range(_N_PRIOR_STEPS):
            label = softmax(-(values + np.log(group / joint.prior)) @ group)
            trial = np.outer(label, group)
            other = _solve(joint, trial, movers, reference, direction, found.state)
            paid = _paid(joint, other, direction)
            lower = _total(trial, joint.prior, paid[0], direction)
            if lower >= total - 1e-9:
                break
            prior, found, (values, errors), total = trial, other, paid, lower
    weights = prior if direction == "information" else joint.prior
    history = tuple(_prior_kl(prior, joint.prior, direction) + v for v in found.history)
    pairs = [(y, a) for y in range(len(joint.classes)) for a in range(len(joint.groups))]
    names = {(y, a): (joint.classes[y], joint.groups[a]) for y, a in pairs}
    ideal = MixtureJoint(
        {names[pair]: found.laws[pair] for pair in pairs},
        {names[pair]: float(prior[pair]) for pair in pairs},
    )
    return MixtureSolution(
        distribution=ideal,
        kl=_total(prior, joint.prior, values, direction),
        kl_error=float(np.sqrt(((weights * errors) ** 2).sum())),
        kl_by_cell={names[pair]: float(values[pair]) for pair in pairs},
        kl_error_by_cell={names[pair]: float(errors[pair]) for pair in pairs},
        maps={
            group: AffineMap.identity(joint.n_features)
            if a == reference
            else AffineMap(found.matrices[a], found.offsets[a])
            for a, group in enumerate(joint.groups)
        },
        canonical={label: found.laws[y, reference] for y, label in enumerate(joint.classes)},
        converged=found.converged,
        global_optimum=False,
        n_iter=found.n_iter,
        history=history,
        direction=direction,
        priors=priors,
        moves=tuple(joint.groups[a] for a in movers),
        reference=joint.groups[reference],
        source=joint,
    )


def _prior_kl(ideal: Array, fitted: Array, direction: Direction) -> float:
    first, second = (ideal, fitted) if direction == "information" else (fitted, ideal)
    return float((first * np.log(first / second)).sum())


def _total(ideal: Array, fitted: Array, values: Array, direction: Direction) -> float:
    weights = ideal if direction == "information" else fitted
    return _prior_kl(ideal, fitted, direction) + float((weights * values).sum())


def _paid(joint: MixtureJoint, found: _Found, direction: Direction) -> tuple[Array, Array]:
    values, errors = np.zeros(joint.prior.shape), np.zeros(joint.prior.shape)
    for cell in np.ndindex(joint.prior.shape):
        y, a = int(cell[0]), int(cell[1])
        fitted, ideal = joint._law(y, a), found.laws[y, a]
        pair = (ideal, fitted) if direction == "information" else (fitted, ideal)
        if fitted != ideal:
            values[cell], errors[cell] = mixture_kl(*pair)
    return values, errors


def _solve(
    joint: MixtureJoint,
    weights: Array,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    start: Any,
) -> _Found:
    n_classes, n_groups = joint.prior.shape
    groups = [
        MixtureCells.of([joint._law(y, a) for y in range(n_classes)], weights[:, a])
        for a in range(n_groups)
    ]
    all_move = len(movers) == n_groups
    others = tuple(a for a in range(n_groups) if a != reference)
    free = others if all_move else tuple(movers)
    programme = MixtureProgramme(groups, reference, weights, direction, free, all_move)
    starts = _starts(groups, weights, reference, direction, free) if start is None else [start]
    point, run = _descend(programme, starts)
    scale = float(weights[:, programme._counted()].sum())
    maps, offsets = point.maps.copy(), point.offsets.copy()
    if not all_move:
        for a in others:
            if a not in free:
                maps[a], offsets[a] = _staying(joint, groups, weights, a, reference, direction)
    laws, matrices, shifts = _unpack(joint, groups, point, maps, offsets, reference, direction)
    if not all_move:
        for a in set(range(n_groups)) - set(free):
            for y in range(n_classes):
                laws[y, a] = joint._law(y, a)
    converged, n_iter, history = run
    rest = converged, n_iter, tuple(scale * v for v in history), point
    return _Found(laws, matrices, shifts, *rest)


def _unpack(
    joint: MixtureJoint,
    groups: list[MixtureCells],
    point: MixturePoint,
    maps: Array,
    offsets: Array,
    reference: int,
    direction: Direction,
) -> tuple[dict[tuple[int, int], NormalMixture], Array, Array]:
    """Return the ideal's laws and the maps of rows, in the coordinates that the cells came in."""
    n_classes, n_groups = joint.prior.shape
    home = groups[reference].frame
    laws: dict[tuple[int, int], NormalMixture] = {}
    matrices, shifts = np.empty_like(maps), np.empty_like(offsets)
    for a in range(n_groups):
        # ``out`` carries canonical cells to the group, ``back`` the group's rows to them
        pair = maps[a], offsets[a]
        inverse = np.linalg.inv(maps[a])
        other = inverse, -inverse @ offsets[a]
        out, back = (pair, other) if direction == "information" else (other, pair)
        matrices[a], shifts[a] = groups[a].frame.outside(back[0], back[1], home)
        frame = groups[a].frame
        lift = frame.lower, frame.middle
        for y in range(n_classes):
            image, shift = point.images[y], point.shifts[y]
            if direction == "moment":
                undone = np.linalg.inv(image)
                image, shift = undone, -undone @ shift
            matrix = lift[0] @ out[0] @ image
            offset = lift[0] @ (out[0] @ shift + out[1]) + lift[1]
            laws[y, a] = groups[reference].laws[y]._affine_image(matrix, offset)
    return laws, matrices, shifts


def _staying(
    joint: MixtureJoint,
    groups: list[MixtureCells],
    weights: Array,
    a: int,
    reference: int,
    direction: Direction,
) -> tuple[Array, Array]:
    """Return the map that carries the cells of a staying group onto the reference's, or raise."""
    own, home = groups[a], groups[reference]
    cells = own.frame.means, own.frame.lowers, home.frame.means, home.frame.lowers
    found = best_free_map(*cells, weights[:, a])
    worst = 0.0
    for law, goal in zip(own.laws, home.laws, strict=True):
        image = law._affine_image(found.matrix, found.offset)
        worst = max(worst, mixture_kl(image, goal)[0])
    conditional = joint.prior[:, [a, reference]] / joint.prior[:, [a, reference]].sum(axis=0)
    gap = float(np.abs(conditional[:, 0] - conditional[:, 1]).max())
    if max(worst, gap) > _STAYING_TOLERANCE:
        raise NotIdealError(
            "Groups that stay in `nearest_ideal` must be jointly ideal already, but the cells of "
            f"group {joint.groups[a]!r} are {worst:.3g} nats away from affine images of those of "
            f"{joint.groups[reference]!r} and P(label | group) differs by {gap:.3g}. Let it move "
            f"too: add {joint.groups[a]!r} to `moves`."
        )
    if direction == "moment":
        return found.matrix, found.offset
    inverse: Array = np.asarray(np.linalg.inv(found.matrix), dtype=np.float64)
    return inverse, -inverse @ found.offset


def _starts(
    groups: list[MixtureCells],
    weights: Array,
    reference: int,
    direction: Direction,
    free: tuple[int, ...],
) -> list[MixturePoint]:
    """Return the normal programme's maps, its other minima, and singular directions turned."""
    n_classes, d = groups[0].frame.means.shape
    eye, home = np.eye(d), groups[reference].frame
    found = {}
    rng = np.random.default_rng(0)
    for a in free:
        sides = [(home.means, home.lowers), (groups[a].frame.means, groups[a].frame.lowers)]
        source, target = sides if direction == "information" else sides[::-1]
        normal = best_free_map(*source, *target, weights[:, a])
        more = flipped(np.repeat(normal.others[:1], _N_STARTS, axis=0), rng)
        found[a] = np.concatenate([normal.others[:_N_STARTS], more])[: _N_STARTS + 2]
    points = []
    for i in range(min(len(f) for f in found.values())):
        maps = np.tile(eye, (len(groups), 1, 1))
        for a in free:
            maps[a] = found[a][i]
        zero = np.zeros((len(groups), d))
        images = np.tile(eye, (n_classes, 1, 1))
        points.append(MixturePoint(maps, zero, images, np.zeros((n_classes, d))))
    return points


def _descend(
    programme: MixtureProgramme, starts: list[MixturePoint]
) -> tuple[MixturePoint, tuple[bool, int, tuple[float, ...]]]:
    """Return the lowest point and (converged, steps, history)."""
    free, canonical = programme.free, programme.canonical
    history: list[float] = []

    def go(point: MixturePoint, n_steps: int) -> tuple[float, MixturePoint, int, Array]:
        run = minimize(
            partial(programme.value_and_gradient, point=point),
            point.flat(free, canonical),
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: history.append(float(intermediate_result.fun)),
            options={"maxiter": n_steps, "ftol": 1e-15, "gtol": 0.1 * _GRADIENT_TOLERANCE},
        )
        return float(run.fun), point.at(run.x, free, canonical), int(run.nit), run.jac

    runs = [go(point, _N_SCREENING if len(starts) > 1 else _N_POLISH) for point in starts]
    best = min(runs, key=lambda run: run[0])
    if len(starts) > 1:
        last = go(best[1], _N_POLISH)
        best = last if last[0] <= best[0] else best
    value, point, _, slope = best
    kept = tuple(np.minimum.accumulate([*history, value]).tolist())
    converged = bool(np.abs(slope).max(initial=0.0) < _GRADIENT_TOLERANCE)
    return point, (converged, len(history), kept)
