"""Steering on the scale on which a family is normal: transforms learnt, kept and undone."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy import IdealSteerer, repair
from isonomy.datasets import make_biased_normals
from isonomy.distributions import JointDistribution
from isonomy.errors import InvalidInputError
from isonomy.ideal import certify, nearest_ideal


@pytest.fixture(scope="module")
def rows():
    X, y, group, _ = make_biased_normals(3_000, n_features=3, random_state=0)
    return np.sinh(1.2 * X) + 5.0, y, group


@pytest.mark.parametrize("groups", ["blind", "given", "infer"])
def test_rows_move_behind_increasing_transforms(rows, groups):
    X, y, group = rows
    steerer = IdealSteerer(groups=groups, family="nonparanormal", random_state=0)
    steerer.fit(X, y, sensitive_features=group)
    known = {"sensitive_features": group} if groups == "given" else {}
    moved = steerer.transform(X, **known)
    assert steerer.family_ == "nonparanormal"
    assert steerer.family_choice_ is None
    assert np.isfinite(moved).all()
    transform = steerer._working.transform
    inner = steerer.maps_
    if groups == "infer":
        return  # a posterior-weighted mean of images
    for label in steerer.groups_:
        own = group == label
        expected = transform.inverse(inner[label].apply(transform.forward(X[own])))
        assert moved[own] == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_one_transform_makes_the_cells_normal(rows):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", family="nonparanormal").fit(
        X, y, sensitive_features=group
    )
    latent = steerer._working.ahead(X, ["a", "b", "c"], where="test")
    for label in np.unique(y):
        for name in np.unique(group):
            cell = latent[(y == label) & (group == name)]
            raw = X[(y == label) & (group == name)]
            # what is left is the tails, which are straight beyond the last knot
            assert np.abs(skewness(cell)).max() < 0.2 * np.abs(skewness(raw)).max()


def skewness(cell):
    centred = cell - cell.mean(axis=0)
    return (centred**3).mean(axis=0) / cell.std(axis=0) ** 3


def test_the_solution_is_that_of_the_joint_law_behind_the_same_transform(rows):
    X, y, group = rows
    settings = {"covariance": "tied", "family": "nonparanormal"}
    joint = JointDistribution.fit(X, y, sensitive_features=group, per_group=False, **settings)
    steerer = IdealSteerer(groups="given", shrinkage=None, subspace="full", **settings)
    steerer.fit(X, y, sensitive_features=group)
    assert steerer.solution_.kl == pytest.approx(nearest_ideal(joint).kl, rel=1e-6)
    transforms = joint.shape.transforms
    assert joint.shape.is_shared
    assert steerer._working.transform.forward(X) == pytest.approx(transforms[0].forward(X))


def test_a_steerer_behind_transforms_survives_a_file(rows, tmp_path):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", family="nonparanormal").fit(
        X, y, sensitive_features=group
    )
    path = steerer.save(tmp_path / "steerer.safetensors")
    again = IdealSteerer.load(path)
    assert again.family_ == "nonparanormal"
    moved = steerer.transform(X, sensitive_features=group)
    assert np.array_equal(again.transform(X, sensitive_features=group), moved)
    known = {"y": y, "sensitive_features": group}
    ours, theirs = certify(steerer, X, **known), certify(path, X, **known)
    assert ours.drift["moved"] is False
    assert ours.transfer_bound == pytest.approx(theirs.transfer_bound)


def test_auto_takes_the_family_that_held_out_rows_prefer(rows):
    X, y, group = rows
    Z = np.arcsinh(X - 5.0) / 1.2
    found = {}
    for name, values in (("normal", Z), ("lognormal", np.exp(Z)), ("nonparanormal", X)):
        steerer = IdealSteerer(groups="given", family="auto")
        steerer.fit(values, y, sensitive_features=group)
        found[name] = steerer.family_
        assert steerer.family_choice_.family == steerer.family_
    assert found == {name: name for name in found}


def test_a_family_that_is_learnt_needs_all_rows_at_once(rows):
    X, y, group = rows
    for family in ("nonparanormal", "auto"):
        with pytest.raises(InvalidInputError, match="all rows at once"):
            IdealSteerer(groups="given", family=family).partial_fit(X, y, sensitive_features=group)


def test_repair_moves_rows_behind_the_transform(rows):
    X, y, group = rows
    repaired, weight = repair(X, y, sensitive_features=group, family="nonparanormal")
    assert repaired.shape == X.shape
    assert np.isfinite(repaired).all()
    assert not np.allclose(repaired, X)
    assert (weight > 0).all()
