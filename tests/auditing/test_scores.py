"""Scores in an audit: one bootstrap for all metrics, and curves that give no small bin away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy import audit
from isonomy.auditing._calibration import calibration_curve, score_bins
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


def small_and_large(counts, seed=0):
    """Scores of a group with so many rows in each bin, beside those of a large group."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(10), counts)
    score = np.r_[(code + rng.uniform(0.05, 0.95, len(code))) / 10, rng.random(2_000)]
    true = (rng.random(len(score)) < 0.5).astype(int)
    return true, score, np.repeat(["few", "many"], [len(code), 2_000])


def scores_of(true, decided, score, group):
    found = audit(true, decided, sensitive_features=group, y_score=score, n_boot=100)
    return found.to_dict()["scores"]


def withheld_bins(scores):
    held = [b for b in scores["calibration"]["bins"] if b["n"] is None]
    assert {b["group"] for b in held} <= {"few"}
    return {round(10 * b["low_edge"]) for b in held}


@given(st.lists(st.integers(0, 25), min_size=10, max_size=10), st.integers(0, 99))
def test_calibration_errors_do_not_tell_withheld_bins_apart(counts, seed):
    true, score, group = small_and_large([*counts[:9], counts[9] + 30], seed)
    scores = scores_of(true, true, score, group)
    code, few = np.floor(10 * score).astype(int), group == "few"
    code[few & np.isin(code, list(withheld_bins(scores)))] = 10  # all of them one bin
    found = {e["group"]: e for e in scores["by_group"] if e["metric"] == "calibration_error"}
    for name, own in (("few", few), ("(all)", few | True)):
        expected = np.abs(np.bincount(code[own], (score - true)[own])).sum() / own.sum()
        assert found[name]["value"] == pytest.approx(expected)


def test_replicates_of_the_calibration_error_take_the_same_bins():
    true, score, weight = made_rows(60, weighted=True)
    bins = np.where(abs(score - 0.5) > 0.3, 10, np.floor(10 * score).astype(int))
    order = np.lexsort((score, true == 1))
    rows = Scripted(np.arange(60)[None])
    found = score_replicates(true, score, weight, n_boot=1, rng=rows, bins=bins)
    value = score_values(true[order], score[order], weight[order], bins[order])
    assert found["calibration_error"][0] == pytest.approx(value["calibration_error"])
    assert value["calibration_error"] < score_values(true, score, weight)["calibration_error"]


def test_the_number_of_decisions_does_not_give_a_bin_away():
    # the bins of 1 and of 12 rows hold enough together, but the one row would be all that is
    # withheld of the positive decisions, whose number and rate the audit tells
    true, score, group = small_and_large([40, 30, 0, 0, 12, 0, 0, 1, 30, 40])
    scores = scores_of(true, (score >= 0.5).astype(int), score, group)
    assert withheld_bins(scores) == {4, 7, 8}


@given(st.integers(0, 1000), st.integers(2, 12))
def test_withheld_rows_are_many_of_each_decision_or_all(seed, min_cell):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 200))
    true, group, score = rng.integers(0, 2, n), rng.integers(0, 3, n), rng.beta(0.5, 0.5, n)
    decided = (score > rng.random()).astype(int)
    rows = LabelledRows((0, 1), ("a", "b", "c"), true, decided, group, None)
    held = score_bins(rows, score, min_cell=min_cell) == 10
    for a in range(3):
        for decision in (0, 1):
            own = (group == a) & (decided == decision)
            assert (held & own).sum() in {0, own.sum()} or (held & own).sum() >= min_cell
