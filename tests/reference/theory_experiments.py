"""Finite experiments in exact fractions: laws of posteriors, Bayes rules, rates, and witnesses.

An experiment is ``joint[y][a][x]``, the probability of label y, group a and row x. Rows of
different groups never meet in a group-aware statement, so each group may have its own rows.
"""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

ZERO = Fraction(0)


def random_simplex(rng, n, *, zeros=False):
    """A law on n points in small fractions; ``zeros`` allows empty points."""
    parts = [rng.randint(0 if zeros else 1, 5) for _ in range(n)]
    if sum(parts) == 0:
        parts[rng.randrange(n)] = 1
    return [Fraction(part, sum(parts)) for part in parts]


def from_conditionals(label_given_group, group, rows):
    """joint[y][a][x] from P(y | a), P(a) and rows[y][a][x] = P(x | y, a)."""
    return [
        [[group[a] * label_given_group[a][y] * p for p in rows[y][a]] for a in range(len(group))]
        for y in range(len(rows))
    ]


def split_rows(rng, laws):
    """An equivalent experiment: every row is cut in pieces whose sizes ignore the label."""
    cuts = [random_simplex(rng, rng.randint(1, 3)) for _ in laws[0]]
    order = [(x, piece) for x, cut in enumerate(cuts) for piece in cut]
    rng.shuffle(order)
    return [[law[x] * piece for x, piece in order] for law in laws]


def random_experiment(rng, n_classes, n_groups, *, zeros=True):
    """No structure at all: independent conditional laws, some probabilities 0."""
    rows = [[None] * n_groups for _ in range(n_classes)]
    for a in range(n_groups):
        n_rows = rng.randint(2, 4)
        for y in range(n_classes):
            rows[y][a] = random_simplex(rng, n_rows, zeros=zeros)
    label = [random_simplex(rng, n_classes, zeros=zeros) for _ in range(n_groups)]
    return from_conditionals(label, random_simplex(rng, n_groups), rows)


def equivalent_experiment(rng, n_classes, n_groups, *, zeros=True):
    """Label independent of group, rows that are split and shuffled copies: no bijection."""
    n_rows = rng.randint(2, 4)
    base = [random_simplex(rng, n_rows, zeros=zeros) for _ in range(n_classes)]
    copies = [split_rows(rng, base) for _ in range(n_groups)]
    rows = [[copies[a][y] for a in range(n_groups)] for y in range(n_classes)]
    label = random_simplex(rng, n_classes, zeros=zeros)
    return from_conditionals([label] * n_groups, random_simplex(rng, n_groups), rows)


def shared_posteriors(rng, n_classes, n_groups):
    """The same posteriors in every group, with weights of their own."""
    points = [random_simplex(rng, n_classes, zeros=True) for _ in range(3)]
    group = random_simplex(rng, n_groups)
    weights = [random_simplex(rng, 3) for _ in range(n_groups)]
    return [
        [[group[a] * weights[a][x] * points[x][y] for x in range(3)] for a in range(n_groups)]
        for y in range(n_classes)
    ]


def separated_blocks(rng, n_groups, block_sizes):
    """Blocks of labels on rows of their own, equivalent within; block weights differ by group.

    Equalised odds hold for all costs; parity only if the block weights are equal.
    """
    inner = []
    for size in block_sizes:
        label = random_simplex(rng, size)
        inner.append((label, [random_simplex(rng, 3) for _ in range(size)]))
    group = random_simplex(rng, n_groups)
    joint = [[[] for _ in range(n_groups)] for _ in range(sum(block_sizes))]
    for a in range(n_groups):
        weight = random_simplex(rng, len(block_sizes), zeros=True)
        first = 0
        for b, (label, laws) in enumerate(inner):
            copies = split_rows(rng, laws)
            for y in range(sum(block_sizes)):
                inside = first <= y < first + len(label)
                for x in range(len(copies[0])):
                    p = weight[b] * label[y - first] * copies[y - first][x] if inside else ZERO
                    joint[y][a].append(group[a] * p)
            first += len(label)
    return joint


def probability(joint, y=None, a=None):
    """P(Y = y, A = a), or a margin where one is None."""
    labels = range(len(joint)) if y is None else [y]
    groups = range(len(joint[0])) if a is None else [a]
    return sum(sum(joint[i][j]) for i in labels for j in groups)


def posterior(joint, a, x, *, aware=True):
    """P(Y = . | x, a), or P(Y = . | x) if not ``aware``; None where x cannot occur."""
    groups = [a] if aware else range(len(joint[0]))
    sizes = [sum(joint[y][b][x] for b in groups) for y in range(len(joint))]
    total = sum(sizes)
    return tuple(size / total for size in sizes) if total else None


def law_of_posterior(joint, a, y=None, *, aware=True):
    """The law of the posterior given A = a (and Y = y): {posterior: probability}, or None."""
    total = probability(joint, y, a)
    if total == 0:
        return None
    law = {}
    labels = range(len(joint)) if y is None else [y]
    for x in range(len(joint[0][a])):
        mass = sum(joint[i][a][x] for i in labels)
        if mass:
            point = posterior(joint, a, x, aware=aware)
            law[point] = law.get(point, ZERO) + mass / total
    return law


def laws_agree(joint, y=None, *, aware=True):
    """Whether law(posterior | A = a[, Y = y]) is one law for the groups where it exists."""
    laws = [law_of_posterior(joint, a, y, aware=aware) for a in range(len(joint[0]))]
    known = [law for law in laws if law is not None]
    return all(first == second for first, second in pairwise(known))


def expected_costs(point, cost):
    """The expected cost of every prediction at a posterior."""
    return [
        sum(p * row[k] for p, row in zip(point, cost, strict=True)) for k in range(len(cost[0]))
    ]


def lowest(point, best):
    """Break ties for the first prediction."""
    return {best[0]: Fraction(1)}


def random_ties(seed):
    """A randomised tie rule that is one function of the posterior, the same in all groups."""

    def rule(point, best):
        rng = random.Random(repr((seed, point)))
        return dict(zip(best, random_simplex(rng, len(best)), strict=True))

    return rule


def decision(point, cost, ties=lowest):
    """{prediction: probability} of a Bayes rule at a posterior."""
    values = expected_costs(point, cost)
    best = [k for k, value in enumerate(values) if value == min(values)]
    return ties(point, best)


def rates(law, cost, ties=lowest):
    """[P(predicted = k) for every k] where the posterior follows ``law``."""
    found = [ZERO] * len(cost[0])
    for point, mass in law.items():
        for k, p in decision(point, cost, ties).items():
            found[k] += mass * p
    return found


def gaps(joint, cost, y=None, ties=lowest, *, aware=True):
    """For every k the largest difference between groups of P(predicted = k | A = a[, Y = y])."""
    laws = [law_of_posterior(joint, a, y, aware=aware) for a in range(len(joint[0]))]
    table = [rates(law, cost, ties) for law in laws if law is not None]
    if not table:
        return [ZERO] * len(cost[0])
    return [max(column) - min(column) for column in zip(*table, strict=True)]


def parity_gap(joint, cost, ties=lowest, *, aware=True):
    """Largest violation of demographic parity."""
    return max(gaps(joint, cost, None, ties, aware=aware))


def opportunity_gap(joint, cost, ties=lowest, *, classes=None, aware=True):
    """Largest difference of a true-positive rate, over ``classes`` (default all)."""
    chosen = range(len(joint)) if classes is None else classes
    return max(gaps(joint, cost, y, ties, aware=aware)[y] for y in chosen)


def odds_gap(joint, cost, ties=lowest, *, aware=True):
    """Largest difference of any rate P(predicted | true, group)."""
    return max(max(gaps(joint, cost, y, ties, aware=aware)) for y in range(len(joint)))


def random_cost(rng, n_classes):
    """Small integers, so that ties and equal columns happen."""
    return [[Fraction(rng.randint(-2, 2)) for _ in range(n_classes)] for _ in range(n_classes)]


def contrast_cost(contrast, first, second):
    """Costs under which ``second`` is predicted where contrast . posterior < 0, else ``first``."""
    n = len(contrast)
    never = 1 + sum(abs(c) for c in contrast)
    cost = [[never] * n for _ in range(n)]
    for y in range(n):
        cost[y][first], cost[y][second] = ZERO, contrast[y]
    return cost


def honest_cost(contrast, first, second, price):
    """As `contrast_cost` with 0 on the diagonal and positive costs beside it.

    Needs contrast[first] > 0 > contrast[second]. The other predictions win only where their
    own label has a posterior of nearly 1, the nearer the greater ``price``.
    """
    n = len(contrast)
    cost = [[ZERO if k == y else Fraction(price) for k in range(n)] for y in range(n)]
    for y in range(n):
        cost[y][first] = 1 + max(ZERO, -contrast[y])
        cost[y][second] = cost[y][first] + contrast[y]
    cost[first][first], cost[first][second] = ZERO, contrast[first]
    cost[second][first], cost[second][second] = -contrast[second], ZERO
    return cost


def separating_contrast(rng, laws):
    """A contrast c with P(c . posterior < 0) different between the laws, which must differ.

    The posterior that is extreme in a random direction, among those on which the laws
    disagree, is cut off: Cramer and Wold's argument on a finite set.
    """
    known = [law for law in laws if law is not None]
    points = {p for law in known for p in law if len({one.get(p, ZERO) for one in known}) > 1}
    n = len(next(iter(points)))
    while True:
        direction = [Fraction(rng.randint(-(10**6), 10**6)) for _ in range(n)]
        heights = {p: sum(d * s for d, s in zip(direction, p, strict=True)) for p in points}
        if len(set(heights.values())) == len(points):
            low = sorted(heights.values())
            level = (low[0] + low[1]) / 2 if len(low) > 1 else low[0] + 1
            # the posterior sums to 1: an affine half-space is a linear one
            return [d - level for d in direction]
