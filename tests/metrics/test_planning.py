"""Rows needed: exact probabilities, and success as often as promised, with fewer rows less."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact, hypergeom

from isonomy.errors import InvalidInputError
from isonomy.metrics import clopper_pearson_interval, rows_needed, simultaneous_gap_bounds
from isonomy.metrics._verdict_odds import (
    _fisher_edge,
    bound_holds,
    bound_shows,
    fisher_shows,
)
from reference import samples


@pytest.mark.parametrize("n", [(1, 1), (7, 12), (15, 15), (18, 4), (2, 50)])
@pytest.mark.parametrize("level", [0.05, 0.4])
def test_exact_probabilities_are_sums_over_all_outcomes(n, level):
    apart, fisher = samples.apart(n, level), samples.fisher(n, level)
    bounded = {gap: samples.bounded(n, gap, level) for gap in (0.3, 0.8, 1.0)}
    for rates in ((0.5, 0.5), (0.5, 0.9), (0.05, 0.0), (1.0, 0.0)):
        for gap, verdict in bounded.items():
            by_sum = samples.probability(n, (rates[0],) * 2, verdict)
            assert bound_holds(n, rates[0], gap, level) == pytest.approx(by_sum, abs=1e-10)
        by_sum = samples.probability(n, rates, apart)
        assert bound_shows(n, rates, level) == pytest.approx(by_sum, abs=1e-10)
        by_sum = samples.probability(n, rates, fisher)
        assert fisher_shows(n, rates, level) == pytest.approx(by_sum, abs=1e-10)


def draw(rng, rates, cells):
    """Rows of a predictor with true-positive rates (K, G) on cells (K, G) of rows."""
    k, g = cells.shape
    y = np.repeat(np.repeat(np.arange(k), g), cells.ravel())
    a = np.repeat(np.tile(np.arange(g), k), cells.ravel())
    right = rng.random(len(y)) < rates[y, a]
    return y, np.where(right, y, (y + 1) % k), a


def share_bounded(cells, rate, gap, confidence, n_draws=400):
    rng = np.random.default_rng(0)
    rates = np.full(cells.shape, rate)
    hits = 0
    for _ in range(n_draws):
        y, predicted, a = draw(rng, rates, cells)
        found = simultaneous_gap_bounds(y, predicted, sensitive_features=a, confidence=confidence)
        hits += found.upper < gap
    return hits / n_draws


@pytest.mark.parametrize("share", [None, 0.3])
def test_the_bound_falls_below_the_gap_as_often_as_promised(share):
    plan = rows_needed(0.25, 0.9, power=0.8, rate=0.7, share=share, n_classes=2)
    error = 4 * np.sqrt(0.8 * 0.2 / 400)
    found = share_bounded(plan.cells_to_bound, 0.7, 0.25, 0.9)
    assert found == pytest.approx(plan.power_to_bound, abs=error)
    fewer = (0.8 * plan.cells_to_bound).astype(int)
    assert share_bounded(fewer, 0.7, 0.25, 0.9) < 0.8 - error


def test_three_groups_succeed_at_least_as_often_as_promised():
    plan = rows_needed(0.3, 0.9, power=0.8, share=[1, 1, 2])
    cells = np.repeat(plan.cells_to_bound, 2, axis=0)  # a second class, which `draw` needs
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        y, predicted, a = draw(rng, np.full(cells.shape, 0.5), cells)
        hits += (
            simultaneous_gap_bounds(
                y, predicted, sensitive_features=a, confidence=0.9, pos_label=0
            ).upper
            < 0.3
        )
    assert hits / 300 >= 0.8 - 3 * np.sqrt(0.16 / 300)


@pytest.mark.parametrize("method", ["exact", "arcsine", "bounds"])
def test_a_gap_is_told_from_none_as_often_as_promised(method):
    plan = rows_needed(0.3, 0.9, power=0.8, rate=0.6, n_classes=2, method=method)
    n = int(plan.cells_to_detect[0, 0])
    rng = np.random.default_rng(2)

    def share(n_rows):
        hits = 0
        for _ in range(400):
            one, two = rng.binomial(n_rows, [0.45, 0.75])
            if method == "bounds":
                low, high = clopper_pearson_interval([one / n_rows, two / n_rows], n_rows, 0.975)
                hits += high[0] < low[1] or high[1] < low[0]
            else:
                table = [[one, n_rows - one], [two, n_rows - two]]
                hits += min(fisher_exact(table, s)[1] for s in ("less", "greater")) <= 0.1 / 4
        return hits / 400

    error = 4 * np.sqrt(0.16 / 400)
    # Fisher's test is a little more cautious than the arcsine approximation
    assert share(n) >= 0.8 - error - (0.06 if method == "arcsine" else 0.0)
    assert share(int(0.75 * n)) < 0.8


@pytest.mark.parametrize(
    ("gap", "rate", "power", "first"), [(0.4, 0.5, 0.8, None), (0.35, 0.5, 0.8, 67)]
)
def test_the_least_number_of_rows_holds_beyond_it_too(gap, rate, power, first):
    """Exact probabilities are saw-toothed: in the second case 67 rows reach it, 69 do not."""
    plan = rows_needed(gap, 0.9, power=power, rate=rate)
    n = int(plan.cells_to_bound[0, 0])
    at = [bound_holds((m, m), rate, gap, 0.1 / 2) for m in range(1, n + 40)]
    assert min(at[n - 1 :]) >= power
    assert at[n - 2] < power
    assert plan.power_to_bound == pytest.approx(at[n - 1])
    if first is not None:
        assert at[first - 1] >= power
        assert n == 70


def test_more_is_needed_for_less_and_for_more_classes():
    base = rows_needed(0.4)
    for harder in (
        rows_needed(0.3),
        rows_needed(0.4, 0.99),
        rows_needed(0.4, power=0.99),
        rows_needed(0.4, n_classes=5),
        rows_needed(0.4, share=0.1),
    ):
        assert harder.to_detect > base.to_detect
        assert harder.to_bound > base.to_bound
    easier = rows_needed(0.4, rate=0.9)
    assert easier.to_detect < base.to_detect
    assert easier.to_bound < base.to_bound


def test_cells_follow_their_shares():
    plan = rows_needed(0.5, share=[[1, 2], [3, 4]], rate=[0.5, 0.8])
    for cells in (plan.cells_to_detect, plan.cells_to_bound):
        assert cells.tolist() == (cells[0, 0] * np.array([[1, 2], [3, 4]])).tolist()
    assert plan.n_rates == 4
    assert plan.to_bound == plan.cells_to_bound.sum()
    assert rows_needed(0.5, share=0.25).cells_to_bound.shape == (1, 2)
    assert rows_needed(0.5, share=[1, 1, 1], n_classes=2).cells_to_bound.shape == (2, 3)


def test_the_edge_of_fishers_test_is_scipys_where_the_normal_approximation_is_far_off():
    for n, level in (((4, 300), 0.05), ((90, 90), 1e-4), ((60, 7), 0.4)):
        k = np.arange(n[0] + 1)
        edge = _fisher_edge(k, n, level)
        for j, count in zip(edge, k, strict=True):
            total = count + np.array([j, j + 1])
            tail = hypergeom.cdf([j, j + 1], sum(n), total, n[1])
            assert j == -1 or tail[0] <= level
            assert j == n[1] or tail[1] > level


def test_rates_told_from_none_are_the_same_whichever_group_comes_first():
    for odds in (fisher_shows, bound_shows):
        assert odds((30, 400), (0.3, 0.6), 0.05) == odds((400, 30), (0.6, 0.3), 0.05)


def test_the_example_of_the_docstring_is_counted_by_hand():
    """Rows of ``rows_needed(0.2, n_classes=2)``, from sums over every pair of counts."""
    k = np.arange(166)
    for n, enough in ((164, False), (165, True)):
        law = binom.pmf(k[: n + 1], n, 0.4), binom.pmf(k[: n + 1], n, 0.6)
        power = 0.0
        for total in range(2 * n + 1):
            x = np.arange(max(0, total - n), min(n, total) + 1)
            null = hypergeom.pmf(x, 2 * n, n, total)
            # the test's size is halved over two classes
            smaller = np.minimum(np.cumsum(null), np.cumsum(null[::-1])[::-1])
            shown = 2 * smaller <= 0.05 / 2
            power += law[0][x[shown]] @ law[1][total - x[shown]]
        assert (power >= 0.9) == enough


def test_arcsine_rows_solve_the_formula():
    from scipy.stats import norm

    plan = rows_needed(0.2, method="arcsine", rate=0.6)
    h = 2 * np.arcsin(np.sqrt(0.7)) - 2 * np.arcsin(np.sqrt(0.5))
    n = 2 * ((norm.ppf(0.975) + norm.ppf(0.9)) / h) ** 2
    assert plan.cells_to_detect[0, 0] == int(np.ceil(n))


def test_rates_near_an_end_are_moved_inside():
    # rates 0.8 and 1 whatever the rate above 0.9
    assert rows_needed(0.2, rate=0.95).to_detect == rows_needed(0.2, rate=0.9).to_detect
    assert rows_needed(1.0, rate=0.3).power_to_detect >= 0.9


def test_words_and_plain_values():
    plan = rows_needed(0.5, n_classes=2, share=0.4)
    text = str(plan)
    assert f"{plan.to_detect} rows in all" in text
    low, high = plan.cells_to_bound.min(), plan.cells_to_bound.max()
    assert f"{low} to {high} in a cell" in text
    assert json.loads(json.dumps(plan.to_dict()))["to_bound"] == plan.to_bound


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"gap": 0.0}, r"`gap` of `rows_needed` must lie in \(0, 1\]"),
        ({"gap": 0.1, "confidence": 1.0}, r"`confidence` of `rows_needed` must lie in \(0, 1\)"),
        ({"gap": 0.1, "power": 0}, "`power` of `rows_needed`"),
        ({"gap": 0.1, "rate": 1.2}, "`rate` of `rows_needed`"),
        ({"gap": 0.1, "share": [1.0]}, "positive shares of at least two groups"),
        ({"gap": 0.1, "share": [1.0, 0.0]}, "positive shares of at least two groups"),
        ({"gap": 0.1, "share": 1.0}, "`share` of `rows_needed`"),
        ({"gap": 0.1, "rate": [0.5, 0.6], "n_classes": 3}, "one number of classes"),
        ({"gap": 0.1, "method": "guess"}, "`method` of `rows_needed`"),
        ({"gap": 1e-7, "method": "arcsine"}, "large enough to be seen in 100000000 rows"),
        ({"gap": 1e-4}, 'in 200000 rows a cell.* or `method="arcsine"`'),
    ],
)
def test_wrong_arguments_are_named(arguments, match):
    with pytest.raises(InvalidInputError, match=match):
        rows_needed(**arguments)
