"""The nearest ideal distribution of bad input: it is exact, or it says why there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from isonomy.distributions import JointDistribution, Normal
from isonomy.errors import NonNormalWarning, SingularCovarianceError
from isonomy.ideal import certify, ideal_violation, nearest_ideal
from isonomy.ideal.criteria import rounding_tolerance
from isonomy.steering import IdealSteerer


def tied_joint(seed, prior, distance=1.0, d=3):
    rng = np.random.default_rng(seed)
    means = distance * rng.normal(size=(*prior.shape, d))
    factors = rng.normal(size=(prior.shape[1], d, d + 3))
    covs = factors @ factors.swapaxes(1, 2) / d
    labels = list(range(len(prior))), list("abc"[: prior.shape[1]])
    return JointDistribution.from_arrays(means, covs, prior, *labels)


def assert_ideal(solution):
    assert solution.converged
    found = ideal_violation(solution.distribution)
    assert found <= rounding_tolerance(solution.distribution)
    assert np.isfinite(solution.kl)
    assert all(b <= a + 1e-9 for a, b in zip(solution.history, solution.history[1:], strict=False))


@pytest.mark.parametrize("moves", ["all", ["b"]])
@pytest.mark.parametrize("direction", ["information", "moment"])
def test_priors_of_one_in_a_million(moves, direction):
    prior = np.array([[0.6, 0.2], [0.2 - 1e-6, 1e-6]])
    solution = nearest_ideal(tied_joint(0, prior), moves=moves, direction=direction)
    assert_ideal(solution)
    assert solution.distribution.group_prior == pytest.approx(prior.sum(axis=0))
    certificate = certify(solution)
    assert certificate.bayes_gap_after <= certificate.bayes_gap_error + 1e-9


def test_a_rare_group_and_a_rare_label_in_every_cell():
    solution = nearest_ideal(tied_joint(1, np.outer([1 - 1e-6, 1e-6], [1 - 1e-6, 1e-6])))
    assert_ideal(solution)
    # the group that all rows are of hardly moves
    assert solution.kl_by_cell[0, "a"] < 1e-3


@pytest.mark.parametrize("moves", ["all", ["b"]])
def test_a_group_that_is_a_copy_of_another_needs_no_steering(moves):
    rng = np.random.default_rng(2)
    y = np.arange(120) % 3
    X = rng.normal(size=(120, 2)) + y[:, None]
    joint = JointDistribution.fit(
        np.concatenate([X, X]),
        np.concatenate([y, y]),
        sensitive_features=["a"] * 120 + ["b"] * 120,
        covariance="tied",
    )
    solution = nearest_ideal(joint, moves=moves)
    assert solution.kl == pytest.approx(0.0, abs=1e-12)
    for group in "ab":
        assert solution.maps[group].matrix == pytest.approx(np.eye(2), abs=1e-6)
        assert solution.maps[group].offset == pytest.approx(np.zeros(2), abs=1e-6)
    assert max(certify(solution).transfer_bound.values()) < 1e-5


@pytest.mark.parametrize("distance", [30.0, 1e3, 1e5])
@pytest.mark.parametrize("moves", ["all", ["b"]])
def test_separable_classes(distance, moves):
    """Classes 30 to 100,000 standard deviations apart: every posterior is 0 or 1."""
    solution = nearest_ideal(tied_joint(3, np.full((2, 2), 0.25), distance), moves=moves)
    assert_ideal(solution)
    certificate = certify(solution)
    assert certificate.bayes_gap_after <= certificate.bayes_gap_error + 1e-9


def test_separable_rows_are_steered():
    rng = np.random.default_rng(4)
    y, a = np.divmod(np.arange(200) % 4, 2)
    X = rng.normal(size=(200, 2)) + 200.0 * y[:, None] * [1.0, 0.5] + a[:, None]
    steerer = IdealSteerer(random_state=0).fit(X, y, sensitive_features=a)
    moved = steerer.transform(X, sensitive_features=a)
    middle = [moved[(y == 1) & (a == g)].mean(axis=0) for g in (0, 1)]
    # the groups' class means agree far better than the 200 between the classes
    assert np.linalg.norm(middle[0] - middle[1]) < 2.0


def test_more_features_than_rows_is_refused_before_the_search():
    rng = np.random.default_rng(5)
    y, a = np.divmod(np.arange(24) % 4, 2)
    X = rng.normal(size=(24, 40))
    with pytest.raises(SingularCovarianceError, match="got 12 rows for 40 features"):
        JointDistribution.fit(X, y, sensitive_features=a, covariance="tied")
    joint = JointDistribution.fit(X, y, sensitive_features=a, covariance="tied", shrinkage="oas")
    assert_ideal(nearest_ideal(joint))


@pytest.mark.parametrize("covariance", ["tied", "full", "diagonal"])
def test_a_steerer_names_a_direction_that_one_group_lacks(covariance):
    rng = np.random.default_rng(8)
    y, a = np.divmod(np.arange(400) % 4, 2)
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=["age", "income", "size"])
    frame.loc[a == 1, "income"] = 40.0
    options = {"groups": "given", "covariance": covariance, "random_state": 0}
    steerer = IdealSteerer(shrinkage=None, subspace="full", **options)
    with pytest.raises(SingularCovarianceError, match=r"Along 1\.00 income .*group 1\)? has no"):
        steerer.fit(frame, y, sensitive_features=a)
    # with shrinkage there is a law to steer to, of which the result is exact
    assert IdealSteerer(**options | {"covariance": "tied"}).fit(frame, y, sensitive_features=a)


def test_cells_with_two_rows_can_be_steered_when_tied():
    rng = np.random.default_rng(6)
    y = np.repeat([0, 0, 1, 1], [50, 50, 50, 2])
    a = np.repeat([0, 1, 0, 1], [50, 50, 50, 2])
    X = rng.normal(size=(152, 3)) + y[:, None]
    joint = JointDistribution.fit(X, y, sensitive_features=a, covariance="tied")
    assert_ideal(nearest_ideal(joint))


def test_cells_that_differ_by_a_trillion_in_scale():
    cells = {
        (label, group): Normal(label * scale, scale**2)
        for label in (0, 1)
        for group, scale in (("a", 1e-6), ("b", 1e6))
    }
    solution = nearest_ideal(JointDistribution(cells, dict.fromkeys(cells, 0.25)))
    # the groups are affine images of one another already
    assert solution.kl == pytest.approx(0.0, abs=1e-9)
    assert_ideal(solution)


def test_rows_that_are_not_normal_are_called_so():
    rng = np.random.default_rng(7)
    y, a = np.divmod(np.arange(400) % 4, 2)
    X = np.exp(rng.normal(size=(400, 2)))
    with pytest.warns(NonNormalWarning, match=r"adjusted p = .*`family=` \"auto\", \"lognormal\""):
        JointDistribution.fit(X, y, sensitive_features=a)
    JointDistribution.fit(X, y, sensitive_features=a, check="ignore")
    for family in ("lognormal", "auto"):
        JointDistribution.fit(X, y, sensitive_features=a, family=family)
    JointDistribution.fit(np.log(X), y, sensitive_features=a)


def bad_rows(case):
    """Rows of the issue's table: name -> (X, y, groups, options of the fit)."""
    rng = np.random.default_rng(11)
    y, a = np.divmod(np.arange(160) % 4, 2)
    X = rng.normal(size=(160, 2)) + y[:, None] + 0.5 * a[:, None] * (1 + y[:, None])
    if case == "cells of two rows":
        keep = (y == 0) | (a == 0) | (np.arange(160) < 8)
        return X[keep], y[keep], a[keep], {"shrinkage": "oas"}
    if case == "copy":
        return np.r_[X, X], np.r_[y, y], np.repeat([0, 1], 160), {}
    if case == "separable":
        return X + 30.0 * y[:, None] * [1.0, 0.5], y, a, {}
    if case == "rare":
        rare = (y == 1) & (a == 1)
        weight = np.where(rare, 1e-6 / rare.sum(), 1.0 / (~rare).sum())
        return X, y, a, {"sample_weight": weight}
    if case == "wide":
        return rng.normal(size=(24, 8)) + y[:24, None], y[:24], a[:24], {"shrinkage": "oas"}
    return np.exp(X), y, a, {}


CASES = ["cells of two rows", "copy", "separable", "rare", "wide", "skewed"]


@pytest.mark.parametrize("moves", ["all", [1]])
@pytest.mark.parametrize("family", ["affine", "symmetric", "diagonal"])
@pytest.mark.parametrize("case", CASES)
def test_every_solver_is_exact_on_what_can_be_fitted(case, family, moves):
    X, y, a, options = bad_rows(case)
    kind = "diagonal" if family == "diagonal" else "full"
    joint = JointDistribution.fit(
        X, y, sensitive_features=a, covariance=kind, check="ignore", **options
    )
    solution = nearest_ideal(joint, map_family=family, moves=moves)
    assert_ideal(solution)
    certificate = certify(solution)
    assert certificate.bayes_gap_after <= certificate.bayes_gap_error + 0.02
    moved = solution.steer(X, sensitive_features=a)
    assert np.isfinite(moved).all()
    nothing = "Price: none. The fitted distribution is ideal already, and no group moves."
    assert (nothing in str(certificate)) == (case == "copy")
    if case == "copy":
        assert solution.kl < 1e-12
        assert moved == pytest.approx(X, abs=1e-6)


@pytest.mark.parametrize("groups", ["given", "blind"])
@pytest.mark.parametrize("case", CASES)
def test_a_steerer_serves_what_can_be_fitted(case, groups):
    X, y, a, options = bad_rows(case)
    weight = {k: options[k] for k in options if k == "sample_weight"}
    steerer = IdealSteerer(groups=groups, random_state=0)  # non-normal rows: no warning
    steerer.fit(X, y, sensitive_features=a, **weight)
    known = {"sensitive_features": a} if groups == "given" else {}
    moved = steerer.transform(X, **known)
    assert np.isfinite(moved).all()
    if case == "copy":
        assert moved == pytest.approx(X, abs=1e-6)
        assert "no group moves" in str(steerer.certificate_)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied"])
def test_two_rows_a_cell_or_few_rows_are_refused_with_a_remedy(covariance):
    for case in ("cells of two rows", "wide"):
        X, y, a, _ = bad_rows(case)
        X = np.c_[X, X[:, :1] ** 2] if case == "cells of two rows" else np.c_[X, X**2]
        if covariance == "full" or (covariance, case) == ("tied", "wide"):
            with pytest.raises(SingularCovarianceError, match=r"got \d+ rows for .*`shrinkage"):
                JointDistribution.fit(X, y, sensitive_features=a, covariance=covariance)
        else:
            joint = JointDistribution.fit(
                X, y, sensitive_features=a, covariance=covariance, check="ignore"
            )
            assert np.isfinite(joint.covariances).all()
