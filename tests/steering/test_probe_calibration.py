"""Calibration from scores alone: scikit-learn's own estimates, and the definitions."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression

from isonomy.steering._probe_calibration import fit_calibration
from reference.probe import platt_loss


class Reader(ClassifierMixin, BaseEstimator):
    """Reads the scores off its input: what is calibrated needs no fit."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X[:, 1] if len(self.classes_) == 2 else X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]


def scored(n=300, n_groups=2, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_groups, size=n)
    scores = 3 * (np.eye(n_groups)[codes] + rng.normal(size=(n, n_groups)))
    if n_groups == 2:
        scores = np.column_stack([-scores[:, 1], scores[:, 1]])
    return scores, codes


@pytest.mark.parametrize("n_groups", [2, 3, 4])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_the_posterior_is_that_of_scikit_learns_calibrated_classifier(method, n_groups):
    scores, codes = scored(n_groups=n_groups)
    whole = [(np.arange(len(codes)), np.arange(len(codes)))]
    judge = CalibratedClassifierCV(Reader(), method=method, cv=whole, ensemble=False)
    expected = judge.fit(scores, codes).predict_proba(scores)
    found = fit_calibration(method, scores, codes, None).posterior(scores)
    # theirs stops where the gradient is small; ours at 1e-10 of a step
    assert found == pytest.approx(expected, abs=2e-3 if method == "sigmoid" else 1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_slope_or_intercept_has_a_smaller_loss(weighted):
    scores, codes = scored(120)
    weight = np.random.default_rng(1).uniform(0.5, 3, 120) if weighted else np.ones(120)
    found = fit_calibration("sigmoid", scores, codes, weight if weighted else None)
    slope, intercept = found.arrays["slope"][1], found.arrays["intercept"][1]
    least = platt_loss(slope, intercept, scores[:, 1], codes == 1, weight)
    for a, b in [(1.01, 0), (0.99, 0), (1, 0.01), (1, -0.01), (1.02, 0.02)]:
        assert platt_loss(a * slope, intercept + b, scores[:, 1], codes == 1, weight) > least


def test_the_temperature_has_the_least_log_loss():
    scores, codes = scored(300, n_groups=3)
    found = fit_calibration("temperature", scores, codes, None)

    def loss(slope):
        total = 0.0
        for row, k in zip(scores, codes, strict=True):
            total += np.log(np.exp(slope * row).sum()) - slope * row[k]
        return total

    best = found.arrays["slope"][0]
    assert all(loss(best) <= loss(best * f) for f in (0.9, 0.99, 1.01, 1.1))
    assert (found.posterior(scores).argmax(axis=1) == scores.argmax(axis=1)).all()


def test_the_sigmoid_of_a_calibrated_score_is_the_identity():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=200_000)
    codes = (rng.uniform(size=len(logits)) < expit(logits)).astype(int)
    found = fit_calibration("sigmoid", np.column_stack([-logits, logits]), codes, None)
    # the standard error of slope and intercept is below 0.01 at 200,000 rows
    assert found.arrays["slope"] == pytest.approx(1, abs=0.04)
    assert found.arrays["intercept"] == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_integer_weights_equal_repeated_rows(method, n_groups):
    scores, codes = scored(150, n_groups)
    weight = 1.0 + np.arange(150) % 3
    rows = np.repeat(np.arange(150), weight.astype(int))
    first = fit_calibration(method, scores, codes, weight).posterior(scores)
    second = fit_calibration(method, scores[rows], codes[rows], None).posterior(scores)
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_the_two_groups_are_treated_alike(method):
    scores, codes = scored(200)
    first = fit_calibration(method, scores, codes, None).posterior(scores)
    swapped = fit_calibration(method, scores[:, ::-1], 1 - codes, None)
    assert swapped.posterior(scores[:, ::-1])[:, ::-1] == pytest.approx(first, abs=1e-7)


def test_the_isotonic_curve_is_monotone_and_flat_outside():
    scores, codes = scored(200)
    found = fit_calibration("isotonic", scores, codes, None)
    line = np.linspace(-50, 50, 400)
    posterior = found.posterior(np.column_stack([-line, line]))
    assert (np.diff(posterior[:, 1]) >= 0).all()
    judge = IsotonicRegression(out_of_bounds="clip").fit(scores[:, 1], codes)
    assert posterior[:, 1] == pytest.approx(judge.predict(line))


def test_a_score_without_knowledge_gives_the_shares():
    codes = (np.arange(100) < 30).astype(int)
    constant = np.zeros((100, 2))
    for method in ("sigmoid", "isotonic"):
        found = fit_calibration(method, constant, codes, None).posterior(constant)
        assert found[:, 1] == pytest.approx(0.3, abs=0.02)  # Platt's targets are smoothed
    assert fit_calibration("temperature", constant, codes, None).posterior(constant)[0, 0] == 0.5


def test_scores_where_every_curve_says_0_give_even_odds():
    scores = np.array([[0.0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]] * 5)
    found = fit_calibration("isotonic", scores, np.tile([2, 2, 0, 1], 5), None)
    assert found.posterior(np.full((1, 3), -9.0)) == pytest.approx(1 / 3)
