"""What samples can show: docs/theory.md, section 13."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.metrics import clopper_pearson_interval, simultaneous_gap_bounds
from isonomy.metrics._gap_statistics import corrected_mean_square, mean_square

RATES = st.floats(0.0, 1.0)
ROWS = st.integers(2, 9)


def binomial(n, p):
    """[P(k of n) for k = 0..n], term by term."""
    return np.array([comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


def expectation(function, n, p):
    """E[function(rates)] over independent binomial counts, by enumeration; n, p (K, 2)."""
    total, laws = 0.0, [binomial(int(m), r) for m, r in zip(np.ravel(n), np.ravel(p), strict=True)]
    for counts in product(*[range(len(law)) for law in laws]):
        weight = np.prod([law[k] for law, k in zip(laws, counts, strict=True)])
        total += weight * function(np.reshape(counts, np.shape(n)) / n)
    return total


@given(st.tuples(ROWS, ROWS), st.tuples(RATES, RATES))
@settings(max_examples=40)
def test_the_corrected_mean_square_is_right_on_average(n, p):
    n, p, one = np.array([n]), np.array([p]), np.ones(1)
    found = expectation(lambda r: float(corrected_mean_square(r, n, one, (0, 1))), n, p)
    assert found == pytest.approx((p[0, 0] - p[0, 1]) ** 2, abs=1e-12)
    plain = expectation(lambda r: float(mean_square(r, one, (0, 1))), n, p)
    noise = (p * (1 - p) / n).sum()
    assert plain == pytest.approx((p[0, 0] - p[0, 1]) ** 2 + noise, abs=1e-12)


def test_resampling_centres_the_corrected_square_at_the_plain_one():
    # given the rows, resampled corrected squares have mean T_plug, not T: percentiles inherit
    # the noise that the correction took away
    n, seen, one = np.array([[7, 5]]), np.array([[3 / 7, 3 / 5]]), np.ones(1)
    resampled = expectation(lambda r: float(corrected_mean_square(r, n, one, (0, 1))), n, seen)
    plug = float(mean_square(seen, one, (0, 1)))
    corrected = float(corrected_mean_square(seen, n, one, (0, 1)))
    assert resampled == pytest.approx(plug)
    assert plug - corrected == pytest.approx((seen * (1 - seen) / (n - 1)).sum())


def test_percentile_intervals_miss_a_true_zero_and_shifted_ones_do_not():
    # 28 classes, no gap at all: the more classes, the surer the miss
    rng = np.random.default_rng(0)
    n, p = np.full((28, 2), 40), np.full((28, 2), 0.7)
    weights = np.full(28, 1 / 28)
    covered = {"percentile": 0, "shifted": 0}
    n_draws = 150
    for _ in range(n_draws):
        seen = rng.binomial(n, p) / n
        again = rng.binomial(n, seen, size=(400, 28, 2)) / n
        stars = corrected_mean_square(again, n, weights, (0, 1))
        low, high = np.quantile(stars, [0.025, 0.975])
        plug = float(mean_square(seen, weights, (0, 1)))
        t = float(corrected_mean_square(seen, n, weights, (0, 1)))
        covered["percentile"] += low <= 0 <= high
        covered["shifted"] += t - (high - plug) <= 0 <= t - (low - plug)
    assert covered["percentile"] / n_draws < 0.5
    assert covered["shifted"] / n_draws > 0.9


@given(st.integers(1, 40), st.floats(0.0, 1.0), st.sampled_from([0.8, 0.95]))
@settings(max_examples=60)
def test_each_rate_is_covered_as_often_as_stated(n, p, confidence):
    k = np.arange(n + 1)
    low, high = clopper_pearson_interval(k / n, np.full(n + 1, n), confidence)
    covered = binomial(n, p)[(low <= p) & (p <= high)].sum()
    assert covered >= confidence - 1e-9


@given(st.tuples(ROWS, ROWS, ROWS, ROWS), st.tuples(RATES, RATES, RATES, RATES))
@settings(max_examples=15)
def test_all_gaps_are_bounded_at_once_by_the_union(n, p):
    # two classes, two groups: 2 K = 4 rates; the bound of a gap is the farther end
    n, p = np.reshape(n, (2, 2)), np.reshape(p, (2, 2))
    probability = 1.0
    for size, rate in zip(n, p, strict=True):  # classes are independent: enumerate each alone
        laws = [binomial(int(m), r) for m, r in zip(size, rate, strict=True)]
        held = 0.0
        for i, j in product(range(size[0] + 1), range(size[1] + 1)):
            seen = np.array([i, j]) / size
            low, high = clopper_pearson_interval(seen, size, 0.9, n_rates=4)
            bound = max(high[0] - low[1], high[1] - low[0])
            held += laws[0][i] * laws[1][j] * (abs(rate[0] - rate[1]) <= bound + 1e-12)
        probability *= held
    assert probability >= 0.9 - 1e-9


def test_the_library_states_these_bounds():
    hits, n = np.array([[3, 5], [8, 2]]), np.array([[9, 7], [9, 6]])  # (class, group)
    y, predicted, groups = [], [], []
    for label, a in np.ndindex(2, 2):
        right, rows = hits[label, a], n[label, a]
        y += [label] * rows
        predicted += [label] * right + [1 - label] * (rows - right)
        groups += ["ab"[a]] * rows
    found = simultaneous_gap_bounds(y, predicted, sensitive_features=groups, confidence=0.9)
    low, high = clopper_pearson_interval(hits / n, n, 0.9, n_rates=4)
    bounds = np.maximum(high[:, 0] - low[:, 1], high[:, 1] - low[:, 0])
    assert found.n_rates == 4
    assert found.upper == pytest.approx(bounds.max())
