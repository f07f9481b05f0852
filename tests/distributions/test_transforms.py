"""MarginalTransform, and fitting one class-free transform a group by maximum likelihood."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from isonomy.distributions import MarginalTransform, MonotoneSpline
from isonomy.distributions._marginal_fit import (
    _EVENNESS,
    _PSEUDO_ROWS,
    ClassRows,
    _climb,
    _Hats,
    _merged,
)
from isonomy.distributions._marginal_knots import choose_knots, ladder
from isonomy.distributions.transforms import fit_marginals
from isonomy.errors import InvalidInputError
from reference.monotone import hat, hat_integral, penalised
from reference.strategies import SEEDS

TRUTHS = {
    "logit-normal": lambda z: 1.0 / (1.0 + np.exp(-1.5 * z)),
    "sinh-arcsinh": lambda z: np.sinh((np.arcsinh(z) + 0.4) / 0.8),
    "lognormal": np.exp,
    "wavy": lambda z: z + 0.4 * np.sin(2.0 * z),
}


def latent_rows(n, seed, spread=(1.0, 1.0)):
    rng = np.random.default_rng(seed)
    y, a = rng.integers(0, 2, n), rng.integers(0, 2, n)
    z = 1.5 * y + np.take(spread, y) * rng.normal(size=n)
    return z, y, a


def class_normals(transform, x, y):
    """Means and deviations of the classes of one group, as (K,) arrays."""
    z = transform.forward(x)[:, 0]
    found = [(z[y == c].mean(), z[y == c].std()) for c in range(y.max() + 1)]
    return tuple(np.array(v) for v in zip(*found, strict=True))


def held_out(transform, train, test):
    mean, scale = class_normals(transform, *train)
    x, y = test
    z = transform.forward(x)[:, 0]
    return float((norm.logpdf(z, mean[y], scale[y]) + transform.log_derivative(x)).mean())


def one_group(x, y, **options):
    return fit_marginals(x[:, None], y, np.zeros(len(x), dtype=int), **options)[0]


# --- MarginalTransform ---------------------------------------------------------------

PAIR = MarginalTransform(
    [MonotoneSpline([0.0, 1.0], [0.0, 2.0], [1.0, 3.0]), MonotoneSpline.linear(0.5, 1.0)]
)


def test_each_column_has_its_own_spline():
    X = np.random.default_rng(0).normal(size=(7, 2))
    first, second = PAIR.splines
    assert np.array_equal(PAIR.forward(X), np.c_[first(X[:, 0]), second(X[:, 1])])
    assert PAIR.inverse(PAIR.forward(X)) == pytest.approx(X, rel=1e-12, abs=1e-12)
    expected = first.log_derivative(X[:, 0]) + second.log_derivative(X[:, 1])
    assert np.array_equal(PAIR.log_derivative(X), expected)
    assert PAIR.n_features == 2
    assert PAIR.forward(X.astype(np.float32)).dtype == np.float64


def test_the_identity_leaves_rows_as_they_are():
    X = np.random.default_rng(0).normal(size=(7, 3)) * [1e-6, 1.0, 1e6]
    same = MarginalTransform.identity(3)
    assert same.forward(X) == pytest.approx(X, rel=1e-12)
    assert same.log_derivative(X) == pytest.approx(np.zeros(7), abs=1e-15)


def test_transforms_compare_by_value_and_survive_copies_and_arrays():
    assert MarginalTransform.from_arrays(PAIR.to_arrays()) == PAIR
    assert copy.deepcopy(PAIR) == PAIR
    assert hash(copy.copy(PAIR)) == hash(PAIR)
    assert MarginalTransform.identity(2) != PAIR
    assert PAIR != 1
    assert repr(PAIR) == "MarginalTransform(n_features=2)"
    with pytest.raises(AttributeError, match="immutable"):
        PAIR.splines = ()


def test_bad_transforms_and_rows_raise():
    with pytest.raises(InvalidInputError, match="at least one, got none"):
        MarginalTransform([])
    with pytest.raises(InvalidInputError, match="must be MonotoneSplines, .* got float"):
        MarginalTransform([1.0])
    with pytest.raises(InvalidInputError, match="none for n_knots, slopes"):
        MarginalTransform.from_arrays({"knots": [0.0], "values": [0.0]})
    with pytest.raises(InvalidInputError, match=r"adds up to \(5\)"):
        MarginalTransform.from_arrays(PAIR.to_arrays() | {"n_knots": [2, 3]})
    with pytest.raises(InvalidInputError, match=r"shape \(n_samples, 2\)"):
        PAIR.forward(np.zeros((3, 1)))


# --- the likelihood and its maximum ---------------------------------------------------


def small_problem(seed, tied):
    rng = np.random.default_rng(seed)
    y = np.sort(rng.integers(0, 2, 40))
    x = np.exp(0.5 * rng.normal(size=40) + 0.5 * y)
    knots = np.quantile(x, [0.0, 0.3, 0.6, 1.0])
    weight = rng.integers(1, 4, 40).astype(float)
    rows = ClassRows(np.searchsorted(y, [0, 1, 2]), weight, tied)
    return x, y, weight, knots, rows


@given(seed=SEEDS)
def test_hats_and_their_integrals_equal_the_literal_ones(seed):
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.random(5) + 0.1)
    x = rng.uniform(knots[0] - 1.0, knots[-1] + 1.0, 12)
    hats = _Hats.at(knots, x)
    integrals = [[hat_integral(knots, k, v) for k in range(5)] for v in x]
    assert hats.integrals == pytest.approx(np.array(integrals), abs=1e-12)
    c = rng.random(5)
    values = np.array([[hat(knots, k, v) for k in range(5)] for v in x])
    assert hats.slope(c) == pytest.approx(values @ c)
    assert hats.gradient(x) == pytest.approx(values.T @ x)
    assert hats.curvature(x) == pytest.approx((values * x[:, None]).T @ values)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_no_general_optimiser_and_no_perturbation_does_better(seed, tied):
    x, y, weight, knots, rows = small_problem(seed, tied)

    def loss(logs):
        c = np.exp(logs)
        settings = {"tied": tied, "pseudo_rows": _PSEUDO_ROWS, "evenness": _EVENNESS}
        return -penalised(c.tolist(), knots.tolist(), x, y, weight, **settings)

    found = np.log(_climb(_Hats.at(knots, x), rows))
    best = loss(found)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 0.1, 1.0):
        assert loss(found + size * rng.normal(size=4)) > best - 1e-9
    # from elsewhere: the tied problem is concave, the other has its maximum here too
    start = found + rng.normal(size=4)
    rival = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 60})
    assert best <= rival.fun + 1e-6


def test_merged_rows_keep_weights_means_and_extremes():
    rng = np.random.default_rng(0)
    x = rng.random(30_000)
    y = np.sort(rng.integers(0, 2, len(x)))
    rows = ClassRows(np.searchsorted(y, [0, 1, 2]), np.ones(len(x)), False)
    merged, found = _merged(x, rows)
    assert len(merged) < 10_000
    assert found.class_weight == pytest.approx(rows.class_weight)
    assert (merged @ found.weight) == pytest.approx(x.sum())
    for (a, b), (c, d) in zip(rows.spans, found.spans, strict=True):
        assert np.array_equal(np.sort(x[a:b])[:32], merged[c : c + 32])
        assert np.array_equal(np.sort(x[a:b])[-32:], merged[d - 32 : d])
    few, same = _merged(x[:200], ClassRows(np.array([0, 200]), np.ones(200), True))
    assert np.array_equal(few, np.sort(x[:200]))
    assert np.array_equal(same.weight, np.ones(200))


def test_knots_are_few_for_few_rows_and_never_closer_than_the_least_gap():
    assert ladder(10.0, 19) == []
    assert ladder(200.0, 19) == [4, 6, 9, 13, 19]
    assert ladder(1e6, 9) == [4, 6, 9]
    values = np.sort(np.r_[np.linspace(0, 1, 500), 0.5 + 1e-9 * np.arange(1, 100)])
    knots, scores = choose_knots(values, np.ones(len(values)), 40)
    assert np.diff(knots).min() > 5e-4
    assert (knots[0], knots[-1]) == (0.0, 1.0)
    assert (np.diff(scores) > 0).all()


# --- what the fit promises ------------------------------------------------------------


@pytest.mark.parametrize("per_group", [True, False])
def test_a_group_has_mean_0_and_within_class_variance_1(per_group):
    z, y, a = latent_rows(3000, 0)
    X = np.c_[np.exp(z), np.sinh(z), z]
    found = fit_marginals(X, y, a, per_group=per_group)
    if not per_group:
        assert found[0] is found[1]
        a = np.zeros_like(a)
    for g in range(a.max() + 1):
        T = found[g].forward(X[a == g])
        assert T.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    if per_group:
        for g in (0, 1):
            T, labels = found[g].forward(X[a == g]), y[a == g]
            within = sum((T[labels == c].var(axis=0) * (labels == c).mean()) for c in (0, 1))
            assert within == pytest.approx(np.ones(3), rel=1e-9)


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("spread", [(1.0, 1.0), (1.0, 1.6)])
def test_the_fit_recovers_a_known_transform_and_beats_the_normal_on_held_out_rows(name, spread):
    z, y, _ = latent_rows(2000, 1, spread)
    fresh, labels, _ = latent_rows(5000, 2, spread)
    x, unseen = TRUTHS[name](z), TRUTHS[name](fresh)
    transform = one_group(x, y)
    line = one_group(x, y, n_knots=2)
    test = unseen[:, None], labels
    assert held_out(transform, (x[:, None], y), test) > held_out(line, (x[:, None], y), test) + 0.05
    # up to an affine map T(x) is the latent z: the middle 98 % within 0.1 deviations
    found = transform.forward(test[0])[:, 0]
    middle = np.abs(fresh - np.median(fresh)) < 2.3 * fresh.std()
    slope, offset = np.polyfit(found[middle], fresh[middle], 1)
    error = (slope * found + offset - fresh)[middle] / fresh.std()
    assert np.sqrt((error**2).mean()) < 0.1


def test_a_gamma_is_fitted_nearly_as_well_as_by_its_own_density():
    rng = np.random.default_rng(0)
    x, unseen = rng.gamma(2.0, size=4000), rng.gamma(2.0, size=20_000)
    y = np.zeros(4000, dtype=int)
    score = held_out(one_group(x, y), (x[:, None], y), (unseen[:, None], np.zeros(20_000, int)))
    truth = float((np.log(unseen) - unseen).mean())
    assert truth - score < 0.02  # half a nat per 40 rows; the normal is short by 0.2


@pytest.mark.parametrize("n", [40, 200, 2000])
def test_normal_rows_cost_next_to_nothing(n):
    losses = []
    for seed in range(5):
        z, y, _ = latent_rows(n, seed)
        fresh, labels, _ = latent_rows(5000, 100 + seed)
        test = fresh[:, None], labels
        scores = [held_out(one_group(z, y, n_knots=m), (z[:, None], y), test) for m in (2, 19)]
        losses.append(scores[0] - scores[1])
    assert np.mean(losses) < 0.02


@given(seed=SEEDS, order=st.permutations([0, 1, 2]))
@settings(max_examples=8)
def test_names_of_classes_and_order_of_rows_do_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 150)
    x = np.exp(rng.normal(size=150) + y)
    shuffled = rng.permutation(150)
    first = one_group(x, y)
    second = one_group(x[shuffled], np.array(order)[y][shuffled])
    at = np.linspace(x.min(), x.max(), 9)
    assert second.splines[0](at) == pytest.approx(first.splines[0](at), rel=1e-6, abs=1e-6)


@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), shift=st.floats(-100.0, 100.0))
@settings(max_examples=8)
def test_units_of_a_column_do_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 150)
    x = np.exp(rng.normal(size=150) + y)
    moved = scale * (x + shift)
    first, second = one_group(x, y), one_group(moved, y)
    assert second.forward(moved[:, None]) == pytest.approx(
        first.forward(x[:, None]), rel=1e-6, abs=1e-6
    )


@given(seed=SEEDS)
@settings(max_examples=4)
def test_integer_weights_equal_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    y, a = rng.integers(0, 2, 120), rng.integers(0, 2, 120)
    x = np.exp(rng.normal(size=(120, 2)) + y[:, None])
    times = rng.integers(0, 4, 120)
    weighted = fit_marginals(x, y, a, times.astype(float))
    repeated = fit_marginals(*(np.repeat(v, times, axis=0) for v in (x, y, a)))
    for one, other in zip(weighted, repeated, strict=True):
        assert one.forward(x) == pytest.approx(other.forward(x), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("outlier", [1e3, 1e6, 1e12])
def test_an_outlier_costs_the_other_rows_little(outlier):
    z, y, _ = latent_rows(500, 0)
    x = z.copy()
    x[0] = outlier
    transform = one_group(x, y)
    found = transform.forward(x[:, None])[:, 0]
    assert np.abs(found).max() < 30.0
    # the other rows still tell the classes apart as before
    gap = found[1:][y[1:] == 1].mean() - found[1:][y[1:] == 0].mean()
    assert gap == pytest.approx(1.5, abs=0.3)
    assert (np.diff(transform.splines[0](np.sort(x))) > 0).all()


@pytest.mark.parametrize(
    "column",
    [
        np.zeros(60),
        np.full(60, 1e9),
        np.repeat([0.0, 1.0], 30),
        np.r_[np.zeros(40), np.arange(20.0)],
        np.r_[0.0, np.full(59, 1e-300)],
        np.tan(np.linspace(-1.5707, 1.5707, 60)),
        np.repeat([-1e15, 1e15], 30) + np.arange(60),
    ],
    ids=["constant", "large constant", "the label", "zero-inflated", "tiny", "cauchy", "separate"],
)
def test_degenerate_columns_give_usable_transforms(column):
    y = np.repeat([0, 1], 30)
    transform = one_group(column, y)
    found = transform.forward(column[:, None])
    assert np.isfinite(found).all()
    assert np.isfinite(transform.log_derivative(column[:, None])).all()
    # classes 1e14 deviations apart leave the mean to rounding
    assert abs(found.mean()) <= 1e-12 * np.abs(found).max()
    if column.min() == column.max():
        assert np.array_equal(found, np.zeros((60, 1)))


def test_few_rows_stay_with_a_straight_line_and_empty_groups_with_the_identity():
    rng = np.random.default_rng(0)
    x, y = np.exp(rng.normal(size=(10, 1))), np.arange(10) % 2
    assert len(fit_marginals(x, y, np.zeros(10, int))[0].splines[0].knots) == 2
    found = fit_marginals(x, y, np.full(10, 1))
    assert found[0] == MarginalTransform.identity(1)


def test_one_row_of_a_class_does_not_draw_all_density_to_itself():
    z, y, _ = latent_rows(300, 0)
    lonely = np.r_[y, 2]
    x = np.r_[z, 0.123]
    slopes = one_group(x, lonely).splines[0].slopes
    assert slopes.max() / slopes.min() < 10.0


def test_columns_over_hundreds_of_orders_of_magnitude_are_fitted_without_a_warning():
    rng = np.random.default_rng(0)
    z, y, a = rng.normal(size=6_000), np.arange(6_000) % 2, np.arange(6_000) // 3_000
    x = np.exp(50.0 * z)[:, None]
    transform = fit_marginals(x, y, a)[0]
    assert np.isfinite(transform.forward(x)).all()


def test_columns_at_the_ends_of_the_floating_point_numbers():
    y, a = np.arange(8) % 2, np.arange(8) // 4
    with pytest.raises(InvalidInputError, match="Divide it by its size"):
        fit_marginals(1.7e308 * np.linspace(-1.0, 1.0, 8)[:, None], y, a, per_group=False)
    least = np.arange(8.0)[:, None] * 5e-324
    transform = fit_marginals(least, y, a, per_group=False)[0]
    assert (np.diff(transform.forward(least), axis=0) > 0).all()
