"""What a wrong probe costs: the ends of the curve, its simulated probes, its record."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from isonomy.auditing import audit
from isonomy.comparison import CostPoint, probe_cost_curve
from isonomy.comparison._degraded import Rumours
from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError
from isonomy.groups import kamiran_calders_weights
from isonomy.steering import IdealSteerer

HEAD = LogisticRegression(max_iter=300)


def rumours(n=2000, n_groups=3, seed=0):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(n_groups, 5.0))
    return Rumours.draw(rng.choice(n_groups, size=n, p=prior), prior, seed)


@given(seed=st.integers(0, 10_000), n_groups=st.integers(2, 4), k=st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_every_simulated_posterior_is_a_mixture_of_a_group_and_the_shares(seed, n_groups, k):
    drawn = rumours(100, n_groups, seed)
    found = drawn.posterior(k)
    told = drawn.told(k)
    for row in range(100):
        for a in range(n_groups):
            expected = abs(k) * (told[row] == a) + (1 - abs(k)) * drawn.prior[a]
            assert found[row, a] == pytest.approx(expected)


@given(seed=st.integers(0, 10_000), n_groups=st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_the_ends_are_truth_the_shares_and_a_wrong_group(seed, n_groups):
    drawn = rumours(200, n_groups, seed)
    assert (drawn.posterior(1.0).argmax(axis=1) == drawn.truth).all()
    assert (drawn.posterior(1.0).max(axis=1) == 1).all()
    assert drawn.posterior(0.0) == pytest.approx(np.tile(drawn.prior, (200, 1)))
    assert (drawn.posterior(-1.0).argmax(axis=1) != drawn.truth).all()
    assert (drawn.posterior(-1.0).max(axis=1) == 1).all()


@given(seed=st.integers(0, 10_000), low=st.floats(0, 1), high=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_a_probe_that_knows_more_is_right_wherever_a_lesser_one_heard_the_truth(seed, low, high):
    drawn = rumours(200, 3, seed)
    low, high = sorted((low, high))
    right = {k: drawn.luck < k for k in (low, high)}
    assert (right[high] | ~right[low]).all()
    assert (drawn.told(high)[right[low]] == drawn.truth[right[low]]).all()


@pytest.mark.parametrize("k", [0.8, 0.4, 0.0])
def test_a_simulated_posterior_of_some_knowledge_is_calibrated(k):
    drawn = rumours(200_000)
    posterior, told = drawn.posterior(k), drawn.told(k)
    for t in range(3):
        shares = np.bincount(drawn.truth[told == t], minlength=3) / (told == t).sum()
        # about 60,000 rows each: a share's standard error is 0.002
        assert shares == pytest.approx(posterior[told == t][0], abs=0.01)
    named = k + (1 - k) * (drawn.prior**2).sum()
    assert (told == drawn.truth).mean() == pytest.approx(named, abs=0.006)


@pytest.fixture(scope="module")
def split():
    X, y, groups, _ = make_biased_normals(2400, n_features=3, n_classes=2, random_state=0)
    X, y, groups = np.asarray(X), np.asarray(y), np.asarray(groups)
    return (X[:1200], y[:1200], groups[:1200], X[1200:], y[1200:], groups[1200:])


@pytest.fixture(scope="module")
def cost(split):
    return probe_cost_curve(*split, estimator=HEAD, knowledge=(0, 1, -1, 0.5), n_boot=200)


def judged(split, answer):
    found = audit(split[4], answer, sensitive_features=split[5], n_boot=200)
    gap = found.disparity("rms_tpr_gap_precision")
    return found.overall["accuracy"]["value"], gap["corrected"], gap["high"]


def measured(point):
    return point.accuracy, point.corrected, point.high


def test_a_perfect_probe_is_the_mode_with_groups_given(split, cost):
    X, y, groups, Z, _, groups_test = split
    known = IdealSteerer(groups="given").fit(X, y, sensitive_features=groups)
    rows = known.transform(X, sensitive_features=groups)
    weight = kamiran_calders_weights(y, sensitive_features=groups)
    head = LogisticRegression(max_iter=300).fit(rows, y, sample_weight=weight)
    answer = head.predict(known.transform(Z, sensitive_features=groups_test))
    for way in ("soft", "hard", "gated"):
        first = cost.curve(way)[0]
        assert (first.knowledge, first.probe_accuracy) == (1.0, 1.0)
        assert measured(first) == judged(split, answer)
    untouched = LogisticRegression(max_iter=300).fit(X, y).predict(Z)
    assert measured(cost.points[0]) == judged(split, untouched)
    inferred = IdealSteerer(groups="infer").fit(X, y, sensitive_features=groups)
    assert cost.points[1].probe == "fitted" and cost.points[1].inference == "soft"
    assert measured(cost.points[1]) == judged(split, head.predict(inferred.transform(Z)))


def test_the_curve_of_a_shift_is_known_in_closed_form():
    # X ~ N(2 y + 1.5 a, 1), cells balanced: perfect steering shifts group b back by 1.5 and
    # the head cuts at 1, so that its TPR in a group whose rows end up off by s is Phi(1 + s)
    # of class 1 and Phi(1 - s) of class 0
    rng = np.random.default_rng(0)
    n = 12_000
    y, a = np.arange(n) % 2, np.arange(n) // 2 % 2
    X = (2 * y + 1.5 * a + rng.normal(size=n))[:, None]
    groups = np.where(a == 0, "a", "b")
    cut = (X[:6000], y[:6000], groups[:6000], X[6000:], y[6000:], groups[6000:])
    steerer = IdealSteerer(groups="infer", reference="a")
    found = probe_cost_curve(
        *cut, estimator=HEAD, steerer=steerer, knowledge=(1, 0, -1), inference=["soft"], n_boot=200
    )

    def gap(off_a, off_b):
        return np.abs(norm.cdf(1 + off_b) - norm.cdf(1 + off_a))

    perfect, useless, wrong = found.curve("soft")
    # 1,500 rows a cell: the standard error of a rate is below 0.013, of a gap below 0.018
    assert perfect.gap == pytest.approx(0, abs=0.04)
    assert useless.gap == pytest.approx(gap(-0.75, 0.75), abs=0.04)
    class_0, class_1 = gap(1.5, -1.5), gap(-1.5, 1.5)
    assert wrong.gap == pytest.approx(np.sqrt((class_0**2 + class_1**2) / 2), abs=0.04)
    assert found.points[0].gap == pytest.approx(gap(-0.75, 0.75), abs=0.04)
    assert perfect.accuracy == pytest.approx(norm.cdf(1), abs=0.015)
    assert useless.probe_accuracy == pytest.approx(0.5)
    assert wrong.probe_accuracy == 0


def test_every_way_to_use_a_sure_probe_is_the_same(cost):
    for first, last in ((p[0], p[-1]) for p in map(cost.curve, ("soft", "hard", "gated"))):
        assert measured(first) == measured(cost.curve("soft")[0])
        assert measured(last) == measured(cost.curve("soft")[-1])
        assert (first.probe_accuracy, last.probe_accuracy) == (1, 0)


def test_the_record_is_plain_and_comes_as_a_frame(cost):
    found = cost.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["kind"], found["schema"]) == ("probe_cost", 1)
    assert len(found["points"]) == 1 + 3 + 4 * 3
    frame = cost.to_frame()
    assert isinstance(frame, pd.DataFrame) and len(frame) == len(cost.points)
    assert list(frame.columns) == list(CostPoint.__dataclass_fields__)
    assert isinstance(cost.to_frame("polars"), pl.DataFrame)


def test_two_runs_agree_and_progress_counts_all_points(split, cost):
    calls = []
    settings_ = dict(estimator=HEAD, knowledge=(0, 1, -1, 0.5), n_boot=200)
    again = probe_cost_curve(*split, **settings_, progress=lambda *call: calls.append(call))
    assert again.points == cost.points
    assert [c[1] for c in calls] == list(range(1, 17)) and {c[2] for c in calls} == {16}


@pytest.mark.parametrize("training_rows", ["cross_fitted", "inferred"])
def test_a_head_may_learn_from_rows_of_the_same_probe(split, cost, training_rows):
    X, y, groups, Z, _, _ = split
    steerer = IdealSteerer(groups="infer", training_rows=training_rows)
    found = probe_cost_curve(
        *split, estimator=HEAD, steerer=steerer, knowledge=(1, 0), inference=["soft"], n_boot=200
    )
    assert measured(found.curve("soft")[0]) == measured(cost.curve("soft")[0])
    assert measured(found.curve("soft")[1]) != measured(cost.curve("soft")[2])
    rows = steerer.fit_transform(X, y, sensitive_features=groups)
    weight = kamiran_calders_weights(y, sensitive_features=groups)
    head = LogisticRegression(max_iter=300).fit(rows, y, sample_weight=weight)
    assert measured(found.points[1]) == judged(split, head.predict(steerer.transform(Z)))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (dict(knowledge=[1.5]), "`knowledge` of `probe_cost_curve`"),
        (dict(knowledge=[]), "must hold one value or more each, got 0 and 3"),
        (dict(inference=["sure"]), "`inference` of `probe_cost_curve` must be one of 'soft'"),
        (dict(steerer=IdealSteerer(groups="given")), 'with `groups="infer"`'),
    ],
)
def test_wrong_settings_are_named(split, settings_, message):
    with pytest.raises(InvalidInputError, match=message):
        probe_cost_curve(*split, estimator=HEAD, **settings_)


def test_one_group_has_no_cost(split):
    X, y, _, Z, z, _ = split
    alone = IdealSteerer(groups="infer", missing_groups="single")
    parts = (X, y, np.zeros(len(y)), Z, z, np.zeros(len(z)))
    with pytest.raises(InvalidInputError, match="`groups_train` .* must hold at least 2 groups"):
        probe_cost_curve(*parts, estimator=HEAD, steerer=alone)
