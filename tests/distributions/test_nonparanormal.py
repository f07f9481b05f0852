"""Nonparanormal: density in the units of X, samples, divergence, and what it refuses."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest, norm

from isonomy.distributions import (
    AffineMap,
    LogNormal,
    MarginalTransform,
    MonotoneSpline,
    Nonparanormal,
    Normal,
    kl_divergence,
)
from isonomy.errors import FamilyError, InvalidInputError
from reference.gaussian import log_density
from reference.strategies import SEEDS, dimensions, normals

BENT = MonotoneSpline([-1.0, 0.5, 2.0], [-2.0, 0.0, 1.0], [0.5, 2.0, 0.3])
STEEP = MonotoneSpline([0.0, 1.0, 4.0], [-1.0, 1.5, 2.0], [3.0, 0.4, 0.2])
BOTH = MarginalTransform([BENT, STEEP])


def transforms(d):
    return MarginalTransform([BENT, STEEP, BENT, STEEP, BENT, STEEP][:d])


@given(data=st.data(), d=dimensions())
def test_log_density_is_that_of_the_latent_normal_times_the_jacobian(data, d):
    latent = data.draw(normals(d))
    law = Nonparanormal(latent.mean, latent.covariance, transforms(d))
    X = law.sample(3, random_state=0)
    step = 1e-6
    for x, found in zip(X, law.log_density(X), strict=True):
        expected = log_density(latent.mean, latent.covariance, law.transform.forward([x])[0])
        for j, spline in enumerate(law.transform.splines):
            expected += np.log((spline(x[j] + step) - spline(x[j] - step)) / (2 * step))
        # central differences of slopes that change within 1e-6 near a knot
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-3)


def test_density_integrates_to_one():
    law = Nonparanormal(0.3, 1.7, MarginalTransform([BENT]))
    found = quad(lambda x: np.exp(law.log_density([[x]])[0]), -40, 40, points=[-1, 0.5, 2])[0]
    assert found == pytest.approx(1.0, abs=1e-8)
    pair = Nonparanormal([0.1, -0.2], [[0.5, 0.2], [0.2, 0.4]], BOTH)
    # midpoint rule on a grid that ends where both latent coordinates are 8 deviations out
    u, v = np.linspace(-12, 18, 601), np.linspace(-4, 30, 851)
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in (u, v)]
    grid = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(pair.log_density(grid)).sum() * (u[1] - u[0]) * (v[1] - v[0])
    # the derivative of the density jumps at knots: halving the grid halves the error
    assert mass == pytest.approx(1.0, abs=1e-3)


def test_samples_have_the_law_by_kolmogorov_and_smirnov():
    law = Nonparanormal([0.1, -0.2], [[0.5, 0.2], [0.2, 0.4]], BOTH)
    X = law.sample(20_000, random_state=0)
    for j in range(2):
        spline, scale = BOTH.splines[j], np.sqrt(law.covariance[j, j])
        cdf = norm(law.mean[j], scale).cdf
        assert kstest(X[:, j], lambda x, c=cdf, t=spline: c(t(x))).pvalue > 0.01
        assert kstest(X[:, j], norm(X[:, j].mean(), X[:, j].std()).cdf).pvalue < 1e-3
    latent = BOTH.forward(X)
    assert np.cov(latent.T) == pytest.approx(law.covariance, abs=0.02)


@given(data=st.data(), d=dimensions())
def test_divergence_of_one_transform_is_that_of_the_latent_normals(data, d):
    p, q = data.draw(normals(d)), data.draw(normals(d))
    lifted = [Nonparanormal(v.mean, v.covariance, transforms(d)) for v in (p, q)]
    assert kl_divergence(*lifted) == kl_divergence(p, q)
    assert lifted[0].kl_divergence(lifted[1]) == kl_divergence(p, q)


def test_divergence_equals_the_mean_log_ratio_of_samples():
    p = Nonparanormal([0.1, -0.2], [[0.5, 0.2], [0.2, 0.4]], BOTH)
    q = Nonparanormal([0.4, 0.1], [[0.7, 0.1], [0.1, 0.6]], BOTH)
    X = p.sample(100_000, random_state=1)
    ratio = p.log_density(X) - q.log_density(X)
    assert abs(ratio.mean() - p.kl_divergence(q)) < 5 * ratio.std() / np.sqrt(len(X))


def test_divergence_of_different_transforms_raises_saying_so():
    p = Nonparanormal(0.0, 1.0, MarginalTransform([BENT]))
    q = Nonparanormal(0.0, 1.0, MarginalTransform([STEEP]))
    with pytest.raises(FamilyError, match="one `transform`, got different ones"):
        p.kl_divergence(q)
    with pytest.raises(FamilyError, match="of one kind, got Nonparanormal and LogNormal"):
        kl_divergence(p, LogNormal(0.0, 1.0))


@given(seed=SEEDS)
def test_the_identity_and_linear_transforms_give_normal_laws(seed):
    rng = np.random.default_rng(seed)
    scale, offset = np.exp(rng.normal(size=2)), rng.normal(size=2)
    lines = MarginalTransform(
        [MonotoneSpline.linear(s, b) for s, b in zip(scale, offset, strict=True)]
    )
    X = rng.normal(size=(5, 2))
    cov = np.array([[1.0, 0.3], [0.3, 2.0]])
    plain = Normal((np.zeros(2) - offset) / scale, cov / np.outer(scale, scale))
    assert Nonparanormal(np.zeros(2), cov, lines).log_density(X) == pytest.approx(
        plain.log_density(X), rel=1e-9
    )


def test_an_affine_map_acts_on_the_latent_law_and_keeps_the_transform():
    law = Nonparanormal(1.0, 2.0, MarginalTransform([BENT]))
    moved = AffineMap([[3.0]], [1.0]).push(law)
    assert moved.transform == law.transform
    assert (moved.mean.item(), moved.covariance.item()) == pytest.approx((4.0, 18.0))


def test_laws_compare_by_parameters_and_transform_and_survive_copying():
    law = Nonparanormal(0.0, 1.0, MarginalTransform([BENT]))
    same = Nonparanormal(0.0, 1.0, MarginalTransform([BENT]))
    other = Nonparanormal(0.0, 1.0, MarginalTransform([STEEP]))
    assert law == same
    assert hash(law) == hash(same)
    assert law != other
    assert law != Normal(0.0, 1.0)
    assert copy.deepcopy(law) == law
    assert copy.copy(law).transform == law.transform
    trusted = Nonparanormal._trusted(law.mean, law.covariance)
    assert trusted.transform == MarginalTransform.identity(1)
    assert "Nonparanormal" in repr(law)
    with pytest.raises(AttributeError, match="immutable"):
        law.transform = other.transform


def test_bad_transforms_raise():
    with pytest.raises(FamilyError, match="2 column"):
        Nonparanormal([0.0, 0.0], np.eye(2), MarginalTransform([BENT]))
    with pytest.raises(InvalidInputError, match="must be a MarginalTransform, got MonotoneSpline"):
        Nonparanormal(0.0, 1.0, BENT)
    with pytest.raises(InvalidInputError, match=r"shape \(n_samples, 1\)"):
        Nonparanormal(0.0, 1.0, MarginalTransform([BENT])).log_density(np.zeros((2, 3)))
