"""The base rates' part of the calibrator: one number, taken out of the scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from isonomy.errors import InvalidInputError
from isonomy.metrics import rms_tpr_gap
from isonomy.steering import GapCalibrator
from isonomy.steering._base_rates import GRID, BaseRates, choose_strength
from isonomy.steering._membership import GuessedGroups, KnownGroups
from reference.base_rates import shifted_scores_slowly


def leaning_rows(seed, n=6000, lean=0.8):
    """Scores that know the group: they hold each group's own base rates, beside the class."""
    rng = np.random.default_rng(seed)
    shares = np.array([[0.55, 0.15, 0.15, 0.15], [0.15, 0.15, 0.15, 0.55]])
    group = rng.integers(0, 2, n)
    y = np.array([rng.choice(4, p=shares[a]) for a in group])
    scores = 1.5 * np.eye(4)[y] + rng.normal(size=(n, 4)) + lean * np.log(shares[group])
    return scores, y, group


@given(
    seed=st.integers(0, 2**32 - 1),
    n_classes=st.integers(2, 5),
    n_groups=st.integers(1, 4),
    strength=st.floats(0, 2),
    prior_rows=st.sampled_from([0.0, 1.0, 10.0]),
)
def test_shifts_are_those_of_the_formula(seed, n_classes, n_groups, strength, prior_rows):
    rng = np.random.default_rng(seed)
    n = 12
    y, groups = rng.integers(0, n_classes, n), rng.integers(0, n_groups, n)
    weight = rng.integers(0, 3, n) + np.eye(n)[0]
    scores = rng.normal(size=(n, n_classes))
    guess = rng.dirichlet(np.ones(n_groups), size=(n, n_classes))
    rates = BaseRates.of(
        y, groups, weight, n_classes=n_classes, n_groups=n_groups, prior_rows=prior_rows
    )
    known = rates.shift(scores, KnownGroups(groups, n_groups), strength)
    guessed = rates.shift(scores, GuessedGroups(guess), strength)
    slow = shifted_scores_slowly(y, groups, weight, scores, guess, strength, prior_rows)
    assert scores + known == pytest.approx(np.array(slow[0]), abs=1e-10)
    assert scores + guessed == pytest.approx(np.array(slow[1]), abs=1e-10)


def test_a_certain_guess_shifts_like_the_known_group():
    scores, y, group = leaning_rows(0, n=200)
    rates = BaseRates.of(y, group, np.ones(200), n_classes=4, n_groups=2, prior_rows=1.0)
    certain = np.eye(2)[group][:, None, :]
    known = rates.shift(scores, KnownGroups(group, 2), 0.7)
    assert rates.shift(scores, GuessedGroups(certain), 0.7) == pytest.approx(known, abs=1e-12)


def test_a_group_never_seen_is_left_alone():
    rates = BaseRates(np.array([[0.5, -0.5], [-0.2, 0.2]]))
    shift = rates.shift(np.zeros((1, 2)), KnownGroups(np.array([-1]), 2), 1.0)
    assert not shift.any()


def test_the_lean_that_scores_hold_is_the_strength_found():
    # scores hold .8 ln P(k | a): taking .8 away leaves scores that are the same in both groups
    scores, y, group = leaning_rows(1, n=20_000)
    calibrator = GapCalibrator(base_rate_shift="auto")
    calibrator.fit(scores, y, sensitive_features=group)
    assert calibrator.base_rate_shift_ == 0.8
    plain = rms_tpr_gap(y, scores.argmax(1), sensitive_features=group, corrected=True)
    # without the offsets of the second step
    after = (scores - 0.8 * calibrator.log_lift_[group]).argmax(1)
    assert plain > 0.2
    assert rms_tpr_gap(y, after, sensitive_features=group, corrected=True) < 0.02


def test_few_rows_a_class_are_better_served_with_it_on_new_rows():
    gaps = {"auto": [], None: []}
    new_scores, new_y, new_group = leaning_rows(99, n=20_000)
    for seed in range(3):
        scores, y, group = leaning_rows(seed, n=400)
        for shift, found in gaps.items():
            calibrator = GapCalibrator(base_rate_shift=shift)
            calibrator.fit(scores, y, sensitive_features=group)
            predicted = calibrator.predict(new_scores, sensitive_features=new_group)
            found.append(rms_tpr_gap(new_y, predicted, sensitive_features=new_group))
    assert np.mean(gaps["auto"]) < np.mean(gaps[None])


def test_guesses_close_part_of_the_gap_within_the_accuracy_allowed():
    scores, y, group = leaning_rows(2)
    guess = softmax(np.random.default_rng(0).normal(size=(len(y), 2)) + 2 * np.eye(2)[group], 1)
    calibrator = GapCalibrator(groups="infer", base_rate_shift="auto", accuracy_tolerance=0.01)
    calibrator.fit(scores, y, sensitive_features=group, group_proba=guess)
    predicted = calibrator.predict(scores, group_proba=guess)
    assert calibrator.base_rate_shift_ > 0
    assert (predicted == y).mean() >= (scores.argmax(1) == y).mean() - 0.01
    before = rms_tpr_gap(y, scores.argmax(1), sensitive_features=group)
    assert rms_tpr_gap(y, predicted, sensitive_features=group) < 0.6 * before


def test_a_strength_that_costs_too_much_is_passed_over():
    found = choose_strength(lambda k: (1.0 - k, 1.0 - k), floor=0.65)
    assert found == 0.3
    assert choose_strength(lambda k: (1.0 - k, 0.0), floor=None) == GRID[-1]
    assert choose_strength(lambda k: (1.0, 1.0), floor=None) == 0.0


@pytest.mark.parametrize("shift", [-1.0, float("nan"), "much"])
def test_a_strength_that_makes_no_sense_is_refused(shift):
    scores, y, group = leaning_rows(3, n=100)
    with pytest.raises(InvalidInputError, match="`base_rate_shift` of `GapCalibrator.fit`"):
        GapCalibrator(base_rate_shift=shift).fit(scores, y, sensitive_features=group)


def test_without_a_penalty_the_base_rates_alone_are_taken_out():
    scores, y, group = leaning_rows(4)
    calibrator = GapCalibrator(base_rate_shift="auto", penalty=0.0)
    calibrator.fit(scores, y, sensitive_features=group)
    lift = calibrator.log_lift_
    expected = -calibrator.base_rate_shift_ * (lift - lift.mean(axis=1, keepdims=True))
    assert calibrator.base_rate_shift_ > 0
    assert calibrator.offsets_ == pytest.approx(expected, abs=1e-12)
