"""AffineMap: application, composition, inverse, push and the low-rank form."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import AffineMap, LogNormal, Normal
from isonomy.errors import InvalidInputError, SingularCovarianceError
from reference.gaussian import affine_image
from reference.strategies import SEEDS, affine_maps, dimensions, low_rank_maps, normals


@st.composite
def maps(draw, d):
    return draw(st.one_of(affine_maps(d), low_rank_maps(d)))


def rows(seed, d):
    return np.random.default_rng(seed).normal(size=(7, d))


@given(data=st.data(), d=dimensions(), seed=SEEDS)
def test_apply_equals_the_loop_over_rows_and_columns(data, d, seed):
    f, X = data.draw(maps(d)), rows(seed, d)
    expected = np.array([affine_image(f.matrix, f.offset, x) for x in X])
    assert f.apply(X) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(data=st.data(), d=dimensions(), seed=SEEDS)
def test_compose_applies_the_other_map_first(data, d, seed):
    f, g, X = data.draw(maps(d)), data.draw(maps(d)), rows(seed, d)
    assert f.compose(g).apply(X) == pytest.approx(f.apply(g.apply(X)), rel=1e-10, abs=1e-10)


@given(data=st.data(), d=dimensions(), seed=SEEDS)
def test_compose_is_associative_with_the_identity_as_unit(data, d, seed):
    f, g, h = (data.draw(maps(d)) for _ in range(3))
    X, one = rows(seed, d), AffineMap.identity(d)
    left, right = f.compose(g).compose(h), f.compose(g.compose(h))
    assert left.apply(X) == pytest.approx(right.apply(X), rel=1e-10, abs=1e-10)
    for same in (f.compose(one), one.compose(f)):
        assert same.apply(X) == pytest.approx(f.apply(X), rel=1e-13, abs=1e-13)


@given(data=st.data(), d=dimensions(), seed=SEEDS)
def test_inverse_undoes_the_map_from_both_sides(data, d, seed):
    f, X = data.draw(maps(d)), rows(seed, d)
    back = f.inverse()
    # singular values within [1/3, 3], up to |U V'| of the low-rank part: 1e-8 is generous
    assert back.apply(f.apply(X)) == pytest.approx(X, rel=1e-8, abs=1e-8)
    assert f.apply(back.apply(X)) == pytest.approx(X, rel=1e-8, abs=1e-8)


@given(data=st.data(), d=dimensions(), seed=SEEDS)
def test_low_rank_equals_dense(data, d, seed):
    f, X = data.draw(low_rank_maps(d)), rows(seed, d)
    dense = AffineMap(f.matrix, f.offset)
    assert f.apply(X) == pytest.approx(dense.apply(X), rel=1e-12, abs=1e-12)
    assert f.inverse().matrix == pytest.approx(dense.inverse().matrix, rel=1e-8, abs=1e-8)
    law = Normal(np.zeros(d), np.eye(d))
    assert f.push(law) == dense.push(law)


def test_composition_and_inverse_of_low_rank_maps_stay_low_rank():
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 6, 2))
    f, g = AffineMap.low_rank(u, v, np.zeros(6)), AffineMap.low_rank(v, u, np.ones(6))
    composed = f.compose(g)
    assert composed.factors is not None
    assert composed.factors[0].shape == (6, 4)
    assert f.inverse().factors is not None
    assert composed.matrix == pytest.approx(f.matrix @ g.matrix)
    # rank 2 + 2 + 2 is no longer below 6: kept dense
    assert composed.compose(f).factors is None
    assert composed.compose(f).matrix == pytest.approx(f.matrix @ g.matrix @ f.matrix)


@given(data=st.data(), d=dimensions())
def test_push_gives_the_moments_of_the_mapped_law(data, d):
    f, law = data.draw(maps(d)), data.draw(normals(d))
    moved = f.push(law)
    assert moved.mean == pytest.approx(np.array(affine_image(f.matrix, f.offset, law.mean)))
    scale = np.abs(moved.covariance).max()
    expected = f.matrix @ law.covariance @ f.matrix.T
    assert moved.covariance == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)


@given(data=st.data(), d=dimensions())
def test_push_of_a_composition_is_the_push_of_the_push(data, d):
    f, g = data.draw(maps(d)), data.draw(maps(d))
    law = data.draw(normals(d))
    once, twice = f.compose(g).push(law), f.push(g.push(law))
    assert once.kl_divergence(twice) == pytest.approx(0.0, abs=1e-12)


def test_push_equals_the_moments_of_pushed_samples():
    f = AffineMap([[2.0, 1.0], [0.0, -1.0]], [1.0, 5.0])
    law = Normal([1.0, 2.0], [[1.0, 0.3], [0.3, 0.5]])
    moved, X = f.push(law), f.apply(law.sample(200_000, random_state=0))
    # five standard errors at variances up to 5.7: 5 * 5.7 * sqrt(2 / 2e5) = 0.09
    assert X.mean(axis=0) == pytest.approx(moved.mean, abs=0.03)
    assert np.cov(X.T) == pytest.approx(moved.covariance, abs=0.09)


def test_push_acts_on_the_logarithm_of_a_lognormal():
    moved = AffineMap([[2.0]], [1.0]).push(LogNormal([3.0], [[1.0]]))
    assert moved == LogNormal([7.0], [[4.0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_apply_keeps_the_dtype_and_computes_in_float64(dtype):
    rng = np.random.default_rng(0)
    X = (1e4 + rng.normal(size=(50, 3))).astype(dtype)
    f = AffineMap(np.eye(3) + 0.1, np.full(3, -1e4))
    found = f.apply(X)
    assert found.dtype == dtype
    exact = X.astype(np.float64) @ f.matrix.T + f.offset
    assert np.array_equal(found, exact.astype(dtype))


def test_apply_turns_integers_into_float64_and_leaves_the_rows_alone():
    X = np.arange(6).reshape(3, 2)
    found = AffineMap.low_rank([[1.0], [0.0]], [[1.0], [0.0]], [0.5, 0.0]).apply(X)
    assert found.dtype == np.float64
    assert np.array_equal(X, np.arange(6).reshape(3, 2))
    assert np.array_equal(found, [[0.5, 1.0], [4.5, 3.0], [8.5, 5.0]])


@pytest.mark.parametrize("low_rank", [True, False])
def test_apply_does_not_depend_on_the_blocks_it_is_computed_in(monkeypatch, low_rank):
    rng = np.random.default_rng(0)
    u = rng.normal(size=(3, 1))
    f = AffineMap.low_rank(u, u, np.ones(3))
    f = f if low_rank else AffineMap(f.matrix, f.offset)
    X = np.asfortranarray(rng.normal(size=(100, 3)))
    whole = f.apply(X)
    monkeypatch.setattr("isonomy.distributions.affine._BLOCK_VALUES", 21)
    assert f.apply(X) == pytest.approx(whole, rel=1e-14)
    assert f.apply(X[:0]).shape == (0, 3)


def test_is_identity_only_where_nothing_moves():
    assert AffineMap.identity(3).is_identity
    assert AffineMap(np.eye(2), np.zeros(2)).is_identity
    assert AffineMap.low_rank(np.zeros((2, 1)), np.ones((2, 1)), np.zeros(2)).is_identity
    assert not AffineMap(np.eye(2), [0.0, 1e-300]).is_identity
    assert not AffineMap([[1.0, 1e-300], [0.0, 1.0]], np.zeros(2)).is_identity


def test_maps_are_immutable_comparable_and_survive_copying():
    dense = AffineMap([[2.0]], [1.0])
    low = AffineMap.low_rank([[1.0], [2.0]], [[0.0], [1.0]], [0.0, 0.0])
    for f in (dense, low):
        assert copy.deepcopy(f) == f
        assert hash(f) == hash(copy.deepcopy(f))
        with pytest.raises(ValueError, match="read-only"):
            f.matrix[0, 0] = 3.0
        with pytest.raises(AttributeError, match="immutable"):
            f.offset = np.zeros(1)
    assert copy.deepcopy(low).factors is not None
    assert dense != AffineMap([[2.0]], [0.0])
    assert dense != 2.0
    assert repr(low) == "AffineMap(n_features=2, rank=1)"
    assert repr(AffineMap(np.eye(5), np.zeros(5))) == "AffineMap(n_features=5)"


def test_inverse_accepts_units_far_apart():
    f = AffineMap(np.diag([1e-12, 1e12]), np.zeros(2))
    assert f.inverse().matrix == pytest.approx(np.diag([1e12, 1e-12]))


@pytest.mark.parametrize(
    "singular",
    [
        AffineMap([[1.0, 2.0], [2.0, 4.0]], np.zeros(2)),
        AffineMap(np.zeros((2, 2)), np.zeros(2)),
        AffineMap.low_rank([[-1.0], [0.0]], [[1.0], [0.0]], np.zeros(2)),
        AffineMap.low_rank(-np.eye(2), np.eye(2), np.zeros(2)),
    ],
    ids=["collinear", "zero", "projection", "full-rank factors"],
)
def test_a_map_that_erases_directions_has_no_inverse_and_no_density_to_push(singular):
    with pytest.raises(SingularCovarianceError, match="full rank"):
        singular.inverse()
    with pytest.raises(SingularCovarianceError, match="positive definite"):
        singular.push(Normal(np.zeros(2), np.eye(2)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AffineMap(np.eye(2), np.zeros(3)), "must have shape"),
        (lambda: AffineMap(np.zeros((2, 3)), np.zeros(2)), "must have shape"),
        (lambda: AffineMap([[np.nan]], [0.0]), "finite"),
        (lambda: AffineMap(np.eye(2), np.zeros((2, 1))), "1-D"),
        (lambda: AffineMap.low_rank(np.ones((2, 1)), np.ones((2, 2)), np.zeros(2)), "both have"),
        (lambda: AffineMap.low_rank(np.ones((3, 1)), np.ones((3, 1)), np.zeros(2)), "both have"),
        (lambda: AffineMap.identity(2).apply(np.zeros((1, 3))), "must have shape"),
        (lambda: AffineMap.identity(2).compose(AffineMap.identity(3)), "2 features"),
        (lambda: AffineMap.identity(2).push(Normal(0, 1)), "2 features"),
    ],
)
def test_bad_arguments_raise_one_clear_sentence(build, message):
    with pytest.raises(InvalidInputError, match=message):
        build()
