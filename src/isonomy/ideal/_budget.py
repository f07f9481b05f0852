"""One budget of the frontier: the best law within it and the ideal law nearest to that, in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from isonomy.distributions import JointDistribution
from isonomy.distributions._linalg import symmetrize
from isonomy.ideal._cells import Array
from isonomy.ideal._free.moves import narrowed
from isonomy.ideal._geodesic import Geodesic
from isonomy.ideal.nearest import solve_ideal

__all__ = ["Reached", "descend"]

_MAX_ROUNDS = 200
_ENOUGH = 1e-9
"""Relative fall of the violation in a round below which the search stops."""

_SAME = 1e-3
"""Share of the violation within which another run is taken to lead to the same place."""

_NOTHING = 1e-16
"""Nats that divergences are rounded to at best."""


@dataclass(frozen=True, eq=False)
class Reached:
    """A law within the budget, the ideal law that it leads to, and what is left between."""

    strength: float
    law: JointDistribution
    goal: JointDistribution
    violation: float
    n_rounds: int = 0
    converged: bool = False


class _Alternation:
    """Both halves of a round for one joint law D and one budget; remembers where solvers stood."""

    def __init__(self, joint: JointDistribution, budget: float, how: dict[str, Any]) -> None:
        self.joint, self.budget, self.how = joint, budget, how
        self.state: Any = None
        self.n_rounds = 0

    def towards(self, goal: JointDistribution) -> Reached:
        """Return the law within the budget that lies nearest to ``goal``."""
        s, law = Geodesic.between(self.joint, goal).within(self.budget)
        return Reached(s, law, goal, law.kl_divergence(goal), self.n_rounds)

    def round_from(self, law: JointDistribution) -> Reached:
        """Return the law nearest to the ideal law that is nearest to ``law``."""
        self.n_rounds += 1
        pending = solve_ideal(law, direction="moment", start=self.state, **self.how)
        self.state = pending.solved.state
        if pending.request.family == "free":
            self.state = narrowed(self.state)
        return self.towards(pending.solution().distribution)


def descend(
    joint: JointDistribution,
    goal: JointDistribution,
    budget: float,
    how: dict[str, Any],
    *,
    rival: Reached | None = None,
) -> Reached:
    """Alternate from ``goal`` until the violation stops falling; leap where rounds creep.

    Parameters
    ----------
    joint, goal : JointDistribution
        D, and an ideal law to begin with.
    budget : float
        Nats.
    how : dict
        Further arguments of ``solve_ideal``.
    rival : Reached, optional
        Where a run from another goal ended: this one ends where it comes as close.

    Notes
    -----
    A round E -> F(E) never raises the violation, and near its end shrinks what is left by a
    constant share. After two rounds E, E', E'' the third starts at ``E + 2 c (E' - E) +
    c^2 (E'' - 2 E' + E)``, ``c = |E' - E| / |E'' - 2 E' + E|``, in natural parameters, and
    counts only if it beats E''. Source: Varadhan and Roland, Scandinavian Journal of
    Statistics 35 (2008), scheme SqS3.
    """
    run = _Alternation(joint, budget, how)
    best = run.towards(goal)
    converged = best.strength >= 1.0
    while not converged and run.n_rounds < _MAX_ROUNDS:
        one = run.round_from(best.law)
        if _is_still(best, one):
            best, converged = min(best, one, key=_violation), True
            break
        two = run.round_from(one.law)
        converged = _is_still(one, two)
        last, best = best, min(one, two, key=_violation)
        leap = None if converged else _leap(joint, last.law, one.law, two.law)
        if leap is not None:
            best = min(best, run.round_from(leap), key=_violation)
        converged = converged or best.strength >= 1.0
        if rival is not None and _meets(best, rival):
            break
    return Reached(best.strength, best.law, best.goal, best.violation, run.n_rounds, converged)


def _violation(reached: Reached) -> float:
    return reached.violation


def _is_still(before: Reached, after: Reached) -> bool:
    fall = before.violation - after.violation
    return fall <= max(_ENOUGH * before.violation, _NOTHING)


def _meets(reached: Reached, rival: Reached) -> bool:
    """Whether violations agree, and the laws differ by far less than what is left."""
    near = _SAME * rival.violation
    if abs(reached.violation - rival.violation) > near:
        return False
    return reached.law.kl_divergence(rival.law) <= _SAME * near


Natural = tuple[Array, Array, Array]


def _leap(
    joint: JointDistribution,
    zero: JointDistribution,
    one: JointDistribution,
    two: JointDistribution,
) -> JointDistribution | None:
    """Return where three laws of a sequence lead to, or None if that is no law."""
    a, b, c = (_natural(law) for law in (zero, one, two))
    first = [q - p for p, q in zip(a, b, strict=True)]
    bend = [r - 2.0 * q + p for p, q, r in zip(a, b, c, strict=True)]
    turn = _length(bend)
    if turn == 0.0:
        return None
    far = max(_length(first) / turn, 1.0)
    leapt = [p + 2.0 * far * u + far**2 * v for p, u, v in zip(a, first, bend, strict=True)]
    return _law(joint, (leapt[0], leapt[1], leapt[2]))


def _length(parts: list[Array]) -> float:
    return float(np.sqrt(sum(float((p**2).sum()) for p in parts)))


def _natural(law: JointDistribution) -> Natural:
    """Return precisions, precisions times means, and ln P(y | a)."""
    precision = np.asarray(np.linalg.inv(np.asarray(law.covariances)), dtype=np.float64)
    lean = (precision @ np.asarray(law.means)[..., None])[..., 0]
    prior = np.asarray(law.prior)
    return precision, lean, np.log(prior / prior.sum(axis=0))


def _law(joint: JointDistribution, natural: Natural) -> JointDistribution | None:
    precision, lean, logs = natural
    try:
        np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        return None
    covariance = symmetrize(np.asarray(np.linalg.inv(precision), dtype=np.float64))
    means = (covariance @ lean[..., None])[..., 0]
    weights = np.exp(logs - logs.max(axis=0))
    prior = weights / weights.sum(axis=0) * np.asarray(joint.prior).sum(axis=0)
    labels = joint.classes, joint.groups, joint.family, joint.shape
    covs = covariance[0] if joint.is_tied else covariance
    return JointDistribution.from_arrays(means, covs, prior, *labels)
