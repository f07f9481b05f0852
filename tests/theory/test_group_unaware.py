"""Classifiers that never see the group: docs/theory.md, section 4."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reference.theory_experiments import (
    contrast_cost,
    from_conditionals,
    law_of_posterior,
    laws_agree,
    odds_gap,
    opportunity_gap,
    parity_gap,
    random_cost,
    random_simplex,
    random_ties,
    separating_contrast,
)

SEEDS = st.integers(0, 2**32 - 1)
ZERO_ONE = [[Fraction(0), Fraction(1)], [Fraction(1), Fraction(0)]]
HALF = [Fraction(1, 2)] * 2


def shared_rows(rng, n_classes, n_groups, kind):
    """Joint laws on rows common to the groups, some of them ideal for one criterion."""
    n_rows = rng.randint(2, 4)
    if kind == "row independent of group given label":
        base = [random_simplex(rng, n_rows, zeros=True) for _ in range(n_classes)]
        rows = [[law] * n_groups for law in base]
    else:
        rows = [
            [random_simplex(rng, n_rows, zeros=True) for _ in range(n_groups)]
            for _ in range(n_classes)
        ]
    label = [random_simplex(rng, n_classes) for _ in range(n_groups)]
    if kind == "row independent of group":
        row = random_simplex(rng, n_rows)
        given_row = [
            [random_simplex(rng, n_classes) for _ in range(n_rows)] for _ in range(n_groups)
        ]
        group = random_simplex(rng, n_groups)
        return [
            [
                [group[a] * row[x] * given_row[a][x][y] for x in range(n_rows)]
                for a in range(n_groups)
            ]
            for y in range(n_classes)
        ]
    return from_conditionals(label, random_simplex(rng, n_groups), rows)


KINDS = st.sampled_from(["any", "row independent of group given label", "row independent of group"])


@given(SEEDS, st.integers(2, 3), st.integers(2, 3), KINDS)
def test_laws_of_the_common_posterior_decide(seed, n_classes, n_groups, kind):
    rng = random.Random(seed)
    joint = shared_rows(rng, n_classes, n_groups, kind)
    costs = [random_cost(rng, n_classes) for _ in range(5)]
    if laws_agree(joint, aware=False):
        assert all(parity_gap(joint, c, random_ties(seed), aware=False) == 0 for c in costs)
    else:
        laws = [law_of_posterior(joint, a, aware=False) for a in range(n_groups)]
        cost = contrast_cost(separating_contrast(rng, laws), 0, 1)
        assert parity_gap(joint, cost, aware=False) > 0
    for y in range(n_classes):
        if laws_agree(joint, y, aware=False):
            continue
        laws = [law_of_posterior(joint, a, y, aware=False) for a in range(n_groups)]
        cost = contrast_cost(separating_contrast(rng, laws), (y + 1) % n_classes, y)
        assert opportunity_gap(joint, cost, classes=[y], aware=False) > 0
        return
    assert all(odds_gap(joint, c, random_ties(seed), aware=False) == 0 for c in costs)


def test_parity_without_opportunity():
    # rows independent of the group; they tell the label in one group and nothing in the other
    tells = [[Fraction(9, 10), Fraction(1, 10)], [Fraction(1, 10), Fraction(9, 10)]]
    quarter = Fraction(1, 4)
    joint = [
        [[quarter * Fraction(1, 2)] * 2, [quarter * tells[x][y] for x in (0, 1)]] for y in (0, 1)
    ]
    assert laws_agree(joint, aware=False)
    rng = random.Random(0)
    assert all(parity_gap(joint, random_cost(rng, 2), aware=False) == 0 for _ in range(20))
    assert opportunity_gap(joint, ZERO_ONE, aware=False) == Fraction(9, 10) - Fraction(1, 2)


def test_opportunity_without_parity():
    # rows independent of the group given the label, base rates 1/4 and 3/4
    noisy = [[[Fraction(3, 4), Fraction(1, 4)]] * 2, [[Fraction(1, 4), Fraction(3, 4)]] * 2]
    label = [[Fraction(3, 4), Fraction(1, 4)], [Fraction(1, 4), Fraction(3, 4)]]
    joint = from_conditionals(label, HALF, noisy)
    rng = random.Random(0)
    assert all(odds_gap(joint, random_cost(rng, 2), aware=False) == 0 for _ in range(20))
    assert parity_gap(joint, ZERO_ONE, aware=False) == Fraction(1, 4)


@given(SEEDS, st.integers(2, 3))
def test_opportunity_and_independence_give_parity(seed, n_classes):
    rng = random.Random(seed)
    base = [random_simplex(rng, 4, zeros=True) for _ in range(n_classes)]
    label = random_simplex(rng, n_classes)
    joint = from_conditionals([label] * 3, random_simplex(rng, 3), [[law] * 3 for law in base])
    assert all(laws_agree(joint, y, aware=False) for y in range(n_classes))
    assert laws_agree(joint, aware=False)
