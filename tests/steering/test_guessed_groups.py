"""GapCalibrator(groups="infer"): offsets weighted by a guess of the group."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import log_softmax

from isonomy import errors
from isonomy.metrics import rms_tpr_gap
from isonomy.steering import GapCalibrator
from isonomy.steering._membership import GuessedGroups, KnownGroups
from isonomy.steering._offsets import OffsetProblem, Stage, _Packed
from isonomy.steering._rate_terms import rate_terms
from reference import offsets as oracle

STAGE = Stage(0.4, "likelihood")


def rows(seed, n=3000, n_classes=3, n_groups=2, certainty=1.5):
    """Scores that push class 0 of group 1 down, and a posterior that half knows the group."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    groups = rng.integers(0, n_groups, n)
    scores = 1.5 * np.eye(n_classes)[y] + rng.normal(size=(n, n_classes))
    scores[:, 0] -= 0.9 * (groups == 1)
    evidence = certainty * np.eye(n_groups)[groups] + rng.normal(size=(n, n_groups))
    posterior = np.exp(log_softmax(certainty * evidence, axis=1))
    return log_softmax(scores, axis=1), y, groups, posterior


def problem_of(scores, y, groups, known):
    terms = rate_terms(
        "equal_opportunity",
        y,
        groups,
        np.ones(len(y)),
        n_classes=scores.shape[1],
        n_groups=int(groups.max()) + 1,
        shrinkage=10.0,
        positive=None,
    )
    n_groups = int(groups.max()) + 1
    return OffsetProblem(scores, y, groups, np.ones(len(y)), n_groups, terms, known)


def by_class(posterior, seed, n_classes=3):
    tilt = np.random.default_rng(seed).uniform(0.5, 2.0, size=(n_classes, posterior.shape[1]))
    joint = posterior[:, None, :] * tilt
    return joint / joint.sum(axis=2, keepdims=True)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_objective_with_guesses_is_the_literal_one(n_groups):
    scores, y, groups, posterior = rows(0, n=60, n_groups=n_groups)
    guess = by_class(posterior, 1)
    offsets = np.random.default_rng(2).normal(size=(n_groups, 3))
    problem = replace(problem_of(scores, y, groups, GuessedGroups(guess)), ridge=0.05)
    packed = _Packed.of(problem)
    found, slope = packed.objective(offsets.ravel(), 7.0, STAGE)
    expected = oracle.objective(
        scores.tolist(),
        y,
        groups,
        offsets,
        shrinkage=10.0,
        penalty=7.0,
        temperature=0.4,
        guesses=guess.tolist(),
        ridge=0.05,
    )
    assert found == pytest.approx(expected, rel=1e-12)
    numeric = approx_fprime(offsets.ravel(), lambda b: packed.objective(b, 7.0, STAGE)[0], 1e-7)
    # forward differences at a step of 1e-7 are good to about 1e-6 here
    np.testing.assert_allclose(slope, numeric, atol=5e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n_groups=st.integers(2, 4))
def test_a_certain_right_guess_shifts_as_the_group_itself_does(seed, n_groups):
    rng = np.random.default_rng(seed)
    groups, offsets = rng.integers(0, n_groups, 40), rng.normal(size=(n_groups, 5))
    slope = rng.normal(size=(40, 5))
    known = KnownGroups(groups, n_groups)
    guessed = GuessedGroups(np.eye(n_groups)[groups][:, None, :])
    np.testing.assert_allclose(guessed.shift(offsets), known.shift(offsets), atol=1e-12)
    np.testing.assert_allclose(guessed.pull(slope), known.pull(slope), atol=1e-12)


def test_certain_right_guesses_decide_like_given_groups():
    scores, y, groups, _ = rows(3, n_classes=2)
    given_ = GapCalibrator().fit(scores, y, sensitive_features=groups)
    sure = np.eye(2)[groups]
    inferred = GapCalibrator(groups="infer").fit(
        scores, y, sensitive_features=groups, group_proba=sure
    )
    a = given_.predict(scores, sensitive_features=groups)
    b = inferred.predict(scores, group_proba=sure)
    # two L-BFGS runs from the same start may stop within rounding of each other
    assert (a == b).mean() > 0.999


def test_one_guess_for_all_classes_equals_the_same_guess_for_each():
    scores, y, groups, posterior = rows(4, n=800)
    settings_ = {"sensitive_features": groups}
    flat = GapCalibrator(groups="infer").fit(scores, y, group_proba=posterior, **settings_)
    deep = np.repeat(posterior[:, None, :], 3, axis=1)
    full = GapCalibrator(groups="infer").fit(scores, y, group_proba=deep, **settings_)
    np.testing.assert_allclose(flat.offsets_, full.offsets_, atol=1e-8)


def test_the_gap_narrows_on_new_rows_whose_group_is_only_guessed():
    scores, y, groups, posterior = rows(5, n=8000)
    model = GapCalibrator(groups="infer").fit(
        scores, y, sensitive_features=groups, group_proba=posterior
    )
    scores, y, groups, posterior = rows(6, n=8000)
    after = model.predict(scores, group_proba=posterior)
    before = scores.argmax(axis=1)
    gap_before = rms_tpr_gap(y, before, sensitive_features=groups)
    gap_after = rms_tpr_gap(y, after, sensitive_features=groups)
    assert gap_before > 0.1
    assert gap_after < 0.4 * gap_before


def test_a_guess_that_knows_nothing_shifts_all_rows_alike():
    scores, y, groups, posterior = rows(7)
    blank = np.full_like(posterior, 0.5)
    model = GapCalibrator(groups="infer").fit(
        scores, y, sensitive_features=groups, group_proba=blank
    )
    shifts = np.log(model.predict_proba(scores, group_proba=blank)) - scores
    relative = shifts - shifts[:, :1]
    np.testing.assert_allclose(relative, np.broadcast_to(relative[0], relative.shape), atol=1e-9)


@pytest.mark.parametrize("tolerance", [0.0, 0.005, 0.02])
def test_the_accuracy_tolerance_is_kept_on_the_rows_of_fit(tolerance):
    scores, y, groups, posterior = rows(8)
    model = GapCalibrator(groups="infer", accuracy_tolerance=tolerance, penalty=5000.0)
    model.fit(scores, y, sensitive_features=groups, group_proba=posterior)
    accuracy = (model.predict(scores, group_proba=posterior) == y).mean()
    assert accuracy >= (scores.argmax(axis=1) == y).mean() - tolerance
    assert 0 <= model.penalty_ <= 5000.0


def test_a_wider_tolerance_presses_no_less():
    scores, y, groups, posterior = rows(9)
    reached = [
        GapCalibrator(groups="infer", accuracy_tolerance=t, penalty=5000.0)
        .fit(scores, y, sensitive_features=groups, group_proba=posterior)
        .penalty_
        for t in (0.0, 0.003, 0.01, 0.5)
    ]
    assert reached == sorted(reached)
    assert reached[-1] == 5000.0


def test_the_offsets_of_a_rare_group_stay_bounded():
    scores, y, groups, _ = rows(13, n=2000)
    groups = np.where(np.arange(2000) < 8, 2, groups)
    rng = np.random.default_rng(13)
    evidence = rng.normal(size=(2000, 3)) + np.array([2.0, 2.0, -3.0])
    guess = np.exp(log_softmax(evidence, axis=1))
    model = GapCalibrator(groups="infer").fit(
        scores, y, sensitive_features=groups, group_proba=guess
    )
    assert np.abs(model.offsets_).max() < 10  # without the ridge: some 50


def test_a_single_group_needs_no_guess():
    scores, y, _, _ = rows(10, n=100)
    model = GapCalibrator(groups="infer", missing_groups="single").fit(scores, y)
    np.testing.assert_array_equal(model.predict(scores), scores.argmax(axis=1))


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        (None, "group_proba` passed to `GapCalibrator.fit` must hold the groups' prob"),
        (np.ones((3000, 3)) / 3, "must have shape .* the last axis in the order of the groups"),
        (np.full((3000, 2), 0.7), "sum to 1 over the groups, got .0.7, 0.7. in row 0"),
        (np.tile([1.5, -0.5], (3000, 1)), "must hold probabilities"),
        (np.full((3000, 2), np.nan), "must hold probabilities"),
    ],
)
def test_bad_guesses_are_refused(guess, message):
    scores, y, groups, _ = rows(11)
    with pytest.raises(errors.InvalidInputError, match=message):
        GapCalibrator(groups="infer").fit(scores, y, sensitive_features=groups, group_proba=guess)


def test_unknown_settings_are_refused():
    scores, y, groups, _ = rows(12, n=50)
    with pytest.raises(errors.InvalidInputError, match="groups"):
        GapCalibrator(groups="blind").fit(scores, y, sensitive_features=groups)
    with pytest.raises(errors.InvalidInputError, match="accuracy_tolerance"):
        GapCalibrator(accuracy_tolerance=-0.1).fit(scores, y, sensitive_features=groups)


def test_an_uncertain_guess_is_weighted_by_its_probability():
    offsets = np.array([[1.0, -1.0], [3.0, 0.0]])
    guess = np.array([[[0.25, 0.75], [1.0, 0.0]]])
    np.testing.assert_allclose(GuessedGroups(guess).shift(offsets), [[2.5, -1.0]])


@pytest.mark.parametrize("mode", ["given", "infer"])
def test_a_group_without_weight_moves_no_other(mode):
    scores, y, groups, posterior = rows(13, n=1200, n_groups=3)
    weight = (groups < 2).astype(float)
    fit = {"sensitive_features": groups, "group_proba": posterior}
    weighed = GapCalibrator(groups=mode).fit(scores, y, sample_weight=weight, **fit)
    assert np.abs(weighed.offsets_[:2]).max() > 0.1
    if mode == "given":
        kept = groups < 2
        absent = GapCalibrator().fit(scores[kept], y[kept], sensitive_features=groups[kept])
        np.testing.assert_allclose(weighed.offsets_[:2], absent.offsets_, atol=1e-9)
        np.testing.assert_array_equal(weighed.offsets_[2], 0.0)
