"""What "for every cost matrix" must mean: docs/theory.md, section 2."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reference.theory_experiments import (
    contrast_cost,
    equivalent_experiment,
    gaps,
    honest_cost,
    law_of_posterior,
    lowest,
    odds_gap,
    parity_gap,
    posterior,
    random_cost,
    random_experiment,
    random_ties,
    separating_contrast,
)

SEEDS = st.integers(0, 2**32 - 1)


def test_with_ties_broken_by_group_no_law_is_ideal():
    # C = 0: every classifier minimises the risk, so "predict the group" does too
    joint = equivalent_experiment(random.Random(0), 2, 2, zeros=False)
    zero = [[Fraction(0)] * 2] * 2
    by_group = [rate_of_group(joint, a, zero) for a in (0, 1)]
    assert by_group == [0, 1]
    # an atom of the posterior on a tie does the same with a cost that is not 0
    coin = [[[Fraction(1, 4)]] * 2] * 2
    assert posterior(coin, 0, 0) == (Fraction(1, 2), Fraction(1, 2))
    zero_one = [[Fraction(0), Fraction(1)], [Fraction(1), Fraction(0)]]
    assert [rate_of_group(coin, a, zero_one) for a in (0, 1)] == [0, 1]
    assert parity_gap(coin, zero_one) == 0  # while one rule for all is fair


def rate_of_group(joint, a, cost):
    """P(predicted = 1 | a) of the minimiser that breaks every tie by the group's number."""

    def by_group(point, best):
        return {a if a in best else best[0]: Fraction(1)}

    law = law_of_posterior(joint, a)
    return sum(m * by_group(p, best_of(p, cost)).get(1, 0) for p, m in law.items())


def best_of(point, cost):
    values = [sum(p * row[k] for p, row in zip(point, cost, strict=True)) for k in range(2)]
    return [k for k in range(2) if values[k] == min(values)]


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
def test_any_tie_rule_common_to_the_groups_will_do(seed, n_classes, n_groups):
    # an ideal law is fair under every common tie rule, also a randomised one ...
    rng = random.Random(seed)
    joint = equivalent_experiment(rng, n_classes, n_groups)
    for _ in range(3):
        cost = random_cost(rng, n_classes)
        for ties in (lowest, random_ties(seed)):
            assert parity_gap(joint, cost, ties) == 0
            assert odds_gap(joint, cost, ties) == 0
    # ... and a law that is not ideal is convicted under every one of them
    other = random_experiment(rng, n_classes, n_groups)
    laws = [law_of_posterior(other, a) for a in range(n_groups)]
    if any(law != laws[0] for law in laws):
        cost = contrast_cost(separating_contrast(rng, laws), 0, 1)
        assert all(parity_gap(other, cost, ties) > 0 for ties in (lowest, random_ties(seed)))


@given(SEEDS, st.integers(2, 4))
def test_costs_with_a_zero_diagonal_are_enough(seed, n_classes):
    # no right answer costs anything, every wrong one does: such costs convict as well
    rng = random.Random(seed)
    joint = random_experiment(rng, n_classes, 2)
    laws = [law_of_posterior(joint, a) for a in range(2)]
    if laws[0] == laws[1]:
        return
    contrast = separating_contrast(rng, laws)
    ups = [y for y, c in enumerate(contrast) if c > 0]
    downs = [y for y, c in enumerate(contrast) if c < 0]
    if not ups or not downs:
        return
    cost = honest_cost(contrast, ups[0], downs[0], 10**60)
    assert all(cost[y][y] == 0 for y in range(n_classes))
    assert all(cost[y][k] > 0 for y in range(n_classes) for k in range(n_classes) if k != y)
    # what such costs show: the half-space without the corners of the other labels, and these
    found = gaps(joint, cost)[downs[0]]
    corners = [tuple(Fraction(y == k) for k in range(n_classes)) for y in range(n_classes)]
    others = [corners[k] for k in range(n_classes) if k not in (ups[0], downs[0])]
    masses = [
        sum(m for p, m in law.items() if p not in others and _value(contrast, p) < 0)
        for law in laws
    ]
    assert found == abs(masses[0] - masses[1])
    assert parity_gap(joint, cost) > 0


def _value(contrast, point):
    return sum(c * p for c, p in zip(contrast, point, strict=True))
