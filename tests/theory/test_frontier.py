"""Laws between the fitted and the ideal one: docs/theory.md, section 16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.theory_families import geodesic, kl

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 8), st.floats(0.05, 0.95))
def test_the_geodesic_is_the_frontier(seed, n, s):
    rng = np.random.default_rng(seed)
    fitted, ideal = rng.dirichlet(np.ones(n), size=2)
    there, log_total = geodesic(fitted, ideal, s)
    budget, left = kl(there, fitted), kl(there, ideal)
    assert (1 - s) * budget + s * left == pytest.approx(-log_total, abs=1e-12)
    for _ in range(10):
        other = rng.dirichlet(np.ones(n))
        other = 0.9 * there + 0.1 * other
        pair = kl(other, fitted), kl(other, ideal)
        # both divergences of any law, in one identity
        excess = (1 - s) * pair[0] + s * pair[1] + log_total
        assert excess == pytest.approx(kl(other, there), abs=1e-10)
        if pair[0] <= budget:
            assert pair[1] >= left - 1e-12


@given(SEEDS, st.integers(2, 8))
def test_the_frontier_falls_and_is_convex(seed, n):
    rng = np.random.default_rng(seed)
    fitted, ideal = rng.dirichlet(np.ones(n), size=2)
    strengths = np.linspace(0.02, 0.98, 25)
    points = [geodesic(fitted, ideal, s)[0] for s in strengths]
    paid = np.array([kl(p, fitted) for p in points])
    left = np.array([kl(p, ideal) for p in points])
    assert (np.diff(paid) > 0).all()
    assert (np.diff(left) < 0).all()
    slopes = np.diff(left) / np.diff(paid)
    assert (np.diff(slopes) > 0).all()
    # the slope at strength s is -(1 - s) / s
    assert (slopes > -(1 - strengths[:-1]) / strengths[:-1] - 1e-9).all()
    assert (slopes < -(1 - strengths[1:]) / strengths[1:] + 1e-9).all()


def test_normal_cells_stay_normal_on_the_way():
    # natural parameters are interpolated: precisions, and precision times mean
    first, second, s = (0.0, 1.0), (3.0, 2.0), 0.3
    x = np.linspace(-30, 30, 600_001)
    step = x[1] - x[0]

    def density(mean, sd):
        return np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi)) * step

    there, _ = geodesic(density(*first), density(*second), s)
    precision = (1 - s) / first[1] ** 2 + s / second[1] ** 2
    mean = ((1 - s) * first[0] / first[1] ** 2 + s * second[0] / second[1] ** 2) / precision
    assert there @ x == pytest.approx(mean, abs=1e-9)
    assert there @ (x - mean) ** 2 == pytest.approx(1 / precision, abs=1e-9)


@given(st.floats(-2.0, 2.0), st.floats(0.3, 3.0), st.floats(0.05, 0.95))
@settings(max_examples=20)
def test_the_price_of_a_cell_is_in_closed_form(m, g, s):
    x = np.linspace(-40, 40, 80_001)
    step = x[1] - x[0]
    first = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    second = np.exp(-0.5 * g * (x - m) ** 2) * np.sqrt(g / (2 * np.pi))
    there, log_total = geodesic(first * step, second * step, s)
    p = 1 - s + s * g
    lean = s * g * m / p
    half = s * np.log(g) - np.log(p) - s * (1 - s) * g * m**2 / p
    assert log_total == pytest.approx(0.5 * half, abs=1e-9)
    inside = there > 1e-300
    paid = kl(there[inside], (first * step)[inside])
    assert paid == pytest.approx(0.5 * (1 / p - 1 + np.log(p) + lean**2), abs=1e-8)


@given(SEEDS, st.integers(2, 6), st.floats(0.05, 0.95))
def test_the_mixture_is_the_frontier_of_the_other_direction(seed, n, s):
    rng = np.random.default_rng(seed)
    fitted, ideal, other = rng.dirichlet(np.ones(n), size=3)
    there = (1 - s) * fitted + s * ideal

    def value(law):
        return (1 - s) * kl(fitted, law) + s * kl(ideal, law)

    assert value(other) - value(there) == pytest.approx(kl(there, other), abs=1e-10)
