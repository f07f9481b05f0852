"""MonotoneSpline: values, exact inverse, derivative, and what it refuses."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import MonotoneSpline
from isonomy.errors import InvalidInputError
from reference.monotone import spline_inverse, spline_value
from reference.strategies import SEEDS


def draw_spline(seed, spread=1.5, location=0.0):
    """Bins, rises and slopes that differ by factors around e^spread."""
    rng = np.random.default_rng(seed)
    m = rng.integers(2, 9)
    knots = location + np.cumsum(np.exp(spread * rng.normal(size=m)))
    values = np.cumsum(np.exp(spread * rng.normal(size=m))) - 3.0
    return MonotoneSpline(knots, values, np.exp(spread * rng.normal(size=m)))


def points_of(spline, seed, n=60):
    """Inside, just beyond, and so far out that only the tails count."""
    rng = np.random.default_rng(seed)
    low, high = spline.knots[[0, -1]]
    span = high - low
    far = span * 10.0 ** rng.uniform(-3, 12, size=n)
    return np.concatenate([rng.uniform(low, high, n), high + far, low - far, spline.knots])


@given(seed=SEEDS)
def test_forward_equals_the_published_formula(seed):
    spline = draw_spline(seed)
    arrays = spline.knots, spline.values, spline.slopes
    x = points_of(spline, seed)
    expected = [spline_value(*arrays, v) for v in x]
    assert spline(x) == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert np.array_equal(spline(x), spline.forward(x))


@given(seed=SEEDS)
def test_inverse_of_forward_is_the_point_itself_to_1e_8_far_out_too(seed):
    spline = draw_spline(seed)
    x = points_of(spline, seed)
    # rounding of T(x) alone moves x by eps |T| / T': slopes of e^+-5 leave 1e-8 in reach
    scale = np.abs(x) + np.abs(spline.knots).max()
    assert (np.abs(spline.inverse(spline(x)) - x) <= 1e-8 * scale).all()


@given(seed=SEEDS)
def test_forward_of_inverse_is_the_value_itself_whatever_the_slopes(seed):
    # slopes and bins over many orders of magnitude
    spline = draw_spline(seed, spread=5.0)
    rng = np.random.default_rng(seed)
    low, high = spline.values[[0, -1]]
    z = np.concatenate([rng.uniform(low, high, 50), spline.values, [low - 1e9, high + 1e9]])
    x = spline.inverse(z)
    eps = np.finfo(float).eps
    # x itself is rounded: that moves T(x) by eps |x| T'(x); at most 1.5 eps in 300 draws
    blur = (np.abs(x) + np.abs(spline.knots).max()) * np.exp(spline.log_derivative(x))
    assert (np.abs(spline(x) - z) <= 8 * eps * (np.abs(z) + high - low + blur)).all()


@given(seed=SEEDS)
def test_inverse_equals_bisection(seed):
    spline = draw_spline(seed)
    arrays = spline.knots, spline.values, spline.slopes
    z = np.random.default_rng(seed).normal(size=8) * 5
    assert spline.inverse(z) == pytest.approx([spline_inverse(*arrays, v) for v in z], abs=1e-9)


@given(seed=SEEDS)
def test_it_increases_strictly_at_random_points(seed):
    spline = draw_spline(seed)
    x = np.unique(points_of(spline, seed))
    apart = np.diff(x) > 1e-9 * (np.abs(x[1:]) + 1.0)
    assert (np.diff(spline(x))[apart] > 0).all()


@given(seed=SEEDS)
def test_log_derivative_equals_finite_differences(seed):
    spline = draw_spline(seed, spread=0.7)
    x = points_of(spline, seed, n=20)[:20]
    step = 1e-5 * np.diff(spline.knots).min()
    inside = np.array([np.abs(spline.knots - v).min() > 2 * step for v in x])
    quotient = (spline(x + step) - spline(x - step))[inside] / (2 * step)
    assert np.exp(spline.log_derivative(x[inside])) == pytest.approx(quotient, rel=2e-4)


@given(seed=SEEDS)
def test_values_and_slopes_at_the_knots_are_those_given_from_either_side(seed):
    spline = draw_spline(seed)
    assert spline(spline.knots) == pytest.approx(spline.values, rel=1e-14, abs=1e-14)
    for side in (np.nextafter(spline.knots, -np.inf), np.nextafter(spline.knots, np.inf)):
        # a step of one rounding is up to 1e-13 of the narrowest bin
        assert np.exp(spline.log_derivative(side)) == pytest.approx(spline.slopes, rel=1e-9)


def test_known_answers():
    # d0 + d1 = 2 in units of the secant: the quadratic x^2 on [1, 2], slopes 2 and 4
    square = MonotoneSpline([1.0, 2.0], [1.0, 4.0], [2.0, 4.0])
    assert square([1.5, 3.0]) == pytest.approx([2.25, 8.0], rel=1e-15)
    # d0 d1 = 1: the hyperbola -1/x on [1, 2], slopes 1 and 1/4
    hyperbola = MonotoneSpline([1.0, 2.0], [-1.0, -0.5], [1.0, 0.25])
    assert hyperbola([1.25, 1.6]) == pytest.approx([-0.8, -0.625], rel=1e-15)


@given(seed=SEEDS, scale=st.floats(0.01, 100.0), offset=st.floats(-100.0, 100.0))
def test_rescaled_is_an_affine_map_of_the_values(seed, scale, offset):
    spline = draw_spline(seed)
    x = points_of(spline, seed)
    found = spline.rescaled(scale, offset)(x)
    size = scale * np.abs(spline(x)) + abs(offset)
    assert (np.abs(found - (scale * spline(x) + offset)) <= 1e-13 * size).all()


@pytest.mark.parametrize("offset", [0.0, 1.0, -1e9, 1e17])
def test_linear_is_a_straight_line_at_any_offset(offset):
    line = MonotoneSpline.linear(0.5, offset)
    assert line([-3.0, 0.0, 7.0]) == pytest.approx([offset - 1.5, offset, offset + 3.5])


def test_infinities_and_nan_pass_through_and_shapes_stay():
    spline = draw_spline(0)
    assert np.array_equal(spline([-np.inf, np.inf]), [-np.inf, np.inf])
    assert np.array_equal(spline.inverse([-np.inf, np.inf]), [-np.inf, np.inf])
    assert np.isnan(spline(np.nan))
    assert spline(np.zeros((2, 3))).shape == spline.inverse(np.zeros((2, 3))).shape == (2, 3)
    assert spline(np.zeros(3, dtype=np.float32)).dtype == np.float64


def test_splines_are_immutable_compare_by_value_and_survive_copies_and_arrays():
    knots = np.array([0.0, 1.0])
    spline = MonotoneSpline(knots, [0.0, 2.0], [1.0, 3.0])
    knots[0] = -1.0
    same = MonotoneSpline([0.0, 1.0], [0.0, 2.0], [1.0, 3.0])
    assert spline == same
    assert hash(spline) == hash(same)
    assert spline != MonotoneSpline.linear()
    assert spline != 1
    assert copy.deepcopy(spline) == spline
    assert MonotoneSpline.from_arrays(spline.to_arrays()) == spline
    assert repr(spline) == "MonotoneSpline(n_knots=2)"
    with pytest.raises(AttributeError, match="immutable"):
        spline.knots = knots
    with pytest.raises(ValueError, match="read-only"):
        spline.values[0] = 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [0.0], [1.0]), "one shape"),
        (([0.0, 1.0], [0.0, 1.0], [1.0]), "one shape"),
        (([0.0, 0.0], [0.0, 1.0], [1.0, 1.0]), "`knots` .* strictly increasing"),
        (([0.0, 1.0], [1.0, 0.0], [1.0, 1.0]), "`values` .* strictly increasing"),
        (([0.0, np.nan], [0.0, 1.0], [1.0, 1.0]), "`knots` .* finite"),
        (([0.0, 1.0], [0.0, 1.0], [1.0, 0.0]), "`slopes` .* above 0"),
        (([0.0, 1.0], [0.0, 1.0], [1.0, np.inf]), "`slopes` .* finite"),
    ],
)
def test_bad_parameters_raise(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        MonotoneSpline(*arguments)


def test_missing_arrays_raise():
    with pytest.raises(InvalidInputError, match="none for slopes"):
        MonotoneSpline.from_arrays({"knots": [0.0, 1.0], "values": [0.0, 1.0]})
