"""choose_family: the true family on simulated rows, and what has no density stays out."""

import copy

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isonomy.distributions.families as families_module
from isonomy.distributions import JointDistribution, choose_family
from isonomy.distributions._family_columns import _grid_step, dequantised, kind_of_column
from isonomy.distributions._family_scores import deal_folds
from isonomy.distributions.families import _thinned
from isonomy.errors import EmptyCellError, InvalidInputError, SingularCovarianceError
from reference.gaussian import log_density

FAST = ("normal", "lognormal")


def draw(family, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    Z = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    if family == "student_t":
        Z *= np.sqrt(4.0 / rng.chisquare(4.0, n))[:, None]
    Z += 1.2 * y[:, None] + 0.5 * a[:, None]
    if family == "lognormal":
        return np.exp(Z), y, a
    if family == "nonparanormal":
        bent = np.where(Z[:, 1] > 0, Z[:, 1] + 0.5 * Z[:, 1] ** 2, 0.3 * Z[:, 1])
        return np.c_[1.0 / (1.0 + np.exp(-1.5 * Z[:, 0])), bent + 5.0], y, a
    return Z, y, a


@pytest.mark.parametrize("family", ["normal", "lognormal", "student_t", "nonparanormal"])
def test_the_family_that_made_the_rows_is_chosen(family):
    X, y, a = draw(family)
    choice = choose_family(X, y, sensitive_features=a)
    assert choice.family == family
    assert set(choice.scores) | set(choice.skipped) == set(families_module._SIMPLEST_FIRST)
    assert choice.standard_errors[choice.best] == 0.0


def test_scores_are_held_out_log_likelihoods_in_the_units_of_X():
    X, y, a = draw("lognormal", n=60)
    choice = choose_family(X, y, sensitive_features=a, families=FAST, cv=3)
    folds = deal_folds(2 * y + a, 3, _after_checks())
    found = {"normal": [], "lognormal": []}
    for fold in range(3):
        for row in np.flatnonzero(folds == fold):
            cell = X[(folds != fold) & (y == y[row]) & (a == a[row])]
            for family in FAST:
                seen, x = (
                    (np.log(cell), np.log(X[row])) if family == "lognormal" else (cell, X[row])
                )
                moments = seen.mean(axis=0), np.cov(seen.T, bias=True)
                jacobian = -x.sum() if family == "lognormal" else 0.0
                found[family].append(log_density(*moments, x) + jacobian)
    for family in FAST:
        assert choice.scores[family] == pytest.approx(np.mean(found[family]), rel=1e-9)
    difference = np.subtract(found["lognormal"], found["normal"])
    expected = difference.std() / np.sqrt(60)
    assert choice.standard_errors["normal"] == pytest.approx(expected, rel=1e-9)


def _after_checks():
    return np.random.RandomState(0)


@pytest.mark.parametrize("seed", range(4))
def test_the_simplest_family_within_one_standard_error_of_the_best_wins(seed):
    X, y, a = draw("normal", n=150, seed=seed)
    # relative deviations of 1 %: normal and log-normal can hardly be told apart
    choice = choose_family(np.exp(0.01 * X), y, sensitive_features=a, families=FAST)
    short = choice.scores[choice.best] - choice.scores["normal"]
    simple_enough = short <= choice.standard_errors["normal"]
    assert choice.family == ("normal" if simple_enough else "lognormal")
    assert ("simplest" in str(choice)) == (choice.best != choice.family)


def test_an_exact_tie_goes_to_the_simplest_family():
    # straight splines: the nonparanormal law is the normal one but for rounding
    X, y, a = draw("normal", n=300)
    choice = choose_family(X, y, sensitive_features=a, families=("normal", "nonparanormal"))
    assert choice.scores["normal"] == pytest.approx(choice.scores["nonparanormal"], rel=1e-12)
    assert choice.family == "normal"


def test_lognormal_is_skipped_where_values_are_not_positive_also_in_discrete_columns():
    X, y, a = draw("lognormal", n=200)
    choice = choose_family(np.c_[X, np.arange(200) % 2], y, sensitive_features=a, families=FAST)
    assert choice.discrete_columns == ("x2",)
    assert "at or below 0, the least 0" in choice.skipped["lognormal"]
    assert choice.family == "normal"


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.2, 0.6]))
@settings(max_examples=3)
def test_an_atom_never_decides(seed, share):
    rng = np.random.default_rng(seed)
    X, y, a = draw("normal", n=400, seed=seed)
    spiked = X[:, 0].copy()
    spiked[rng.random(400) < share] = 0.3
    with_atom = choose_family(np.c_[spiked, X[:, 1]], y, sensitive_features=a)
    without = choose_family(X[:, 1:], y, sensitive_features=a)
    assert with_atom.discrete_columns == ("x0",)
    assert with_atom.scores == without.scores
    assert "Left out, having no density: x0. Numbers among them are steered" in str(with_atom)
    assert "Left out" not in str(without)


@pytest.mark.parametrize("step", [1.0, 0.25])
def test_rounding_is_undone_by_noise_and_does_not_decide(step):
    X, y, a = draw("normal", n=1500)
    rounded = step * np.round(8.0 * X / step)
    choice = choose_family(rounded, y, sensitive_features=a)
    assert choice.rounding == {"x0": step, "x1": step}
    assert choice.discrete_columns == ()
    assert choice.family == "normal"
    plain = choose_family(8.0 * X, y, sensitive_features=a)
    # the likelihood of noise over a step is that of the density, smoothed over the step
    assert choice.scores["normal"] == pytest.approx(plain.scores["normal"], abs=0.02)


def test_what_is_compared_is_the_rows_with_noise_and_no_others(monkeypatch):
    X, y, a = draw("normal", n=300)
    rounded = np.round(8.0 * X)
    scores = []
    for factor in (1.0, 10.0):
        monkeypatch.setattr(families_module, "dequantised", lambda x, *_, f=factor: f * x)
        choice = choose_family(rounded, y, sensitive_features=a, families=("normal",))
        scores.append(choice.scores["normal"])
    # ten times as wide in both columns: the density is a hundredth
    assert scores[1] == pytest.approx(scores[0] - 2.0 * np.log(10.0), rel=1e-9)


@given(st.lists(st.integers(-10_000, 10_000), min_size=3, max_size=30, unique=True))
def test_the_step_divides_all_differences(values):
    step = _grid_step(np.unique(np.array(values, dtype=float) * 0.05))
    places = np.diff(np.unique(np.array(values)))
    assert step == pytest.approx(0.05 * np.gcd.reduce(places), rel=1e-9)


def test_kinds_of_columns():
    rng = np.random.default_rng(0)
    n = 2000
    columns = {
        "continuous": (rng.normal(size=n), (False, 0.0)),
        "float32": (rng.normal(size=n).astype(np.float32), (False, 0.0)),
        "ages": (np.round(rng.normal(45, 13, n)), (False, 1.0)),
        "cents": (np.round(np.exp(rng.normal(size=n)), 2), (False, 0.01)),
        "fives": (5 * np.round(rng.normal(0, 20, n)), (False, 5.0)),
        "binary": (rng.integers(0, 2, n), (True, 0.0)),
        "grades": (rng.integers(1, 17, n), (True, 0.0)),
        "hours": (np.where(rng.random(n) < 0.5, 40, np.round(rng.normal(40, 12, n))), (True, 1.0)),
        "gains": (np.where(rng.random(n) < 0.9, 0, np.exp(rng.normal(size=n))), (True, 0.0)),
        "geometric": (np.floor(rng.exponential(15.0, n)), (False, 1.0)),
        "constant": (np.ones(n), (True, 0.0)),
    }
    for name, (column, expected) in columns.items():
        kind = kind_of_column(column, np.ones(n))
        assert (kind.discrete, pytest.approx(kind.step)) == expected, name


def test_a_short_continuous_column_is_not_discrete():
    column = np.random.default_rng(0).normal(size=15)
    assert not kind_of_column(column, np.ones(15)).discrete
    assert kind_of_column(np.arange(15.0) % 3, np.ones(15)).discrete


def test_noise_stays_within_half_a_step_and_repeats_with_the_seed():
    x = np.arange(100.0)
    noisy = dequantised(x, 0.5, np.random.RandomState(0))
    assert np.abs(noisy - x).max() <= 0.25
    assert np.array_equal(noisy, dequantised(x, 0.5, np.random.RandomState(0)))


def test_tables_without_continuous_columns_return_the_simplest_family_unchecked():
    frame = pd.DataFrame({"city": list("abcd") * 25, "married": [0, 1, 1, 0] * 25})
    y, a = np.arange(100) % 2, np.arange(100) // 50
    choice = choose_family(frame, y, sensitive_features=a)
    assert choice.family == "normal"
    assert choice.discrete_columns == ("married", "city")
    assert choice.scores == {}
    assert "unchecked" in str(choice)
    assert choice.skipped["student_t"] == "no column has a density"


def test_folds_too_small_for_full_covariances_are_compared_with_simpler_ones():
    rng = np.random.default_rng(0)
    X, y, a = rng.normal(size=(28, 6)), np.arange(28) % 2, np.arange(28) // 14
    choice = choose_family(X, y, sensitive_features=a, families=("normal",))
    assert choice.covariance == "tied"


def test_cells_of_single_rows_raise():
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="two rows"):
        choose_family(rng.normal(size=(4, 1)), [0, 0, 1, 1], sensitive_features=[0, 1, 0, 1])
    with pytest.raises(SingularCovarianceError, match=r"held out.*constant.*name the family"):
        X, y, a = rng.normal(size=(6, 1)), [0, 0, 0, 1, 1, 0], [0, 0, 1, 0, 1, 1]
        choose_family(X, y, sensitive_features=a, cv=2)


def test_the_result_repeats_with_the_seed_and_is_plain():
    X, y, a = draw("lognormal", n=200)
    first, second = (choose_family(X, y, sensitive_features=a, families=FAST) for _ in range(2))
    assert first == second
    data = first.to_dict()
    assert data["family"] == data["best"] == "lognormal"
    frame = first.to_frame()
    assert frame["family"].tolist() == ["lognormal", "normal"]
    assert frame["chosen"].tolist() == [True, False]
    assert str(first).startswith("lognormal has the highest held-out log-likelihood")


def test_a_long_list_of_columns_is_cut_in_the_sentence_but_not_in_the_record():
    X, y, a = draw("normal", n=200)
    flags = np.random.default_rng(0).integers(0, 2, (200, 8))
    choice = choose_family(np.c_[X, flags], y, sensitive_features=a, families=("normal",))
    assert len(choice.discrete_columns) == 8
    assert "having no density: x2, x3, x4, x5, x6 and 3 more." in str(choice)


def test_weights_weigh_rows_and_rows_without_weight_do_not_count():
    X, y, a = draw("lognormal", n=300)
    spoilt = np.r_[X, np.full((40, 2), 1e9) * np.arange(1, 41)[:, None]]
    y2, a2 = np.r_[y, np.arange(40) % 2], np.r_[a, np.arange(40) // 20]
    weight = np.r_[np.ones(300), np.zeros(40)]
    options = {"families": FAST, "sample_weight": weight}
    assert choose_family(spoilt, y2, sensitive_features=a2, **options).n_rows == 300
    assert choose_family(spoilt, y2, sensitive_features=a2, **options).family == "lognormal"


def test_folds_spread_every_cell_and_leave_single_rows_in_training():
    codes = np.r_[np.zeros(20, int), np.ones(11, int), [2]]
    folds = deal_folds(codes, 5, np.random.RandomState(0))
    for code, low in ((0, 4), (1, 2)):
        counts = np.bincount(folds[codes == code], minlength=5)
        assert counts.min() >= low
        assert counts.max() <= low + 1
    assert folds[-1] == -1


def test_many_rows_are_thinned_evenly_over_cells(monkeypatch):
    monkeypatch.setattr(families_module, "_MAX_ROWS", 100)
    codes = np.r_[np.zeros(900, int), np.ones(90, int), np.full(10, 2)]
    kept = _thinned(codes, np.ones(1000), np.random.RandomState(0))
    assert np.bincount(codes[kept]) == pytest.approx([90, 9, 1], abs=1)


def test_fit_with_auto_takes_the_choice():
    X, y, a = draw("lognormal", n=200)
    joint = JointDistribution.fit(X, y, sensitive_features=a, family="auto")
    assert joint.family == "lognormal"
    found = choose_family(X, y, sensitive_features=a).to_dict()
    assert joint.family_choice.to_dict() == found
    assert copy.deepcopy(joint).family_choice.to_dict() == found
    plain = JointDistribution.fit(X, y, sensitive_features=a, family="lognormal")
    assert plain.family_choice is None
    assert plain == joint  # how a family was chosen is no part of the law


def test_shared_transforms_are_compared_as_shared():
    X, y, a = draw("nonparanormal", n=400)
    given = {"sensitive_features": a, "families": ("nonparanormal",)}
    shared, own = (choose_family(X, y, **given, per_group=each) for each in (False, True))
    assert shared.scores["nonparanormal"] != own.scores["nonparanormal"]


@pytest.mark.parametrize("family", ["normal", "lognormal", "student_t"])
def test_only_transforms_can_be_shared_by_groups(family):
    X, y, a = draw("lognormal", n=100)
    with pytest.raises(InvalidInputError, match="`per_group` of `JointDistribution.fit` must be T"):
        JointDistribution.fit(X, y, sensitive_features=a, family=family, per_group=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": ("normal", "cauchy")}, "`families` of `choose_family` must be one of"),
        ({"families": ()}, "at least one family"),
        ({"cv": 1}, "`cv` of `choose_family` must be a whole number of at least 2"),
        ({"covariance": "round"}, "`covariance` of `choose_family`"),
        ({"families": ("lognormal",)}, "one that can be fitted, got none: lognormal: X has"),
    ],
)
def test_bad_arguments_raise(options, message):
    X, y, a = draw("normal", n=60)
    with pytest.raises(InvalidInputError, match=message):
        choose_family(X, y, sensitive_features=a, **options)


def test_an_empty_cell_raises():
    X, y, a = draw("normal", n=60)
    with pytest.raises(EmptyCellError, match="label 1, group 1"):
        choose_family(X[(y == 0) | (a == 0)], y[(y == 0) | (a == 0)],
                      sensitive_features=a[(y == 0) | (a == 0)])  # fmt: skip
