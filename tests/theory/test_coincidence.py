"""When parity, equal opportunity and equalised odds coincide: docs/theory.md, section 3."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reference.theory_experiments import (
    contrast_cost,
    equivalent_experiment,
    from_conditionals,
    law_of_posterior,
    laws_agree,
    odds_gap,
    opportunity_gap,
    parity_gap,
    probability,
    random_cost,
    random_experiment,
    random_simplex,
    random_ties,
    separated_blocks,
    separating_contrast,
    shared_posteriors,
)

SEEDS = st.integers(0, 2**32 - 1)
CLASSES = st.integers(2, 4)
GROUPS = st.integers(2, 3)
KINDS = st.sampled_from(
    ["any", "equivalent", "blocks", "unequal base rates", "separable", "shared posteriors"]
)


def draw(kind, rng, n_classes, n_groups):
    """Experiments on both sides of every equivalence, with zeros, atoms and empty cells."""
    if kind == "equivalent":
        return equivalent_experiment(rng, n_classes, n_groups)
    if kind == "blocks":
        return separated_blocks(rng, n_groups, [n_classes - 1, 1])
    if kind == "shared posteriors":
        return shared_posteriors(rng, n_classes, n_groups)
    if kind == "separable":
        return separated_blocks(rng, n_groups, [1] * n_classes)
    if kind == "unequal base rates":
        base = [random_simplex(rng, 3, zeros=True) for _ in range(n_classes)]
        rows = [[law] * n_groups for law in base]
        label = [random_simplex(rng, n_classes, zeros=True) for _ in range(n_groups)]
        return from_conditionals(label, random_simplex(rng, n_groups), rows)
    return random_experiment(rng, n_classes, n_groups)


def groups_of(joint):
    return range(len(joint[0]))


@given(SEEDS, CLASSES, GROUPS, KINDS)
def test_parity_for_all_costs_is_one_law_of_the_posterior(seed, n_classes, n_groups, kind):
    rng = random.Random(seed)
    joint = draw(kind, rng, n_classes, n_groups)
    if laws_agree(joint):
        costs = [random_cost(rng, n_classes) for _ in range(6)]
        assert all(parity_gap(joint, c, random_ties(seed)) == 0 for c in costs)
        # parity for all costs forces equal base rates and equalised odds
        for y in range(n_classes):
            shares = {
                probability(joint, y, a) / probability(joint, None, a) for a in groups_of(joint)
            }
            assert len(shares) == 1
        assert all(odds_gap(joint, c, random_ties(seed)) == 0 for c in costs)
    else:
        laws = [law_of_posterior(joint, a) for a in groups_of(joint)]
        assert parity_gap(joint, contrast_cost(separating_contrast(rng, laws), 0, 1)) > 0


@given(SEEDS, CLASSES, GROUPS, KINDS)
def test_equal_opportunity_for_all_costs_is_equalised_odds(seed, n_classes, n_groups, kind):
    rng = random.Random(seed)
    joint = draw(kind, rng, n_classes, n_groups)
    differing = [y for y in range(n_classes) if not laws_agree(joint, y)]
    if not differing:
        costs = [random_cost(rng, n_classes) for _ in range(6)]
        assert all(odds_gap(joint, c, random_ties(seed)) == 0 for c in costs)
        return
    # a violation of odds anywhere becomes one of opportunity under another cost matrix
    y = differing[0]
    laws = [law_of_posterior(joint, a, y) for a in groups_of(joint)]
    cost = contrast_cost(separating_contrast(rng, laws), (y + 1) % n_classes, y)
    assert opportunity_gap(joint, cost, classes=[y]) > 0


def test_for_a_single_cost_opportunity_is_less_than_odds():
    # three classes, 0-1 cost: equal true-positive rates, unequal confusions
    half, third = Fraction(1, 2), Fraction(1, 3)
    keep, move = Fraction(3, 4), Fraction(1, 4)
    first = [[keep, move, 0], [0, keep, move], [move, 0, keep]]
    second = [[keep, 0, move], [move, keep, 0], [0, move, keep]]
    rows = [[first[y], second[y]] for y in range(3)]
    joint = from_conditionals([[third] * 3] * 2, [half, half], rows)
    zero_one = [[Fraction(y != k) for k in range(3)] for y in range(3)]
    assert opportunity_gap(joint, zero_one) == 0
    assert odds_gap(joint, zero_one) == move
    assert not laws_agree(joint, 0)


@given(SEEDS, CLASSES, GROUPS)
def test_equal_laws_are_equivalent_experiments(seed, n_classes, n_groups):
    # one law of the posterior <=> each group's rows can be made from another's without labels
    rng = random.Random(seed)
    joint = equivalent_experiment(rng, n_classes, n_groups)
    for a, b in pairwise(groups_of(joint)):
        for y in range(n_classes):
            made = garbled(joint, a, b, y)
            assert made == [p / probability(joint, None, b) for p in joint[y][b]]


def garbled(joint, a, b, y):
    """Carry label y of group a through: row -> posterior -> row of b with that posterior."""
    total_b = probability(joint, None, b)
    law = law_of_posterior(joint, b)
    made = [Fraction(0)] * len(joint[y][b])
    for x, mass in enumerate(joint[y][a]):
        if mass == 0:
            continue
        point = point_of(joint, a, x)
        for z in range(len(made)):
            size = sum(row[b][z] for row in joint) / total_b
            if size and point_of(joint, b, z) == point:
                made[z] += mass / probability(joint, None, a) * size / law[point]
    return made


def point_of(joint, a, x):
    total = sum(row[a][x] for row in joint)
    return tuple(row[a][x] / total for row in joint)


@given(SEEDS, CLASSES, GROUPS, KINDS)
def test_opportunity_gives_parity_where_classes_are_connected(seed, n_classes, n_groups, kind):
    joint = draw(kind, random.Random(seed), n_classes, n_groups)
    if not all(laws_agree(joint, y) for y in range(n_classes)):
        return
    blocks = connected_classes(joint)
    equal = all(
        len(
            {
                sum(probability(joint, y, a) for y in block) / probability(joint, None, a)
                for a in groups_of(joint)
            }
        )
        == 1
        for block in blocks
    )
    assert laws_agree(joint) == equal
    if len(blocks) == 1:
        assert laws_agree(joint)


def connected_classes(joint):
    """Classes joined by rows on which both are possible; classes that never occur are left out."""
    alive = [y for y in range(len(joint)) if probability(joint, y)]
    block = {y: {y} for y in alive}
    for a in groups_of(joint):
        for x in range(len(joint[0][a])):
            met = [y for y in alive if joint[y][a][x]]
            for y, z in pairwise(met):
                merged = block[y] | block[z]
                for w in merged:
                    block[w] = merged
    return {frozenset(b) for b in block.values()}


def test_perfect_separation_has_equal_opportunity_and_no_parity():
    label = [[Fraction(7, 10), Fraction(3, 10)], [Fraction(4, 10), Fraction(6, 10)]]
    sure = [[[1, 0]] * 2, [[0, 1]] * 2]
    joint = from_conditionals(label, [Fraction(1, 2)] * 2, sure)
    rng = random.Random(0)
    assert all(odds_gap(joint, random_cost(rng, 2), random_ties(1)) == 0 for _ in range(20))
    zero_one = [[Fraction(0), Fraction(1)], [Fraction(1), Fraction(0)]]
    assert parity_gap(joint, zero_one) == Fraction(3, 10)


@given(SEEDS, GROUPS, st.booleans())
def test_one_class_of_two_gives_parity_where_certain_rows_weigh_alike(seed, n_groups, equal):
    # given the law of the posterior in class 1, a group is free in its share of eta_1 = 0 alone
    rng = random.Random(seed)
    points = [Fraction(k, 6) for k in rng.sample(range(1, 7), 3)]
    tilted = random_simplex(rng, 3)
    reach = sum(m / s for m, s in zip(tilted, points, strict=True))  # E[1 / eta_1 | Y = 1]
    largest, group = 1 / reach, random_simplex(rng, n_groups)
    common = largest * Fraction(rng.randint(1, 6), 6)
    joint = [[[] for _ in range(n_groups)] for _ in range(2)]
    for a in range(n_groups):
        share = common if equal else largest * Fraction(rng.randint(1, 6), 6)
        for m, s in zip(tilted, points, strict=True):
            joint[1][a].append(group[a] * share * m)
            joint[0][a].append(group[a] * share * m * (1 - s) / s)
        joint[1][a].append(Fraction(0))
        joint[0][a].append(group[a] * (1 - share * reach))
    assert laws_agree(joint, 1)
    costs = [random_cost(rng, 2) for _ in range(6)]
    assert all(opportunity_gap(joint, c, random_ties(seed), classes=[1]) == 0 for c in costs)
    nothing = set()
    for a in groups_of(joint):
        nothing.add(law_of_posterior(joint, a).get((1, 0), Fraction(0)))
        law, given = law_of_posterior(joint, a, 1), probability(joint, 1, a) / group[a]
        assert sum(joint[0][a]) + sum(joint[1][a]) == group[a]
        assert law_of_posterior(joint, a).get((1, 0), 0) == 1 - given * sum(
            m / point[1] for point, m in law.items()
        )
    assert laws_agree(joint) == (len(nothing) == 1)
    assert laws_agree(joint) or not equal


@given(SEEDS, CLASSES, GROUPS)
def test_class_free_bijections_and_independence_are_sufficient(seed, n_classes, n_groups):
    rng = random.Random(seed)
    n_rows = rng.randint(2, 5)
    base = [random_simplex(rng, n_rows, zeros=True) for _ in range(n_classes)]
    rows = [[None] * n_groups for _ in range(n_classes)]
    for a in range(n_groups):
        order = rng.sample(range(n_rows), n_rows)
        for y in range(n_classes):
            rows[y][a] = [base[y][x] for x in order]
    label, group = random_simplex(rng, n_classes), random_simplex(rng, n_groups)
    assert laws_agree(from_conditionals([label] * n_groups, group, rows))
    if n_classes == 2 and base[0] != base[1]:
        # the same without independence of label and group is not ideal
        labels = [[Fraction(1, 3), Fraction(2, 3)], [Fraction(2, 3), Fraction(1, 3)]]
        pair = [row[:2] for row in rows]
        assert not laws_agree(from_conditionals(labels, [Fraction(1, 2)] * 2, pair))


@given(SEEDS, CLASSES)
def test_unequal_base_rates_allow_one_criterion_at_a_time(seed, n_classes):
    # rows are the predictions themselves, their rates given the label common to the groups
    rng = random.Random(seed)
    rates = [random_simplex(rng, 3, zeros=True) for _ in range(n_classes)]
    base = [random_simplex(rng, n_classes) for _ in range(2)]
    joint = from_conditionals(base, random_simplex(rng, 2), [[row] * 2 for row in rates])
    for k in range(3):
        shares = [
            sum(row[a][k] for row in joint) / probability(joint, None, a) for a in groups_of(joint)
        ]
        apart = sum((p - q) * row[k] for p, q, row in zip(*base, rates, strict=True))
        assert shares[0] - shares[1] == apart
        if n_classes == 2 and base[0] != base[1]:
            assert (apart == 0) == (rates[0][k] == rates[1][k])
