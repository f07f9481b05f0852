"""Maps are solved at once, the solution behind them when it is first read."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from isonomy import IdealSteerer
from isonomy.datasets import make_biased_normals
from isonomy.errors import SingularCovarianceError
from isonomy.steering import _coordinates, _solved
from isonomy.steering._coordinates import whitening


@pytest.fixture
def rows():
    X, y, group, _ = make_biased_normals(600, n_features=5, n_classes=3, random_state=0)
    return X, y, group


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"groups": "blind", "rank": 1}, "blind_solution"), ({"groups": "given"}, "in_features")],
)
def test_rows_move_without_the_solution_that_its_reader_gets(monkeypatch, rows, settings, part):
    X, y, group = rows
    calls = []
    original = getattr(_solved, part)
    monkeypatch.setattr(_solved, part, lambda *a, **k: calls.append(1) or original(*a, **k))
    steerer = IdealSteerer(**settings).fit(X, y, sensitive_features=group)
    moved = steerer.transform(X, sensitive_features=group)
    assert calls == []
    assert steerer.solution_ is steerer.solution_
    assert steerer.solution_.kl > 0
    assert calls == [1]
    assert np.array_equal(moved, steerer.transform(X, sensitive_features=group))


@pytest.mark.parametrize("settings", [{"groups": "blind", "rank": 1}, {"groups": "given"}])
def test_a_copied_steerer_still_works_out_its_solution(rows, settings):
    X, y, group = rows
    steerer = IdealSteerer(**settings).fit(X, y, sensitive_features=group)
    twin = copy.deepcopy(steerer)
    assert twin.solution_.kl == steerer.solution_.kl
    assert str(twin.certificate_) == str(steerer.certificate_)


def test_too_few_rows_without_shrinkage_raise_in_fit(rows):
    X, y, group = rows
    few = [np.flatnonzero((group == group[0]) & (y == label))[:2] for label in np.unique(y)]
    keep = np.r_[*few, np.flatnonzero(group != group[0])]
    with pytest.raises(SingularCovarianceError, match="degrees of freedom"):
        IdealSteerer(rank=1, shrinkage=None).fit(X[keep], y[keep], sensitive_features=group[keep])


@pytest.mark.parametrize("by_eigenvectors", [False, True])
def test_both_ways_of_whitening_keep_their_promise(monkeypatch, by_eigenvectors):
    if by_eigenvectors:
        monkeypatch.setattr(_coordinates, "sure_cholesky", lambda matrix: None)
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((6, 6)) * 10.0 ** np.arange(-6, 6, 2)[:, None]
    covariance = factor @ factor.T
    ahead, back = whitening(covariance, np.zeros(6))
    assert ahead.T @ covariance @ ahead == pytest.approx(np.eye(6), abs=1e-10)
    assert ahead.T @ back == pytest.approx(np.eye(6), abs=1e-10)


def test_dependent_and_constant_columns_are_outside_the_range():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, 3))
    X = np.column_stack([X, X[:, 0] - X[:, 2], np.full(50, 0.1)])
    covariance = np.cov(X, rowvar=False)
    ahead, back = whitening(covariance, X.mean(axis=0))
    assert ahead.shape == back.shape == (5, 3)
    assert ahead.T @ covariance @ ahead == pytest.approx(np.eye(3), abs=1e-10)
    assert not ahead[4].any()
