"""Certificates on later rows: what has moved, what cannot be judged, and no false alarms."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from isonomy.artefact import save_artefact
from isonomy.distributions import JointDistribution
from isonomy.errors import ArtefactError, FamilyError
from isonomy.ideal import (
    certify,
    nearest_ideal,
    solution_to_state,
)
from reference.ideal import random_joint


def near_joint(seed, n_classes=3, n_groups=2, d=3, family="normal"):
    """Groups that differ a little, so that the bounds say something."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_classes, 1, d)) + 0.15 * rng.normal(size=(n_classes, n_groups, d))
    covs = np.array([np.eye(d) * s for s in rng.uniform(0.8, 1.2, n_groups)])
    prior = rng.dirichlet(np.full(n_classes * n_groups, 20.0)).reshape(n_classes, n_groups)
    labels = list(range(n_classes)), list("abc"[:n_groups])
    return JointDistribution.from_arrays(means, covs, prior, *labels, family=family)


def test_rows_of_the_fitted_law_have_not_moved_and_shifted_rows_have():
    joint = near_joint(6)
    solution = nearest_ideal(joint)
    n_false = 0
    for seed in range(20):
        X, y, groups = joint.sample(2000, random_state=seed)
        n_false += certify(solution, X, y, sensitive_features=groups).drift["moved"]
    assert n_false <= 1
    shifted = X + 0.5 * (np.asarray(groups) == "b")[:, None]
    certificate = certify(solution, shifted, y, sensitive_features=groups)
    assert certificate.drift["moved"]
    assert {c["group"] for c in certificate.drift["cells"] if c["moved"]} == {"b"}
    assert "have moved since the fit" in str(certificate)
    assert max(certificate.transfer_bound.values()) > max(certify(solution).transfer_bound.values())
    assert sum(c["n"] for c in certificate.drift["cells"]) == certificate.drift["n_rows"] == 2000
    json.dumps(certificate.to_dict(), allow_nan=False)


def test_two_samples_of_one_law_are_not_called_moved():
    # both the fit and the new rows carry sampling noise, which the verdict must allow for
    joint = near_joint(6)
    n_false = 0
    for seed in range(30):
        X, y, groups = joint.sample(400, random_state=seed)
        fitted = JointDistribution.fit(
            X, y, sensitive_features=groups, covariance="tied", check="ignore"
        )
        rows, labels, others = joint.sample(400, random_state=1000 + seed)
        found = certify(nearest_ideal(fitted), rows, labels, sensitive_features=others)
        n_false += found.drift["moved"]
    assert n_false <= 1


@pytest.mark.parametrize("shrinkage", ["oas", 0.3])
def test_shrinkage_in_the_fit_is_not_called_a_movement(shrinkage):
    # badly conditioned cells: a small intensity changes the smallest variances most
    rng = np.random.default_rng(5)
    d = 8
    joint = random_joint(rng, 2, 2, d)
    stretch = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.geomspace(1, 0.03, d)
    covs = stretch @ joint.covariances @ stretch.T
    arrays = covs, joint.prior, joint.classes, joint.groups
    joint = JointDistribution.from_arrays(joint.means @ stretch.T, *arrays)
    n_false = 0
    for seed in range(8):
        X, y, groups = joint.sample(2000, random_state=seed)
        fitted = JointDistribution.fit(
            X,
            y,
            sensitive_features=groups,
            covariance="tied",
            shrinkage=shrinkage,
            check="ignore",  # of ten fits one may look strange
        )
        solution = nearest_ideal(fitted)
        rows, labels, others = joint.sample(2000, random_state=100 + seed)
        found = certify(solution, rows, labels, sensitive_features=others)
        n_false += found.drift["moved"]
        wider = rows * np.where(np.asarray(others) == "b", 1.3, 1.0)[:, None]
        assert certify(solution, wider, labels, sensitive_features=others).drift["moved"]
    assert n_false == 0


def test_a_fit_on_few_rows_may_miss_by_more_than_the_new_rows_would():
    joint = near_joint(6)
    n_false = 0
    for seed in range(10):
        X, y, groups = joint.sample(300, random_state=seed)
        fitted = JointDistribution.fit(
            X, y, sensitive_features=groups, covariance="tied", check="ignore"
        )
        counts = np.array([[np.sum((y == k) & (groups == g)) for g in "ab"] for k in range(3)])
        solution = nearest_ideal(fitted)
        steerer = SimpleNamespace(solution_=solution, cell_rows_=counts)
        rows, labels, others = joint.sample(30_000, random_state=100 + seed)
        n_false += certify(steerer, rows, labels, sensitive_features=others).drift["moved"]
        bare = certify(solution, rows, labels, sensitive_features=others)
        assert "How many rows were fitted is not known" in str(bare)
    assert n_false == 0


def withholding(tmp_path, solution, cells):
    """A saved solution that says that it withholds cells."""
    config, tensors = solution_to_state(solution)
    return save_artefact(
        tmp_path / "w.safetensors",
        kind="ideal-steerer",
        config={"solution": config, "withheld_cells": cells, "n_rows": 3000},
        tensors=tensors,
    )


def test_cells_that_a_file_withholds_are_not_judged(tmp_path):
    solution = nearest_ideal(near_joint(6, n_groups=3))
    X, y, groups = solution.source.sample(3000, random_state=0)
    # the withheld cell's stored mean is not its own: its rows seem to have moved
    moved = X + 3.0 * ((np.asarray(y) == 1) & (np.asarray(groups) == "b"))[:, None]
    path = withholding(tmp_path, solution, [[1, 1]])
    certificate = certify(path, moved, y, sensitive_features=groups)
    cell = next(c for c in certificate.drift["cells"] if (c["class"], c["group"]) == (1, "b"))
    assert cell["moved"] is None and cell["kl_from_fit"] is None
    assert np.isnan(certificate.transfer_by_cell[1, "b"])
    assert "8 of 9 (label, group) cells could be judged" in str(certificate)
    assert "Not judged: 1 (label, group) cell(s)" in str(certificate)
    assert "(label 1, group b)" in str(certificate)
    at_rest = certify(path)
    assert at_rest.violation_before is None and at_rest.bayes_gap_before is None
    assert np.isnan(at_rest.transfer_by_cell[1, "b"])
    assert "Not judged" in str(at_rest) and "nan" not in str(at_rest)
    json.dumps(at_rest.to_dict(), allow_nan=False)
    whole = withholding(tmp_path, solution, [])
    assert "Not judged" not in str(certify(whole))
    assert certify(whole, moved, y, sensitive_features=groups).drift["moved"]


def test_the_same_withheld_cells_are_left_out_after_loading(tmp_path):
    solution = nearest_ideal(near_joint(6))
    loaded = SimpleNamespace(solution_=solution, _withheld_cells=[[0, 1]], _n_rows=None)
    assert str(certify(loaded)) == str(certify(withholding(tmp_path, solution, [[0, 1]])))
    with pytest.raises(ArtefactError, match="must list its withheld cells"):
        certify(withholding(tmp_path, solution, [[7, 1]]))


def test_an_empty_cell_of_new_rows_is_left_open():
    joint = near_joint(7)
    X, y, groups = joint.sample(600, random_state=0)
    kept = ~((np.asarray(y) == 2) & (np.asarray(groups) == "a"))
    certificate = certify(
        nearest_ideal(joint),
        X[kept],
        np.asarray(y)[kept],
        sensitive_features=np.asarray(groups)[kept],
    )
    assert np.isnan(certificate.transfer_by_cell[2, "a"])
    assert "5 of 6 (label, group) cells" in str(certificate)
    assert not certificate.informative


def test_one_variable_and_lognormal_rows_are_certified():
    joint = random_joint(np.random.default_rng(2), 2, 2, 1, kind="diagonal", family="lognormal")
    solution = nearest_ideal(joint)
    X, y, groups = joint.sample(3000, random_state=0)
    assert not certify(solution, X, y, sensitive_features=groups).drift["moved"]
    with pytest.raises(FamilyError, match="must be positive"):
        certify(solution, X - 100, y, sensitive_features=groups)
