"""LinearPost's primal programme over all n K variables, dense, one constraint at a time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def rates_of(pi, joint, weight, criterion, positive=1):
    """Return {(condition, class): [rate of every group]} of the rates to be equal."""
    n, n_classes, n_groups = joint.shape
    decided = range(n_classes) if n_classes > 2 else [positive]
    rates = {}
    for k in decided:
        if criterion == "demographic_parity":
            conditions = ["all"]
        elif criterion == "equal_opportunity":
            conditions = [k]
        else:
            conditions = list(range(n_classes))
        for c in conditions:
            found = []
            for a in range(n_groups):
                top = bottom = 0.0
                for i in range(n):
                    p = joint[i, :, a].sum() if c == "all" else joint[i, c, a]
                    top += weight[i] * p * pi[i, k]
                    bottom += weight[i] * p
                found.append(top / bottom if bottom > 0 else np.nan)
            rates[c, k] = found
    return rates


def risk_of(pi, proba, weight, costs):
    """Return the mean expected cost of a randomised rule."""
    total = 0.0
    for i in range(len(proba)):
        for k in range(proba.shape[1]):
            for y in range(proba.shape[1]):
                total += weight[i] * pi[i, k] * proba[i, y] * costs[y, k]
    return total / weight.sum()


def largest_difference_of(pi, joint, weight, criterion, positive=1):
    rates = rates_of(pi, joint, weight, criterion, positive).values()
    return max(np.nanmax(r) - np.nanmin(r) for r in rates)


def least_risk(proba, joint, weight, criterion, tolerance, costs, positive=1):
    """Return (least risk, pi) by the literal primal: pairs of groups may differ by tolerance."""
    n, n_classes = proba.shape
    n_groups = joint.shape[2]
    names = list(rates_of(np.zeros((n, n_classes)), joint, weight, criterion, positive))
    n_pi = n * n_classes
    cost = np.zeros(n_pi + len(names))
    for i in range(n):
        for k in range(n_classes):
            cost[i * n_classes + k] = weight[i] / weight.sum() * (proba[i] @ costs[:, k])
    rows, bounds = [], []
    for q, (c, k) in enumerate(names):
        for a in range(n_groups):
            p = joint[:, :, a].sum(axis=1) if c == "all" else joint[:, c, a]
            if (weight * p).sum() == 0:
                continue
            row = np.zeros(n_pi + len(names))
            for i in range(n):
                row[i * n_classes + k] = weight[i] * p[i] / (weight * p).sum()
            row[n_pi + q] = -1.0
            rows += [row, -row]
            bounds += [tolerance / 2, tolerance / 2]
    one = np.zeros((n, n_pi + len(names)))
    for i in range(n):
        one[i, i * n_classes : (i + 1) * n_classes] = 1.0
    found = linprog(
        cost,
        A_ub=np.array(rows),
        b_ub=bounds,
        A_eq=one,
        b_eq=np.ones(n),
        bounds=[(0, 1)] * n_pi + [(None, None)] * len(names),
        method="highs",
    )
    assert found.status == 0
    return found.fun, found.x[:n_pi].reshape(n, n_classes)


def quantile_thresholds(score, group, share):
    """Decide 1 for the ``share`` of every group with the largest scores (parity, binary)."""
    decided = np.zeros(len(score), dtype=int)
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        chosen = rows[np.argsort(-score[rows], kind="stable")][: round(share * len(rows))]
        decided[chosen] = 1
    return decided
