"""The p-values of an audit: their size under chance, and power among unequal groups."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.auditing import audit
from isonomy.auditing._chance import Asked, chance_p_values, largest_deviation
from isonomy.metrics._counts import read_rows
from isonomy.metrics._gap_statistics import group_pairs


def make_rows(rng, sizes, gap=0.0, weighted=False):
    g = np.repeat(np.arange(len(sizes)), sizes)
    y = rng.integers(0, 3, len(g))
    right = rng.random(len(g)) < 0.7 - gap * (g == 1)
    p = np.where(right, y, rng.integers(0, 3, len(g)))
    w = rng.choice([0.5, 1.0, 2.0], len(g)) if weighted else None
    return read_rows(y, p, g, w, where="test")


@pytest.mark.parametrize(("weighted", "runs"), [(False, 250), (True, 30)])
def test_size_of_every_test_is_its_level(weighted, runs):
    rng = np.random.default_rng(5)
    asked = Asked(np.arange(3), np.ones((3, 4), dtype=bool), group_pairs(4, None))
    rejected = dict.fromkeys(
        chance_p_values(make_rows(rng, [90] * 4), asked, n_permutations=100, rng=rng), 0
    )
    for _ in range(runs):
        rows = make_rows(rng, [150, 80, 40, 20], weighted=weighted)
        for name, p in chance_p_values(rows, asked, n_permutations=99, rng=rng).items():
            rejected[name] += p <= 0.05
    # binomial with probability .05: more than mean + 4 standard deviations once in 30,000
    limit = 0.05 * runs + 4 * np.sqrt(0.05 * 0.95 * runs)
    assert all(n <= limit for n in rejected.values()), rejected
    assert sum(rejected.values()) > 0


@pytest.mark.parametrize("weighted", [False, True])
def test_a_gap_between_large_groups_is_not_hidden_by_small_ones(weighted):
    rng = np.random.default_rng(6)
    rows = make_rows(rng, [3000, 2000, 40, 30, 30], gap=0.1, weighted=weighted)
    asked = Asked(np.arange(3), np.ones((3, 5), dtype=bool), group_pairs(5, None))
    found = chance_p_values(rows, asked, n_permutations=299, rng=rng)
    for name in ("rms_tpr_gap_precision", "equal_opportunity_difference", "accuracy_difference"):
        assert found[name] <= 0.01


def test_with_two_groups_the_deviation_is_the_pooled_z_statistic():
    n, rates = np.array([[50.0, 80.0]]), np.array([[0.6, 0.45]])
    pooled = (30 + 36) / 130
    z = 0.15 / np.sqrt(pooled * (1 - pooled) * (1 / 50 + 1 / 80))
    assert float(largest_deviation(rates, n, np.ones((1, 2), dtype=bool))) == pytest.approx(z)


def test_nobody_differs_in_a_rate_that_is_one_for_all():
    n, rates = np.array([[50.0, 80.0]]), np.ones((1, 2))
    usable = np.ones((1, 2), dtype=bool)
    assert float(largest_deviation(rates, n, usable)) == 0
    assert np.isnan(largest_deviation(rates, n, np.array([[True, False]])))
    y = [0, 1] * 40
    found = audit(y, y, sensitive_features=["f", "f", "m", "m"] * 20, n_boot=200)
    assert {d["p_value"] for d in found.disparities} == {1.0}
