"""Random flips of categories: fewest with labels, nearest without, seeded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from isonomy.distributions import Categorical, CategoricalJoint
from isonomy.errors import InvalidInputError
from isonomy.ideal import nearest_ideal
from isonomy.ideal._categorical.flips import (
    FlipMap,
    fewest_flips,
    label_free_flips,
    total_variation,
)
from reference.categorical import transport_cost

SEEDS = st.integers(0, 2**32 - 1)


def some_joint(seed, n_classes=2, n_groups=2, sizes=(3,)):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(n_classes * n_groups, 8.0)).reshape(n_classes, n_groups)
    pairs = list(np.ndindex(prior.shape))
    cells = {p: [Categorical(rng.dirichlet(np.ones(m))) for m in sizes] for p in pairs}
    return CategoricalJoint(cells, {p: prior[p] for p in pairs})


@settings(max_examples=30)
@given(SEEDS, st.integers(2, 5), st.booleans())
def test_the_fewest_flips_carry_the_law_and_no_coupling_flips_less(seed, m, zeros):
    p, q = np.random.default_rng(seed).dirichlet(np.ones(m), size=2)
    if zeros:
        p[0] = 0.0
        p /= p.sum()
    matrix = fewest_flips(p, q)
    np.testing.assert_allclose(p @ matrix, q, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    flipped = p @ (1.0 - np.diagonal(matrix))
    assert flipped == pytest.approx(total_variation(p, q), abs=1e-12)
    assert flipped == pytest.approx(transport_cost(p, q), abs=1e-7)


@settings(max_examples=15)
@given(SEEDS, st.integers(2, 4), st.integers(1, 3))
def test_no_matrix_found_at_random_brings_all_classes_nearer(seed, m, n_classes):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(m), size=(2, n_classes))
    weights = rng.dirichlet(np.ones(n_classes))
    matrix = label_free_flips(p, q, weights)
    left = total_variation(p @ matrix, q).max()
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-9)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(20):
            other = (1 - size) * matrix + size * rng.dirichlet(np.ones(m), size=m)
            # 1e-7: two linear programmes keep the first's value to 1e-8 each
            assert total_variation(p @ other, q).max() >= left - 1e-7
    if n_classes == 1:
        # one class: everything is reached, with the fewest flips
        assert left < 1e-7
        flipped = p[0] @ (1.0 - np.diagonal(matrix))
        assert flipped == pytest.approx(total_variation(p[0], q[0]), abs=1e-6)


def test_a_general_optimiser_agrees_with_the_linear_programme():
    rng = np.random.default_rng(4)
    p, q = rng.dirichlet(np.ones(3), size=(2, 2))

    def worst(z):
        rows = np.exp(z.reshape(3, 3))
        return total_variation(p @ (rows / rows.sum(axis=1, keepdims=True)), q).max()

    best = min(
        minimize(worst, 2 * rng.normal(size=9), method="Nelder-Mead", options={"maxiter": 8000}).fun
        for _ in range(4)
    )
    left = total_variation(p @ label_free_flips(p, q, np.array([0.5, 0.5])), q).max()
    assert left <= best + 1e-7
    # Nelder-Mead stalls on the kinks; it must come near all the same
    assert best <= left + 0.02


def test_without_labels_flips_cannot_part_classes_that_are_closer_than_the_ideal():
    # group 1 hardly tells the classes apart; data processing: |M P_0 - M P_1| <= |P_0 - P_1|
    table = np.array([[[0.9, 0.1], [0.52, 0.48]], [[0.1, 0.9], [0.48, 0.52]]])
    cells = {p: Categorical(table[p]) for p in np.ndindex(2, 2)}
    solution = nearest_ideal(CategoricalJoint(cells, dict.fromkeys(cells, 0.25)))
    common = solution.distribution.tables[0][:, 0]
    needed, own = total_variation(*common), total_variation(*table[:, 1])
    assert needed > own + 0.2
    left = solution.residual_by_cell
    # the triangle inequality: the two classes' residuals make up the difference at least
    assert left[0, 1] + left[1, 1] >= needed - own - 1e-9
    assert left[0, 1] + left[1, 1] == pytest.approx(needed - own, abs=1e-6)
    assert max(left[0, 0], left[1, 0]) < 1e-6
    assert solution.residual == {y: max(left[y, 0], left[y, 1]) for y in (0, 1)}


@settings(max_examples=20)
@given(SEEDS)
def test_flips_never_increase_the_distance_of_two_classes(seed):
    joint = some_joint(seed, 2, 2)
    for a, (flips,) in nearest_ideal(joint).maps.items():
        p = joint.tables[0][:, a]
        assert total_variation(*flips.push(p)) <= total_variation(*p) + 1e-12


@pytest.mark.parametrize("kind", ["array", "pandas", "polars"])
def test_training_rows_follow_the_ideal_law_after_the_stated_share_of_flips(kind):
    joint = some_joint(2, 2, 2, (3, 2))
    X, y, groups = joint.sample(40_000, 1)
    names = ["c0", "c1"]
    frame = pd.DataFrame({"c0": X[:, 0].astype(int), "kept": 0.5, "c1": X[:, 1].astype(int)})
    if kind == "array":
        solution, rows = nearest_ideal(joint), X
    else:
        joint = CategoricalJoint(joint.cells, joint.priors, columns=names)
        solution = nearest_ideal(joint)
        rows = frame if kind == "pandas" else pl.from_pandas(frame)
    steered = solution.steer(rows, sensitive_features=groups, y=y, random_state=3)
    assert type(steered) is type(rows)
    if kind != "array":
        assert list(steered.columns) == list(rows.columns)
        assert list(steered.dtypes) == list(rows.dtypes)
        assert (np.asarray(steered["kept"]) == 0.5).all()
        steered = np.column_stack([np.asarray(steered[name]) for name in names])
    for (label, group), laws in solution.distribution.cells.items():
        inside = (y == label) & (groups == group)
        flips = solution.flips_of_cell(label, group)
        for j, law in enumerate(laws):
            share = np.bincount(steered[inside, j].astype(int)) / inside.sum()
            # four standard deviations of a share among at least 5,000 rows are below .03
            np.testing.assert_allclose(share, law.probabilities, atol=0.03)
            changed = (steered[inside, j] != X[inside, j]).mean()
            source = joint.cells[label, group][j].probabilities
            stated = source @ (1.0 - np.diagonal(flips[j].matrix))
            assert stated == pytest.approx(total_variation(source, law.probabilities), abs=1e-12)
            assert changed == pytest.approx(stated, abs=0.03)


def test_the_seed_decides_and_labels_are_not_needed():
    joint = some_joint(0)
    solution = nearest_ideal(joint)
    X, y, groups = joint.sample(20_000, 0)
    one, same, other = (
        solution.steer(X, sensitive_features=groups, random_state=seed) for seed in (0, 0, 1)
    )
    assert (one == same).all()
    assert (one != other).any()
    for label in (0, 1):
        for group in (0, 1):
            inside = (y == label) & (groups == group)
            share = np.bincount(one[inside, 0].astype(int), minlength=3) / inside.sum()
            pushed = solution.maps[group][0].push(joint.tables[0][label, group])
            np.testing.assert_allclose(share, pushed, atol=0.04)
    with pytest.raises(InvalidInputError, match="got also 9"):
        solution.steer([9], sensitive_features=[0])


def test_a_flip_map_survives_its_arrays_and_refuses_what_is_none():
    flips = FlipMap([[0.9, 0.1], [0.0, 1.0]], ["p", "q"])
    again = FlipMap.from_arrays(flips.to_arrays())
    assert (again.matrix == flips.matrix).all()
    assert again.categories == flips.categories
    assert flips.flip_probability == pytest.approx({"p": 0.1, "q": 0.0})
    assert not flips.is_identity
    assert flips.apply(["q"] * 50, 0) == ["q"] * 50
    changed = np.mean([v == "q" for v in flips.apply(["p"] * 10_000, 0)])
    assert changed == pytest.approx(0.1, abs=0.012)
    with pytest.raises(InvalidInputError, match="square"):
        FlipMap([[1.0, 0.0]], ["p", "q"])
    with pytest.raises(InvalidInputError, match="sum to 1"):
        FlipMap([[0.5, 0.1], [0.0, 1.0]], ["p", "q"])


def test_a_category_of_next_to_no_probability_overflows_nothing():
    flips = fewest_flips(np.array([1e-310, 1.0]), np.array([0.5, 0.5]))
    assert flips.sum(axis=1) == pytest.approx(1.0)
    assert flips[1] == pytest.approx([0.5, 0.5])
