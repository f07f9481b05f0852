"""Losses and penalties, row by row and term by term, in plain Python floats."""

from __future__ import annotations

import math

import numpy as np

IGNORED = -100


def probabilities(z):
    top = max(z)
    e = [math.exp(v - top) for v in z]
    return [v / sum(e) for v in e]


def log_softmax(z, k):
    top = max(z)
    return z[k] - top - math.log(sum(math.exp(v - top) for v in z))


def margin(z, k):
    """log p_k / (1 - p_k)."""
    others = [v for j, v in enumerate(z) if j != k]
    top = max(others)
    return z[k] - top - math.log(sum(math.exp(v - top) for v in others))


def sigmoid(v):
    return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))


def each_row(loss):
    """Apply a loss of one row and its label to every row; ignored rows give 0."""

    def rows(logits, labels, **settings):
        found = []
        for z, y in zip(logits, labels, strict=True):
            found.append(0.0 if y == IGNORED else loss(list(map(float, z)), int(y), **settings))
        return np.array(found)

    return rows


@each_row
def cross_entropy(z, y, weight=None):
    return -(1.0 if weight is None else weight[y]) * log_softmax(z, y)


@each_row
def logit_adjusted(z, y, class_counts, tau=1.0):
    n = sum(class_counts)
    shifted = [v + tau * math.log(c / n) for v, c in zip(z, class_counts, strict=True)]
    return -log_softmax(shifted, y)


@each_row
def balanced_softmax(z, y, class_counts):
    top = max(z)
    parts = [c * math.exp(v - top) for v, c in zip(z, class_counts, strict=True)]
    # the logarithm of the row's own part apart: exp(z_y - top) may be less than any float
    return math.log(sum(parts)) - math.log(class_counts[y]) - (z[y] - top)


@each_row
def focal(z, y, gamma=2.0, weight=None):
    p = probabilities(z)
    rest = sum(v for j, v in enumerate(p) if j != y)
    return -(1.0 if weight is None else weight[y]) * rest**gamma * log_softmax(z, y)


@each_row
def ldam(z, y, class_counts, max_margin=0.5, scale=10.0, weight=None):
    delta = [1 / c**0.25 for c in class_counts]
    delta = [d * max_margin / max(delta) for d in delta]
    moved = [scale * (v - (delta[k] if k == y else 0.0)) for k, v in enumerate(z)]
    return -(1.0 if weight is None else weight[y]) * log_softmax(moved, y)


def class_balanced_weights(class_counts, beta):
    """Inverse effective numbers, then divided by their mean over the training rows."""
    raw = []
    for n in class_counts:
        # 1 + beta + ... + beta^(n-1), literally
        raw.append(1 / sum(beta**i for i in range(int(n))))
    mean = sum(w * n for w, n in zip(raw, class_counts, strict=True)) / sum(class_counts)
    return np.array([w / mean for w in raw])


def binary_cross_entropy(logits, labels, weight=None):
    found = []
    for z, y in zip(logits, labels, strict=True):
        total = 0.0
        for k, (v, there) in enumerate(zip(z, y, strict=True)):
            if there == IGNORED:
                continue
            loss = -math.log(sigmoid(float(v) if there else -float(v)))
            total += (1.0 if weight is None else weight[k]) * loss
        found.append(total / len(z))
    return np.array(found)


def mean(values):
    return sum(values) / len(values)


# --- penalties as functions of a whole data set ------------------------------------------


def equity(logits, labels, unprivileged, margin_weight=1.0, histogram_weight=1.0, e=1e-3):
    """The squared difference of mean margins plus the divergence of the histogram."""
    k = len(logits[0])
    rows = {c: [list(z) for z, y in zip(logits, labels, strict=True) if y == c] for c in range(k)}
    seen = [c for c in range(k) if rows[c]]
    margins = {c: mean([margin(z, c) for z in rows[c]]) for c in seen}
    high = [margins[c] for c in seen if not unprivileged[c]]
    low = [margins[c] for c in seen if unprivileged[c]]
    difference = (mean(high) - mean(low)) ** 2 if high and low else 0.0
    divergence = 0.0
    for c in seen:
        h = mean([mean([probabilities(z)[c] for z in rows[d]]) for d in seen])
        u = 1 / len(seen)
        divergence += u * math.log(u / ((1 - e) * h + e * u))
    return margin_weight * difference + histogram_weight * divergence


def equity_multi_label(logits, labels, unprivileged, e=1e-3):
    k = len(logits[0])
    cells = with_and_without(logits, labels)
    margins = {c: mean(cells[c][0]) for c in range(k) if cells[c][0]}
    high = [m for c, m in margins.items() if not unprivileged[c]]
    low = [m for c, m in margins.items() if unprivileged[c]]
    difference = (mean(high) - mean(low)) ** 2 if high and low else 0.0
    rate = {
        c: mean([sigmoid(v) for v in there]) + mean([sigmoid(v) for v in absent])
        for c, (there, absent) in cells.items()
        if there and absent
    }
    u = 1 / len(rate) if rate else 0.0
    divergence = sum(
        u * math.log(u / ((1 - e) * r / sum(rate.values()) + e * u)) for r in rate.values()
    )
    return difference + divergence


def with_and_without(logits, labels):
    """For every label the logits of rows with it and of rows without it."""
    cells = {c: ([], []) for c in range(len(logits[0]))}
    for z, y in zip(logits, labels, strict=True):
        for c, v in enumerate(z):
            if np.ndim(y):
                if y[c] != IGNORED:
                    cells[c][0 if y[c] else 1].append(float(v))
            elif y != IGNORED:
                cells[c][0 if y == c else 1].append(float(v))
    return cells


def level(logits, labels):
    cells = [(mean(a), mean(b)) for a, b in with_and_without(logits, labels).values() if a and b]
    total = 0.0
    for side in (0, 1):
        h = [pair[side] for pair in cells]
        total += math.sqrt(sum((v - mean(h)) ** 2 for v in h) / len(h))
    return total


def gap(logits, labels, margin=5.0):
    cells = [(mean(a), mean(b)) for a, b in with_and_without(logits, labels).values() if a and b]
    return max(0.0, margin - (mean([a for a, _ in cells]) - mean([b for _, b in cells])))


def pairs(values):
    """The mean squared difference over pairs."""
    found = [(a - b) ** 2 for i, a in enumerate(values) for b in values[i + 1 :]]
    return mean(found)


def demographic_parity(logits, labels, groups, *, multi_label=False):
    k = len(logits[0])
    known = [i for i, y in enumerate(labels) if (np.asarray(y) != IGNORED).any()]
    present = sorted({int(groups[i]) for i in known} - {-1})
    if len(present) < 2:
        return 0.0
    terms = []
    for c in range(k):
        rates = []
        for a in present:
            rows = [logits[i] for i in known if groups[i] == a]
            one = [sigmoid(z[c]) if multi_label else probabilities(z)[c] for z in rows]
            rates.append(mean(one))
        terms.append(pairs(rates))
    return mean(terms) if multi_label else 0.5 * sum(terms)


def equal_opportunity(logits, labels, groups, *, multi_label=False):
    terms = []
    for c in range(len(logits[0])):
        hits = {}
        for z, y, a in zip(logits, labels, groups, strict=True):
            if a != -1 and (y[c] == 1 if multi_label else y == c):
                p = sigmoid(z[c]) if multi_label else probabilities(z)[c]
                hits.setdefault(int(a), []).append(p)
        if len(hits) >= 2:
            terms.append(pairs([mean(hits[a]) for a in sorted(hits)]))
    return mean(terms) if terms else 0.0


def group_weights(weights, losses, groups, step_size):
    """One step of exponentiated gradient ascent on the groups' weights."""
    new = []
    for g, q in enumerate(weights):
        mine = [loss for loss, a in zip(losses, groups, strict=True) if a == g]
        new.append(q * math.exp(step_size * (mean(mine) if mine else 0.0)))
    return np.array(new) / sum(new)


def slope(function, logits, step=1e-6):
    """The gradient of a number by central differences, entry by entry."""
    logits = np.array(logits, dtype=float)
    found = np.zeros_like(logits)
    for at in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += step
        down[at] -= step
        found[at] = (function(up) - function(down)) / (2 * step)
    return found


class RunningMean:
    """The exponential mean of one cell, by steps of rows."""

    def __init__(self, momentum):
        self.momentum, self.total, self.weight = momentum, 0.0, 0.0

    def step(self, rows):
        if len(rows) == 0:
            return
        keep = self.momentum ** len(rows)
        self.total = keep * self.total + (1 - keep) * np.mean(rows, axis=0)
        self.weight = keep * self.weight + (1 - keep)

    @property
    def value(self):
        return self.total / self.weight
