"""TPR gaps of a prediction, counted class by class, with a permutation test."""

from itertools import pairwise

import numpy as np


def tpr_by_cell(y, predicted, groups):
    """{(label, group): (TPR, rows)}."""
    cells = {}
    for label in np.unique(y):
        for group in np.unique(groups):
            rows = (y == label) & (groups == group)
            if rows.any():
                cells[label, group] = (float((predicted[rows] == label).mean()), int(rows.sum()))
    return cells


def rms_tpr_gap(y, predicted, groups):
    """Precision-weighted root mean square of the TPR gaps of two groups, plug-in."""
    first, second = np.unique(groups)
    cells = tpr_by_cell(y, predicted, groups)
    square = total = 0.0
    for label in np.unique(y):
        if (label, first) in cells and (label, second) in cells:
            (p0, n0), (p1, n1) = cells[label, first], cells[label, second]
            square += n0 * n1 / (n0 + n1) * (p1 - p0) ** 2
            total += n0 * n1 / (n0 + n1)
    return float(np.sqrt(square / total))


def permutation_p_value(y, predicted, groups, *, n_permutations, seed):
    """Share of permutations of groups within classes with a gap at least as large."""
    rng = np.random.default_rng(seed)
    observed, hits = rms_tpr_gap(y, predicted, groups), 0
    correct = (predicted == y).astype(float)
    order = np.argsort(y, kind="stable")
    edges = np.append(0, np.cumsum(np.unique(y, return_counts=True)[1]))
    member = (groups == np.unique(groups)[1]).astype(float)[order]
    hit = correct[order]
    for _ in range(n_permutations):
        square = total = 0.0
        for s, e in pairwise(edges):
            a = rng.permutation(member[s:e])
            n1, n0 = a.sum(), (1 - a).sum()
            if n0 and n1:
                gap = (a @ hit[s:e]) / n1 - ((1 - a) @ hit[s:e]) / n0
                square += n0 * n1 / (n0 + n1) * gap**2
                total += n0 * n1 / (n0 + n1)
        hits += np.sqrt(square / total) >= observed - 1e-12
    return (1 + hits) / (1 + n_permutations)
