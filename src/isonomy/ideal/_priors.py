"""The priors of the ideal distribution: label independent of group, P(A=a) unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from isonomy.ideal._cells import Array

__all__ = ["Priors", "is_factorised", "joint_prior", "label_dependence", "simple_prior"]

Priors = Literal["reweigh", "reference", "joint", "keep"]

_FACTORISED = 1e-9
"""Priors that come from counts are exact to rounding; this is far above it."""

_LEAST_LABEL = 1e-12
"""Least probability of a label, relative to the greatest: 0 would leave no distribution."""

_CORNERS_UP_TO = 6
_FAINT = 0.02
"""Labels up to which starts near the corners are tried, and what is left of a label there."""

_N_SCREENING = 3
_N_POLISHED = 3


def label_dependence(prior: Array) -> float:
    """Return max over labels and pairs of groups of |P(y | a) - P(y | a')|."""
    conditional = prior / prior.sum(axis=0)
    return float((conditional.max(axis=1) - conditional.min(axis=1)).max())


def is_factorised(prior: Array) -> bool:
    """Return whether label and group are independent, to rounding."""
    return label_dependence(prior) <= _FACTORISED


def simple_prior(prior: Array, priors: Priors, reference: int) -> Array:
    """Return the ideal priors (K, G) of every mode but ``joint`` in information direction.

    ``reweigh`` (and ``joint`` in the moment direction, whose optimum it is):
    P(Y=y) P(A=a). ``reference``: P(Y=y | reference) P(A=a). ``keep``: as they are.
    """
    if priors == "keep":
        return prior
    group = prior.sum(axis=0)
    label = prior[:, reference] / group[reference] if priors == "reference" else prior.sum(axis=1)
    return np.outer(label, group)


def joint_prior(prior: Array, cell_kl: Callable[[Array, bool], Array]) -> tuple[Array, bool]:
    """Return the ideal priors that minimise the total divergence, and whether it settled.

    Parameters
    ----------
    prior : (K, G)
    cell_kl : callable
        Maps priors (K, G) to the divergences of the cells (K, G) at the best maps; its
        second argument says whether to search anew, not from the last maps.

    Notes
    -----
    With r_a = P(A=a) fixed (to optimise it too would delete the group that is expensive
    to move), the total is ``sum_ya t_y r_a [ln(t_y r_a / q_ya) + KL_ya(t)]``. The maps are
    optimal for t, so the slope in t_y is ``ln t_y + 1 + sum_a r_a [KL_ya +
    ln(r_a / q_ya)]``. There are several local minima: one may give up a label that is
    expensive to move (its probability stays at least 1e-12 of the greatest). From
    several starts the fixed point ``t_y = softmax(-sum_a r_a [KL_ya + ln(r_a / q_ya)])``
    is iterated a little; L-BFGS on ln t polishes the best, and the fixed point follows
    while it helps. Nothing proves that the best one found is the global one.
    """
    group = prior.sum(axis=0)
    log_ratio = np.log(group / prior)

    def total(logits: Array, anew: bool = False) -> tuple[float, Array, Array]:
        log_label = log_softmax(_kept(logits))
        label = np.exp(log_label)
        cost = (cell_kl(np.outer(label, group), anew) + log_ratio) @ group
        value = float(label @ (log_label + cost))
        return value, label * (log_label + cost - value), cost

    screened = []
    for start in _label_starts(prior):
        z, anew = np.log(start), True
        for _ in range(_N_SCREENING):  # each step is the best prior for the last maps
            z, anew = -total(z, anew)[2], False
        screened.append((total(z)[0], z))
    screened.sort(key=lambda pair: pair[0])
    best: tuple[float, Array] | None = None
    for _, start in screened[:_N_POLISHED]:
        total(start, anew=True)
        run = minimize(
            lambda z: total(z)[:2],
            start,
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 200},
        )
        if best is None or run.fun < best[0]:
            best = float(run.fun), run.x
    assert best is not None
    value, logits = best
    for _ in range(20):
        step = -total(logits)[2]
        lower = total(step)[0]
        if lower >= value:
            break
        value, logits = lower, step
    settled = bool(np.abs(total(logits)[1]).max() < 1e-6)
    return np.outer(softmax(_kept(logits)), group), settled


def _kept(logits: Array) -> Array:
    kept: Array = np.maximum(logits, logits.max() + np.log(_LEAST_LABEL))
    return kept


def _label_starts(prior: Array) -> list[Array]:
    label = prior.sum(axis=1)
    n = len(label)
    starts = [label, np.full(n, 1.0 / n), *(prior / prior.sum(axis=0)).T][:5]
    if n <= _CORNERS_UP_TO:
        # where one label is nearly given up, and where one is nearly alone
        lowered = label * (1.0 - (1.0 - _FAINT) * np.eye(n))
        raised = label * (_FAINT + (1.0 - _FAINT) * np.eye(n))
        starts += [row / row.sum() for row in (*lowered, *raised)]
    return starts
