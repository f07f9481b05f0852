"""The root by rational approximation, judged by the eigenvectors it was built from."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.ideal._numerics import root
from isonomy.ideal._numerics.root import symmetric_root


def with_eigenvalues(values, seed):
    d = len(values)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    matrix = (basis * values) @ basis.T
    return 0.5 * (matrix + matrix.T), basis


@pytest.mark.parametrize("d", [5, 70, 150])
@pytest.mark.parametrize("condition", [1.0, 1.3, 4.0, 60.0])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_it_is_the_root_that_the_eigenvectors_give(d, condition, scale):
    values = scale * np.geomspace(1.0, condition, d)
    matrix, basis = with_eigenvalues(values, seed=d)
    block = np.random.default_rng(0).standard_normal((d, 3))
    # only the lower triangle is read
    root, turned = symmetric_root(np.tril(matrix), block)
    known = (basis * np.sqrt(values)) @ basis.T
    assert np.abs(root - known).max() < 1e-12 * np.sqrt(values.max())
    assert np.array_equal(root, root.T)
    wanted = np.linalg.solve(known, block)
    assert np.abs(turned - wanted).max() < 1e-11 * np.abs(wanted).max()


def test_an_eigenvalue_far_from_the_rest_is_not_missed():
    matrix, _ = with_eigenvalues(np.r_[0.1, np.linspace(0.9, 1.1, 98), 10.0], seed=1)
    root, _ = symmetric_root(matrix, np.zeros((100, 1)))
    assert np.abs(root @ root - matrix).max() < 1e-12


@pytest.mark.parametrize("least", [-0.5, 0.0, 1e-7])
def test_a_matrix_that_is_not_safely_definite_is_refused(least):
    matrix, _ = with_eigenvalues(np.r_[least, np.linspace(0.5, 2.0, 89)], seed=2)
    assert symmetric_root(matrix, np.zeros((90, 1))) is None


def test_a_spectrum_misjudged_is_noticed(monkeypatch):
    matrix, _ = with_eigenvalues(np.geomspace(1.0, 1000.0, 90), seed=3)
    monkeypatch.setattr(root, "_spectrum", lambda matrix: (100.0, 1000.0))
    assert symmetric_root(matrix, np.zeros((90, 1))) is None
