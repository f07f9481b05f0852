"""The permutation test: exact law, size, power, ties."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from isonomy.metrics import confusion_counts
from isonomy.metrics._counts import read_rows
from isonomy.metrics._gap_statistics import cell_rates, class_weights, mean_square
from isonomy.metrics.permutation import (
    p_value,
    permuted_rates,
    random_tables,
    shuffled_statistics,
)


def test_random_tables_follow_the_law_of_shuffling():
    outcomes, groups = [0, 0, 1, 1, 2], [0, 0, 1, 1, 2]
    exact = Counter(
        tuple(sorted(zip(outcomes, dealt, strict=True))) for dealt in permutations(groups)
    )
    exact = {cells: n / 120 for cells, n in exact.items()}
    rng = np.random.default_rng(0)
    size = 20_000
    tables = random_tables(np.array([2, 2, 1]), np.array([2, 2, 1]), size, rng)
    seen = Counter(
        tuple(sorted((k, a) for k, a in np.ndindex(3, 3) for _ in range(int(table[k, a]))))
        for table in tables
    )
    assert set(seen) == set(exact)
    for cells, chance in exact.items():
        # six standard errors
        assert seen[cells] / size == pytest.approx(chance, abs=6 * np.sqrt(chance / size))


@pytest.mark.parametrize(
    ("rows", "columns"), [([5, 0, 3], [4, 4]), ([7], [2, 3, 2]), ([0, 0], [0, 0])]
)
def test_random_tables_keep_both_margins(rows, columns):
    tables = random_tables(np.array(rows), np.array(columns), 50, np.random.default_rng(0))
    assert (tables.sum(axis=2) == rows).all()
    assert (tables.sum(axis=1) == columns).all()
    assert (tables >= 0).all()


def test_p_value_counts_ties_and_never_is_zero():
    assert p_value(1.0, np.zeros(99)) == 0.01
    assert p_value(1.0, np.ones(99)) == 1.0
    assert p_value(0.1 + 0.2, np.array([0.3])) == 1.0


@pytest.mark.parametrize("n_groups", [2, 3])
def test_size_of_the_test_is_its_level(n_groups):
    rng = np.random.default_rng(n_groups)
    n = rng.integers(15, 60, (10, n_groups))
    pair = (0, n_groups - 1)
    rejected = 0
    for _ in range(300):
        y = np.repeat(np.arange(10), n.sum(axis=1))
        g = np.concatenate([np.repeat(np.arange(n_groups), row) for row in n])
        p = np.where(rng.random(len(y)) < 0.7, y, -1)
        counts = confusion_counts(y, p, sensitive_features=g)
        cells = cell_rates(counts)
        weights = class_weights(cells, pair, "precision")
        observed = float(mean_square(cells.rates, weights, pair))
        permuted = mean_square(permuted_rates(counts, 199, rng), weights, pair)
        rejected += p_value(observed, permuted) <= 0.05
    # 15 expected of 300; 30 or more once in 4,000 times; a test with no size rejects none
    assert 3 <= rejected < 30


def test_a_real_gap_is_detected():
    rng = np.random.default_rng(0)
    y, g = np.repeat([0, 1, 2, 3], 200), np.tile([0, 1], 400)
    p = np.where(rng.random(800) < np.where(g == 0, 0.8, 0.6), y, 9)
    counts = confusion_counts(y, p, sensitive_features=g)
    cells = cell_rates(counts)
    weights = class_weights(cells, (0, 1), "precision")
    permuted = mean_square(permuted_rates(counts, 999, rng), weights, (0, 1))
    assert p_value(float(mean_square(cells.rates, weights, (0, 1))), permuted) < 0.01


@pytest.mark.parametrize("within", [True, False])
def test_shuffling_rows_agrees_with_drawing_tables(within):
    rng = np.random.default_rng(1)
    y, g = rng.integers(0, 3, 150), rng.integers(0, 2, 150)
    p = np.where(rng.random(150) < 0.7, y, rng.integers(0, 3, 150))
    rows = read_rows(y, p, g, where="test")

    def gap(counts):
        cells = cell_rates(counts)
        weights = class_weights(cells, (0, 1), "equal")
        return np.array([mean_square(cells.rates, weights, (0, 1))])

    drawn = shuffled_statistics(rows, gap, within_classes=within, n_permutations=999, rng=rng)
    counts = rows.count()
    observed = float(gap(counts)[0])
    weights = class_weights(cell_rates(counts), (0, 1), "equal")
    permuted = mean_square(permuted_rates(counts, 20_000, rng), weights, (0, 1))
    # four standard errors of 999 shuffles; shuffling among all rows changes little here
    tolerance = 4 * np.sqrt(0.25 / 999) + (0 if within else 0.05)
    assert p_value(observed, drawn[:, 0]) == pytest.approx(
        p_value(observed, permuted), abs=tolerance
    )
