"""The one place that decides rank and zero: relative to type, size and largest value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import _linalg
from isonomy.errors import SingularCovarianceError
from reference.strategies import SEEDS, dimensions, random_covariance


def test_rank_tolerance_scales_with_value_size_and_type():
    eps = np.finfo(np.float64).eps
    assert _linalg.rank_tolerance([1.0, 0.5]) == 20 * eps
    assert _linalg.rank_tolerance([-7.0, 0.5]) == 7 * 20 * eps
    assert _linalg.rank_tolerance([1.0, 0.5], size=100) == 1000 * eps
    assert _linalg.rank_tolerance([1.0], dtype=np.float32) == 10 * np.finfo(np.float32).eps
    assert _linalg.rank_tolerance([]) == 0.0


@given(seed=SEEDS, d=dimensions(6), exponent=st.integers(-150, 150))
def test_rank_does_not_depend_on_the_unit_of_the_matrix(seed, d, exponent):
    rng = np.random.default_rng(seed)
    r = int(rng.integers(0, d + 1))
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    matrix = basis[:, :r] @ random_covariance(rng, r) @ basis[:, :r].T if r else np.zeros((d, d))
    assert _linalg.matrix_rank(matrix * 10.0**exponent) == r
    assert _linalg.matrix_rank(np.zeros((0, d))) == 0


@given(seed=SEEDS, d=dimensions(6))
def test_cholesky_and_square_roots_multiply_back(seed, d):
    S = random_covariance(np.random.default_rng(seed), d)
    lower = _linalg.cholesky(S, what="S")
    assert np.array_equal(lower, np.tril(lower))
    assert lower @ lower.T == pytest.approx(S, rel=1e-12, abs=1e-12)
    assert _linalg.log_determinant(lower) == pytest.approx(np.linalg.slogdet(S)[1], abs=1e-10)
    root, inverse = _linalg.symmetric_sqrt(S), _linalg.symmetric_inverse_sqrt(S)
    assert np.array_equal(root, root.T)
    assert root @ root == pytest.approx(S, rel=1e-12, abs=1e-12)
    assert root @ inverse == pytest.approx(np.eye(d), abs=1e-10)


@given(seed=SEEDS, exponents=st.lists(st.integers(-12, 12), min_size=2, max_size=5))
def test_the_verdict_of_cholesky_does_not_depend_on_the_units_of_columns(seed, exponents):
    rng = np.random.default_rng(seed)
    units = 10.0 ** np.array(exponents)
    S = random_covariance(rng, len(units)) * units * units[:, None]
    lower = _linalg.cholesky(S, what="S")
    scale = np.sqrt(np.diagonal(S))
    assert lower @ lower.T / scale / scale[:, None] == pytest.approx(
        S / scale / scale[:, None], abs=1e-12
    )
    S[0] = S[1] * units[0] / units[1]  # column 0 repeats column 1 in other units
    S[:, 0] = S[:, 1] * units[0] / units[1]
    S[0, 0] = S[0, 1] * units[0] / units[1]
    with pytest.raises(SingularCovarianceError, match="column\\(s\\) 0, 1 are"):
        _linalg.cholesky(S, what="S")


def test_the_message_uses_column_names_and_stops_after_ten():
    with pytest.raises(SingularCovarianceError, match=r"^It must .* column\(s\) height, span are"):
        _linalg.cholesky(np.ones((2, 2)), what="It", names=["height", "span"])
    with pytest.raises(SingularCovarianceError, match="8, 9, ... are"):
        _linalg.cholesky(np.ones((12, 12)), what="It")


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_nearly_collinear_columns_pass_while_rounding_leaves_digits(gap):
    S = np.array([[1.0, 1.0 - gap], [1.0 - gap, 1.0]])
    assert _linalg.cholesky(S, what="S") @ _linalg.cholesky(S, what="S").T == pytest.approx(S)


def test_columns_that_vary_by_rounding_alone_are_constant():
    mean = np.array([1e8, 1e8, 0.0, 0.0])
    std = np.array([1e-9, 1e-3, 0.0, 1e-200])
    found = _linalg.constant_columns(std**2, mean)
    # 1e-200 squared underflows to 0
    assert found.tolist() == [True, False, True, True]
    assert _linalg.constant_columns(np.array([0.0, 1e-300])).tolist() == [True, False]


def test_square_roots_refuse_what_has_none():
    with pytest.raises(SingularCovarianceError, match="eigenvalue -1"):
        _linalg.symmetric_sqrt(np.diag([1.0, -1.0]))
    assert _linalg.symmetric_sqrt(np.diag([4.0, 0.0])) == pytest.approx(np.diag([2.0, 0.0]))
    with pytest.raises(SingularCovarianceError, match="rank 1 of 2"):
        _linalg.symmetric_inverse_sqrt(np.diag([4.0, 0.0]))
    far = _linalg.symmetric_inverse_sqrt(np.diag([1e-30, 1e30]))
    assert far == pytest.approx(np.diag([1e15, 1e-15]))
