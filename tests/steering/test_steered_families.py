"""Steering on the scale on which a family is normal: transforms learnt, kept and undone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from isonomy import IdealSteerer, repair
from isonomy.datasets import make_biased_normals
from isonomy.distributions import JointDistribution, choose_family
from isonomy.errors import EmptyCellError, InvalidInputError
from isonomy.ideal import certify, nearest_ideal
from isonomy.steering import _persistence


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
        steerer.fit(values[:1_000], y[:1_000], sensitive_features=group[:1_000])
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


@pytest.mark.parametrize("groups", ["blind", "given"])
def test_certificates_say_on_which_scale_cells_are_normal(rows, tmp_path, groups):
    X, y, group = rows
    positive = np.exp(0.1 * X)
    known = {"y": y, "sensitive_features": group}
    for family, values, word in (
        ("lognormal", positive, "logarithms"),
        ("nonparanormal", X, "increasing transforms"),
    ):
        steerer = IdealSteerer(groups=groups, family=family, rank=1)
        steerer.fit(values, y, sensitive_features=group)
        path = steerer.save(tmp_path / "steerer.safetensors")
        own = steerer.certificate_
        for found in (own, certify(steerer), certify(path), certify(steerer, values, **known)):
            assert word in found.law
            assert sum(word in sentence for sentence in found.sentences) == 1
        assert IdealSteerer.load(path).certificate_.sentences == own.sentences
    plain = IdealSteerer(groups=groups, rank=1).fit(X, y, sensitive_features=group)
    assert "which scale" not in str(plain.certificate_)


def test_auto_names_the_columns_as_the_frame_does(rows):
    X, y, group = rows
    table = {"income": X[:, 0], "flag": (X[:, 1] > 5.0).astype(float), "age": np.round(X[:, 2], 1)}
    steerer = IdealSteerer(groups="given", family="auto")
    steerer.fit(pl.DataFrame(table), y, sensitive_features=group)
    assert steerer.family_choice_.discrete_columns == ("flag",)
    assert list(steerer.family_choice_.rounding) == ["age"]
    assert "flag" in str(steerer.family_choice_)


def test_auto_compares_the_transform_that_it_would_use():
    """One spline for all groups cannot serve groups that are bent in opposite ways."""
    rng = np.random.default_rng(0)
    y, group = rng.integers(0, 2, 1_200), rng.integers(0, 2, 1_200)
    z = rng.normal(size=(1_200, 1)) + 0.5 * y[:, None]
    X = np.where(group[:, None] == 0, np.exp(z), 5.0 - np.exp(z))
    given = {"sensitive_features": group, "covariance": "tied", "shrinkage": "oas"}
    families = ("normal", "nonparanormal")
    apart = choose_family(X, y, families=families, **given)
    shared = choose_family(X, y, families=families, per_group=False, **given)
    assert apart.scores["nonparanormal"] > shared.scores["nonparanormal"] + 0.02
    steerer = IdealSteerer(groups="given", family="auto").fit(X, y, sensitive_features=group)
    assert steerer.family_choice_.scores["nonparanormal"] == shared.scores["nonparanormal"]


def test_auto_leaves_out_labels_that_a_group_lacks(rows):
    X, y, group = rows
    labels = np.where((y == 1) & (group == group[0]) & (X[:, 0] > 5.0), 2, y)
    steerer = IdealSteerer(groups="blind", rank=1, family="auto")
    steerer.fit(X, labels, sensitive_features=group)
    assert steerer.family_ == "nonparanormal"
    assert steerer.family_choice_.n_rows == int((labels < 2).sum())
    lone = np.where(group == group[0], 0, y)
    with pytest.raises(EmptyCellError, match="Name the family"):
        steerer.fit(X, lone, sensitive_features=group)


def test_auto_with_a_single_group_moves_nothing(rows):
    X, y, _ = rows
    steerer = IdealSteerer(family="auto", missing_groups="single").fit(X, y)
    assert steerer.family_ == "normal"
    assert np.array_equal(steerer.transform(X), X)


def test_rows_far_outside_the_training_range_stay_finite_and_in_order(rows):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", family="nonparanormal", covariance="diagonal")
    steerer.fit(X, y, sensitive_features=group)
    line = np.linspace(-1e6, 1e6, 2_001)[:, None] * np.ones(3)
    for label in steerer.groups_:
        known = np.full(len(line), label)
        moved = steerer.transform(line, sensitive_features=known)
        assert (np.diff(moved, axis=0) > 0).all()
        single = steerer.transform(line.astype(np.float32), sensitive_features=known)
        assert single.dtype == np.float32
        assert single == pytest.approx(moved, rel=1e-5, abs=1e-3)


def test_a_file_of_an_older_version_names_its_family_by_the_parameter(rows, tmp_path, monkeypatch):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", family="lognormal")
    steerer.fit(np.exp(0.1 * X), y, sensitive_features=group)
    state = _persistence._fitted_state

    def older(fitted):
        config, tensors = state(fitted)
        return {k: v for k, v in config.items() if k != "family"}, tensors

    monkeypatch.setattr(_persistence, "_fitted_state", older)
    path = steerer.save(tmp_path / "older.safetensors")
    again, Z = IdealSteerer.load(path), np.exp(0.1 * X)
    assert again.family_ == "lognormal"
    moved = steerer.transform(Z, sensitive_features=group)
    assert np.array_equal(again.transform(Z, sensitive_features=group), moved)
    assert "logarithms" in certify(path, Z, y, sensitive_features=group).law
