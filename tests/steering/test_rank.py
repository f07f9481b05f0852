"""The choice of how many directions a group-blind steerer removes."""

import numpy as np
import pytest

from isonomy.metrics import rms_tpr_gap
from isonomy.steering._held_out import CodedRows, mean_square_gap
from isonomy.steering._rank import candidate_ranks, choose_rank


def judged(seed=0, n=400, n_classes=3, gap=0.2):
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, n_classes, n), rng.integers(0, 2, n)
    hits = rng.random(n) < 0.7 - gap * groups
    return CodedRows(np.zeros((n, 1)), y, groups, None, 2), hits


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_is_the_metric_corrected_for_noise(seed):
    rows, hits = judged(seed)
    predicted = np.where(hits, rows.y, (rows.y + 1) % 3)
    # the metric is a signed root; the choice works on its square
    root = rms_tpr_gap(
        rows.y,
        predicted,
        sensitive_features=rows.groups,
        corrected=True,
        weighting="precision",
    )
    found, error = mean_square_gap(hits, rows)
    assert found == pytest.approx(np.sign(root) * root**2)
    assert error > 0


def test_the_standard_error_is_that_of_a_gap_of_zero():
    found = [mean_square_gap(*reversed(judged(seed, gap=0.0))) for seed in range(400)]
    gaps, errors = np.array(found).T
    # 400 draws: their mean is within 4 errors of 0, their spread within a quarter of the formula
    assert abs(gaps.mean()) < 4 * gaps.std() / 20
    assert gaps.std() == pytest.approx(np.median(errors), rel=0.25)


@pytest.mark.parametrize(
    ("n_directions", "n_dimensions", "expected"),
    [
        (0, 5, [0]),
        (2, 5, [0, 1, 2]),
        (5, 5, [0, 1, 2, 3, 4]),
        (28, 256, [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 28]),
        (1, 1, [0]),
    ],
)
def test_candidates_leave_a_dimension(n_directions, n_dimensions, expected):
    assert candidate_ranks(n_directions, n_dimensions).tolist() == expected


def test_a_planted_direction_is_found_and_accuracy_is_kept():
    rng = np.random.default_rng(0)
    n = 6000
    y, groups = rng.integers(0, 3, n), rng.integers(0, 2, n)
    values = rng.normal(size=(n, 12))
    values[np.arange(n), y] += 2.0
    values[:, 0] += 1.5 * groups  # pulls one group towards label 0, and out of the others
    curve = choose_rank(
        CodedRows(values, y, groups, None, 2),
        cell_shrinkage=10.0,
        accuracy_tolerance=1.0,
        n_jobs=None,
        random_state=0,
    )
    assert curve.chosen >= 1
    assert curve.mean_square_gap[1] < curve.mean_square_gap[0] / 10
    strict = choose_rank(
        CodedRows(values, y, groups, None, 2),
        cell_shrinkage=10.0,
        accuracy_tolerance=0.0,
        n_jobs=None,
        random_state=0,
    )
    at = list(strict.ranks).index(strict.chosen)
    assert strict.accuracy[at] >= strict.accuracy[0]
