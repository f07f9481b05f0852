"""Folds of the probe: by content, the same for all groups, and common contents spread."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from isonomy.steering import IdealSteerer
from isonomy.steering._probe_folds import COMMON, N_FOLDS, probe_folds


def discrete(kind, seed, n=2000):
    """Rows with few contents, each more frequent in one of the two groups."""
    rng = np.random.default_rng(seed)
    group, y = rng.integers(0, 2, n), rng.integers(0, 2, n)
    if kind == "one binary column":
        X = (rng.uniform(size=(n, 1)) < np.where(group == 1, 0.7, 0.3)[:, None]) * rng.normal()
    elif kind == "counts":
        X = (rng.poisson(1.5 + 1.5 * group) * rng.normal())[:, None]
    else:  # rare flags
        X = (rng.uniform(size=(n, 4)) < np.where(group == 1, 0.25, 0.05)[:, None]) * rng.normal()
    return X.astype(float), y, group


@pytest.mark.parametrize("probe", [None, RandomForestClassifier(10, random_state=0)])
@pytest.mark.parametrize("kind", ["one binary column", "counts", "rare flags"])
@pytest.mark.parametrize("seed", [0, 1])
def test_calibration_never_turns_a_probe_of_discrete_columns_round(kind, seed, probe):
    X, y, group = discrete(kind, seed)
    steerer = IdealSteerer(groups="infer", probe=probe).fit(X, y, sensitive_features=group)
    raw = (steerer.probe_.predict(X) == group).mean()
    calibrated = (steerer.group_posterior(X).argmax(axis=1) == group).mean()
    assert raw > 0.6
    # with ten contents and thousands of rows the rows of fit are as good as new ones
    assert calibrated == pytest.approx(raw, abs=0.03)
    assert steerer.probe_quality_.accuracy == pytest.approx(raw, abs=0.03)


def test_equal_rows_of_two_groups_share_a_fold():
    values = np.repeat(np.random.default_rng(0).normal(size=(60, 2)), 2, axis=0)
    codes = np.tile([0, 1], 60)
    fold = probe_folds(values, codes)
    np.testing.assert_array_equal(fold[::2], fold[1::2])
    np.testing.assert_array_equal(np.bincount(fold), np.full(N_FOLDS, 24))


def test_common_contents_are_spread_over_all_folds_in_every_group():
    values = np.r_[np.zeros(30), np.arange(1, 71)][:, None]
    codes = np.arange(100) % 2
    fold = probe_folds(values, codes)
    for group in (0, 1):
        counts = np.bincount(fold[:30][codes[:30] == group], minlength=N_FOLDS)
        np.testing.assert_array_equal(counts, np.full(N_FOLDS, 3))


def test_a_row_of_some_weight_lies_where_its_copies_do():
    rng = np.random.default_rng(1)
    values, codes = rng.normal(size=(80, 2)), np.arange(80) % 3
    weight = rng.integers(1, 4, 80)
    assert weight.max() / weight.sum() < COMMON
    copies = np.repeat(np.arange(80), weight)
    weighed = probe_folds(values, codes, weight.astype(float))
    np.testing.assert_array_equal(weighed[copies], probe_folds(values[copies], codes[copies]))


def test_the_order_of_rows_changes_no_fold():
    rng = np.random.default_rng(2)
    values, codes = rng.normal(size=(90, 2)).round(1), rng.integers(0, 3, 90)
    order = rng.permutation(90)
    np.testing.assert_array_equal(probe_folds(values, codes)[order],
                                  probe_folds(values[order], codes[order]))  # fmt: skip


def test_a_group_of_copies_is_in_more_folds_than_one():
    values = np.r_[np.ones(4), np.arange(2, 200)][:, None]
    codes = np.r_[np.ones(4, dtype=int), np.zeros(198, dtype=int)]
    assert len(set(probe_folds(values, codes)[:4])) == 4
