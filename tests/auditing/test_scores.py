"""Scores in an audit: one bootstrap for all metrics, and curves that give no small bin away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy import audit
from isonomy.auditing._calibration import calibration_curve
from isonomy.auditing._score_bootstrap import score_replicates, score_values
from isonomy.metrics._counts import LabelledRows
from isonomy.metrics.scores import score_statistics
from reference.calibration import reliability


class Scripted:
    """Stands for a generator: hands out the row numbers that a test has chosen."""

    def __init__(self, rows):
        self.rows, self.given = rows, 0

    def integers(self, low, high, size):
        part = self.rows[self.given : self.given + size[0]]
        self.given += size[0]
        assert part.shape == size and part.min() >= low and part.max() < high
        return part


def made_rows(n, *, n_classes=2, weighted=False, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, n)
    score = rng.random(n) if n_classes == 2 else rng.dirichlet(np.ones(n_classes), n)
    if ties:
        score = score.round(1)
    weight = rng.random(n) + 0.1 if weighted else None
    return true, score, weight


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_a_replicate_is_the_metric_of_the_drawn_rows(n_classes, weighted, ties, monkeypatch):
    n, n_boot = 60, 7
    true, score, weight = made_rows(n, n_classes=n_classes, weighted=weighted, ties=ties)
    drawn = np.random.default_rng(1).integers(0, n, (n_boot, n))
    monkeypatch.setattr("isonomy.auditing._score_bootstrap.CHUNK_NUMBERS", 3 * n)
    found = score_replicates(true, score, weight, n_boot=n_boot, rng=Scripted(drawn))
    # binary scores are put in order first: drawn numbers then point at ordered rows
    order = np.lexsort((score, true == 1)) if n_classes == 2 else np.arange(n)
    w = None if weight is None else weight[order]
    expected = score_statistics(true[order], score[order], w)
    assert list(found) == list(expected)
    for name, statistic in expected.items():
        np.testing.assert_allclose(found[name], statistic(drawn), rtol=1e-9, atol=1e-12)


def test_scores_that_are_no_probabilities_are_ranked_alone():
    true, score, _ = made_rows(40)
    rng = np.random.default_rng(0)
    found = score_replicates(true, 5 * score - 2, None, n_boot=50, rng=rng)
    assert list(found) == list(score_values(true, 5 * score - 2, None)) == ["roc_auc"]


def test_a_replicate_of_one_class_has_no_roc_area():
    true, score = np.array([0, 1]), np.array([0.2, 0.7])
    found = score_replicates(true, score, None, n_boot=2, rng=Scripted(np.array([[0, 0], [0, 1]])))
    assert np.isnan(found["roc_auc"][0])
    assert found["roc_auc"][1] == 1.0


def curve_of(true, score, group, *, weight=None, min_cell=1):
    names = tuple(f"g{a}" for a in range(int(group.max()) + 1))
    n_classes = 2 if score.ndim == 1 else score.shape[1]
    rows = LabelledRows(tuple(range(n_classes)), names, true, true, group, weight)
    return calibration_curve(rows, score, min_cell=min_cell, confidence=0.95)


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_curve_is_what_loops_find(n_classes, weighted):
    true, score, weight = made_rows(500, n_classes=n_classes, weighted=weighted)
    group = np.random.default_rng(2).integers(0, 3, 500)
    found = curve_of(true, score, group, weight=weight)["bins"]
    expected = reliability(true, score, group, weight)
    assert [(b["group"], round(10 * b["low_edge"])) for b in found] == [
        (f"g{a}", b) for a, b in expected
    ]
    for entry, (n, mean, rate) in zip(found, expected.values(), strict=True):
        assert entry["n"] == n
        assert entry["mean_score"] == pytest.approx(mean)
        assert entry["value"] == pytest.approx(rate)
        assert entry["low"] - 1e-12 <= entry["value"] <= entry["high"] + 1e-12
        assert entry["low_edge"] - 1e-9 <= entry["mean_score"] <= entry["high_edge"] + 1e-9


def test_a_perfectly_calibrated_score_lies_within_most_intervals():
    rng = np.random.default_rng(0)
    score = rng.random(20_000)
    true = (rng.random(20_000) < score).astype(int)
    bins = curve_of(true, score, rng.integers(0, 4, 20_000))["bins"]
    covered = [b["low"] <= b["mean_score"] <= b["high"] for b in bins]
    # 40 intervals of 95 %: fewer than 33 hits has a chance of 0.0006
    assert sum(covered) >= 33


@given(st.integers(0, 1000), st.integers(2, 12))
def test_withheld_bins_cannot_be_found_by_subtraction(seed, min_cell):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 200))
    true, group = rng.integers(0, 2, n), rng.integers(0, 3, n)
    found = curve_of(true, rng.beta(0.5, 0.5, n), group, min_cell=min_cell)["bins"]
    for a in range(3):
        own = [b for b in found if b["group"] == f"g{a}"]
        held = [b for b in own if b["n"] is None]
        known = sum(b["n"] for b in own if b["n"] is not None)
        left = int((group == a).sum()) - known
        assert all(b["n"] >= min_cell for b in own if b["n"] is not None)
        if held and known:
            assert left >= min_cell
        for b in held:
            assert {b[k] for k in ("value", "low", "high", "mean_score")} == {None}
            assert b["reason"] == f"withheld: fewer than {min_cell} people"


def test_a_group_with_few_of_one_class_has_no_curve():
    # else the positives of its bins would add up to a number that is withheld elsewhere
    true = np.zeros(400, dtype=int)
    true[:3] = 1
    true[200:300] = 1
    group = np.repeat([0, 1], 200)
    bins = curve_of(true, np.full(400, 0.35), group, min_cell=10)["bins"]
    assert [b["n"] for b in bins] == [None, 200]


def test_an_audit_holds_the_curve_and_names_what_it_judges():
    rng = np.random.default_rng(0)
    score, g = rng.random(400), rng.choice(["f", "m"], 400)
    y = np.where(rng.random(400) < score, "yes", "no")
    found = audit(y, y, sensitive_features=g, y_score=score, n_boot=200).to_dict()["scores"]
    assert found["calibration"]["of"] == "yes"
    assert {b["group"] for b in found["calibration"]["bins"]} == {"f", "m"}
    ranks = audit(y, y, sensitive_features=g, y_score=5 * score, n_boot=200).to_dict()["scores"]
    assert ranks["calibration"] is None
