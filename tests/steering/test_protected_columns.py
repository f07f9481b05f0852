"""Columns that steering must not move: kept to the last bit, in every mode, and in the file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from isonomy import IdealSteerer, nearest_ideal
from isonomy.datasets import make_biased_normals
from isonomy.distributions import CellMoments, JointDistribution
from isonomy.errors import InvalidInputError, UnsupportedProgrammeError
from isonomy.ideal import certify
from isonomy.ideal.partial import partial_maps

MODES = ["blind", "given", "infer"]


@pytest.fixture(scope="module")
def rows():
    X, y, group, _ = make_biased_normals(2_000, n_features=4, random_state=0)
    return X, y, group


def fitted(rows, groups="given", **more):
    X, y, group = rows
    settings = {"protected": [1], "random_state": 0} | more
    if groups == "blind":
        settings.setdefault("rank", 2)
    return IdealSteerer(groups=groups, **settings).fit(X, y, sensitive_features=group)


def moved_by(steerer, X, group):
    known = {"sensitive_features": group} if steerer.groups == "given" else {}
    return steerer.transform(X, **known)


@pytest.mark.parametrize("groups", MODES)
@pytest.mark.parametrize("family", ["normal", "nonparanormal"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_protected_columns_keep_every_value_while_others_move(rows, groups, family, strength):
    X, _, group = rows
    steerer = fitted(rows, groups, family=family, strength=strength)
    moved = moved_by(steerer, X, group)
    assert np.array_equal(moved[:, 1], X[:, 1])
    assert np.abs(moved - X)[:, [0, 2, 3]].max(axis=0).min() > 0.01
    for move in steerer.maps_.values():
        assert np.array_equal(move.matrix[1], [0.0, 1.0, 0.0, 0.0])
        assert move.offset[1] == 0.0


def test_the_maps_are_those_of_the_nearest_ideal_that_keeps_the_columns(rows):
    X, y, group = rows
    joint = JointDistribution.fit(X, y, sensitive_features=group, covariance="tied")
    expected = nearest_ideal(joint, protected=[1, 3])
    steerer = fitted(rows, protected=[3, 1], shrinkage=None)
    assert steerer.subspace_ == "full"
    assert steerer.solution_.kl == pytest.approx(expected.kl, rel=1e-7)
    assert steerer.solution_.protected == (1, 3)
    moved = moved_by(steerer, X, group)
    # the frame of the rows is the reference's: the same choice of it gives the same rows
    assert steerer.solution_.reference == expected.reference
    assert moved == pytest.approx(expected.steer(X, sensitive_features=group), abs=1e-6)
    half = fitted(rows, protected=[1, 3], shrinkage=None, strength=0.5)
    for name, move in partial_maps(expected, 0.5).items():
        assert half.maps_[name].apply(X) == pytest.approx(move.apply(X), abs=1e-6)


def test_blind_leaves_groups_apart_by_what_protected_columns_tell_and_no_more(rows):
    X, y, group = rows
    steerer = fitted(rows, "blind", protected=[0], cell_shrinkage=0.0, rank=2)
    moved = moved_by(steerer, X, group)
    total = np.cov(X.T)
    slope = total[1:, 0] / total[0, 0]
    names = np.unique(group)
    for label in np.unique(y):
        one, other = (moved[(y == label) & (group == g)].mean(axis=0) for g in names)
        gap = one - other
        assert abs(gap[0]) > 0.05
        assert gap[1:] == pytest.approx(slope * gap[0], abs=1e-9)


def test_blind_chooses_the_rank_among_directions_that_may_go(rows):
    steerer = fitted(rows, "blind", rank="auto", protected=[0, 1, 2])
    assert list(steerer.rank_curve_.ranks) == [0, 1]


def test_frames_name_the_columns_and_files_keep_them(rows, tmp_path):
    X, y, group = rows
    names = ["age", "income", "debt", "tenure"]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(dict(zip(names, X.T, strict=True)))):
        steerer = IdealSteerer(groups="given", protected=["income"])
        steerer.fit(frame, y, sensitive_features=group)
        again = IdealSteerer.load(steerer.save(tmp_path / "steerer.safetensors"))
        assert again.protected == ["income"]
        assert again.solution_.protected == (1,)
        for each in (steerer, again):
            moved = each.transform(frame, sensitive_features=group)
            assert type(moved) is type(frame)
            assert np.array_equal(np.asarray(moved["income"]), X[:, 1])
        known = {"y": y, "sensitive_features": group}
        assert certify(steerer, frame, **known).drift["moved"] is False
    assert any("Protected" in s and "income" in s for s in again.certificate_.sentences)
    assert clone(steerer).get_params()["protected"] == ["income"]


def test_moments_and_streams_of_rows_protect_alike(rows):
    X, y, group = rows
    steerer = fitted(rows)
    streamed = IdealSteerer(groups="given", protected=[1])
    for part in (slice(None, 900), slice(900, None)):
        streamed.partial_fit(X[part], y[part], sensitive_features=group[part])
    moments = CellMoments(4).update(X, y, sensitive_features=group)
    from_moments = IdealSteerer(groups="given", protected=[1]).fit_moments(moments)
    for other in (streamed, from_moments):
        for name, move in steerer.maps_.items():
            assert other.maps_[name].apply(X) == pytest.approx(move.apply(X), abs=1e-7)


def test_constant_and_dependent_columns_do_not_disturb_what_is_kept(rows):
    X, y, group = rows
    wide = np.column_stack([X, np.ones(len(X)), X[:, 1] + X[:, 0]])
    steerer = IdealSteerer(groups="given", protected=[1, 4])
    moved = steerer.fit(wide, y, sensitive_features=group).transform(wide, sensitive_features=group)
    assert np.array_equal(moved[:, [1, 4]], wide[:, [1, 4]])
    # a column that is a sum with a protected one stays that sum
    assert moved[:, 5] == pytest.approx(moved[:, 1] + moved[:, 0], abs=1e-9)
    with pytest.raises(InvalidInputError, match="they decide all others"):
        pair = np.column_stack([X[:, 0], 2.0 * X[:, 0]])
        IdealSteerer(groups="given", protected=[0]).fit(pair, y, sensitive_features=group)


def test_limits_leave_protected_columns_alone(rows):
    X, y, group = rows
    X = np.round(10 * X)
    limits = {"bounds": "observed", "integer_columns": "auto"}
    steerer = IdealSteerer(groups="given", protected=[2], **limits)
    steerer.fit(X, y, sensitive_features=group)
    assert steerer.feasibility_ is not None
    far = X[:5] * 100.0 + 0.25
    moved = steerer.transform(far, sensitive_features=group[:5])
    assert np.array_equal(moved[:, 2], far[:, 2])
    assert (moved[:, 3] <= X[:, 3].max()).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protected": "x1"}, "Put a single column into a list"),
        ({"protected": ["nobody"]}, "`protected` of `IdealSteerer.fit` must name columns"),
        ({"protected": [0, 1, 2, 3]}, "must leave a column or more free"),
        ({"covariance": "full"}, '`covariance` of `IdealSteerer.fit` must be "tied"'),
        ({"map_family": "symmetric"}, '`map_family` of `IdealSteerer.fit` must be "affine"'),
        ({"subspace": "discriminant"}, "cannot go with `protected`"),
        ({"bounds": {1: (0, 1)}}, "`bounds` .* that `protected` keeps"),
        ({"integer_columns": [1]}, "`integer_columns` .* that `protected` keeps"),
    ],
)
def test_what_cannot_go_with_protected_columns_says_so(rows, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        fitted(rows, **settings)


def test_diagonal_maps_ask_for_diagonal_covariances(rows):
    with pytest.raises(InvalidInputError, match="needs `covariance=\"diagonal\"`, got 'tied'"):
        fitted(rows, protected=None, map_family="diagonal")
    assert fitted(rows, protected=None, map_family="diagonal", covariance="diagonal").maps_


def test_too_few_free_columns_are_refused(rows):
    X, _, group = rows
    labels = np.arange(len(X)) % 4
    steerer = IdealSteerer(groups="given", protected=[0, 1])
    with pytest.raises(UnsupportedProgrammeError, match="at least n_classes - 1 = 3"):
        steerer.fit(X, labels, sensitive_features=group)
