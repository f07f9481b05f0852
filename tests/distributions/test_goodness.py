"""Goodness of fit: the statistic against quadrature, size, power, and cells it cannot judge."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binom, norm
from scipy.stats import t as student

from isonomy.distributions import JointDistribution
from isonomy.distributions._energy import StandardLaw, energy_statistic
from isonomy.distributions._goodness_null import standardise
from isonomy.distributions._shape import Freedom, Marginals
from isonomy.distributions.goodness import goodness_of_fit
from isonomy.distributions.monotone import MonotoneSpline
from isonomy.distributions.student_t import StudentT
from isonomy.distributions.transforms import MarginalTransform
from isonomy.errors import FamilyError, InvalidInputError
from reference import samples


@pytest.mark.parametrize("df", [None, 2.5, 8.0, 300.0])
def test_the_statistic_is_the_integrated_square_of_distribution_functions(df):
    """On the line the squared energy distance is 2 int (F_n - F)^2 (Szekely and Rizzo)."""
    x = np.random.default_rng(0).normal(0.3, 1.2, 30)
    law = norm if df is None else student(df)
    by_formula = samples.energy_by_quadrature(x, law)
    # the heavier the tail, the rougher the quadrature of both
    tolerance = 1e-7 if df is None else 1e-3
    assert energy_statistic(x[:, None], StandardLaw(1, df)) == pytest.approx(
        by_formula, rel=tolerance
    )


@pytest.mark.parametrize("d", [1, 3, 64, 65, 200])
def test_mean_distances_are_those_of_draws(d):
    rng = np.random.default_rng(1)
    law = StandardLaw(d)
    z = rng.standard_normal((20_000, d))
    for length in (0.0, 1.0, np.sqrt(d), 5 * np.sqrt(d)):
        a = np.zeros(d)
        a[0] = length
        distance = np.linalg.norm(z - a, axis=1)
        found = float(law.to(np.array([length**2]))[0])
        assert abs(found - distance.mean()) < 4 * distance.std() / np.sqrt(len(z))
    apart = np.linalg.norm(z[:10_000] - z[10_000:], axis=1)
    assert abs(law.spread - apart.mean()) < 4 * apart.std() / 100


def test_the_two_formulas_of_mean_distances_meet():
    from isonomy.distributions import _energy

    squared = np.array([0.0, 10.0, 64.0, 500.0])
    exact = _energy._to_normal(squared, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_energy, "_HYPERGEOMETRIC_UP_TO", 63)
        assert _energy._to_normal(squared, 64) == pytest.approx(exact, rel=3e-7)


def test_pairs_are_summed_in_blocks(monkeypatch):
    from isonomy.distributions import _energy

    x = np.random.default_rng(0).normal(size=(50, 3))
    whole = energy_statistic(x, StandardLaw(3))
    distances = [np.linalg.norm(a - b) for a in x for b in x]
    by_loops = 2 * StandardLaw(3).to((x**2).sum(axis=1)).sum() - 50 * StandardLaw(3).spread
    assert whole == pytest.approx(by_loops - sum(distances) / 50, rel=1e-10)
    monkeypatch.setattr(_energy, "_BLOCK", 7)
    assert energy_statistic(x, StandardLaw(3)) == pytest.approx(whole, rel=1e-12)


def cells(rng, n=60, d=2, n_groups=2):
    y, a = np.divmod(np.arange(2 * n_groups * n) % (2 * n_groups), n_groups)
    mix = rng.normal(size=(2, n_groups, d, d))
    X = np.einsum("nij,nj->ni", mix[y, a], rng.normal(size=(len(y), d))) + 3.0 * y[:, None]
    return X, y, a


def fitted(X, y, a, **options):
    return JointDistribution.fit(X, y, sensitive_features=a, check="ignore", **options)


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
def test_size_is_five_per_cent(covariance):
    """120 data sets; both the overall p and single p's, within binomial tolerance."""
    rng = np.random.default_rng(2)
    overall, single = 0, 0
    y, a = np.divmod(np.arange(80) % 4, 2)
    scale = rng.uniform(0.5, 2.0, size=(2, 2))
    for i in range(120):
        noise = rng.normal(size=(80, 2))
        # equal scales within a group are what "tied" says
        X = (
            noise
            * (scale[:1] if covariance == "tied" else scale)[y * (covariance != "tied"), a][:, None]
        )
        joint = fitted(X, y, a, covariance=covariance)
        found = goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=19, random_state=i)
        overall += found.p_value <= 0.05
        single += int((found.p_values <= 0.05).sum())
    assert binom.ppf(0.001, 120, 0.05) <= overall <= binom.ppf(0.999, 120, 0.05)
    assert 5 <= single <= 43  # 24 of 480 expected, 4 standard errors of independent ones


def test_size_with_many_cells_of_equal_size():
    """The joint p of 16 cells, whose replicates must not be shared: 19 a cell are enough."""
    rng = np.random.default_rng(20)
    y, a = np.divmod(np.arange(192) % 16, 2)
    called = 0
    for i in range(60):
        X = rng.normal(size=(192, 1))
        joint = fitted(X, y, a)
        called += (
            goodness_of_fit(
                joint, X, y, sensitive_features=a, n_bootstrap=19, random_state=i
            ).p_value
            <= 0.05
        )
    assert called <= binom.ppf(0.999, 60, 0.05)


def test_the_law_of_the_statistic_does_not_know_the_parameters():
    rng = np.random.default_rng(3)
    noise, local = rng.normal(size=(40, 3)), np.repeat([0, 1], 20)
    moved = noise @ rng.normal(size=(3, 3)) + rng.normal(size=(2, 3))[local]
    for kind, rows in (("full", moved), ("diagonal", noise * [1.0, 9.0, 0.1] + 5.0)):
        one, two = (standardise(r, local, 2, kind, None) for r in (noise, rows))
        for j in range(2):
            first, second = (energy_statistic(w[local == j], StandardLaw(3)) for w in (one, two))
            assert second == pytest.approx(first, rel=1e-9)
    one, two = (standardise(r, local, 2, "full", (4.0, 4.0)) for r in (noise, moved))
    assert np.linalg.norm(two, axis=1) == pytest.approx(np.linalg.norm(one, axis=1), rel=1e-4)


@pytest.mark.parametrize(
    "bend", [lambda z: np.exp(0.7 * z), lambda z: z * np.abs(z), lambda z: np.sign(z) + 0.2 * z]
)
def test_skewed_heavy_tailed_and_two_humped_rows_are_told(bend):
    rng = np.random.default_rng(4)
    X, y, a = cells(rng, n=100)
    bent = bend(rng.normal(size=X.shape))
    alone = (y == 1) & (a == 0)
    X[alone] = bent[alone]
    found = goodness_of_fit(fitted(X, y, a), X, y, sensitive_features=a)
    assert found.p_value == 0.005
    assert found.rejected() == ((1, 0),)
    assert found.distance[1, 0] == np.nanmax(found.distance)
    assert "do not look as if drawn from normal cells" in str(found)
    assert "(label 1, group 0)" in str(found)


def test_log_rows_of_lognormal_cells_pass_and_others_do_not():
    rng = np.random.default_rng(5)
    X, y, a = cells(rng)
    X /= 2.0
    good = fitted(np.exp(X), y, a, family="lognormal")
    found = goodness_of_fit(good, np.exp(X), y, sensitive_features=a)
    assert found.p_value > 0.05
    # the same statistic as of the logarithms under normal cells
    same = goodness_of_fit(fitted(X, y, a), X, y, sensitive_features=a)
    assert found.distance == pytest.approx(same.distance)
    assert goodness_of_fit(
        fitted(np.exp(X), y, a), np.exp(X), y, sensitive_features=a
    ).p_value == pytest.approx(0.005)
    with pytest.raises(FamilyError, match="must be positive"):
        goodness_of_fit(good, X, y, sensitive_features=a)


def test_transformed_rows_are_judged_in_latent_coordinates():
    rng = np.random.default_rng(6)
    X, y, a = cells(rng)
    spline = MonotoneSpline([-1.0, 0.0, 2.0], [-2.0, 0.5, 1.0], [1.0, 2.0, 0.4])
    latent = fitted(X, y, a)
    joint = JointDistribution.from_arrays(
        latent.means, latent.covariances, latent.prior, latent.classes, latent.groups,
        "nonparanormal", Marginals([MarginalTransform([spline] * 2)] * 2),
    )  # fmt: skip
    rows = joint.observed(X, a)
    found = goodness_of_fit(joint, rows, y, sensitive_features=a)
    assert found.distance == pytest.approx(
        goodness_of_fit(latent, X, y, sensitive_features=a).distance
    )
    assert found.p_value > 0.05


def test_student_rows_pass_as_student_and_fail_as_normal():
    rng = np.random.default_rng(7)
    X, y, a = cells(rng, n=90)
    middle = 3.0 * y[:, None]
    rows = (X - middle) / np.sqrt(rng.chisquare(3.0, size=len(X)) / 3.0)[:, None] + middle
    normal = fitted(rows, y, a)
    joint = JointDistribution.from_arrays(
        normal.means, normal.covariances / 3.0, normal.prior, normal.classes, normal.groups,
        "student_t", Freedom([3.0, 3.0]),
    )  # fmt: skip
    assert goodness_of_fit(joint, rows, y, sensitive_features=a, n_bootstrap=39).p_value > 0.05
    assert goodness_of_fit(normal, rows, y, sensitive_features=a, n_bootstrap=39).p_value == 0.025
    heavy = JointDistribution.from_arrays(
        normal.means, normal.covariances, normal.prior, normal.classes, normal.groups,
        "student_t", Freedom([1.0, 3.0]),
    )  # fmt: skip
    lost = goodness_of_fit(heavy, rows, y, sensitive_features=a, n_bootstrap=19)
    assert np.isnan(lost.p_values[0]).all()
    assert "no mean with 1 degree of freedom" in lost.reasons[0, 0]


@pytest.mark.parametrize("kind", ["full", "diagonal"])
def test_student_rows_are_standardised_by_the_likeliest_location_and_scale(kind):
    rng = np.random.default_rng(14)
    rows = student(3.0).rvs(size=(60, 2), random_state=rng) * [1.0, 5.0] + [3.0, -1.0]
    white = standardise(rows, np.zeros(60, dtype=np.intp), 1, kind, (3.0,))
    # rows = white A' + b with the estimated factor and location
    found = np.linalg.lstsq(np.c_[white, np.ones(60)], rows, rcond=None)[0]
    factor, location = found[:2].T, found[2]
    best = StudentT(location, factor @ factor.T, 3.0).log_density(rows).sum()
    for _ in range(40):
        near = factor * rng.uniform(0.9, 1.1, 2 if kind == "diagonal" else (2, 2))
        law = StudentT(location + 0.1 * rng.normal(size=2), near @ near.T, 3.0)
        assert law.log_density(rows).sum() < best
    for scale in (0.97, 1.03):
        law = StudentT(location, scale * factor @ factor.T, 3.0)
        assert law.log_density(rows).sum() < best


def test_a_law_fixed_before_is_not_refitted():
    rng = np.random.default_rng(8)
    X, y, a = cells(rng, n=200)
    joint = fitted(X, y, a)
    new, labels, groups = joint.sample(400, random_state=0)
    options = {"sensitive_features": groups, "refit": False}
    assert goodness_of_fit(joint, new, labels, **options).p_value > 0.05
    moved = goodness_of_fit(joint, new + 0.5, labels, **options)
    assert moved.p_value == 0.005
    assert goodness_of_fit(joint, new + 0.5, labels, sensitive_features=groups).p_value > 0.05


def test_large_cells_are_sampled_and_that_is_said():
    rng = np.random.default_rng(9)
    X, y, a = cells(rng, n=80)
    found = goodness_of_fit(fitted(X, y, a), X, y, sensitive_features=a, max_rows=50)
    assert (found.n_used == 50).all()
    assert (found.n_rows == 80).all()
    assert "50 rows drawn at random were used" in str(found)
    assert (found.n_used == found.n_rows).all() == ("drawn at random" not in str(found))


def test_the_seed_alone_decides_whatever_the_number_of_processes():
    rng = np.random.default_rng(10)
    X, y, a = cells(rng, n=20)
    joint = fitted(X, y, a)
    one = goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=21)
    two = goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=21, n_jobs=2)
    assert one.to_dict() == two.to_dict()
    order = np.random.default_rng(0).permutation(len(y))
    same = goodness_of_fit(joint, X[order], y[order], sensitive_features=a[order], n_bootstrap=21)
    assert same.distance == pytest.approx(one.distance)
    assert same.p_value == one.p_value
    other = goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=21, random_state=1)
    assert not np.array_equal(other.p_values, one.p_values)


def test_cells_without_rows_enough_are_named():
    rng = np.random.default_rng(11)
    X, y, a = cells(rng, n=30, d=3)
    joint = fitted(X, y, a)
    keep = ~((y == 0) & (a == 1)) | (np.arange(len(y)) < 12)  # three rows of that cell are left
    found = goodness_of_fit(joint, X[keep], y[keep], sensitive_features=a[keep], n_bootstrap=19)
    assert list(found.reasons) == [(0, 1)]
    assert "fewer rows than 5" in found.reasons[0, 1]
    assert np.isnan(found.p_values[0, 1])
    assert np.isnan(found.p_adjusted[0, 1])
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["cells"][1]["p_value"] is None
    assert plain["cells"][1]["reason"] == found.reasons[0, 1]
    X[(y == 1) & (a == 1), 2] = 0.1
    flat = goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=19)
    assert flat.reasons[1, 1] == "its columns are constant or collinear"
    few = goodness_of_fit(joint, X[:8], y[:8], sensitive_features=a[:8], n_bootstrap=19)
    assert np.isnan(few.p_value)
    assert "No cell has rows enough" in str(few)


def test_adjusted_p_is_holms():
    from isonomy.distributions.goodness import _holm

    p = np.random.default_rng(0).uniform(size=(3, 4)) ** 2
    p[1, 1] = np.nan
    found = _holm(p)
    assert found[~np.isnan(p)] == pytest.approx(samples.holm(p[~np.isnan(p)]))
    assert np.isnan(found[1, 1])


def test_tables_and_too_few_replicates():
    rng = np.random.default_rng(12)
    X, y, a = cells(rng, n=15)
    found = goodness_of_fit(fitted(X, y, a), X, y, sensitive_features=a, n_bootstrap=19)
    frame = found.to_frame()
    assert list(frame["p_value"]) == found.p_values.ravel().tolist()
    assert found.to_frame("polars").shape == frame.shape
    assert "19 replicates are too few to single out one of 4 cells" in str(found)


def test_wrong_arguments_are_named():
    rng = np.random.default_rng(13)
    X, y, a = cells(rng, n=15)
    joint = fitted(X, y, a)
    with pytest.raises(InvalidInputError, match="`joint` passed to `goodness_of_fit`"):
        goodness_of_fit(X, X, y, sensitive_features=a)
    with pytest.raises(InvalidInputError, match="`n_bootstrap` of `goodness_of_fit`"):
        goodness_of_fit(joint, X, y, sensitive_features=a, n_bootstrap=5)
    with pytest.raises(InvalidInputError, match="`max_rows` of `goodness_of_fit`"):
        goodness_of_fit(joint, X, y, sensitive_features=a, max_rows=3)
    with pytest.raises(InvalidInputError, match="must have the 2 features"):
        goodness_of_fit(joint, X[:, :1], y, sensitive_features=a)
    with pytest.raises(InvalidInputError, match="labels that the law knows"):
        goodness_of_fit(joint, X, y + 7, sensitive_features=a)
