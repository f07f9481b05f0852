"""Normal and LogNormal: densities, samples, divergences and their laws."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from isonomy.distributions import LogNormal, Normal, kl_divergence
from isonomy.errors import FamilyError, InvalidInputError, SingularCovarianceError
from reference.gaussian import kl_by_formula, log_density
from reference.strategies import dimensions, laws_and_map, lognormals, normals


@given(data=st.data(), d=dimensions())
def test_kl_equals_the_formula_with_inverse_and_determinants(data, d):
    p, q = data.draw(normals(d)), data.draw(normals(d))
    expected = kl_by_formula(p.mean, p.covariance, q.mean, q.covariance)
    # the oracle subtracts numbers of size KL + d; scales 1e-3 and 1e3 make KL up to 1e14
    assert kl_divergence(p, q) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(drawn=laws_and_map())
def test_kl_is_unchanged_by_a_shared_affine_map(drawn):
    p, q, t = drawn
    # condition numbers up to 1e2 * 9 cost at most that many ulps
    expected = kl_divergence(p, q)
    offset_cost = 1e-12 * (1.0 + np.abs(t.offset).max() ** 2 / np.linalg.eigvalsh(q.covariance)[0])
    assert kl_divergence(t.push(p), t.push(q)) == pytest.approx(
        expected, rel=1e-8, abs=1e-8 + offset_cost
    )


@given(data=st.data(), d=dimensions())
def test_kl_is_not_negative_and_zero_on_itself(data, d):
    p, q = data.draw(normals(d)), data.draw(normals(d))
    assert kl_divergence(p, q) >= 0.0
    assert kl_divergence(p, p) == pytest.approx(0.0, abs=1e-25)


@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-8])
def test_kl_of_two_close_laws_keeps_its_digits(size):
    # KL = (e^{2s} - 1 - 2s)/2 = s^2 + O(s^3) for a scale e^s: cancellation would leave noise
    close = Normal(0.0, np.exp(2 * size))
    assert close.kl_divergence(Normal(0.0, 1.0)) == pytest.approx(size**2, rel=10 * size + 1e-7)


@pytest.mark.parametrize(
    ("p", "q"),
    [(Normal(0.3, 2.0), Normal(-1.0, 0.7)), (LogNormal(0.3, 0.5), LogNormal(-0.2, 0.9))],
    ids=["normal", "lognormal"],
)
def test_kl_equals_quadrature_of_the_log_ratio(p, q):
    def integrand(x):
        log_p, log_q = p.log_density([[x]])[0], q.log_density([[x]])[0]
        return np.exp(log_p) * (log_p - log_q)

    low = 1e-12 if isinstance(p, LogNormal) else -np.inf
    pieces = [
        quad(integrand, a, b, epsabs=1e-12, limit=200) for a, b in [(low, 1.0), (1.0, np.inf)]
    ]
    assert p.kl_divergence(q) == pytest.approx(sum(v for v, _ in pieces), abs=1e-8)


def test_kl_equals_the_mean_log_ratio_of_samples():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 3))
    p = Normal(rng.normal(size=3), a @ a.T + np.eye(3))
    q = Normal(rng.normal(size=3), b @ b.T + np.eye(3))
    X = p.sample(200_000, random_state=1)
    ratios = p.log_density(X) - q.log_density(X)
    assert abs(ratios.mean() - p.kl_divergence(q)) < 5 * ratios.std() / np.sqrt(len(X))


def test_kl_known_answers():
    assert kl_divergence(Normal([0.0], [[1.0]]), Normal([1.0], [[1.0]])) == 0.5
    doubled = Normal(np.zeros(2), 4.0 * np.eye(2))
    assert kl_divergence(doubled, Normal(np.zeros(2), np.eye(2))) == pytest.approx(3 - np.log(4))


@given(data=st.data(), d=dimensions())
def test_lognormal_kl_equals_that_of_the_logarithms(data, d):
    p, q = data.draw(lognormals(d)), data.draw(lognormals(d))
    logs = [Normal(law.mean, law.covariance) for law in (p, q)]
    assert kl_divergence(p, q) == kl_divergence(*logs)


@given(data=st.data(), d=dimensions())
def test_log_density_equals_the_formula(data, d):
    law = data.draw(normals(d))
    X = law.sample(3, random_state=0)
    expected = [log_density(law.mean, law.covariance, x) for x in X]
    assert law.log_density(X) == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_log_density_does_not_depend_on_the_blocks_it_is_computed_in(monkeypatch):
    law = Normal(np.zeros(3), np.eye(3))
    X = law.sample(100, random_state=0)
    whole = law.log_density(X)
    monkeypatch.setattr("isonomy.distributions.normal._BLOCK_VALUES", 21)
    assert np.allclose(law.log_density(X), whole, rtol=1e-14)


def test_log_density_is_float64_for_float32_rows():
    assert Normal(0.0, 1.0).log_density(np.zeros((2, 1), dtype=np.float32)).dtype == np.float64


def test_lognormal_log_density_has_the_jacobian_and_integrates_to_one():
    law = LogNormal(0.4, 0.8)
    assert quad(lambda x: np.exp(law.log_density([[x]])[0]), 0, np.inf)[0] == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, -1.0, -np.inf])
def test_lognormal_log_density_is_minus_infinity_where_a_value_is_not_positive(value):
    found = LogNormal(np.zeros(2), np.eye(2)).log_density([[1.0, value], [1.0, 1.0]])
    assert found[0] == -np.inf
    assert np.isfinite(found[1])


@pytest.mark.parametrize("kind", [Normal, LogNormal])
def test_samples_have_the_moments_of_the_law(kind):
    mean, cov = np.array([1.0, -1.0]), np.array([[0.5, 0.2], [0.2, 0.3]])
    X = kind(mean, cov).sample(100_000, random_state=0)
    logs = np.log(X) if kind is LogNormal else X
    # five standard errors: sqrt(0.5 / 1e5) = 2.2e-3
    assert logs.mean(axis=0) == pytest.approx(mean, abs=0.012)
    assert np.cov(logs.T) == pytest.approx(cov, abs=0.012)


def test_samples_repeat_with_the_seed_and_differ_without():
    law = Normal(np.zeros(2), np.eye(2))
    assert np.array_equal(law.sample(5, random_state=3), law.sample(5, random_state=3))
    assert not np.array_equal(law.sample(5, random_state=3), law.sample(5, random_state=4))
    assert law.sample(0).shape == (0, 2)


def test_laws_are_immutable_and_do_not_share_memory_with_the_caller():
    mean, cov = np.zeros(2), np.eye(2)
    law = Normal(mean, cov)
    mean[0] = cov[0, 0] = 9.0
    assert law == Normal(np.zeros(2), np.eye(2))
    with pytest.raises(ValueError, match="read-only"):
        law.mean[0] = 1.0
    with pytest.raises(AttributeError, match="immutable"):
        law.mean = np.ones(2)
    with pytest.raises(AttributeError, match="immutable"):
        del law.covariance


def test_laws_compare_by_kind_and_parameters_and_survive_copying():
    law = Normal([0.0], [[1.0]])
    assert law == Normal(0.0, 1.0)
    assert hash(law) == hash(Normal(0.0, 1.0))
    assert law != LogNormal(0.0, 1.0)
    assert law != Normal(0.0, 2.0)
    assert law != "normal"
    assert copy.deepcopy(law) == law
    assert repr(law) == "Normal(mean=[0.0], covariance=[[1.0]])"
    assert repr(Normal(np.zeros(5), np.eye(5))) == "Normal(n_features=5)"


def test_kinds_never_mix_in_a_divergence():
    with pytest.raises(FamilyError, match="Normal and LogNormal"):
        kl_divergence(Normal(0, 1), LogNormal(0, 1))
    with pytest.raises(InvalidInputError, match="same number of features"):
        kl_divergence(Normal(0, 1), Normal(np.zeros(2), np.eye(2)))
    with pytest.raises(InvalidInputError, match="must be a Normal"):
        kl_divergence(Normal(0, 1), 3.0)


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        ([0.0, np.nan], np.eye(2), "must be finite"),
        ([0.0], [[np.inf]], "must be finite"),
        ([], np.eye(0), "d at least 1"),
        ([[0.0]], [[1.0]], "must have shape"),
        ([0.0, 0.0], [1.0, 1.0], "np.diag"),
        ([0.0, 0.0], np.eye(3), "must have shape"),
        ([0.0, 0.0], [[1.0, 0.5], [0.1, 1.0]], "must be symmetric"),
    ],
)
def test_bad_parameters_raise_one_clear_sentence(mean, covariance, message):
    with pytest.raises(InvalidInputError, match=message):
        Normal(mean, covariance)


@pytest.mark.parametrize(
    ("covariance", "columns"),
    [
        (np.diag([1.0, 0.0, 2.0]), "1 are constant"),
        ([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "0, 1 are"),
        ([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "0, 1 are"),
        (-np.eye(3), "positive definite"),
    ],
    ids=["constant", "collinear", "indefinite", "negative"],
)
def test_singular_covariances_raise_and_name_the_columns(covariance, columns):
    with pytest.raises(SingularCovarianceError, match=columns):
        Normal(np.zeros(3), covariance)


def test_units_far_apart_are_not_taken_for_collinearity():
    # eigenvalues 1e-30 and 1e30: singular for any relative rule that ignores units
    law = Normal(np.zeros(2), np.diag([1e-30, 1e30]))
    assert law.kl_divergence(law) == 0.0


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((3, 3)), "must have shape"),
        (np.zeros(3), "must have shape"),
        (np.array([["a", "b"]]), "real numbers"),
    ],
)
def test_log_density_refuses_rows_of_another_shape(X, message):
    with pytest.raises(InvalidInputError, match=message):
        Normal(np.zeros(2), np.eye(2)).log_density(X)


@pytest.mark.parametrize("n", [-1, 2.5, True, "3"])
def test_sample_refuses_what_is_not_a_number_of_rows(n):
    with pytest.raises(InvalidInputError, match="whole number of rows"):
        Normal(0, 1).sample(n)
