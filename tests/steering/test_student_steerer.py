"""Student-t cells behind an IdealSteerer: the maps of their own nearest ideal, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy import IdealSteerer, nearest_ideal
from isonomy.datasets import make_biased_normals
from isonomy.distributions import CellMoments, JointDistribution
from isonomy.errors import EmptyCellError, InvalidInputError
from isonomy.ideal import certify


@pytest.fixture(scope="module")
def rows():
    X, y, group, _ = make_biased_normals(1_500, n_features=2, random_state=0)
    tails = np.random.default_rng(0).chisquare(3, size=len(X)) / 3
    return X / np.sqrt(tails)[:, None], y, group


@pytest.fixture(scope="module")
def steerer(rows):
    X, y, group = rows
    return IdealSteerer(groups="given", family="student_t").fit(X, y, sensitive_features=group)


def test_maps_are_those_of_the_nearest_ideal_of_student_cells(rows, steerer):
    X, y, group = rows
    joint = JointDistribution.fit(
        X, y, sensitive_features=group, family="student_t", covariance="tied"
    )
    expected = nearest_ideal(joint)
    assert steerer.family_ == "student_t"
    assert steerer.solution_.source.family == "student_t"
    assert steerer.solution_.source.shape.df == pytest.approx(joint.shape.df, rel=1e-3)
    assert steerer.solution_.kl == pytest.approx(expected.kl, rel=1e-3)
    ideal = steerer.solution_.distribution
    for a, name in enumerate(ideal.groups):
        move = steerer.maps_[name]
        for y_at, label in enumerate(ideal.classes):
            goal = steerer.solution_.canonical[label]
            cell = move.matrix @ ideal.covariances[y_at, a] @ move.matrix.T
            assert move.apply(ideal.means[y_at, a][None])[0] == pytest.approx(goal.mean, abs=1e-3)
            assert cell == pytest.approx(goal.covariance, abs=1e-3)
    moved = steerer.transform(X, sensitive_features=group)
    # descents end near the optimum, and a few rows lie far out in the tails
    there = expected.steer(X, sensitive_features=group)
    assert np.median(np.abs(moved - there)) < 1e-3
    assert moved == pytest.approx(there, rel=0.01, abs=0.05)
    normal = IdealSteerer(groups="given").fit(X, y, sensitive_features=group)
    assert np.abs(moved - normal.transform(X, sensitive_features=group)).max() > 0.1


def test_a_file_keeps_tails_and_certificate(rows, steerer, tmp_path):
    X, y, group = rows
    again = IdealSteerer.load(path := steerer.save(tmp_path / "steerer.safetensors"))
    moved = steerer.transform(X, sensitive_features=group)
    assert np.array_equal(again.transform(X, sensitive_features=group), moved)
    assert again.solution_.source.shape.df == pytest.approx(steerer.solution_.source.shape.df)
    assert "Student-t" in str(again.certificate_)
    known = {"y": y, "sensitive_features": group}
    assert certify(path, X, **known).sentences == certify(steerer, X, **known).sentences


def test_part_of_the_way_and_weights(rows, steerer):
    X, y, group = rows
    half = IdealSteerer(groups="given", family="student_t", strength=0.0)
    half.fit(X, y, sensitive_features=group)
    assert np.array_equal(half.transform(X, sensitive_features=group), X)
    weighted = IdealSteerer(groups="given", family="student_t")
    weighted.fit(X, y, sensitive_features=group, sample_weight=np.full(len(X), 2.0))
    for name, move in steerer.maps_.items():
        assert weighted.maps_[name].apply(X) == pytest.approx(move.apply(X), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": "blind"}, 'needs `groups="given"` or "infer"'),
        ({"groups": "given", "map_family": "symmetric"}, "is for normal cells"),
        ({"groups": "given", "protected": [0]}, '`protected` .* may not go with `family="student'),
    ],
)
def test_what_cannot_go_with_student_cells_says_so(rows, settings, message):
    X, y, group = rows
    with pytest.raises(InvalidInputError, match=message):
        IdealSteerer(family="student_t", **settings).fit(X, y, sensitive_features=group)


def test_rows_are_needed_all_at_once_and_enough_of_them(rows):
    X, y, group = rows
    steerer = IdealSteerer(groups="given", family="student_t")
    with pytest.raises(InvalidInputError, match="all rows at once"):
        steerer.partial_fit(X, y, sensitive_features=group)
    with pytest.raises(InvalidInputError, match="all rows at once"):
        steerer.fit_moments(CellMoments(2).update(X, y, sensitive_features=group))
    few = np.r_[np.flatnonzero((y == 1) & (group == "a"))[:5], np.flatnonzero(y == 0)]
    few = np.r_[few, np.flatnonzero((y == 1) & (group == "b"))]
    with pytest.raises(EmptyCellError, match=r"needs 10 rows .* got 5 for \(label 1, group a\)"):
        steerer.fit(X[few], y[few], sensitive_features=group[few])
