"""`nearest_ideal` for covariances of every cell's own, beside BFGS and beside cvxpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from _speed.markdown import seconds, table
from _speed.timing import Timing, side_by_side
from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution, nearest_ideal

__all__ = ["affine_study", "free_joint", "large_free_study", "symmetric_study"]

AFFINE = ((2, 2), (3, 5), (5, 10), (5, 20), (5, 50))
_DENSE_UP_TO = 20
SYMMETRIC = ((3, 2), (3, 5), (3, 10), (3, 20))


def free_joint(n_classes: int, d: int, seed: int, *, rows: int = 2) -> JointDistribution:
    """Return two groups of normal cells, each with the covariance of ``rows`` d random rows."""
    rng = np.random.default_rng(seed)
    covariances = np.empty((n_classes, 2, d, d))
    for cell in np.ndindex(n_classes, 2):
        factor = rng.standard_normal((d, rows * d + 1))
        covariances[cell] = factor @ factor.T / (rows * d)
    means = rng.standard_normal((n_classes, 1, d)) + 0.5 * rng.standard_normal((n_classes, 2, d))
    prior = rng.dirichlet(np.full(2 * n_classes, 20.0)).reshape(n_classes, 2)
    return JointDistribution.from_arrays(means, covariances, prior, range(n_classes), ["f", "m"])


def fitted_joint(
    n_classes: int, d: int, seed: int, *, rows: int = 4, factors: int = 8
) -> JointDistribution:
    """Return two groups of cells fitted from ``rows`` d rows each.

    Rows are factors that all cells share, of other strength in each group, two factors of the
    class, near alike in both groups, and noise.
    """
    rng = np.random.default_rng(seed)
    shared, centres = rng.standard_normal((d, factors)), rng.standard_normal((n_classes, d))
    strength = 1.0 + 0.3 * np.array([np.zeros(factors), rng.standard_normal(factors)])
    means, covariances = np.empty((n_classes, 2, d)), np.empty((n_classes, 2, d, d))
    for y in range(n_classes):
        own = 0.5 * rng.standard_normal((d, 2))
        for a in range(2):
            load = np.hstack([shared * strength[a], own + 0.2 * rng.standard_normal((d, 2))])
            drawn = rng.standard_normal((rows * d, load.shape[1])) @ load.T
            drawn += centres[y] + 0.3 * rng.standard_normal(d)
            drawn += rng.standard_normal(drawn.shape)
            means[y, a], covariances[y, a] = drawn.mean(axis=0), np.cov(drawn.T, bias=True)
    prior = rng.dirichlet(np.full(2 * n_classes, 20.0)).reshape(n_classes, 2)
    return JointDistribution.from_arrays(means, covariances, prior, range(n_classes), ["f", "m"])


@dataclass(frozen=True)
class AffineProgramme:
    """sum_y q_y KL(V # N(mu_y, S_y) + b || P_y) and its gradient in V and b, as written."""

    joint: JointDistribution
    weights: np.ndarray
    source: int
    target: int
    precisions: np.ndarray
    constant: float

    @classmethod
    def of(cls, solution: IdealSolution) -> AffineProgramme:
        """Return what ``solution`` (one mover, information direction) solves."""
        joint = solution.source
        source = joint.groups.index(solution.reference)
        target = joint.groups.index(solution.moves[0])
        q = np.asarray(solution.distribution.prior)
        sizes = np.linalg.slogdet(joint.covariances)[1]
        constant = 0.5 * float(q[:, target] @ (sizes[:, target] - sizes[:, source]))
        constant -= 0.5 * float(q[:, target].sum()) * joint.n_features
        constant += float((q * np.log(q / joint.prior)).sum())
        precisions = np.linalg.inv(joint.covariances[:, target])
        return cls(joint, q[:, target], source, target, precisions, constant)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the total divergence, priors included, and its gradient."""
        d = self.joint.n_features
        matrix, offset = x[: d * d].reshape(d, d), x[d * d :]
        means = self.joint.means[:, self.source]
        size = np.linalg.slogdet(matrix)[1]
        if not np.isfinite(size):
            return np.inf, np.zeros_like(x)
        turned = self.precisions @ (matrix @ self.joint.covariances[:, self.source])
        miss = means @ matrix.T + offset - self.joint.means[:, self.target]
        pull = self.weights[:, None] * np.einsum("kij,kj->ki", self.precisions, miss)
        slope = np.einsum("k,kij->ij", self.weights, turned)
        value = 0.5 * float((slope * matrix).sum() + (pull * miss).sum())
        value -= float(self.weights.sum()) * size
        slope = slope - self.weights.sum() * np.linalg.inv(matrix).T + pull.T @ means
        return value + self.constant, np.concatenate([slope.ravel(), pull.sum(axis=0)])

    def least(self, n_starts: int, *, n_steps: int | None = None) -> float:
        """Return the least total that SciPy finds, from the identity and random maps.

        BFGS up to 20 features, limited-memory BFGS beyond; ``n_steps`` limits every start.
        """
        rng = np.random.default_rng(0)
        d = self.joint.n_features
        method = "BFGS" if d <= _DENSE_UP_TO else "L-BFGS-B"
        options: dict[str, int] = {} if n_steps is None else {"maxiter": n_steps}
        best = np.inf
        for start in range(n_starts):
            matrix = np.eye(d) if start == 0 else rng.standard_normal((d, d))
            x = np.concatenate([matrix.ravel(), np.zeros(d)])
            found = minimize(self, x, jac=True, method=method, options=options)
            best = min(best, float(found.fun))
        return best


def convex_symmetric(solution: IdealSolution) -> float:
    """Return the symmetric programme's least total by cvxpy with Clarabel."""
    import cvxpy as cp

    joint = solution.source
    stays, moves = (joint.groups.index(g) for g in (solution.reference, solution.moves[0]))
    c = int(np.asarray(joint.class_prior).argmax())
    d, q = joint.n_features, np.asarray(solution.distribution.prior)
    half = np.linalg.inv(np.real(sqrtm(joint.covariances[c, stays])))
    root, offset = cp.Variable((d, d), PSD=True), cp.Variable(d)
    total, constant = -q[:, moves].sum() * cp.log_det(root), 0.0
    for j, weight in enumerate(q[:, moves]):
        shape = np.linalg.cholesky(half @ joint.covariances[j, stays] @ half)
        point = half @ (joint.means[j, stays] - joint.means[c, stays])
        form = np.linalg.inv(np.linalg.cholesky(joint.covariances[j, moves]))
        total += 0.5 * weight * cp.sum_squares(form @ root @ shape)
        miss = offset + root @ point - joint.means[j, moves]
        total += 0.5 * weight * cp.sum_squares(form @ miss)
        constant -= 0.5 * weight * (d + 2.0 * np.log(np.diagonal(shape)).sum())
        constant -= weight * np.log(np.diagonal(form)).sum()
    problem = cp.Problem(cp.Minimize(total))
    problem.solve(solver=cp.CLARABEL)
    prior_kl = float((q * np.log(q / joint.prior)).sum())
    return float(problem.value) + float(constant) + prior_kl


def _compare(
    names: dict[str, str], calls: dict[str, Callable[[], Any]], repeats: int
) -> list[tuple[str, str]]:
    """Return head and cell of seconds and ratios for ours and one peer, timed in turn."""
    found: dict[str, Timing] = side_by_side(calls, repeats)
    ours, theirs = found["ours"], found["theirs"]
    return [
        (f"{names['ours']}, CPU s", seconds(ours.cpu)),
        (f"{names['theirs']}, CPU s", seconds(theirs.cpu)),
        ("wall ratio", f"{theirs.wall / ours.wall:,.1f}"),
        ("CPU ratio", f"{theirs.cpu / ours.cpu:,.1f}"),
    ]


def _lines(
    cases: tuple[tuple[int, int], ...],
    names: dict[str, str],
    map_family: str,
    peer: Callable[[IdealSolution], Callable[[], float]],
    repeats: int,
) -> str:
    rows = []
    for n_classes, d in cases:
        joint = free_joint(n_classes, d, seed=0)

        def solve(joint: JointDistribution = joint) -> IdealSolution:
            return nearest_ideal(joint, moves=["m"], map_family=map_family)

        solution = solve()
        other = peer(solution)
        value = other()
        measured = _compare(names, {"ours": solve, "theirs": other}, repeats)
        rows.append(
            [
                ("K, d", f"{n_classes}, {d}"),
                *measured,
                ("KL ours", f"{solution.kl:.9f}"),
                ("theirs less ours", f"{value - solution.kl:+.1e}"),
            ]
        )
    return table([head for head, _ in rows[0]], [[cell for _, cell in row] for row in rows])


def affine_study(repeats: int, n_starts: int) -> str:
    """Time the affine family beside BFGS from many starts on the same programmes."""
    names = {"ours": "nearest_ideal", "theirs": f"(L-)BFGS, {n_starts} starts"}
    body = _lines(
        AFFINE, names, "affine", lambda s: lambda: AffineProgramme.of(s).least(n_starts), repeats
    )
    note = (
        f"Medians of {repeats} rounds. One covariance a cell, one group moves, information. BFGS "
        "is `scipy.optimize.minimize(method='BFGS')`, above 20 features `method='L-BFGS-B'`, over "
        "V and b with the exact gradient, from the identity and random matrices of either "
        "orientation. Ratios are theirs / ours."
    )
    return "\n\n".join(["## Affine maps, free covariances, beside BFGS", note, body])


def symmetric_study(repeats: int) -> str:
    """Time the symmetric family beside cvxpy on the same convex programmes."""
    names = {"ours": "nearest_ideal", "theirs": "cvxpy, Clarabel"}
    body = _lines(SYMMETRIC, names, "symmetric", lambda s: lambda: convex_symmetric(s), repeats)
    note = (
        f"Medians of {repeats} rounds. One covariance a cell, one group moves, information. cvxpy "
        "is given the sum of squares and the log-determinant, compilation included."
    )
    return "\n\n".join(["## Symmetric maps, beside cvxpy", note, body])


def large_free_study(n_classes: int, d: int, n_starts: int, n_steps: int) -> str:
    """Time large programmes of the affine family once, beside limited-memory BFGS."""
    instances = {"unrelated cells": free_joint, "cells fitted from rows": fitted_joint}
    rows = []
    for name, draw in instances.items():
        joint, kept = draw(n_classes, d, seed=0), []
        timed = partial(_keep, kept, partial(nearest_ideal, joint, moves=["m"]))
        ours = side_by_side({"ours": timed}, 1)["ours"]
        solution = kept.pop()
        peer = partial(AffineProgramme.of(solution).least, n_starts, n_steps=n_steps)
        theirs = side_by_side({"theirs": partial(_keep, kept, peer)}, 1)["theirs"]
        rows.append(
            [
                f"{name}, {n_classes}, {d}",
                seconds(ours.wall),
                seconds(ours.cpu),
                f"{solution.kl:.6f}",
                f"{solution.n_iter}, {solution.converged}",
                seconds(theirs.wall),
                seconds(theirs.cpu),
                f"{theirs.wall / ours.wall:,.1f}",
                f"{theirs.cpu / ours.cpu:,.1f}",
                f"{kept.pop() - solution.kl:+.1e}",
            ]
        )
    head = [
        *("K, d", "wall s", "CPU s", "KL", "steps, converged", "L-BFGS, wall s", "L-BFGS, CPU s"),
        *("wall ratio", "CPU ratio", "theirs less ours"),
    ]
    note = (
        "One round. Unrelated cells have covariances that share nothing: the hardest programme. "
        "Fitted cells share eight factors and, between groups, the factors of their class. L-BFGS "
        f"is `scipy.optimize.minimize(method='L-BFGS-B')` from {n_starts} starts, each of at most "
        f"{n_steps} steps."
    )
    title = "## Affine maps, free covariances, large programmes"
    return "\n\n".join([title, note, table(head, rows)])


def _keep(kept: list[Any], call: Callable[[], Any]) -> None:
    kept.append(call())
