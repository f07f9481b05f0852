"""Multivariate normals: divergence, seconds and gaps of affine and symmetric maps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import softmax

from _case_studies.judging import random_costs
from _case_studies.rival import Affirmative, descend
from _case_studies.study import Asked, Results, Tell
from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution, nearest_ideal
from isonomy.ideal.bayes import rates_for_costs

__all__ = ["PROGRAMMES", "compute", "paired_gap", "random_law"]

PROGRAMMES: dict[str, dict[str, Any]] = {
    "affine": {"moves": ["b"], "reference": "a"},
    "symmetric": {"moves": ["b"], "reference": "a", "map_family": "symmetric"},
    "all groups": {"moves": "all", "reference": "a"},
}
KINDS = ("tied", "free")
N_COSTS = 10


def random_law(n_classes: int, d: int, kind: str, seed: int) -> JointDistribution:
    """Return cells of two groups at random: alike in layout, not in shape.

    Class means are 1.5 z_y plus .7 of noise a group, times sqrt(2 / d) so that classes do not
    drift apart with d; covariances are (Wishart of 2 d degrees
    of freedom) / 2 d of the group; with "free" covariances each cell adds half as much again
    of its own. Priors are drawn from a Dirichlet law with parameter 5.
    """
    rng = np.random.default_rng([seed, n_classes, d, KINDS.index(kind)])
    factors = rng.standard_normal((1, 2, d, 2 * d))
    if kind == "free":
        factors = factors + 0.5 * rng.standard_normal((n_classes, 2, d, 2 * d))
    covariances = factors @ np.swapaxes(factors, 2, 3) / (2 * d)
    base = rng.standard_normal((n_classes, 1, d))
    means = (1.5 * base + 0.7 * rng.standard_normal((n_classes, 2, d))) * np.sqrt(2.0 / d)
    prior = rng.dirichlet(np.full(2 * n_classes, 5.0)).reshape(n_classes, 2)
    shape = (n_classes, 2, d, d)
    return JointDistribution.from_arrays(
        means, np.broadcast_to(covariances, shape), prior, range(n_classes), ["a", "b"]
    )


def compute(asked: Asked, tell: Tell) -> Results:
    """Solve every programme for every law, and let a general optimiser try."""
    sizes = [(2, 2), (3, 3)] if asked.quick else [(k, d) for d in _SIZES for k in (2, 3, 5)]
    n_starts = 4 if asked.quick else 8
    laws = [
        (kind, k, d, i)
        for kind in KINDS
        for k, d in sizes
        for i in range(1 if asked.quick else _instances(d))
    ]
    rows = []
    for i, (kind, n_classes, d, instance) in enumerate(laws):
        tell(f"multivariate, {kind}, {n_classes} classes, {d} variables", i, len(laws))
        law = random_law(n_classes, d, kind, asked.seed + instance)
        rows.append({"kind": kind, "n_classes": n_classes, "d": d, **_law(law, n_starts, asked)})
    tell("multivariate", len(laws), len(laws))
    return {"n_starts": n_starts, "n_costs": N_COSTS, "rows": rows}


_SIZES = (2, 5, 10, 20, 50)


def _instances(d: int) -> int:
    return 4 if d <= 10 else 1


def _law(law: JointDistribution, n_starts: int, asked: Asked) -> Results:
    costs = random_costs(N_COSTS, len(law.classes), asked.seed)
    points = 7 if asked.quick else 9
    found: Results = {"before": _gap(law, costs, points), "after": {}}
    for name, programme in PROGRAMMES.items():
        solution, seconds = _timed(lambda p=programme: nearest_ideal(law, **p))
        found["after"][name] = {
            "kl": _kl_of_cells(solution),
            "seconds": seconds,
            "proved": solution.global_optimum,
            "converged": solution.converged,
            "gap": paired_gap(solution, costs, 200 if asked.quick else 2_000, asked.seed),
        }
        if name == "affine":
            rival = Affirmative.of(law, solution)
            (best, first), seconds = _timed(lambda r=rival: descend(r, n_starts, asked.seed))
            found["rival"] = {"kl": best, "kl_one_start": first, "seconds": seconds}
    return found


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    value = call()
    return value, time.process_time() - start


def _kl_of_cells(solution: IdealSolution) -> float:
    """Return what the cells cost; what the priors cost is the same for every map."""
    priors = solution.distribution.priors
    return float(sum(priors[cell] * paid for cell, paid in solution.kl_by_cell.items()))


def _gap(law: JointDistribution, costs: list[Any], points: int) -> float:
    return max(rates.largest_gap for rates in rates_for_costs(law, costs, 0, points))


def paired_gap(solution: IdealSolution, costs: list[Any], n: int, seed: int) -> float:
    """Return the largest gap of the ideal law's Bayes rules at corresponding points.

    ``n`` points a class are drawn in the frame of the reference and carried into each
    group's own; there every group decides by its own densities and priors. The points
    correspond, so that chance moves all groups alike and a difference is one of the rules.
    """
    ideal = solution.distribution
    shares = ideal.prior / ideal.prior.sum(axis=0)
    rates = np.zeros((len(costs), len(ideal.classes), len(costs[0]), len(ideal.groups)))
    for y, label in enumerate(ideal.classes):
        frame = solution.canonical[label].sample(n, random_state=seed + y)
        for a, group in enumerate(ideal.groups):
            points = solution.maps[group].inverse().apply(frame)
            logs = [
                np.log(shares[z, a]) + ideal.cells[other, group].log_density(points)
                for z, other in enumerate(ideal.classes)
            ]
            posterior = softmax(np.stack(logs, axis=1), axis=1)
            for i, cost in enumerate(costs):
                chosen = (posterior @ cost).argmin(axis=1)
                rates[i, y, :, a] = np.bincount(chosen, minlength=cost.shape[1]) / n
    selected = np.einsum("y,iyka->ika", shares.mean(axis=1), rates)
    return float(max(np.ptp(rates, axis=-1).max(), np.ptp(selected, axis=-1).max()))
