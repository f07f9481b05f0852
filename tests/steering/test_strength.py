"""Rows that go a part of the way: what strength means in every mode, and what is certified."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy import IdealSteerer
from isonomy.datasets import make_biased_normals
from isonomy.errors import InvalidInputError
from isonomy.ideal import certify


@pytest.fixture(scope="module")
def rows():
    X, y, group, _ = make_biased_normals(3_000, n_features=4, random_state=0)
    return X, y, group


def steered(rows, **settings):
    X, y, group = rows
    steerer = IdealSteerer(random_state=0, **settings).fit(X, y, sensitive_features=group)
    known = {"sensitive_features": group} if settings.get("groups") == "given" else {}
    return steerer, steerer.transform(X, **known)


def gap_of_means(moved, rows):
    _, y, group = rows
    found = [
        moved[(y == label) & (group == "a")].mean(axis=0)
        - moved[(y == label) & (group == "b")].mean(axis=0)
        for label in np.unique(y)
    ]
    return float(np.linalg.norm(found))


@pytest.mark.parametrize("groups", ["blind", "given", "infer"])
def test_nothing_moves_at_0_and_the_ends_meet_at_1(rows, groups):
    X = rows[0]
    settings = {"groups": groups} | ({"rank": 1} if groups == "blind" else {})
    _, still = steered(rows, strength=0.0, **settings)
    _, whole = steered(rows, **settings)
    _, nearly = steered(rows, strength=1.0 - 1e-9, **settings)
    assert still == pytest.approx(X)
    if groups == "blind":
        assert nearly == pytest.approx(whole, abs=1e-6)
    else:
        # where the whole map mirrors a direction without classes the path ends on its twin
        gaps = [gap_of_means(moved, rows) for moved in (nearly, whole)]
        assert gaps[0] == pytest.approx(gaps[1], rel=0.2, abs=0.02)


def test_blind_leaves_a_share_of_the_removed_directions(rows):
    X = rows[0]
    _, whole = steered(rows, groups="blind", rank=1)
    _, half = steered(rows, groups="blind", rank=1, strength=0.5)
    assert half == pytest.approx(0.5 * (X + whole))


@pytest.mark.parametrize("subspace", ["full", "discriminant"])
def test_the_groups_come_nearer_step_by_step(rows, subspace):
    gaps, bounds = [], []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        steerer, moved = steered(
            rows, groups="given", subspace=subspace, strength=strength, moves=["b"]
        )
        gaps.append(gap_of_means(moved, rows))
        bounds.append(max(steerer.certificate_.transfer_bound.values()))
    assert (np.diff(gaps) < 0.0).all()
    assert (np.diff(bounds) < 0.0).all()


def test_the_certificate_says_how_far(rows, tmp_path):
    part, _ = steered(rows, groups="given", strength=0.5)
    assert part.certificate_.sentences[0].startswith("Rows go 0.5 of the way")
    again = IdealSteerer.load(part.save(tmp_path / "part.safetensors"))
    assert again.certificate_.sentences == part.certificate_.sentences
    X, y, group = rows
    moved = part.transform(X, sensitive_features=group)
    assert np.array_equal(again.transform(X, sensitive_features=group), moved)
    rows_too = certify(part, X, y, sensitive_features=group)
    assert rows_too.transfer_bound == pytest.approx(part.certificate_.transfer_bound, rel=0.2)
    blind, _ = steered(rows, groups="blind", rank=1, strength=0.25)
    assert "shrinks to 0.75" in blind.certificate_.sentences[0]


def test_a_strength_outside_the_unit_interval_is_refused(rows):
    with pytest.raises(InvalidInputError, match="`strength`"):
        steered(rows, strength=1.5)
