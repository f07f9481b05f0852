"""The door to the nearest ideal distribution: checks, dispatches and packs the result."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isonomy.distributions import AffineMap, JointDistribution, Normal
from isonomy.errors import NotIdealError
from isonomy.ideal._affirmative import best_tied_map, largest_deviation, solve_affirmative
from isonomy.ideal._cells import Array, CellArrays, Direction, Solved, kl_of_cells
from isonomy.ideal._diagonal import best_diagonal_map, solve_all_diagonal
from isonomy.ideal._priors import Priors, joint_prior, label_dependence, simple_prior
from isonomy.ideal._request import MapFamily, Request, check_request
from isonomy.ideal._tied_all import group_coordinates, solve_all_tied

__all__ = ["IdealSolution", "PendingIdeal", "nearest_ideal", "solve_ideal"]

_STAYERS_TOLERANCE = 1e-6
"""Largest miss, in standard deviations, between groups that stay: rounding of fitted moments
carried through square roots and inverses stays far below, sampling noise far above."""


@dataclass(frozen=True, eq=False)
class IdealSolution:
    """The nearest ideal distribution, what it cost, and the maps that carry rows.

    Attributes
    ----------
    distribution : JointDistribution
        D~: the ideal distribution.
    kl : float
        Divergence paid in total, in nats, priors included: KL(D~ || D) for the
        information direction, KL(D || D~) for the moment direction.
    kl_by_cell : dict
        {(label, group): divergence between the cell's two laws, same direction}.
    maps : dict
        {group: AffineMap}: carries that group's rows into the frame of ``reference``,
        whose map is the identity. For LogNormal cells the maps act on log X.
    canonical : dict
        {label: Normal}: the cells of D~ in the reference's frame. The maps carry the cells
        of D~ of every group onto exactly these. Laws of log X for LogNormal cells.
    converged : bool
        Whether the search reached a stationary point.
    global_optimum : bool
        True only where the optimum is proved to be global within the family of maps and, in
        the moment direction with all groups moving, among laws with one covariance a group.
    n_iter : int
        Iterations of the search; 1 for closed forms.
    history : tuple of float
        Best total divergence after each step; it never rises.
    direction, priors : str
        What was asked for.
    moves : tuple
        The groups that were free to move.
    reference : hashable
        The group in whose frame steered rows live.
    source : JointDistribution
        What was passed, D.
    """

    distribution: JointDistribution
    kl: float
    kl_by_cell: dict[tuple[Hashable, Hashable], float]
    maps: dict[Hashable, AffineMap]
    canonical: dict[Hashable, Normal]
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    direction: Direction
    priors: Priors
    moves: tuple[Hashable, ...]
    reference: Hashable
    source: JointDistribution


def nearest_ideal(
    joint: JointDistribution,
    *,
    moves: Literal["all"] | Hashable | Sequence[Hashable] = "all",
    reference: Hashable | None = None,
    direction: Direction = "information",
    priors: Priors = "reweigh",
    map_family: MapFamily = "affine",
    random_state: object = None,
) -> IdealSolution:
    """Return the ideal distribution nearest to ``joint`` within a family of maps.

    Parameters
    ----------
    joint : JointDistribution
        D, with two or more classes and groups. Covariances must be tied within each
        group, or diagonal with ``map_family="diagonal"``; one variable may have any.
    moves : "all", a group or several groups
        Who may move. Groups that stay must be jointly ideal already: their cells affine
        images of one another, with equal P(label | group).
    reference : group, optional
        In whose frame steered rows live; it must stay unless all move. Default: the
        most probable group allowed.
    direction : "information" or "moment"
        Minimise KL(D~ || D) or KL(D || D~), in nats.
    priors : "reweigh", "reference", "joint" or "keep"
        P(Y=y) P(A=a); P(Y=y | reference) P(A=a); the label's probabilities optimised too
        with P(A=a) fixed (in the moment direction the same as "reweigh"); unchanged.
    map_family : "affine" or "diagonal"
        All invertible affine maps, or those that treat each coordinate by itself.
        "symmetric" is not built yet.
    random_state : ignored
        Every search here is deterministic; kept so that callers need not care.

    Returns
    -------
    IdealSolution

    Raises
    ------
    InvalidInputError
        If an argument names an unknown group or choice, or the reference may move while
        others stay, or there is one class or group only.
    NotIdealError
        If the groups that stay are not jointly ideal, or ``priors="keep"`` and label
        and group are dependent.
    UnsupportedProgrammeError
        For covariances that differ between classes in two or more dimensions.

    Notes
    -----
    With weights w = ideal priors (information) or fitted priors (moment), the total is
    KL of the priors plus ``sum_ya w_ya KL_ya``. Groups that move alone: closed forms
    (theory.md 3.1 for one variable, 3.3 for tied covariances), global. All move: tied
    with K - 1 <= d is a convex programme in the Gram matrix of the canonical class means,
    global; otherwise the best of several starts. In the moment direction with tied
    covariances the ideal is sought within the tied family.
    Unchanged when one invertible affine map is applied to all cells.

    Examples
    --------
    >>> cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
    ...          (0, "b"): Normal(0.0, 1.0), (1, "b"): Normal(1.0, 1.0)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> solution = nearest_ideal(joint, moves=["b"])
    >>> solution.global_optimum, round(solution.kl, 4), solution.maps["a"].is_identity
    (True, 0.0425, True)
    """
    return solve_ideal(
        joint,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
    ).solution()


@dataclass(frozen=True, eq=False)
class PendingIdeal:
    """A solved programme: its maps at once, its ideal distribution for who asks for it."""

    joint: JointDistribution
    request: Request
    solved: Solved
    prior: Array
    settled: bool

    def maps(self) -> dict[Hashable, AffineMap]:
        """Return the map of every group's rows, as `IdealSolution.maps`."""
        return {
            group: AffineMap.identity(self.joint.n_features)
            if a == self.request.reference
            else AffineMap._trusted(self.solved.offsets[a], matrix=self.solved.matrices[a])
            for a, group in enumerate(self.joint.groups)
        }

    def solution(self) -> IdealSolution:
        """Return the ideal distribution and what it cost."""
        return _pack(self)


def solve_ideal(
    joint: JointDistribution,
    *,
    moves: Any,
    reference: Hashable | None,
    direction: Any,
    priors: Any,
    map_family: Any,
) -> PendingIdeal:
    """Solve as `nearest_ideal` does, and leave the ideal distribution to be worked out."""
    request = check_request(
        joint,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
    )
    prior, settled = _ideal_prior(request)
    weights = prior if direction == "information" else request.cells.prior
    solved = _solve(request, request.cells, weights)
    _check_stayers(request, solved, joint.groups)
    return PendingIdeal(joint, request, solved, prior, settled)


def _solve(request: Request, cells: CellArrays, weights: Array, start: Any = None) -> Solved:
    rest = request.reference, request.direction
    if request.all_move and request.family == "tied":
        return solve_all_tied(cells, weights, *rest, start)
    if request.all_move:
        return solve_all_diagonal(cells, weights, *rest, start)
    best_map = best_tied_map if request.family == "tied" else best_diagonal_map
    return solve_affirmative(cells, weights, request.movers, *rest, best_map)


def _ideal_prior(request: Request) -> tuple[Array, bool]:
    cells, prior = request.cells, request.cells.prior
    if request.priors != "joint" or request.direction == "moment":
        return simple_prior(prior, request.priors, request.reference), True
    if request.family == "tied":
        # divergences are the same in the few whitened coordinates that hold the classes
        coordinates = group_coordinates(cells.means, cells.covariances[0])
        eye = np.eye(coordinates.shape[2])
        cells = CellArrays(coordinates, np.tile(eye, (1, prior.shape[1], 1, 1)), prior)
    last: list[Any] = [None]

    def cell_kl(weights: Array, anew: bool) -> Array:
        solved = _solve(request, cells, weights, None if anew else last[0])
        last[0] = solved.state
        return _cell_kl(cells, solved, "information")

    return joint_prior(prior, cell_kl)


def _cell_kl(cells: CellArrays, solved: Solved, direction: Direction) -> Array:
    paid: Array = np.empty(cells.prior.shape)
    for a in range(cells.means.shape[1]):
        fitted = cells.means[:, a], cells.covariances[:, a]
        ideal = solved.means[:, a], solved.covariances[:, a]
        both = (*ideal, *fitted) if direction == "information" else (*fitted, *ideal)
        paid[:, a] = kl_of_cells(*both)
    return paid


def _check_stayers(request: Request, solved: Solved, groups: Sequence[Hashable]) -> None:
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


def _pack(pending: PendingIdeal) -> IdealSolution:
    joint, request, solved, prior = pending.joint, pending.request, pending.solved, pending.prior
    fitted, direction = request.cells.prior, request.direction
    paid = _cell_kl(request.cells, solved, direction)
    weights = prior if direction == "information" else fitted
    log_ratio = np.log(prior / fitted) * (1.0 if direction == "information" else -1.0)
    prior_kl = float((weights * log_ratio).sum())
    n_classes, n_groups = fitted.shape
    tied = len(solved.covariances) == 1
    ideal = JointDistribution.from_arrays(
        solved.means,
        solved.covariances[0] if tied else solved.covariances,
        prior,
        joint.classes,
        joint.groups,
        joint.family,
    )
    r = request.reference
    cells = [(y, a) for y in range(n_classes) for a in range(n_groups)]
    searched = request.priors == "joint" and direction == "information"
    return IdealSolution(
        distribution=ideal,
        kl=prior_kl + float((weights * paid).sum()),
        kl_by_cell={(joint.classes[y], joint.groups[a]): float(paid[y, a]) for y, a in cells},
        maps=pending.maps(),
        canonical={
            # checked and factored with the ideal distribution: not once more for every label
            label: Normal._trusted(ideal.means[y, r], ideal.covariances[y, r], ideal._lowers[y, r])
            for y, label in enumerate(joint.classes)
        },
        converged=solved.converged and pending.settled,
        global_optimum=solved.global_optimum and not searched,
        n_iter=solved.n_iter,
        history=tuple(prior_kl + value for value in solved.history),
        direction=direction,
        priors=request.priors,
        moves=tuple(joint.groups[a] for a in request.movers),
        reference=joint.groups[r],
        source=joint,
    )
