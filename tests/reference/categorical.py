"""Categorical laws and their nearest ideals, term by term."""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import minimize


def kl(p, q):
    """Sum over categories, with 0 ln 0 = 0 and p ln(p / 0) infinite."""
    total = 0.0
    for x in range(len(p)):
        if p[x] == 0.0:
            continue
        if q[x] == 0.0:
            return math.inf
        total += p[x] * math.log(p[x] / q[x])
    return total


def joint_kl(prior, table, other_prior, other):
    """KL of two laws of (x, y, a), summed over all triples."""
    n_classes, n_groups, m = table.shape
    total = 0.0
    for y in range(n_classes):
        for a in range(n_groups):
            for x in range(m):
                p = prior[y, a] * table[y, a, x]
                q = other_prior[y, a] * other[y, a, x]
                if p > 0.0:
                    total += p * math.log(p / q) if q > 0.0 else math.inf
    return total


def smoothed_shares(values, categories, alpha):
    """Shares of a cell's rows, alpha added to every category."""
    total = len(values) + alpha * len(categories)
    return [(values.count(x) + alpha) / total for x in categories]


def best_by_descent(objective, m, seed=0):
    """Minimise over the simplex by SLSQP, from several starts."""
    rng = np.random.default_rng(seed)
    best = math.inf
    for _ in range(3):
        found = minimize(
            objective,
            rng.dirichlet(np.ones(m)),
            method="SLSQP",
            bounds=[(1e-12, 1.0)] * m,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1.0},
            options={"ftol": 1e-14, "maxiter": 1000},
        )
        best = min(best, objective(found.x / found.x.sum()))
    return best


def transport_cost(p, q):
    """Least probability of change over all couplings, by a dense linear programme."""
    from scipy.optimize import linprog

    m = len(p)
    cost = [0.0 if i == j else 1.0 for i in range(m) for j in range(m)]
    rows, values = [], []
    for i in range(m):
        rows.append([1.0 if k // m == i else 0.0 for k in range(m * m)])
        values.append(p[i])
    for j in range(m):
        rows.append([1.0 if k % m == j else 0.0 for k in range(m * m)])
        values.append(q[j])
    return linprog(cost, A_eq=rows, b_eq=values, method="highs").fun


def posterior_laws_agree(prior, table, tolerance=1e-9):
    """Whether the law of (P(y | x, a))_y is the same in all groups, atoms merged."""
    n_classes, n_groups, m = table.shape
    laws = []
    for a in range(n_groups):
        law = []
        group = sum(prior[y, a] for y in range(n_classes))
        for x in range(m):
            joint = [prior[y, a] * table[y, a, x] / group for y in range(n_classes)]
            mass = sum(joint)
            if mass == 0.0:
                continue
            atom = [v / mass for v in joint]
            for entry in law:
                if max(abs(u - v) for u, v in zip(entry[0], atom, strict=True)) < tolerance:
                    entry[1] += mass
                    break
            else:
                law.append([atom, mass])
        laws.append(law)
    for law in laws[1:]:
        for first, second in ((laws[0], law), (law, laws[0])):
            for atom, mass in first:
                same = [
                    other_mass
                    for other, other_mass in second
                    if max(abs(u - v) for u, v in zip(atom, other, strict=True)) < 10 * tolerance
                ]
                if abs(sum(same) - mass) > 10 * tolerance:
                    return False
    return True


def bayes_confusion(prior, table, cost):
    """Confusion of the Bayes rule by loops; ties, to 1e-12, to the lowest class."""
    n_classes, n_groups, m = table.shape
    out = np.zeros((n_classes, len(cost[0]), n_groups))
    for a, x in itertools.product(range(n_groups), range(m)):
        joint = [prior[y, a] * table[y, a, x] for y in range(n_classes)]
        mass = sum(joint)
        if mass == 0.0:
            continue
        expected = [
            sum(cost[y][k] * joint[y] / mass for y in range(n_classes)) for k in range(len(cost[0]))
        ]
        chosen = next(k for k, v in enumerate(expected) if v <= min(expected) + 1e-12)
        for y in range(n_classes):
            out[y, chosen, a] += table[y, a, x]
    return out
