"""The programme: chain rule, weights, priors: docs/theory.md, section 7."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.ideal import nearest_ideal
from reference.gaussian import kl_by_formula
from reference.ideal import programme_value, random_joint
from reference.theory_normals import on_line

SEEDS = st.integers(0, 2**32 - 1)


def kl(p, q):
    """KL of two finite laws, all entries positive."""
    return float((p * np.log(p / q)).sum())


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
def test_the_divergence_of_joint_laws_splits(seed, n_classes, n_groups):
    rng = np.random.default_rng(seed)
    shape = n_classes, n_groups, 5
    ideal, fitted = (rng.dirichlet(np.ones(np.prod(shape))).reshape(shape) for _ in range(2))
    for first, second in ((ideal, fitted), (fitted, ideal)):
        p, q = first.sum(axis=2), second.sum(axis=2)
        cells = [
            p[y, a] * kl(first[y, a] / p[y, a], second[y, a] / q[y, a])
            for y in range(n_classes)
            for a in range(n_groups)
        ]
        assert kl(first, second) == pytest.approx(kl(p, q) + sum(cells), abs=1e-12)
        # every part is at least 0: a cell pays at most KL / (its weight in the FIRST law)
        worst = max(c / w for c, w in zip(cells, p.ravel(), strict=True))
        assert worst <= kl(first, second) / p.min() + 1e-12


@given(SEEDS, st.sampled_from(["information", "moment"]))
@settings(max_examples=15)
def test_each_direction_has_its_weights(seed, direction):
    joint = random_joint(np.random.default_rng(seed), 2, 2, 2)
    found = nearest_ideal(joint, moves=["b"], direction=direction)
    ideal = found.distribution
    pair = (ideal, joint) if direction == "information" else (joint, ideal)
    assert found.kl == pytest.approx(pair[0].kl_divergence(pair[1]), rel=1e-9)
    cells = {c: (law.mean, law.covariance) for c, law in ideal.cells.items()}
    assert found.kl == pytest.approx(
        programme_value(cells, ideal.priors, joint, direction), rel=1e-9
    )
    # with the other direction's weights the sum is another one
    other = pair[1].priors
    parts = {c: kl_by_formula(*_two(pair, c)) for c in joint.cells}
    wrong = kl(pair[0].prior, pair[1].prior) + sum(other[c] * k for c, k in parts.items())
    right = kl(pair[0].prior, pair[1].prior) + sum(pair[0].priors[c] * k for c, k in parts.items())
    assert found.kl == pytest.approx(right, rel=1e-9)
    assert abs(wrong - found.kl) > 1e-6 * found.kl


def _two(pair, cell):
    return (*_law(pair[0], cell), *_law(pair[1], cell))


def _law(joint, cell):
    return joint.cells[cell].mean, joint.cells[cell].covariance


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
def test_reweighing_is_the_nearest_factorised_prior_in_the_moment_direction(seed, k, g):
    rng = np.random.default_rng(seed)
    q = rng.dirichlet(np.ones(k * g)).reshape(k, g)
    best = kl(q, np.outer(q.sum(axis=1), q.sum(axis=0)))
    for _ in range(20):
        other = np.outer(rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(g)))
        excess = kl(q.sum(axis=1), other.sum(axis=1)) + kl(q.sum(axis=0), other.sum(axis=0))
        assert kl(q, other) == pytest.approx(best + excess, abs=1e-12)


@given(SEEDS, st.integers(2, 4), st.integers(2, 3))
def test_the_best_label_prior_for_given_cells(seed, k, g):
    rng = np.random.default_rng(seed)
    q = rng.dirichlet(np.full(k * g, 3.0)).reshape(k, g)
    paid, group = rng.exponential(size=(k, g)), q.sum(axis=0)

    def value(label):
        ideal = np.outer(label, group)
        return kl(ideal, q) + (ideal * paid).sum()

    lean = np.exp(-((paid + np.log(group / q)) @ group))
    best = value(lean / lean.sum())
    assert best == pytest.approx(-np.log(lean.sum()), abs=1e-12)
    assert all(value(rng.dirichlet(np.ones(k))) >= best for _ in range(30))


def test_moving_the_groups_share_deletes_the_group_that_is_expensive():
    # one group in ten has cells in another order and of another shape
    prior = np.array([[0.45, 0.05], [0.45, 0.05]])
    joint = on_line([[0, 0], [2, -1]], [[1, 1], [4, 0.1]], prior)
    fixed = nearest_ideal(joint, moves=["b"], priors="joint")
    assert fixed.distribution.prior.sum(axis=0) == pytest.approx([0.9, 0.1])
    ideal, q = fixed.distribution, joint.prior
    label = ideal.class_prior
    paid = np.array([[fixed.kl_by_cell[y, a] for a in "ab"] for y in (0, 1)])
    each = np.array([label @ (np.log(label / q[:, a]) + paid[:, a]) for a in (0, 1)])

    def total(share):
        return share @ (np.log(share) + each)

    assert total(np.array([0.9, 0.1])) == pytest.approx(fixed.kl, rel=1e-9)
    # the best share is proportional to exp(-cost), its value -ln sum exp(-cost)
    best = np.exp(-each) / np.exp(-each).sum()
    assert total(best) == pytest.approx(-np.log(np.exp(-each).sum()))
    assert best[1] < 0.04
    # deleting the group altogether, cells as fitted, costs -ln .9, whatever the group is like
    gone = [total_without(eps, joint) for eps in (1e-3, 1e-6, 1e-9)]
    assert gone[-1] == pytest.approx(-np.log(0.9), abs=1e-6)
    assert total(best) < fixed.kl
    assert gone[-1] < fixed.kl


def total_without(eps, joint):
    """Divergence of the ideal law that leaves group b a share ``eps`` and moves it onto a."""
    q = joint.prior
    label = q[:, 0] / q[:, 0].sum()
    share = np.array([1 - eps, eps])
    ideal = np.outer(label, share)
    a, b = ((joint.means[:, i], joint.covariances[:, i]) for i in (0, 1))
    paid = [kl_by_formula(a[0][y], a[1][y], b[0][y], b[1][y]) for y in (0, 1)]
    return kl(ideal, q) + ideal[:, 1] @ paid
