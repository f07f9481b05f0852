"""The door to the nearest ideal distribution: checks, dispatches and packs the result."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.distributions import AffineMap, JointDistribution, Normal
from isonomy.distributions._joint_checks import group_codes
from isonomy.distributions._latent import observed_rows
from isonomy.errors import InvalidInputError
from isonomy.ideal._cells import Array, Direction, Solved
from isonomy.ideal._priors import Priors
from isonomy.ideal._programmes import cell_divergences, check_stayers, ideal_prior, solve_request
from isonomy.ideal._protected.nearest import solve_protected
from isonomy.ideal._request import MapFamily, Request, check_request

__all__ = ["IdealSolution", "PendingIdeal", "nearest_ideal", "solve_ideal"]


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
        For StudentT cells their locations and scale matrices, held as a Normal.
        With ``protected`` columns, which differ between groups and stay, the cells of the
        reference alone: the maps of the other groups then give rows its posterior, not its law.
    converged : bool
        Whether the search reached a stationary point.
    global_optimum : bool
        True only where the optimum is proved to be global within the family of maps and, in
        the moment direction with all groups moving, among laws with one covariance a group.
        Never for affine maps where covariances differ between classes.
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
    protected : tuple of int
        Positions of the columns that stayed as they were.
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
    protected: tuple[int, ...] = ()

    def steer(self, X: ArrayLike, *, sensitive_features: Any) -> NDArray[np.float64]:
        """Carry rows by their group's map, in the units of X; no label is looked at.

        Parameters
        ----------
        X : (n_samples, n_features)
        sensitive_features : (n_samples,)
            Groups of the rows, all known to ``source``.

        Returns
        -------
        (n_samples, n_features) array
            In the frame and the units of ``reference``: for log-normal rows exp of the moved
            logarithms, for nonparanormal ones the reference's transform undone.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group is unknown.
        FamilyError
            If cells are log-normal and a value is not positive.
        """
        source = self.source
        latent = source.latent(X, sensitive_features)
        where = "IdealSolution.steer"
        codes = group_codes(sensitive_features, source.groups, len(latent), where=where)
        moved = latent.copy()
        for a, group in enumerate(source.groups):
            chosen = np.flatnonzero(codes == a)
            moved[chosen] = self.maps[group].apply(latent[chosen])
        goal = np.full(len(moved), source.groups.index(self.reference))
        return observed_rows(source, moved, goal)


def nearest_ideal(
    joint: JointDistribution,
    *,
    moves: Literal["all"] | Hashable | Sequence[Hashable] = "all",
    reference: Hashable | None = None,
    direction: Direction = "information",
    priors: Priors = "reweigh",
    map_family: MapFamily = "affine",
    reference_class: Hashable | None = None,
    protected: Sequence[int] | None = None,
    random_state: object = None,
) -> IdealSolution:
    """Return the ideal distribution nearest to ``joint`` within a family of maps.

    Parameters
    ----------
    joint : JointDistribution or MixtureJoint
        D, with two or more classes and groups. Covariances may be any; they must be
        diagonal for ``map_family="diagonal"``. A MixtureJoint gives a result with the same
        fields whose divergence is an estimate, with ``kl_error``.
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
    map_family : "affine", "symmetric" or "diagonal"
        All invertible affine maps; those of the paper (below), which pay more, but whose
        programme is convex while others stay; those that treat each coordinate by itself.
    reference_class : label, optional
        For "symmetric" alone, whose family of maps depends on it. Default: the most
        probable class.
    protected : positions of columns, optional
        Columns that must not move: their law in every cell, and their values in every row,
        stay as they are. Needs cells that share a covariance within each group,
        ``map_family="affine"`` and n_classes - 1 free columns. Default of ``reference`` where
        all move: as above, unless its free columns add nothing to the protected ones.
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
        and group are dependent, or ``protected`` columns tell classes further apart than
        all columns do in the reference that stays.
    UnsupportedProgrammeError
        If ``protected`` is asked of other cells or maps than it serves.
    SingularCovarianceError
        If an ideal covariance is singular to rounding: the groups are too far apart.

    Notes
    -----
    With weights w = ideal priors (information) or fitted priors (moment), the total is
    KL of the priors plus ``sum_ya w_ya KL_ya``. Groups that move alone: closed forms
    (theory.md 3.1 for one variable, 3.3 for tied covariances), global. All move: tied
    with K - 1 <= d is a convex programme in the Gram matrix of the canonical class means,
    global; otherwise the best of several starts. In the moment direction with tied
    covariances the ideal is sought within the tied family.
    Covariances that differ between classes: descent from many starts of both orientations
    (3.4), the best local minimum found.
    Student-t cells: descent on the divergence by quadrature, the best local minimum found.
    Symmetric, with C the covariance of the reference's cell in the reference class: a
    mover's ideal cells are the reference's under ``x -> T C^-1/2 x + t`` with T symmetric
    positive definite, so that T T is its ideal covariance in that class. Convex in T
    (information) or in its inverse (moment): global. All move: not convex in all roots
    together, the best of several starts.
    Protected columns u: the Gram matrix of whitened class differences is that of u plus that
    of the rest given u, and only the second can change: the closed form again where named
    groups move, a convex programme with bounds where all do, both global among laws with one
    covariance and one regression on u a group. The maps keep u, and give rows of every group
    the posterior that the reference's have: one head for all that does not know the group is
    exactly fair on D~, though rows of different groups do not share their laws.
    Unchanged when one invertible affine map is applied to all cells, but for the symmetric
    family, which depends on the coordinates, and for protected columns.

    Examples
    --------
    >>> cells = {(0, "a"): Normal(0.0, 1.0), (1, "a"): Normal(2.0, 1.0),
    ...          (0, "b"): Normal(0.0, 1.0), (1, "b"): Normal(1.0, 1.0)}
    >>> joint = JointDistribution(cells, dict.fromkeys(cells, 0.25))
    >>> solution = nearest_ideal(joint, moves=["b"])
    >>> solution.global_optimum, round(solution.kl, 4), solution.maps["a"].is_identity
    (True, 0.0425, True)
    """
    other = _OTHER_JOINTS.get(type(joint).__name__)
    if other is not None and protected is None:
        if reference_class is not None:
            raise InvalidInputError(
                "`reference_class` of `nearest_ideal` is for map_family='symmetric' of a "
                f"JointDistribution alone, got {reference_class!r} with a {type(joint).__name__}."
            )
        return other(  # type: ignore[no-any-return]  # of the same fields
            joint,
            moves=moves,
            reference=reference,
            direction=direction,
            priors=priors,
            map_family=map_family,
        )
    return solve_ideal(
        joint,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
        reference_class=reference_class,
        protected=protected,
    ).solution()


def _pending_protected(joint: Any, protected: Any, **asked: Any) -> PendingIdeal:
    request, solved, prior, settled, columns = solve_protected(joint, protected, **asked)
    return PendingIdeal(joint, request, solved, prior, settled, columns)


def _nearest_mixture(joint: Any, **asked: Any) -> Any:
    from isonomy.ideal._mixture.nearest import nearest_mixture

    return nearest_mixture(joint, **asked)


def _nearest_categorical(joint: Any, **asked: Any) -> Any:
    from isonomy.ideal._categorical.nearest import nearest_categorical

    return nearest_categorical(joint, **asked)


def _nearest_mixed(joint: Any, **asked: Any) -> Any:
    from isonomy.ideal._mixed.nearest import nearest_mixed

    return nearest_mixed(joint, **asked)


_OTHER_JOINTS: dict[str, Callable[..., Any]] = {
    "MixtureJoint": _nearest_mixture,
    "CategoricalJoint": _nearest_categorical,
    "MixedJoint": _nearest_mixed,
}
"""Joint laws that are no JointDistribution, by the name of their class."""


@dataclass(frozen=True, eq=False)
class PendingIdeal:
    """A solved programme: its maps at once, its ideal distribution for who asks for it."""

    joint: JointDistribution
    request: Request
    solved: Solved
    prior: Array
    settled: bool
    protected: tuple[int, ...] = ()

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
    reference_class: Hashable | None = None,
    protected: Sequence[int] | None = None,
    start: Any = None,
) -> PendingIdeal:
    """Solve as `nearest_ideal` does, and leave the ideal distribution to be worked out.

    ``start`` is the ``solved.state`` of an earlier answer, to search from there alone; a
    programme with ``protected`` columns needs none.
    """
    if protected is not None:
        return _pending_protected(
            joint,
            protected,
            moves=moves,
            reference=reference,
            direction=direction,
            priors=priors,
            map_family=map_family,
            reference_class=reference_class,
        )
    request = check_request(
        joint,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
        reference_class=reference_class,
    )
    prior, settled = ideal_prior(request)
    weights = prior if direction == "information" else request.cells.prior
    solved = solve_request(request, request.cells, weights, start)
    check_stayers(request, solved, joint.groups)
    return PendingIdeal(joint, request, solved, prior, settled)


def _pack(pending: PendingIdeal) -> IdealSolution:
    joint, request, solved, prior = pending.joint, pending.request, pending.solved, pending.prior
    fitted, direction = request.cells.prior, request.direction
    paid = cell_divergences(request.cells, solved, direction)
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
        joint.shape,
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
        protected=pending.protected,
    )
