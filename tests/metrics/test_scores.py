"""Statistics of scores, and resampling of rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from isonomy.metrics.scores import row_bootstrap, score_statistics


def one(statistic, n):
    return float(statistic(np.arange(n)[None])[0])


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_statistics_are_scikit_learns(weighted):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 200)
    score = np.round(np.clip(0.5 * true + rng.random(200) * 0.5, 0.01, 0.99), 2)  # with ties
    weight = rng.integers(1, 4, 200).astype(float) if weighted else None
    found = score_statistics(true, score, weight)
    assert one(found["roc_auc"], 200) == pytest.approx(
        roc_auc_score(true, score, sample_weight=weight)
    )
    assert one(found["log_loss"], 200) == pytest.approx(log_loss(true, score, sample_weight=weight))
    expected = np.average(score - true, weights=weight)
    assert one(found["mean_score_minus_rate"], 200) == pytest.approx(expected)


def test_calibration_error_by_hand():
    true, score = np.array([1, 0, 1, 1]), np.array([0.25, 0.25, 0.95, 0.95])
    found = score_statistics(true, score, None)
    # bin of .25: |.25 - .5| on half the rows; bin of .95: |.95 - 1| on the other half
    assert one(found["calibration_error"], 4) == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)


def test_several_classes_judge_the_top_score():
    rng = np.random.default_rng(1)
    true, score = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
    found = score_statistics(true, score, None)
    assert set(found) == {"log_loss", "mean_score_minus_rate", "calibration_error"}
    assert one(found["log_loss"], 90) == pytest.approx(log_loss(true, score, labels=[0, 1, 2]))
    hit = score.argmax(axis=1) == true
    assert one(found["mean_score_minus_rate"], 90) == pytest.approx(
        (score.max(axis=1) - hit).mean()
    )


def test_scores_that_are_no_probabilities_allow_ranking_alone():
    true, score = np.array([0, 1, 1]), np.array([-2.0, 0.5, 3.0])
    found = score_statistics(true, score, None)
    assert set(found) == {"roc_auc"}
    assert one(found["roc_auc"], 3) == 1


def test_row_bootstrap_has_the_spread_of_a_mean(monkeypatch):
    values = np.random.default_rng(2).normal(size=50)
    monkeypatch.setattr("isonomy.metrics.scores.CHUNK_ROWS", 5_000)  # 40 chunks
    drawn = row_bootstrap(
        lambda rows: values[rows].mean(axis=1), 50, n_boot=4000, rng=np.random.default_rng(3)
    )
    assert drawn.shape == (4000,)
    # the standard deviation of 4,000 draws is known to about 1 %; six times that is allowed
    assert drawn.std() == pytest.approx(values.std() / np.sqrt(50), rel=0.07)


def test_a_resample_with_one_class_has_no_area():
    found = score_statistics(np.array([0, 1]), np.array([0.2, 0.8]), None)
    assert np.isnan(found["roc_auc"](np.array([[0, 0], [0, 1]]))).tolist() == [True, False]
