"""Is a categorical law ideal, exactly: laws of the posterior and Bayes rates by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isonomy.distributions import Categorical, CategoricalJoint
from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal import bayes_rates, ideal_violation, is_ideal
from reference.categorical import bayes_confusion, posterior_laws_agree

SEEDS = st.integers(0, 2**32 - 1)


def joint_of(prior, *tables):
    pairs = list(np.ndindex(prior.shape))
    return CategoricalJoint(
        {p: [Categorical(t[p]) for t in tables] for p in pairs}, {p: prior[p] for p in pairs}
    )


def equivalent(rng, n_classes, m):
    """Two experiments with one law of the posterior: a category split in two, names permuted."""
    law = rng.dirichlet(np.ones(m), size=n_classes)
    first = np.column_stack([law, np.zeros(n_classes)])
    share = rng.uniform(0.2, 0.8)
    split = np.column_stack([law[:, :-1], share * law[:, -1:], (1 - share) * law[:, -1:]])
    return np.stack([first, split[:, rng.permutation(m + 1)]], axis=1)


@given(SEEDS, st.integers(2, 4), st.integers(2, 4))
def test_equal_laws_of_the_posterior_are_ideal_without_any_bijection(seed, n_classes, m):
    rng = np.random.default_rng(seed)
    table = equivalent(rng, n_classes, m)
    prior = np.outer(rng.dirichlet(np.full(n_classes, 5.0)), [0.3, 0.7])
    joint = joint_of(prior, table)
    assert posterior_laws_agree(prior, table)
    assert ideal_violation(joint) < 1e-12
    assert is_ideal(joint)
    for _ in range(5):
        rates = bayes_rates(joint, rng.uniform(size=(n_classes, 3)))
        assert rates.largest_gap < 1e-12
    skewed = prior * rng.uniform(0.5, 1.5, prior.shape)
    assert not is_ideal(joint_of(skewed / skewed.sum(), table))


@given(SEEDS)
def test_other_laws_are_not_ideal_and_some_cost_shows_it(seed):
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.ones(3), size=(2, 2))
    prior = np.outer(rng.dirichlet([5.0, 5.0]), [0.5, 0.5])
    joint = joint_of(prior, table)
    assert not posterior_laws_agree(prior, table)
    assert not is_ideal(joint)
    # thresholds between the atoms separate two different laws of the posterior
    eta = np.unique(prior[1, :, None] * table[1] / np.einsum("ya,yax->ax", prior, table))
    cuts = (eta[1:] + eta[:-1]) / 2
    gaps = [bayes_rates(joint, [[0.0, t], [1 - t, 0.0]]).largest_gap for t in cuts]
    assert max(gaps) > 0


@given(SEEDS, st.integers(2, 3), st.integers(2, 3))
def test_the_rates_are_those_of_every_category_decided_by_itself(seed, n_classes, n_groups):
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.full(n_classes * n_groups, 5.0)).reshape(n_classes, n_groups)
    table = rng.dirichlet(np.ones(4), size=prior.shape)
    cost = rng.uniform(size=(n_classes, 3))
    rates = bayes_rates(joint_of(prior, table), cost)
    wanted = bayes_confusion(prior, table, cost.tolist())
    np.testing.assert_allclose(rates.confusion, wanted, atol=1e-12)
    assert rates.risk == pytest.approx((prior[:, None] * cost[:, :, None] * wanted).sum())
    np.testing.assert_allclose(rates.selection_rate.sum(axis=0), 1.0)


def test_exact_ties_go_one_way_in_all_groups():
    # category 0 is a tie, .3 times .7 against .7 times .3, but not to the last place everywhere
    law = np.array([[0.7, 0.3], [0.3, 0.7]])
    prior = np.outer([0.3, 0.7], np.arange(1.0, 14.0) / 91.0)
    products = prior * law[:, :1]
    assert (products[0] < products[1]).any()
    assert (products[0] == products[1]).any()
    rates = bayes_rates(joint_of(prior, np.repeat(law[:, None], 13, axis=1)))
    assert rates.largest_gap < 1e-15
    assert rates.confusion[0, 0] == pytest.approx(0.7)


def test_columns_multiply_out_to_their_joint_alphabet():
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.full(4, 5.0)).reshape(2, 2)
    one, two = rng.dirichlet(np.ones(2), size=(2, 2)), rng.dirichlet(np.ones(3), size=(2, 2))
    whole = (one[..., :, None] * two[..., None, :]).reshape(2, 2, 6)
    apart, together = joint_of(prior, one, two), joint_of(prior, whole)
    assert ideal_violation(apart) == pytest.approx(ideal_violation(together), abs=1e-14)
    np.testing.assert_allclose(
        bayes_rates(apart).confusion, bayes_rates(together).confusion, atol=1e-14
    )


def test_the_violation_grows_with_the_departure():
    law = np.array([[0.2, 0.8], [0.7, 0.3]])
    found = []
    for size in (0.0, 1e-6, 1e-3, 0.1):
        moved = law + size * np.array([[1.0, -1.0], [0.0, 0.0]])
        joint = joint_of(np.full((2, 2), 0.25), np.stack([law, moved], axis=1))
        found.append(ideal_violation(joint))
    assert found[0] < 1e-14
    assert found == sorted(found)
    assert found[1] > 1e-8


def test_many_combinations_are_compared_column_by_column_and_refused_for_rates():
    rng = np.random.default_rng(0)
    prior = np.full((2, 2), 0.25)
    tables = [np.repeat(rng.dirichlet(np.ones(8), size=(2, 1)), 2, axis=1) for _ in range(6)]
    same = joint_of(prior, *tables)
    assert is_ideal(same)
    tables[0] = rng.dirichlet(np.ones(8), size=(2, 2))
    assert ideal_violation(joint_of(prior, *tables)) > 0.05
    with pytest.raises(UnsupportedProgrammeError, match="at most 200000 combinations"):
        bayes_rates(same)
