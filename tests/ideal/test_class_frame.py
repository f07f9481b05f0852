"""The maps between ideal groups: the two ways of section 3.3 against its literal formula."""

from __future__ import annotations

import numpy as np
import pytest

from isonomy.ideal import nearest_ideal
from isonomy.ideal._tied import class_axes
from isonomy.ideal._tied.class_axes import class_frame, least_map
from reference.gaussian import kl_by_formula
from reference.ideal import least_map_by_formula, random_joint


def two_groups(n_classes, d, *, rank=None, seed=0):
    """Frames of two groups, their inner maps, and the ideal cells that these make."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n_classes, min(n_classes - 1, d)))
    if rank is not None:  # class means that differ along fewer axes
        points = points[:, :rank] @ rng.standard_normal((rank, points.shape[1]))
    centred = points - points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    span = axes[sizes > 1e-10 * sizes[0]].T
    frames, inner, cells = [], [], []
    for _ in range(2):
        factor = rng.standard_normal((d, 8 * d))
        cov = factor @ factor.T / (8 * d)
        frame = class_frame(rng.standard_normal((n_classes, d)), cov)
        m = np.eye(len(span)) + 0.3 * rng.standard_normal((len(span), len(span)))
        q, lower = frame.axes, np.linalg.cholesky(cov)
        root = lower @ (np.eye(d) + q @ (m - np.eye(len(span))) @ q.T)
        frames.append(frame)
        inner.append(m)
        cells.append((points @ q.T @ root.T, root @ root.T))
    return frames, inner, cells, span


CASES = [(2, 90, None), (4, 100, None), (5, 80, 2), (28, 70, None), (71, 70, None), (4, 12, None),
         (9, 5, None), (5, 30, 2)]  # fmt: skip


@pytest.mark.parametrize(("n_classes", "d", "rank"), CASES)
@pytest.mark.parametrize("way", ["as chosen", "polar"])
def test_the_map_is_the_literal_one(monkeypatch, n_classes, d, rank, way):
    frames, inner, cells, span = two_groups(n_classes, d, rank=rank)
    if way == "polar":
        monkeypatch.setattr(class_axes, "_SMALL", d)
    matrix = least_map(frames[0], inner[0], frames[1], inner[1], span)
    known, _ = least_map_by_formula(*cells[0], *cells[1], np.ones(n_classes))
    # roots of matrices of condition 100 on both sides
    assert np.abs(matrix - known).max() < 1e-9 * np.abs(known).max()


@pytest.mark.parametrize(("n_classes", "d", "rank"), [(4, 100, None), (5, 80, 2)])
def test_large_groups_are_mapped_by_the_root(monkeypatch, n_classes, d, rank):
    frames, inner, _, span = two_groups(n_classes, d, rank=rank)
    monkeypatch.setattr(class_axes, "orthogonal_factor", None)  # calling it would raise
    assert least_map(frames[0], inner[0], frames[1], inner[1], span).shape == (d, d)


def test_a_factor_near_singular_takes_the_way_that_keeps_digits(monkeypatch):
    frames, inner, cells, span = two_groups(3, 70)
    scale = np.geomspace(1.0, 1e5, 70)
    far = class_frame(np.zeros((3, 70)), cells[0][1] * scale * scale[:, None])
    monkeypatch.setattr(class_axes, "_by_root", None)
    # equal class means have axes all the same, of whatever direction
    assert np.isfinite(least_map(far, inner[0], frames[1], inner[1], span)).all()


@pytest.mark.parametrize("direction", ["information", "moment"])
@pytest.mark.parametrize(("n_classes", "d"), [(3, 70), (66, 65), (9, 80), (12, 6)])
def test_every_group_of_a_large_ideal_is_carried_onto_the_canonical_cells(n_classes, d, direction):
    joint = random_joint(np.random.default_rng(d), n_classes, 3, d)
    solution = nearest_ideal(joint, direction=direction)
    ideal = solution.distribution
    for a, group in enumerate(ideal.groups):
        move = solution.maps[group]
        for label in ideal.classes:
            law = move.push(ideal.cells[label, group])
            goal = solution.canonical[label]
            assert law.mean == pytest.approx(goal.mean, abs=1e-8)
            assert law.covariance == pytest.approx(goal.covariance, abs=1e-8)
        paid = solution.kl_by_cell[ideal.classes[0], group]
        fitted = joint.means[0, a], joint.covariances[0, a]
        steered = ideal.means[0, a], ideal.covariances[0, a]
        both = (*steered, *fitted) if direction == "information" else (*fitted, *steered)
        assert paid == pytest.approx(kl_by_formula(*both), abs=1e-7)
