"""`nearest_ideal` for covariances of every cell's own, beside BFGS and beside cvxpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from _speed.markdown import seconds, table
from _speed.timing import Timing, side_by_side
from isonomy.distributions import JointDistribution
from isonomy.ideal import IdealSolution, nearest_ideal

__all__ = ["affine_study", "free_joint", "large_free_study", "symmetric_study"]

AFFINE = ((2, 2), (3, 5), (5, 10), (5, 20))
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

    def least(self, n_starts: int) -> float:
        """Return the least total that SciPy's BFGS finds, from the identity and random maps."""
        rng = np.random.default_rng(0)
        d = self.joint.n_features
        best = np.inf
        for start in range(n_starts):
            matrix = np.eye(d) if start == 0 else rng.standard_normal((d, d))
            x = np.concatenate([matrix.ravel(), np.zeros(d)])
            best = min(best, float(minimize(self, x, jac=True, method="BFGS").fun))
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
    names = {"ours": "nearest_ideal", "theirs": f"BFGS, {n_starts} starts"}
    body = _lines(
        AFFINE, names, "affine", lambda s: lambda: AffineProgramme.of(s).least(n_starts), repeats
    )
    note = (
        f"Medians of {repeats} rounds. One covariance a cell, one group moves, information. BFGS "
        "is `scipy.optimize.minimize(method='BFGS')` over V and b with the exact gradient, from "
        "the identity and random matrices of either orientation. Ratios are theirs / ours."
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


def large_free_study(n_classes: int, d: int) -> str:
    """Time one large programme of the affine family, once."""
    joint = free_joint(n_classes, d, seed=0)
    kept: list[IdealSolution] = []
    found = side_by_side({"ours": lambda: kept.append(nearest_ideal(joint, moves=["m"]))}, 1)
    solution, timing = kept[0], found["ours"]
    row = (
        f"{n_classes}, {d}",
        seconds(timing.wall),
        seconds(timing.cpu),
        f"{solution.kl:.6f}",
        f"{solution.history[0]:.6f}",
        str(solution.n_iter),
        str(solution.converged),
    )
    head = ["K, d", "wall s", "CPU s", "KL", "KL after screening", "steps", "converged"]
    return "\n\n".join(["## Affine maps, free covariances, a large programme", table(head, [row])])
