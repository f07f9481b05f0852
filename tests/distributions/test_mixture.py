"""Mixtures of normals: the law, its divergence, its joint law and fit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.distributions import MixtureJoint, Normal, NormalMixture, kl_divergence
from isonomy.errors import EmptyCellError, InvalidInputError, SingularCovarianceError
from reference.student import mixture_kl_on_the_line, mixture_log_density


def some_mixture(rng, d, m=2):
    roots = rng.normal(size=(m, d, d + 2))
    weights = rng.uniform(0.3, 1.0, m)
    covs = roots @ np.swapaxes(roots, 1, 2) / d
    return NormalMixture(weights / weights.sum(), 2 * rng.normal(size=(m, d)), covs)


@pytest.mark.parametrize("d", [1, 3])
def test_the_density_is_the_printed_one(d):
    rng = np.random.default_rng(d)
    law, rows = some_mixture(rng, d, 3), rng.normal(size=(5, d)) * 3
    expected = [mixture_log_density(x, law.weights, law.means, law.covariances) for x in rows]
    np.testing.assert_allclose(law.log_density(rows), expected, rtol=1e-10)


def test_the_score_is_the_slope_of_the_density():
    rng = np.random.default_rng(1)
    law, rows = some_mixture(rng, 2, 3), rng.normal(size=(4, 2))
    _, score = law._log_density_and_score(rows)
    for i in range(2):
        step = 1e-6 * np.eye(2)[i]
        slope = (law.log_density(rows + step) - law.log_density(rows - step)) / 2e-6
        np.testing.assert_allclose(score[:, i], slope, rtol=1e-6, atol=1e-7)


def test_rows_and_moments_agree():
    law = some_mixture(np.random.default_rng(2), 2, 3)
    rows = law.sample(200_000, random_state=0)
    np.testing.assert_allclose(rows.mean(axis=0), law.mean, atol=0.03)
    np.testing.assert_allclose(np.cov(rows.T), law.covariance, atol=0.1)
    assert law.moment_matched() == Normal(law.mean, law.covariance)


def test_the_divergence_is_within_its_error_of_the_integral():
    parts = [0.1, 0.9], [-2.0, 1.0], [0.5, 1.0]
    p, q = NormalMixture(*parts), NormalMixture([1.0], [2.0], [3.0])
    exact = mixture_kl_on_the_line(parts, ([1.0], [2.0], [3.0]))
    value, error = p.kl_with_error(q)
    assert abs(value - exact) < 5 * error + 1e-9
    assert error < 0.005 * exact
    assert p.kl_divergence(q) == value


def test_one_component_pays_what_a_normal_law_pays():
    rng = np.random.default_rng(3)
    p, q = some_mixture(rng, 3, 1), some_mixture(rng, 3, 1)
    value, error = p.kl_with_error(q)
    exact = kl_divergence(p.moment_matched(), q.moment_matched())
    assert abs(value - exact) < 5 * error
    assert error < 0.01 * exact


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10)
def test_an_affine_map_of_both_changes_the_estimate_by_rounding_alone(seed):
    rng = np.random.default_rng(seed)
    p, q = some_mixture(rng, 2), some_mixture(rng, 2)
    # lower triangular with a diagonal above 0: the factors, and so the points, move along
    matrix, offset = np.array([[2.0, 0.0], [0.7, 0.5]]), np.array([1.0, -3.0])
    moved = [law._affine_image(matrix, offset) for law in (p, q)]
    expected = p.kl_divergence(q)
    assert moved[0].kl_divergence(moved[1]) == pytest.approx(expected, rel=1e-8)
    assert p.kl_divergence(p) == 0.0


def test_a_mixture_is_a_value():
    law = some_mixture(np.random.default_rng(4), 2)
    for other in (copy.copy(law), copy.deepcopy(law), NormalMixture(*law.__reduce__()[1])):
        assert other == law
        assert hash(other) == hash(law)
    assert repr(law) == "NormalMixture(n_components=2, n_features=2)"
    with pytest.raises(AttributeError, match="immutable"):
        law.weights = np.ones(2)
    with pytest.raises(ValueError, match="read-only"):
        law.means[0] = 0.0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0.5, 0.4], [0.0, 1.0], [1.0, 1.0]), "sum to 1"),
        (([1.5, -0.5], [0.0, 1.0], [1.0, 1.0]), "above 0"),
        (([1.0], [0.0, 1.0], [1.0, 1.0]), r"shapes \(m,\)"),
    ],
)
def test_a_mixture_needs_a_distribution_over_components(parts, message):
    with pytest.raises(InvalidInputError, match=message):
        NormalMixture(*parts)


def test_a_singular_component_is_refused():
    with pytest.raises(SingularCovarianceError, match="A covariance of `NormalMixture`"):
        NormalMixture([1.0], [[0.0, 0.0]], [np.ones((2, 2))])


# the joint law


def two_by_two(rng, d=2, m=2):
    cells = {(y, a): some_mixture(rng, d, m) for y in (0, 1) for a in ("f", "m")}
    return MixtureJoint(cells, {(0, "f"): 0.1, (0, "m"): 0.2, (1, "f"): 0.3, (1, "m"): 0.4})


def test_the_joint_density_is_prior_times_the_cell():
    joint = two_by_two(np.random.default_rng(5))
    X, y, a = joint.sample(50, random_state=0)
    expected = [
        np.log(joint.priors[label, group]) + joint.cells[label, group].log_density(x[None])[0]
        for x, label, group in zip(X, y, a, strict=True)
    ]
    np.testing.assert_allclose(joint.log_density(X, y, a), expected)


def test_the_joint_divergence_follows_the_chain_rule():
    rng = np.random.default_rng(6)
    p, q = two_by_two(rng), two_by_two(rng)
    expected = sum(p.priors[c] * p.cells[c].kl_divergence(q.cells[c]) for c in p.cells)
    assert p.kl_divergence(q) == pytest.approx(expected)
    flat = MixtureJoint(p.cells, dict.fromkeys(p.cells, 0.25))
    expected = sum(w * np.log(w / 0.25) for w in p.priors.values())
    assert p.kl_divergence(flat) == pytest.approx(expected)
    with pytest.raises(InvalidInputError, match="must be a MixtureJoint of the same"):
        p.kl_divergence(3)


def test_the_fit_finds_how_many_components_there_are():
    cells = {
        (y, a): NormalMixture([0.4, 0.6], [[-4.0, y], [4.0, y]], np.stack([np.eye(2)] * 2))
        for y in (0, 1)
        for a in ("f", "m")
    }
    truth = MixtureJoint(cells, dict.fromkeys(cells, 0.25))
    X, y, a = truth.sample(2_000, 7)
    fit = MixtureJoint.fit(X, y, sensitive_features=a)
    assert [law.n_components for law in fit.cells.values()] == [2, 2, 2, 2]
    assert truth.kl_divergence(fit) < 0.03
    one = MixtureJoint.fit(X, y, sensitive_features=a, n_components=1)
    assert truth.kl_divergence(one) > 0.3


def test_one_component_is_the_normal_fit():
    rng = np.random.default_rng(8)
    X, y, a = rng.normal(size=(200, 2)), np.arange(200) % 2, np.arange(200) // 100
    fit = MixtureJoint.fit(X, y, sensitive_features=a, n_components=1)
    rows = X[(y == 1) & (a == 0)]
    law = fit.cells[1, 0]
    np.testing.assert_allclose(law.mean, rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(law.covariance, np.cov(rows.T, bias=True), atol=1e-5)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied"])
def test_units_of_columns_do_not_matter(covariance):
    rng = np.random.default_rng(9)
    X, y, a = rng.normal(size=(200, 2)), np.arange(200) % 2, np.arange(200) // 100
    asked = {"sensitive_features": a, "covariance": covariance, "n_components": 2}
    one = MixtureJoint.fit(X, y, **asked)
    two = MixtureJoint.fit(X * [1.0, 1e-6] + [0.0, 3.0], y, **asked)
    moved = one.cells[0, 0]._affine_image(np.diag([1.0, 1e-6]), np.array([0.0, 3.0]))
    # atol in the small column's own units
    np.testing.assert_allclose(two.cells[0, 0].means, moved.means, rtol=1e-6)
    np.testing.assert_allclose(
        two.cells[0, 0].covariances[:, 1, 1], moved.covariances[:, 1, 1], rtol=1e-4
    )


def test_what_the_fit_cannot_use_is_named():
    rng = np.random.default_rng(10)
    X, y, a = rng.normal(size=(40, 2)), np.arange(40) % 2, np.arange(40) // 20
    fit = MixtureJoint.fit
    with pytest.raises(InvalidInputError, match="np.repeat"):
        fit(X, y, sensitive_features=a, sample_weight=np.arange(40))
    with pytest.raises(InvalidInputError, match="`n_components`"):
        fit(X, y, sensitive_features=a, n_components=0)
    with pytest.raises(InvalidInputError, match="`covariance`"):
        fit(X, y, sensitive_features=a, covariance="spherical")
    with pytest.raises(InvalidInputError, match="at least 2 different labels"):
        fit(X, np.zeros(40), sensitive_features=a)
    keep = (y == 0) | (a == 1)
    with pytest.raises(EmptyCellError, match=r"none in \(label 1, group 0\)"):
        fit(X[keep], y[keep], sensitive_features=a[keep])
    keep[[1, 3]] = True
    with pytest.raises(SingularCovarianceError, match="at least 3 different rows"):
        fit(X[keep], y[keep], sensitive_features=a[keep])
    with pytest.raises(InvalidInputError, match="must be a NormalMixture"):
        MixtureJoint({(0, "f"): Normal(0, 1)}, {(0, "f"): 1.0})
