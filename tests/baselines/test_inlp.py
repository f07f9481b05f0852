"""INLP: the literal loop, what a probe finds afterwards, and when it stops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from isonomy.baselines import INLP, LEACE
from isonomy.errors import InvalidInputError
from reference.erasure import largest_mean_distance
from reference.rivals import inlp_rows


def shifted_groups(n_groups=2, *, n=1_500, d=8, seed=0, shift=1.5):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, size=n)
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    return X + shift * rng.standard_normal((n_groups, d))[groups], groups


def by_class(n=3_000, seed=0):
    """Column 0 tells classes apart, which differ in group; column 1 groups within classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    groups = (rng.random(n) < np.where(y == 1, 0.85, 0.15)).astype(int)
    X = rng.standard_normal((n, 6))
    X[:, 0] += 4.0 * y
    X[:, 1] += 2.0 * groups
    return X, y, groups


@pytest.mark.parametrize(("n_groups", "n_iterations"), [(2, 1), (2, 4), (3, 2)])
def test_rows_equal_the_literal_loop(n_groups, n_iterations):
    X, groups = shifted_groups(n_groups, n=300)
    eraser = INLP(n_iterations=n_iterations)
    out = eraser.fit_transform(X, sensitive_features=groups)
    assert eraser.n_iter_ == n_iterations
    assert eraser.rank_ == n_iterations * (n_groups - 1)
    np.testing.assert_allclose(out, inlp_rows(X, groups, n_iterations), atol=1e-7)


@given(seed=st.integers(0, 1_000), n_groups=st.integers(2, 3))
@settings(deadline=None, max_examples=15)
def test_the_map_is_an_orthogonal_projection_about_the_mean(seed, n_groups):
    X, groups = shifted_groups(n_groups, n=200, seed=seed)
    eraser = INLP(n_iterations=2).fit(X, sensitive_features=groups)
    matrix = eraser.map_.matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-12)
    np.testing.assert_allclose(matrix @ eraser.directions_, 0.0, atol=1e-12)
    gram = eraser.directions_.T @ eraser.directions_
    np.testing.assert_allclose(gram, np.eye(eraser.rank_), atol=1e-12)
    np.testing.assert_allclose(eraser.transform(X).mean(axis=0), X.mean(axis=0), atol=1e-10)


def test_every_probe_of_the_path_reads_nothing_of_the_projected_rows():
    X, groups = shifted_groups(n=800)
    deviation = X.std(axis=0)
    first = LogisticRegression(solver="newton-cholesky", tol=1e-10)
    first.fit((X - X.mean(axis=0)) / deviation, groups)
    out = INLP(n_iterations=3).fit_transform(X, sensitive_features=groups)
    read = first.decision_function((out - X.mean(axis=0)) / deviation)
    assert np.ptp(read) < 1e-7 * np.ptp(X)


@pytest.mark.parametrize("n_groups", [2, 3])
def test_strangers_verdict_a_linear_probe_finds_the_group_before_and_not_after(n_groups):
    X, groups = shifted_groups(n_groups, n=4_000, d=20)
    half = np.arange(4_000) < 2_000
    eraser = INLP().fit(X[half], sensitive_features=groups[half])

    def probe(rows):
        found = LogisticRegression(max_iter=5_000).fit(rows[half], groups[half])
        return found.score(rows[~half], groups[~half])

    share = np.bincount(groups[~half]).max() / 2_000
    assert probe(X) > share + 0.3
    # "auto" sees 500 held-out rows: two standard errors are 0.045, and it stops at the first
    # probe that is not told from the constant
    assert probe(eraser.transform(X)) < share + 0.1
    assert 1 <= eraser.rank_ < 15


def test_the_curve_falls_to_the_constant_and_is_held_out():
    X, groups = shifted_groups(n=4_000)
    eraser = INLP().fit(X, sensitive_features=groups)
    assert len(eraser.probe_scores_) == len(eraser.majority_scores_) == eraser.n_iter_ + 1
    assert eraser.probe_scores_[0] > 0.8
    noise = 2.0 * 0.5 / np.sqrt(1_000)
    assert eraser.probe_scores_[-1] < eraser.majority_scores_[-1] + noise
    fixed = INLP(n_iterations=eraser.n_iter_).fit(X, sensitive_features=groups)
    np.testing.assert_array_equal(fixed.probe_scores_, eraser.probe_scores_)
    np.testing.assert_array_equal(fixed.map_.matrix, eraser.map_.matrix)


def test_groups_of_one_law_leave_the_rows_alone():
    # one-sided 5 %: with 20 draws more than four false alarms have a chance of 0.3 %
    alarms = 0
    for seed in range(20):
        X, groups = shifted_groups(shift=0.0, n=400, seed=seed)
        eraser = INLP().fit(X, sensitive_features=groups)
        alarms += eraser.rank_ > 0
        if eraser.rank_ == 0:
            np.testing.assert_array_equal(eraser.transform(X), X)
    assert alarms <= 4


def test_within_classes_keeps_what_only_the_classes_tell():
    X, y, groups = by_class()
    overall = INLP(n_iterations=1).fit(X, sensitive_features=groups)
    within = INLP(within_classes=True).fit(X, y, sensitive_features=groups)
    assert abs(overall.directions_[0, 0]) > 0.25
    assert abs(within.directions_[0, 0]) < 0.1
    assert abs(within.directions_[1, 0]) > 0.95
    out = within.transform(X)
    for label in (0, 1):
        rows = y == label
        before = largest_mean_distance(X[rows], groups[rows])
        assert largest_mean_distance(out[rows], groups[rows]) < 0.25 * before


def test_a_class_without_a_difference_does_not_stop_the_others():
    X, y, groups = by_class()
    X[y == 0, 1] -= 2.0 * groups[y == 0]  # class 0, whose turn is first, tells nothing
    eraser = INLP(within_classes=True).fit(X, y, sensitive_features=groups)
    assert not eraser.probe_scores_[0] > eraser.majority_scores_[0] + 0.02
    assert abs(eraser.directions_[1]).max() > 0.9


def test_within_classes_needs_labels_and_a_mixed_class():
    X, y, groups = by_class(n=100)
    with pytest.raises(InvalidInputError, match="`y` passed to `INLP.fit` must be the class"):
        INLP(within_classes=True).fit(X, sensitive_features=groups)
    with pytest.raises(InvalidInputError, match="a class with rows of two groups, got none"):
        INLP(within_classes=True).fit(X, groups, sensitive_features=groups)
    y[groups == 0] = 0  # class 1 holds one group only, and is passed over
    eraser = INLP(n_iterations=2, within_classes=True).fit(X, y, sensitive_features=groups)
    assert eraser.rank_ == 2


@pytest.mark.parametrize(
    "probe", [RidgeClassifier(), LinearSVC(), Perceptron(random_state=0), LogisticRegression(C=0.1)]
)
@pytest.mark.parametrize("n_groups", [2, 3])
def test_any_linear_probe_serves(probe, n_groups):
    X, groups = shifted_groups(n_groups, n=600, d=10)
    eraser = INLP(n_iterations=2, probe=probe).fit(X, sensitive_features=groups)
    assert 2 <= eraser.rank_ <= 2 * (n_groups - 1)
    assert eraser.probe_scores_[2] < eraser.probe_scores_[0] - 0.08
    assert not hasattr(probe, "coef_")  # the caller's object is left as it was


def test_standardising_carries_the_directions_back_to_the_columns():
    X, groups = shifted_groups(n=600)
    units = 10.0 ** np.arange(-3, 5)
    # in standard units the probe sees the same rows whatever the units of the columns
    one = INLP(n_iterations=1).fit(X, sensitive_features=groups).directions_[:, 0]
    two = INLP(n_iterations=1).fit(X * units, sensitive_features=groups).directions_[:, 0]
    expected = one / units
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(np.abs(two), np.abs(expected), atol=1e-8)


def test_more_is_erased_than_by_leace_at_a_larger_change():
    X, groups = shifted_groups(n=3_000)
    inlp, leace = INLP(), LEACE()
    moved = inlp.fit_transform(X, sensitive_features=groups)
    least = leace.fit_transform(X, sensitive_features=groups)
    assert inlp.rank_ >= leace.rank_
    assert ((moved - X) ** 2).sum() > ((least - X) ** 2).sum()


@pytest.mark.parametrize("n_iterations", [0, 1.5, "all", True, None])
def test_a_wrong_number_of_probes_raises(n_iterations):
    X, groups = shifted_groups(n=100)
    with pytest.raises(InvalidInputError, match="`n_iterations` of `INLP` must be"):
        INLP(n_iterations=n_iterations).fit(X, sensitive_features=groups)


def test_a_probe_that_is_not_linear_or_takes_no_weights_raises():
    X, groups = shifted_groups(n=100)
    with pytest.raises(InvalidInputError, match="must be a linear classifier with `coef_`"):
        INLP(probe=KNeighborsClassifier()).fit(X, sensitive_features=groups)
    with pytest.raises(InvalidInputError, match="`probe` of `INLP` must take `sample_weight`"):
        INLP(probe=KNeighborsClassifier()).fit(
            X, sensitive_features=groups, sample_weight=np.ones(100)
        )


def test_erasing_every_dimension_raises():
    X, groups = shifted_groups(n=200, d=3)
    with pytest.raises(InvalidInputError, match="would erase all 3 dimension"):
        INLP(n_iterations=3).fit(X, sensitive_features=groups)


def test_many_coefficients_are_solved_without_newtons_matrix():
    X, groups = shifted_groups(n=150, d=1_100)
    eraser = INLP(n_iterations=2).fit(X, sensitive_features=groups)
    assert eraser.rank_ == 2
    assert np.isfinite(eraser.transform(X)).all()


def test_rows_far_from_zero_are_told_apart():
    # in single precision all of these rows are one, and none could be held out
    X, groups = shifted_groups(n=2_000, d=5)
    far = INLP().fit(X + 1e10, sensitive_features=groups)
    assert far.n_iter_ >= 1
    assert far.probe_scores_[0] > 0.8


def test_repeated_rows_are_never_on_both_sides_of_the_held_out_line():
    X, groups = shifted_groups(n=50, shift=0.0)
    X, groups = np.tile(X, (40, 1)), np.tile(groups, 40)
    # a probe that had seen the held-out rows would tell these few groups by heart
    assert INLP().fit(X, sensitive_features=groups).probe_scores_[0] < 0.75


def test_the_score_of_a_probe_is_not_of_rows_that_it_saw():
    X, groups = shifted_groups(shift=0.0, n=200, d=100)  # noise that a probe learns by heart
    # 50 held-out rows of which the probe knows nothing: three standard errors above a half
    assert INLP().fit(X, sensitive_features=groups).probe_scores_[0] < 0.72


def test_a_one_against_the_rest_probe_tells_no_groups_apart_afterwards():
    X, groups = shifted_groups(3, n=600)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    probe = LinearSVC().fit((X - mean) / deviation, groups)
    assert len(np.unique(probe.predict((X - mean) / deviation))) == 3
    eraser = INLP(n_iterations=1, probe=LinearSVC(random_state=0))
    out = eraser.fit_transform(X, sensitive_features=groups)
    assert eraser.rank_ == 2
    scores = probe.decision_function((out - mean) / deviation)
    gaps = scores - scores[:, :1]  # differences of scores decide, and they are constant now
    np.testing.assert_allclose(gaps, np.broadcast_to(gaps[0], gaps.shape), atol=1e-2)


@pytest.mark.parametrize("constant", [0.1, 0.7, 1e6 + 0.1])
def test_a_constant_column_is_no_direction(constant):
    # 0.1 and the like are no binary numbers: their mean over many rows is off by rounding
    X, groups = shifted_groups(n=1_003)
    wide = np.column_stack([X, np.full(len(X), constant)])
    plain = INLP(n_iterations=1).fit(X, sensitive_features=groups)
    eraser = INLP(n_iterations=1).fit(wide, sensitive_features=groups)
    assert eraser.directions_[-1, 0] == 0.0
    np.testing.assert_allclose(eraser.directions_[:-1], plain.directions_, atol=1e-12)


def test_a_probe_that_finds_groups_and_shows_no_direction_ends_the_search():
    class Secretive(KNeighborsClassifier):
        def fit(self, X, y):
            self.coef_ = np.zeros((1, X.shape[1]))
            return super().fit(X, y)

    X, groups = shifted_groups(n=400, shift=5.0)
    eraser = INLP(probe=Secretive()).fit(X, sensitive_features=groups)
    assert (eraser.rank_, eraser.n_iter_, len(eraser.probe_scores_)) == (0, 0, 1)
    assert eraser.probe_scores_[0] > 0.9
