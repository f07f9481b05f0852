"""Simultaneous bounds: known values, coverage exactly and by simulation, and what is undefined."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import simultaneous_gap_bounds
from reference.samples import binomial, clopper_pearson


def rows_of(hits, n, labels=(0, 1)):
    """Rows of two classes and some groups with ``hits[y][a]`` right predictions of ``n[y][a]``."""
    y, predicted, groups = [], [], []
    for i, j in product(range(len(hits)), range(len(hits[0]))):
        right, total = hits[i][j], n[i][j]
        y += [labels[i]] * total
        predicted += [labels[i]] * right + [labels[1 - i]] * (total - right)
        groups += [f"g{j}"] * total
    return y, predicted, groups


def bounds_of(hits, n, **options):
    y, predicted, groups = rows_of(hits, n)
    return simultaneous_gap_bounds(y, predicted, sensitive_features=groups, **options)


def test_every_gap_is_the_difference_of_bounds_by_the_formula():
    hits, n = [[3, 9], [5, 2]], [[10, 11], [5, 8]]
    found = bounds_of(hits, n, confidence=0.9)
    assert found.n_rates == 4
    for y, gap in enumerate(found.gaps):
        sides = [clopper_pearson(hits[y][a], n[y][a], 0.1 / 4) for a in (0, 1)]
        assert gap.label == gap.true == y
        assert gap.n == tuple(n[y])
        assert gap.gap == pytest.approx(hits[y][0] / n[y][0] - hits[y][1] / n[y][1])
        assert gap.low == pytest.approx(sides[0][0] - sides[1][1])
        assert gap.high == pytest.approx(sides[0][1] - sides[1][0])
        assert gap.upper == max(gap.high, -gap.low)
        assert gap.lower == max(gap.low, -gap.high, 0.0)
    assert found.upper == max(g.upper for g in found.gaps)
    assert found.of_class(1) == (found.gaps[1],)


def test_coverage_is_at_least_nominal_exactly():
    """All 4^4 outcomes of four cells of three rows, each with its probability."""
    n, confidence = [[3, 3], [3, 3]], 0.6
    truths = (0.5, 0.5, 0.5, 0.5), (0.9, 0.1, 0.97, 0.6), (0.3, 0.3, 0.3, 0.3)
    covered = dict.fromkeys(truths, 0.0)
    for k in product(range(4), repeat=4):
        gaps = bounds_of([k[:2], k[2:]], n, confidence=confidence).gaps
        for p in truths:
            inside = [
                g.low <= t <= g.high for g, t in zip(gaps, (p[0] - p[1], p[2] - p[3]), strict=True)
            ]
            if all(inside):
                covered[p] += math.prod(binomial(i, 3, q) for i, q in zip(k, p, strict=True))
    assert min(covered.values()) >= confidence


@pytest.mark.parametrize(
    ("criterion", "n_rates"),
    [("true_positive_rate", 9), ("selection_rate", 9), ("equalized_odds", 27)],
)
def test_coverage_is_at_least_nominal_in_simulation(criterion, n_rates):
    rng = np.random.default_rng(1)
    confusion = rng.dirichlet(np.ones(3), size=(3, 3))  # [group, true] -> predicted
    prior = rng.dirichlet(np.full(3, 5.0), size=3)
    selection = np.einsum("aj,ajk->ak", prior, confusion)
    wrong = 0
    a = np.repeat(np.arange(3), 150)
    for _ in range(200):
        y = (rng.random(len(a))[:, None] > prior[a].cumsum(axis=1)).sum(axis=1)
        draw = rng.random(len(y))[:, None]
        predicted = (draw > confusion[a, y].cumsum(axis=1)).sum(axis=1)
        found = simultaneous_gap_bounds(
            y, predicted, sensitive_features=a, criterion=criterion, confidence=0.8
        )
        assert found.n_rates == n_rates
        for gap in found.gaps:
            one, two = gap.groups
            table = selection if gap.true is None else confusion[:, gap.true]
            truth = table[one, gap.label] - table[two, gap.label]
            if not gap.low <= truth <= gap.high:
                wrong += 1
                break
    # the nominal share is 40 of 200; the union bound and discreteness keep far below
    assert wrong <= 40


def test_one_rate_of_many_is_missed_as_often_as_the_union_allows():
    """20 rates at 90 %: single intervals at 90 % would miss some in 9 of 10 samples."""
    rng = np.random.default_rng(2)
    y = np.tile(np.arange(10), 400)
    a = np.repeat([0, 1], 2000)
    wrong = 0
    for _ in range(100):
        right = rng.random(len(y)) < 0.5
        found = simultaneous_gap_bounds(
            y, np.where(right, y, (y + 1) % 10), sensitive_features=a, confidence=0.9
        )
        wrong += any(
            not low <= 0.5 <= high
            for g in found.gaps
            for low, high in zip(g.lows, g.highs, strict=True)
        )
    assert wrong <= 18  # 10 expected at most; 18 is 2.7 standard errors above


def test_two_complementary_rates_are_judged_once():
    y, p, a = [0, 0, 1, 1] * 20, [0, 1] * 40, ["a"] * 40 + ["b"] * 40
    for criterion, rates, names in (
        ("selection_rate", 2, [(1, None)]),
        ("equalized_odds", 4, [(1, 0), (1, 1)]),
        ("true_positive_rate", 4, [(0, 0), (1, 1)]),
    ):
        found = simultaneous_gap_bounds(y, p, sensitive_features=a, criterion=criterion)
        assert found.n_rates == rates
        assert [(g.label, g.true) for g in found.gaps] == names
        one = simultaneous_gap_bounds(y, p, sensitive_features=a, criterion=criterion, pos_label=0)
        assert {g.label for g in one.gaps} == {0}
    other = simultaneous_gap_bounds(
        y, p, sensitive_features=a, criterion="selection_rate", pos_label=0
    ).gaps[0]
    same = simultaneous_gap_bounds(y, p, sensitive_features=a, criterion="selection_rate").gaps[0]
    assert (other.low, other.high) == pytest.approx((-same.high, -same.low))


def test_a_reference_leaves_out_pairs_and_no_bound_changes():
    rng = np.random.default_rng(0)
    y, p, a = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.integers(0, 3, 300)
    every = simultaneous_gap_bounds(y, p, sensitive_features=a)
    some = simultaneous_gap_bounds(y, p, sensitive_features=a, reference_group=0)
    assert len(every.gaps) == 6
    assert [g.groups for g in some.gaps] == [(1, 0), (2, 0)] * 2
    low = {(g.label, frozenset(g.groups)): g.upper for g in every.gaps}
    for gap in some.gaps:
        assert gap.upper == low[gap.label, frozenset(gap.groups)]


def test_more_rows_and_less_confidence_narrow_the_bounds():
    few, many = bounds_of([[8, 8]] * 2, [[10, 10]] * 2), bounds_of([[80, 80]] * 2, [[100, 100]] * 2)
    assert many.upper < few.upper
    assert bounds_of([[8, 8]] * 2, [[10, 10]] * 2, confidence=0.5).upper < few.upper


def test_a_gap_without_rows_is_nan_with_its_reason():
    y, p, a = [0, 0, 1, 1, 1], [0, 1, 1, 1, 0], list("abaaa")
    with pytest.warns(UndefinedRateWarning, match=r"\(1, a or b\): no rows on one side"):
        found = simultaneous_gap_bounds(y, p, sensitive_features=a)
    lost = found.undefined
    assert [g.label for g in lost] == [1]
    assert lost[0].reason == "no rows of class 1 in group b"
    assert np.isnan([lost[0].gap, lost[0].low, lost[0].high, lost[0].upper, lost[0].lower]).all()
    assert found.n_rates == 2  # the rate of class 1 in group a takes part in no gap
    assert found.upper == found.gaps[0].upper
    assert "1 gap(s) are not bounded: no rows of class 1 in group b." in str(found)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["gaps"][1]["gap"] is None
    assert plain["gaps"][1]["reason"] == lost[0].reason


def test_nothing_defined_says_so():
    with pytest.warns(UndefinedRateWarning):
        found = simultaneous_gap_bounds([0, 1], [0, 1], sensitive_features=["a", "b"])
    assert np.isnan(found.upper)
    assert np.isnan(found.lower)
    assert "No gap of the true positive rate is defined" in str(found)


def test_words_and_tables_hold_what_was_computed():
    found = bounds_of([[50, 480], [490, 480]], [[500, 500], [500, 500]])
    text = str(found)
    said = float(text.partition("within ")[2].partition(" of 0 at once")[0])
    assert found.upper <= said < found.upper + 0.001
    assert f"at least {found.lower:.3f}" in text
    assert "seen at -0.860 from 500 and 500 rows" in text
    frame = found.to_frame()
    assert list(frame["gap"]) == [g.gap for g in found.gaps]
    assert found.to_frame("polars").shape == frame.shape
    assert "None is shown to differ from 0" in str(bounds_of([[5, 5]] * 2, [[10, 10]] * 2))


def test_wrong_arguments_are_named():
    y, a = [0, 1, 0, 1], list("aabb")
    with pytest.raises(InvalidInputError, match="`confidence` of `simultaneous_gap_bounds`"):
        simultaneous_gap_bounds(y, y, sensitive_features=a, confidence=1.0)
    with pytest.raises(InvalidInputError, match="`criterion` of `simultaneous_gap_bounds`"):
        simultaneous_gap_bounds(y, y, sensitive_features=a, criterion="parity")
    with pytest.raises(InvalidInputError, match="at least 2 groups"):
        simultaneous_gap_bounds(y, y, sensitive_features=list("aaaa"))
    with pytest.raises(InvalidInputError, match="must be a class of `y_true`"):
        simultaneous_gap_bounds(y, [0, 2, 0, 1], sensitive_features=a, pos_label=2)
    with pytest.raises(InvalidInputError, match="must be one of the classes that were judged"):
        simultaneous_gap_bounds(y, y, sensitive_features=a).of_class(7)


@pytest.mark.parametrize("n", [150, 40_000])
def test_words_never_promise_more_than_the_bounds(n):
    """A bound of 0.00016 is not "within 0.000", nor 99.95 % confidence "100 %"."""
    y, a = np.divmod(np.arange(4 * n) % 4, 2)
    found = simultaneous_gap_bounds(y, y, sensitive_features=a, confidence=0.9995)
    text = str(found)
    assert text.startswith("With 99.95% confidence")
    said = float(text.partition("within ")[2].partition(" of 0 at once")[0])
    assert found.upper <= said <= found.upper + max(0.001, 0.1 * found.upper)
    apart = simultaneous_gap_bounds(y, np.where(a == 1, y, 1 - y), sensitive_features=a)
    said = float(str(apart).rpartition("at least ")[2].rstrip("."))
    assert apart.lower - 0.001 <= said <= apart.lower
