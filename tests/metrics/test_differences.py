"""Largest differences: equal to fairlearn's for two classes, to loops for more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from reference import rates as naive

ALL = (demographic_parity_difference, equal_opportunity_difference, equalized_odds_difference)
seeds = st.integers(0, 2**32 - 1)


def make_rows(seed, k, n=120, groups=("a", "b", "c")):
    rng = np.random.default_rng(seed)
    y = np.r_[np.repeat(np.arange(k), len(groups)), rng.integers(0, k, n)]
    g = np.r_[np.tile(groups, k), rng.choice(groups, n)]
    p = np.where(rng.random(len(y)) < 0.6, y, rng.integers(0, k, len(y)))
    return y, p, g, rng.random(len(y)) + 0.1


@pytest.mark.parametrize("metric", ALL)
@given(seed=seeds, weighted=st.booleans())
@settings(max_examples=20, deadline=None)
def test_two_classes_give_fairlearns_value(metric, seed, weighted):
    fairlearn = pytest.importorskip("fairlearn.metrics")
    y, p, g, w = make_rows(seed, 2)
    weight = w if weighted else None
    theirs = getattr(fairlearn, metric.__name__)
    expected = theirs(y, p, sensitive_features=g, sample_weight=weight)
    assert metric(y, p, sensitive_features=g, sample_weight=weight) == pytest.approx(expected)
    names = np.array(["no", "yes"])  # "yes" sorts last: the positive class
    found = metric(names[y], names[p], sensitive_features=g, sample_weight=weight)
    assert found == pytest.approx(expected)


@given(seed=seeds, k=st.integers(3, 5))
@settings(max_examples=20, deadline=None)
def test_more_classes_give_the_largest_over_classes(seed, k):
    y, p, g, w = make_rows(seed, k)
    rates = naive.conditional(y, p, g, w)
    own = {key: v for key, v in rates.items() if key[0] == key[1]}
    call = {"sensitive_features": g, "sample_weight": w}
    assert equalized_odds_difference(y, p, **call) == pytest.approx(naive.largest_difference(rates))
    assert equal_opportunity_difference(y, p, **call) == pytest.approx(
        naive.largest_difference(own)
    )
    assert demographic_parity_difference(y, p, **call) == pytest.approx(
        naive.largest_difference(naive.selection(p, g, w))
    )


@pytest.mark.parametrize("metric", ALL)
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_integer_weights_and_row_order(metric, seed):
    y, p, g, _ = make_rows(seed, 3, n=40)
    rng = np.random.default_rng(seed)
    w = rng.integers(1, 4, len(y))
    order = rng.permutation(len(y))
    weighted = metric(y, p, sensitive_features=g, sample_weight=w)
    repeated = metric(np.repeat(y, w), np.repeat(p, w), sensitive_features=np.repeat(g, w))
    shuffled = metric(y[order], p[order], sensitive_features=g[order], sample_weight=w[order])
    assert weighted == pytest.approx(repeated)
    assert weighted == pytest.approx(shuffled)


def test_a_perfect_classifier_has_no_odds_difference_but_a_parity_difference():
    y, g = [0, 1, 1, 0, 0, 1], list("aaabbb")
    assert equalized_odds_difference(y, y, sensitive_features=g) == 0
    assert demographic_parity_difference(y, y, sensitive_features=g) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", ALL[:2])
def test_pos_label_chooses_the_class(metric):
    y, p, g = [0, 0, 1, 2, 0, 0, 1, 2], [0, 1, 1, 2, 0, 0, 1, 1], list("aaaabbbb")
    assert metric(y, p, sensitive_features=g) == (0.25 if metric is ALL[0] else 1.0)
    assert metric(y, p, sensitive_features=g, pos_label=0) == (0.25 if metric is ALL[0] else 0.5)
    with pytest.raises(InvalidInputError, match="`pos_label`"):
        metric(y, p, sensitive_features=g, pos_label=7)


def test_a_group_without_positives_is_left_out_with_a_warning():
    # fairlearn counts the rate of group c as 0 and reports a difference of 1
    y, p, g = [1, 1, 0, 1, 0, 0], [1, 1, 0, 1, 0, 0], list("aabbcc")
    with pytest.warns(UndefinedRateWarning, match="no rows of this class"):
        assert equal_opportunity_difference(y, p, sensitive_features=g) == 0
    with pytest.warns(UndefinedRateWarning):
        assert equalized_odds_difference(y, p, sensitive_features=g) == 0


@pytest.mark.parametrize("metric", ALL)
def test_one_group_and_unequal_lengths_raise(metric):
    with pytest.raises(InvalidInputError, match="at least 2 groups"):
        metric([0, 1], [0, 1], sensitive_features=["a", "a"])
    with pytest.raises(InvalidInputError, match=f"`y_pred` passed to `{metric.__name__}`"):
        metric([0, 1], [0, 1, 1], sensitive_features=["a", "b"])
