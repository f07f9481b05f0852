"""GapCalibrator: its objective, its promise, its limits and its bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import log_softmax
from sklearn.base import clone

from isonomy import errors
from isonomy.steering import GapCalibrator
from isonomy.steering._membership import KnownGroups
from isonomy.steering._offsets import OffsetProblem, Stage, _Packed, solve_offsets
from isonomy.steering._rate_terms import rate_terms
from reference import offsets as oracle

HALF = Stage(0.5, "likelihood")


def scored_rows(seed, n=3000, n_classes=3, n_groups=2, shift=0.8):
    """Scores whose group "1" sees class 0 pushed down by ``shift``."""
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, size=n, p=np.arange(1, n_classes + 1) / sum(range(n_classes + 1)))
    groups = rng.integers(0, n_groups, n)
    scores = 1.5 * np.eye(n_classes)[y] + rng.normal(size=(n, n_classes))
    scores[:, 0] -= shift * groups
    return log_softmax(scores, axis=1), y, groups


def problem_of(scores, y, groups, shrinkage=10.0, criterion="equal_opportunity", positive=None):
    n_groups = int(groups.max()) + 1
    weight = np.ones(len(y))
    terms = rate_terms(
        criterion,
        y,
        groups,
        weight,
        n_classes=scores.shape[1],
        n_groups=n_groups,
        shrinkage=shrinkage,
        positive=positive,
    )
    return OffsetProblem(scores, y, groups, weight, n_groups, terms, KnownGroups(groups, n_groups))


def worst_gap(predicted, y, groups):
    rates = oracle.true_positive_rates(predicted, y, groups)
    labels = {label for label, _ in rates}
    spans = [[r for (label, _), r in rates.items() if label == wanted] for wanted in labels]
    return max(max(s) - min(s) for s in spans)


@pytest.mark.parametrize("utility", ["likelihood", "accuracy"])
@pytest.mark.parametrize("noise_share", [0.0, 1.0])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_the_objective_is_the_literal_one(n_groups, noise_share, utility):
    scores, y, groups = scored_rows(0, n=60, n_groups=n_groups)
    offsets = np.random.default_rng(1).normal(size=(n_groups, 3))
    problem = replace(problem_of(scores, y, groups), noise_share=noise_share)
    found, slope = _Packed.of(problem).objective(offsets.ravel(), 7.0, Stage(0.4, utility))
    expected = oracle.objective(
        scores.tolist(),
        y,
        groups,
        offsets,
        shrinkage=10.0,
        penalty=7.0,
        temperature=0.4,
        utility=utility,
        noise_share=noise_share,
    )
    assert found == pytest.approx(expected, rel=1e-12)
    numeric = approx_fprime(
        offsets.ravel(),
        lambda b: _Packed.of(problem).objective(b, 7.0, Stage(0.4, utility))[0],
        1e-7,
    )
    # forward differences at a step of 1e-7 are good to about 1e-6 here
    np.testing.assert_allclose(slope, numeric, atol=5e-6)


@pytest.mark.parametrize("criterion", ["equal_opportunity", "equalized_odds", "demographic_parity"])
def test_the_gradient_is_the_slope_of_the_objective(criterion):
    scores, y, groups = scored_rows(2, n=80, n_groups=3)
    packed = _Packed.of(problem_of(scores, y, groups, criterion=criterion))
    at = np.random.default_rng(3).normal(size=9)
    slope = approx_fprime(at, lambda b: packed.objective(b, 5.0, HALF)[0], 1e-7)
    # finite differences with step 1e-7 carry an error near 1e-7 / 1e-7 * eps ** 0.5
    assert packed.objective(at, 5.0, HALF)[1] == pytest.approx(slope, abs=1e-5)


def test_no_small_change_of_the_offsets_does_better():
    problem = problem_of(*scored_rows(4, n=500))
    found = solve_offsets(
        problem,
        penalty=50.0,
        stages=(Stage(1.0, "likelihood"), Stage(0.5, "likelihood")),
        max_iter=500,
    )
    packed, rng = _Packed.of(problem), np.random.default_rng(0)
    best = packed.objective(found.offsets.ravel(), 50.0, HALF)[0]
    assert best == pytest.approx(found.objective, rel=1e-9)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            moved = found.offsets.ravel() + size * rng.normal(size=6)
            assert packed.objective(moved, 50.0, HALF)[0] >= best - 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_gaps_shrink_on_rows_that_were_not_used(seed):
    scores, y, groups = scored_rows(seed, n=8000)
    train, test = slice(None, 4000), slice(4000, None)
    calibrator = GapCalibrator().fit(scores[train], y[train], sensitive_features=groups[train])
    before = scores[test].argmax(axis=1)
    after = calibrator.predict(scores[test], sensitive_features=groups[test])
    assert worst_gap(before, y[test], groups[test]) > 0.15
    # about 330 rows in the rarest cell: the gap's standard error is near 0.035
    assert worst_gap(after, y[test], groups[test]) < 0.1
    assert (after == y[test]).mean() > (before == y[test]).mean() - 0.02


def test_without_penalty_gaps_stay():
    scores, y, groups = scored_rows(0)
    weak = GapCalibrator(penalty=0.0).fit(scores, y, sensitive_features=groups)
    strong = GapCalibrator().fit(scores, y, sensitive_features=groups)

    def gap(c):
        return worst_gap(c.predict(scores, sensitive_features=groups), y, groups)

    # a cell of 500 rows shows some .02 between equal rates
    assert gap(strong) < 0.05 < gap(weak)


@pytest.mark.parametrize(
    ("criterion", "rate"),
    [
        ("demographic_parity", lambda p, y: p.mean()),
        ("equal_opportunity", lambda p, y: p[y == 1].mean()),
    ],
)
def test_binary_criteria_close_their_own_rate(criterion, rate):
    scores, y, groups = scored_rows(5, n=6000, n_classes=2, shift=1.5)
    logit = scores[:, 1] - scores[:, 0]
    calibrator = GapCalibrator(criterion=criterion).fit(logit, y, sensitive_features=groups)

    def gap(p):
        return abs(rate(p[groups == 0], y[groups == 0]) - rate(p[groups == 1], y[groups == 1]))

    assert gap((logit > 0).astype(int)) > 0.1
    assert gap(calibrator.predict(logit, sensitive_features=groups)) < 0.02


def test_one_dimensional_scores_equal_two_columns():
    scores, y, groups = scored_rows(6, n_classes=2)
    logit = scores[:, 1] - scores[:, 0]
    proba = np.exp(scores)
    fits = [
        GapCalibrator().fit(logit, y, sensitive_features=groups),
        GapCalibrator().fit(proba[:, 1], y, sensitive_features=groups),
        GapCalibrator().fit(proba, y, sensitive_features=groups),
    ]
    for fitted in fits[1:]:
        # the same objective from three encodings; L-BFGS stops within its tolerance
        assert fitted.offsets_ == pytest.approx(fits[0].offsets_, abs=1e-3)


def test_classes_says_which_column_is_which():
    scores, y, groups = scored_rows(7)
    names = np.array(["c", "a", "b"])
    plain = GapCalibrator().fit(scores, y, sensitive_features=groups)
    named = GapCalibrator(classes=names).fit(scores, names[y], sensitive_features=groups)
    assert named.offsets_ == pytest.approx(plain.offsets_)
    picked = named.predict(scores, sensitive_features=groups)
    assert (picked == names[plain.predict(scores, sensitive_features=groups)]).all()


def test_ties_go_to_the_first_class_and_predict_is_argmax_of_proba():
    scores, y, groups = scored_rows(8)
    fitted = GapCalibrator(penalty=0.0).fit(scores, y, sensitive_features=groups)
    fitted.offsets_ = np.zeros_like(fitted.offsets_)
    tied = np.zeros((4, 3))
    assert fitted.predict(tied, sensitive_features=[0, 1, 0, 1]).tolist() == [0, 0, 0, 0]
    proba = fitted.predict_proba(scores, sensitive_features=groups)
    assert (fitted.predict(scores, sensitive_features=groups) == proba.argmax(axis=1)).all()
    assert proba.sum(axis=1) == pytest.approx(1.0)


@given(seed=st.integers(0, 50), copies=st.integers(2, 3))
@settings(max_examples=5, deadline=None)
def test_integer_weights_equal_repeated_rows(seed, copies):
    scores, y, groups = scored_rows(seed, n=200)
    weight = np.where(np.arange(200) % 2, copies, 1)
    rows = np.repeat(np.arange(200), weight)
    weighted = GapCalibrator(penalty=5.0).fit(
        scores, y, sensitive_features=groups, sample_weight=weight
    )
    repeated = GapCalibrator(penalty=5.0).fit(
        scores[rows], y[rows], sensitive_features=groups[rows]
    )
    # both stop at the optimiser's tolerance
    assert weighted.offsets_ == pytest.approx(repeated.offsets_, abs=5e-3)


def test_a_cell_without_rows_is_left_out_of_the_penalty():
    scores, y, groups = scored_rows(9)
    keep = ~((y == 2) & (groups == 1))
    fitted = GapCalibrator().fit(scores[keep], y[keep], sensitive_features=groups[keep])
    assert np.isfinite(fitted.offsets_).all()


def test_rows_of_an_unknown_group_raise_or_stay():
    scores, y, groups = scored_rows(10)
    fitted = GapCalibrator().fit(scores, y, sensitive_features=groups)
    with pytest.raises(errors.UnknownGroupError, match="seen in `fit` \\(0, 1\\), got also 7"):
        fitted.predict(scores[:2], sensitive_features=[0, 7])
    lenient = clone(fitted).set_params(unknown_group="identity")
    lenient.fit(scores, y, sensitive_features=groups)
    expected = np.exp(scores[:1]) / np.exp(scores[:1]).sum()
    assert lenient.predict_proba(scores[:1], sensitive_features=[7]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (dict(sensitive_features=None), errors.GroupsRequiredError, "one group a row, got None"),
        (dict(sensitive_features=[0] * 99), errors.InvalidInputError, "as many rows as `X`"),
        (dict(y=np.zeros(100)), errors.InvalidInputError, "at least 2 classes, got one class"),
        (dict(y=np.linspace(0, 1, 100)), errors.InvalidInputError, "fractional numbers"),
        (dict(scores=np.zeros((100, 4))), errors.InvalidInputError, "one column a class"),
        (dict(scores=np.full((100, 3), np.nan)), errors.InvalidInputError, "no NaN"),
        (dict(scores=np.zeros(100)), errors.InvalidInputError, "1-D scores are for two classes"),
        (dict(scores=np.zeros((0, 3))), errors.InvalidInputError, "at least one row"),
    ],
)
def test_bad_input_is_named(change, error, match):
    scores, y, groups = scored_rows(11, n=100)
    passed = dict(scores=scores, y=y, sensitive_features=groups) | change
    with pytest.raises(error, match=match):
        GapCalibrator().fit(
            passed["scores"], passed["y"], sensitive_features=passed["sensitive_features"]
        )


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        (dict(criterion="parity"), "`criterion` .* must be one of"),
        (dict(shrinkage=-1), "`shrinkage` .* must lie in"),
        (dict(penalty="much"), "`penalty` .* must be a number"),
        (dict(classes=[0, 1]), "`classes` .* must name every class"),
        (dict(unknown_group="skip"), "`unknown_group` .* must be one of"),
    ],
)
def test_bad_settings_are_named(setting, match):
    scores, y, groups = scored_rows(12, n=100)
    with pytest.raises(errors.InvalidInputError, match=match):
        GapCalibrator(**setting).fit(scores, y, sensitive_features=groups)


def test_scores_far_below_zero_keep_their_order():
    scores = np.random.default_rng(0).normal(size=(400, 2))
    y, group = (scores[:, 1] > scores[:, 0]).astype(int), np.repeat(["a", "b"], 200)
    calibrator = GapCalibrator(score_kind="logit").fit(scores, y, sensitive_features=group)
    far = [[-5000.0, -1000.0], [-1000.0, -5000.0], [-np.inf, -1000.0]]
    assert calibrator.predict(far, sensitive_features=["a"] * 3).tolist() == [1, 0, 1]
    assert np.isfinite(calibrator.predict_proba(far, sensitive_features=["a"] * 3)).all()


def test_scores_that_are_no_probabilities_are_named():
    y, group = np.arange(40) % 2, np.repeat(["a", "b"], 20)
    with pytest.raises(errors.InvalidInputError, match=r"probabilities in \[0, 1\], got values"):
        GapCalibrator(score_kind="probability").fit(2.0 * y - 1, y, sensitive_features=group)
    calibrator = GapCalibrator().fit(0.2 + 0.6 * y, y, sensitive_features=group)
    with pytest.raises(errors.InvalidInputError, match=r"in \[0, 1\] as in `fit`, got values"):
        calibrator.predict([3.0], sensitive_features=["a"])
