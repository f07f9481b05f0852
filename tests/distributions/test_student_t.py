"""Student-t laws: density, divergence by quadrature, fit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from isonomy.distributions import (
    AffineMap,
    JointDistribution,
    LogNormal,
    Normal,
    StudentT,
    kl_divergence,
)
from isonomy.distributions._student_divergence import log_constant, white_divergence
from isonomy.distributions.student_t import fit_student
from isonomy.errors import (
    EmptyCellError,
    FamilyError,
    InvalidInputError,
    SingularCovarianceError,
)
from reference.student import (
    fit_by_direct_search,
    kl_by_many_points,
    kl_in_the_plane,
    kl_on_the_line,
    log_density_by_formula,
    mean_log_by_two_integrals,
)


def some_law(rng, d, df):
    root = rng.normal(size=(d, d + 2))
    return StudentT(rng.normal(size=d), root @ root.T / d, df)


@pytest.mark.parametrize(("d", "df"), [(1, 0.5), (2, 3.0), (4, 40.0)])
def test_the_density_is_the_printed_one(d, df):
    rng = np.random.default_rng(d)
    law = some_law(rng, d, df)
    rows = rng.normal(size=(5, d)) * 3
    expected = [log_density_by_formula(x, law.mean, law.covariance, df) for x in rows]
    np.testing.assert_allclose(law.log_density(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("df", [0.3, 5.0, 99.0, 101.0, 1e4])
def test_the_constant_joins_its_two_ways_of_computing(df):
    x = np.zeros((1, 3))
    law = stats.multivariate_t(np.zeros(3), np.eye(3), df=df)
    assert log_constant(df, 3) == pytest.approx(law.logpdf(x[0]), abs=1e-10)


def test_the_constant_of_large_df_is_that_of_the_normal_law():
    normal = -1.5 * np.log(2 * np.pi)
    # the first correction is of order 1/df
    assert abs(log_constant(1e12, 3) - normal) < 1e-11
    gaps = [(log_constant(df, 3) - normal) * df for df in (1e6, 1e8)]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-4)


LINES = [
    (1.0, 2.0, 5.0, 5.0),
    (0.3, 1.2, 3.0, 7.0),
    (2.0, 0.1, 0.5, 0.5),
    (5.0, 30.0, 0.7, 4.0),
    (-3.0, 0.02, 1.0, 9.0),
    (1.0, 1.0, 200.0, 200.0),
    (0.01, 1.01, 2.0, 2.0),
    (0.0, 1.0, 3.0, 3.5),
]


@pytest.mark.parametrize(("m", "s", "df_p", "df_q"), LINES)
def test_the_divergence_on_the_line_is_the_integral_of_its_definition(m, s, df_p, df_q):
    found = StudentT(m, s * s, df_p).kl_divergence(StudentT(0.0, 1.0, df_q))
    assert found == pytest.approx(kl_on_the_line(m, s, df_p, 0.0, 1.0, df_q), rel=1e-8)


@pytest.mark.parametrize(("df_p", "df_q"), [(4.0, 4.0), (1.5, 6.0)])
def test_the_divergence_in_the_plane_is_the_integral_of_its_definition(df_p, df_q):
    rng = np.random.default_rng(3)
    p, q = some_law(rng, 2, df_p), some_law(rng, 2, df_q)
    expected = kl_in_the_plane(p.mean, p.covariance, df_p, q.mean, q.covariance, df_q)
    assert p.kl_divergence(q) == pytest.approx(expected, rel=1e-8)


def test_the_divergence_in_five_dimensions_is_the_mean_over_many_points():
    rng = np.random.default_rng(5)
    p, q = some_law(rng, 5, 3.0), some_law(rng, 5, 8.0)
    found, error = kl_by_many_points(p.mean, p.covariance, 3.0, q.mean, q.covariance, 8.0)
    assert abs(p.kl_divergence(q) - found) < 5 * error
    assert error < 0.01 * found


def test_one_integral_says_what_the_double_integral_says():
    sizes, shifts, df = np.array([0.4, 2.5]), np.array([0.7, -1.1]), 4.0
    root, shift = np.diag(np.sqrt(sizes)), np.sqrt(sizes) * shifts
    found = white_divergence(root[None], shift[None], np.array([df]), np.array([df])).values[0]
    moved = mean_log_by_two_integrals(sizes, shifts, df, df)
    still = mean_log_by_two_integrals(np.ones(2), np.zeros(2), df, df)
    expected = -0.5 * np.log(sizes).sum() + 0.5 * (df + 2) * (moved - still)
    assert found == pytest.approx(expected, rel=1e-9)


@given(
    seed=st.integers(0, 2**31), d=st.integers(1, 4), df=st.sampled_from([0.5, 1.0, 3.0, 30.0, 1e6])
)
def test_the_divergence_is_at_least_0_and_0_of_a_law_from_itself(seed, d, df):
    rng = np.random.default_rng(seed)
    p, q = some_law(rng, d, df), some_law(rng, d, df)
    assert p.kl_divergence(q) > 0
    assert p.kl_divergence(p) < 1e-14
    assert p.kl_divergence(StudentT(p.mean, p.covariance, 2 * df)) >= 0


@given(seed=st.integers(0, 2**31), d=st.integers(1, 3), df=st.floats(0.5, 1e6))
def test_the_divergence_survives_affine_maps(seed, d, df):
    rng = np.random.default_rng(seed)
    p, q = some_law(rng, d, df), some_law(rng, d, 5.0)
    move = AffineMap(rng.normal(size=(d, d)) + 2 * np.eye(d), rng.normal(size=d))
    expected = p.kl_divergence(q)
    assert move.push(p).df == df
    assert kl_divergence(move.push(p), move.push(q)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-6])
def test_near_laws_pay_the_quadratic_form_of_fisher_information(eps):
    """At location + eps, scale (1 + eps): (df+1)/(df+3)/2 + df/(df+3), in d = 1."""
    df = 4.0
    found = StudentT(eps, (1 + eps) ** 2, df).kl_divergence(StudentT(0.0, 1.0, df)) / eps**2
    assert found == pytest.approx(df / (df + 3) + 0.5 * (df + 1) / (df + 3), rel=2 * eps + 1e-8)


@pytest.mark.parametrize("d", [1, 3])
def test_as_df_grows_the_divergence_becomes_that_of_normal_laws(d):
    rng = np.random.default_rng(d)
    p, q = some_law(rng, d, 1.0), some_law(rng, d, 1.0)
    pair = [Normal(law.mean, law.covariance) for law in (p, q)]
    normal = kl_divergence(*pair)
    errors = []
    for df in (1e4, 1e6):
        student = [StudentT(law.mean, law.covariance, df) for law in (p, q)]
        errors += [
            abs(student[0].kl_divergence(student[1]) / normal - 1) * df,
            abs(kl_divergence(pair[0], student[1]) / normal - 1) * df,
            abs(student[0].kl_divergence(pair[1]) / normal - 1) * df,
        ]
    # the error falls as 1/df: multiplied by df it stays where it is
    np.testing.assert_allclose(errors[:3], errors[3:], rtol=0.02)


def test_against_a_normal_law_it_is_infinite_where_no_variance_is():
    normal = Normal([0.0, 0.0], np.eye(2))
    law = StudentT([0.0, 0.0], np.eye(2), 2.0)
    assert law.kl_divergence(normal) == np.inf
    assert kl_divergence(law, normal) == np.inf
    assert np.isfinite(kl_divergence(normal, law))
    assert np.isfinite(StudentT([0.0, 0.0], np.eye(2), 2.1).kl_divergence(normal))
    assert law.kl_divergence(LogNormal([0.0, 0.0], np.eye(2))) == np.inf


def test_against_a_normal_law_it_is_the_integral_of_its_definition():
    law, goal = StudentT(0.5, 2.0, 5.0), Normal(0.0, 3.0)
    u = np.arange(-15.0, 15.0, 0.01)
    rows = 0.5 + np.sinh(u)[:, None]
    both = np.exp(law.log_density(rows)) * (law.log_density(rows) - goal.log_density(rows))
    assert law.kl_divergence(goal) == pytest.approx((both * np.cosh(u)).sum() * 0.01, rel=1e-9)
    grid = np.linspace(-25, 25, 200_001)[:, None]
    back = np.exp(goal.log_density(grid)) * (goal.log_density(grid) - law.log_density(grid))
    assert kl_divergence(goal, law) == pytest.approx(back.sum() * 50 / 200_000, rel=1e-10)


@pytest.mark.parametrize(("df_p", "df_q"), [(3.0, 3.0), (2.0, 8.0), (np.inf, 4.0)])
def test_the_gradient_is_that_of_the_value(df_p, df_q):
    rng = np.random.default_rng(7)
    d = 3
    root, shift = rng.normal(size=(1, d, d)), rng.normal(size=(1, d))
    dfs = np.array([df_p]), np.array([df_q])
    found = white_divergence(root, shift, *dfs)
    step = 1e-5
    for i in range(d):
        move = np.zeros((1, d))
        move[0, i] = step
        ends = [white_divergence(root, shift + s * move, *dfs).values[0] for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert found.by_shift[0, i] == pytest.approx(slope, rel=1e-6, abs=1e-8)
        for j in range(d):
            turn = np.zeros((1, d, d))
            turn[0, i, j] = step
            ends = [white_divergence(root + s * turn, shift, *dfs).values[0] for s in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * step)
            assert found.by_root[0, i, j] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_a_singular_root_pays_infinity():
    found = white_divergence(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.ones(1), np.ones(1))
    assert found.values[0] == np.inf


def test_rows_have_the_law_that_they_are_drawn_from():
    law = StudentT(1.0, 4.0, 3.0)
    rows = law.sample(20_000, random_state=0)
    assert stats.kstest(rows[:, 0], stats.t(3.0, 1.0, 2.0).cdf).pvalue > 0.01
    several = StudentT([0.0, 1.0], [[2.0, 0.8], [0.8, 1.0]], 9.0).sample(50_000, random_state=1)
    expected = 9.0 / 7.0 * np.array([[2.0, 0.8], [0.8, 1.0]])
    np.testing.assert_allclose(np.cov(several.T), expected, atol=0.06)
    # the coordinates share their tails
    assert np.corrcoef(several[:, 0] ** 2, several[:, 1] ** 2)[0, 1] > 0.2


def test_variance_says_where_there_is_none():
    assert StudentT(0.0, 3.0, 5.0).variance == pytest.approx(5.0)
    assert np.isinf(StudentT(0.0, 3.0, 2.0).variance).all()
    assert np.isnan(StudentT([0.0, 0.0], np.eye(2), 1.0).variance[0, 1])


def test_a_law_is_a_value():
    law = StudentT([0.0, 1.0], np.eye(2), 3.0)
    for other in (copy.copy(law), copy.deepcopy(law), type(law)(*law.__reduce__()[1])):
        assert other == law
        assert hash(other) == hash(law)
    assert law != StudentT([0.0, 1.0], np.eye(2), 4.0)
    assert law != Normal([0.0, 1.0], np.eye(2))
    assert repr(law).endswith("df=3)")
    with pytest.raises(AttributeError, match="immutable"):
        law.df = 2.0


@pytest.mark.parametrize("df", [0.0, -1.0, np.inf, np.nan, "3", True])
def test_df_must_be_a_number_above_0(df):
    with pytest.raises(InvalidInputError, match="`df` of `StudentT` must be a finite number"):
        StudentT(0.0, 1.0, df)


def test_a_divergence_that_is_not_known_is_refused():
    law = StudentT(0.0, 1.0, 3.0)
    with pytest.raises(FamilyError, match="divergence between these laws is not known"):
        kl_divergence(LogNormal(0.0, 1.0), law)
    with pytest.raises(InvalidInputError, match="same number of features"):
        law.kl_divergence(StudentT([0.0, 0.0], np.eye(2), 3.0))


# the fit


def cells_of(rng, n, d=2, df=4.0, n_classes=2, n_groups=2):
    y = np.tile(np.arange(n_classes), n * n_groups)
    a = np.repeat(np.arange(n_groups), n * n_classes)
    noise = rng.normal(size=(len(y), d)) * np.sqrt(df / rng.chisquare(df, len(y)))[:, None]
    return noise + y[:, None] + 2 * a[:, None], y, a


def test_the_fit_on_the_line_is_the_one_of_greatest_likelihood():
    rng = np.random.default_rng(0)
    rows = stats.t.rvs(3.0, loc=1.0, scale=2.0, size=200, random_state=rng)
    same = np.concatenate([rows] * 4)[:, None]
    y, a = np.repeat([0, 1, 0, 1], 200), np.repeat([0, 0, 1, 1], 200)
    locations, scales, df = fit_student(same, y, a, 2, 2, None, "full")
    m, s, nu, _ = fit_by_direct_search(rows, [1.0, 0.5, 1.0])
    np.testing.assert_allclose(locations[..., 0], m, atol=1e-4)
    np.testing.assert_allclose(scales[..., 0, 0], s, rtol=1e-4)
    assert df == pytest.approx(nu, rel=1e-4)


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
@pytest.mark.parametrize("df", [None, 3.0])
def test_no_step_away_from_the_fit_raises_the_likelihood(covariance, df):
    rng = np.random.default_rng(1)
    X, y, a = cells_of(rng, 60)
    fit = JointDistribution.fit(
        X, y, sensitive_features=a, family="student_t", covariance=covariance, df=df
    )
    best = fit.log_density(X, y, a).sum()
    for _ in range(20):
        means = fit.means + 0.02 * rng.normal(size=fit.means.shape)
        turn = np.eye(2) + 0.02 * rng.normal(size=(2, 2, 2, 2))
        if covariance == "tied":
            turn = np.broadcast_to(turn[:1], turn.shape)
        if covariance == "diagonal":
            turn = turn * np.eye(2)
        covs = turn @ fit.covariances @ np.swapaxes(turn, 2, 3)
        nu = 3.0 if df else fit.shape.df[0] * np.exp(0.05 * rng.normal())
        cells = {(j, g): StudentT(means[j, g], covs[j, g], nu) for j in range(2) for g in range(2)}
        other = JointDistribution(cells, fit.priors)
        assert other.log_density(X, y, a).sum() < best


def test_whole_weights_are_repeated_rows():
    rng = np.random.default_rng(2)
    X, y, a = cells_of(rng, 20)
    weight = rng.integers(0, 4, len(y)).astype(float)
    many = np.repeat(np.arange(len(y)), weight.astype(int))
    one = fit_student(X, y, a, 2, 2, weight, "full")
    two = fit_student(X[many], y[many], a[many], 2, 2, None, "full")
    np.testing.assert_allclose(one[0], two[0], atol=1e-7)
    np.testing.assert_allclose(one[1], two[1], atol=1e-7)
    assert one[2] == pytest.approx(two[2], rel=1e-5)


def test_normal_rows_get_many_degrees_of_freedom_and_heavy_ones_few():
    rng = np.random.default_rng(3)
    X, y, a = cells_of(rng, 400, df=1e9)
    assert fit_student(X, y, a, 2, 2, None, "full")[2] > 30
    X, y, a = cells_of(rng, 400, df=1.0)
    assert fit_student(X, y, a, 2, 2, None, "full")[2] == pytest.approx(1.0, rel=0.15)


def test_outliers_hardly_move_the_fit():
    rng = np.random.default_rng(4)
    X, y, a = cells_of(rng, 100, df=1e9)
    spoilt = X.copy()
    spoilt[:8] = 1e4
    clean = fit_student(X, y, a, 2, 2, None, "full", 3.0)[0]
    assert np.abs(fit_student(spoilt, y, a, 2, 2, None, "full", 3.0)[0] - clean).max() < 0.3


def test_the_fit_says_which_cell_holds_too_little():
    rng = np.random.default_rng(5)
    X, y, a = cells_of(rng, 20)
    lone = (y == 0) & (a == 0)
    with pytest.raises(EmptyCellError, match=r"positions \(0, 0\)"):
        fit_student(X[~lone], y[~lone], a[~lone], 2, 2, None, "full")
    few = np.flatnonzero(~lone).tolist() + np.flatnonzero(lone)[:2].tolist()
    with pytest.raises(SingularCovarianceError, match="at least 3 different rows"):
        fit_student(X[few], y[few], a[few], 2, 2, None, "full")
    flat = np.column_stack([X[:, 0], X[:, 0]])
    with pytest.raises(SingularCovarianceError, match="scale matrix"):
        fit_student(flat, y, a, 2, 2, None, "full")
    with pytest.raises(InvalidInputError, match="`df` of `JointDistribution.fit`"):
        fit_student(X, y, a, 2, 2, None, "full", -1.0)


def test_messages_offer_nothing_that_student_cells_refuse():
    rng = np.random.default_rng(0)
    X, y, a = rng.normal(size=(8, 2)), np.arange(8) % 2, np.arange(8) // 2 % 2
    with pytest.raises(SingularCovarianceError, match="Try") as caught:
        JointDistribution.fit(X, y, sensitive_features=a, family="student_t")
    assert "shrinkage" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="`shrinkage` of .* must be None"):
        JointDistribution.fit(X, y, sensitive_features=a, family="student_t", shrinkage="oas")


def test_degrees_of_freedom_of_other_families_are_refused():
    rng = np.random.default_rng(0)
    X, y, a = rng.normal(size=(40, 1)), np.arange(40) % 2, np.arange(40) // 20
    for family in ("normal", "lognormal", "nonparanormal"):
        with pytest.raises(InvalidInputError, match="`df` of `JointDistribution.fit` must be None"):
            JointDistribution.fit(np.exp(X), y, sensitive_features=a, family=family, df=4.0)
